//! Why a connection ended or never began: the codes that we close with, and what the other side's codes and TLS alerts mean.

use std::fmt;

use quinn::{Connection, ConnectionError, VarInt};

use crate::counters::{Tally, add};

/// Our own reasons to close a connection; the numbers are part of the wire.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum CloseCode {
    /// Nothing is wrong, it isn't needed any more.
    Done,
    /// The node stops.
    Stopping,
    /// The same peer connected anew.
    Replaced,
    /// The other side broke the format.
    Malformed,
    /// The certificate is good but not for this.
    Role,
    /// The other side doesn't read its responses.
    Slow,
    /// A response of ours was too long to be sent.
    TooLarge,
    /// There are too many clients.
    Busy,
    /// No certificate was shown where one is needed.
    NoCertificate,
    /// The certificate was revoked.
    Revoked,
    /// The node was removed from the cluster.
    Removed,
    /// Nothing came in time.
    Silent,
}

impl CloseCode {
    const ALL: [CloseCode; 12] = [
        CloseCode::Done,
        CloseCode::Stopping,
        CloseCode::Replaced,
        CloseCode::Malformed,
        CloseCode::Role,
        CloseCode::Slow,
        CloseCode::TooLarge,
        CloseCode::Busy,
        CloseCode::NoCertificate,
        CloseCode::Revoked,
        CloseCode::Removed,
        CloseCode::Silent,
    ];

    fn text(self) -> &'static str {
        match self {
            CloseCode::Done => "closed",
            CloseCode::Stopping => "the node stops",
            CloseCode::Replaced => "replaced by a newer connection",
            CloseCode::Malformed => "malformed data",
            CloseCode::Role => "this certificate is not for this purpose",
            CloseCode::Slow => "responses were not read",
            CloseCode::TooLarge => "the response is too long for a frame",
            CloseCode::Busy => "too many connections",
            CloseCode::NoCertificate => "no certificate was shown",
            CloseCode::Revoked => "this certificate was revoked",
            CloseCode::Removed => "this node was removed from the cluster",
            CloseCode::Silent => "nothing was said in time",
        }
    }

    /// What it means to the side that is closed upon; None for what is no refusal of that side itself.
    fn refusal(self) -> Option<Refusal> {
        match self {
            CloseCode::Role => Some(Refusal::Role),
            CloseCode::Busy => Some(Refusal::Busy),
            CloseCode::NoCertificate => Some(Refusal::NoCertificate),
            CloseCode::Revoked => Some(Refusal::Revoked),
            CloseCode::Removed => Some(Refusal::Removed),
            CloseCode::Done
            | CloseCode::Stopping
            | CloseCode::Replaced
            | CloseCode::Malformed
            | CloseCode::Slow
            | CloseCode::TooLarge
            | CloseCode::Silent => None,
        }
    }

    pub(crate) fn number(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    /// Closes, with the code's own words unless there are better ones. What has ended already keeps the cause that it ended with.
    pub(crate) fn close(self, connection: &Connection, detail: Option<&dyn fmt::Display>) {
        if connection.close_reason().is_some() {
            return;
        }
        let text = detail.map_or_else(|| self.text().to_string(), ToString::to_string);
        connection.close(self.number(), text.as_bytes());
    }
}

/// Why one side refused the other: what a user has to be told, and what another attempt would not change.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum Refusal {
    /// TLS protocol names didn't meet: another program, another version, or a node that doesn't serve this.
    Protocol,
    /// The certificate comes from another cluster's authority.
    Foreign,
    /// No certificate was shown.
    NoCertificate,
    /// The certificate has expired, is not valid yet, or a clock is wrong.
    Expired,
    /// The certificate is somebody else's, or not for this use.
    WrongCertificate,
    /// The certificate doesn't hold.
    BadCertificate,
    /// A good certificate in the wrong place.
    Role,
    /// The other side takes no more connections: the only refusal that passes by itself.
    Busy,
    /// The certificate, or everything of its holder, was revoked.
    Revoked,
    /// The node was removed from the cluster.
    Removed,
}

impl Refusal {
    /// How a connection is closed for this, once it stands.
    pub(crate) fn close_code(self) -> CloseCode {
        match self {
            Refusal::Busy => CloseCode::Busy,
            Refusal::NoCertificate => CloseCode::NoCertificate,
            Refusal::Revoked => CloseCode::Revoked,
            Refusal::Removed => CloseCode::Removed,
            Refusal::Protocol
            | Refusal::Foreign
            | Refusal::Expired
            | Refusal::WrongCertificate
            | Refusal::BadCertificate
            | Refusal::Role => CloseCode::Role,
        }
    }

    /// Whether it says that the refused side is out for good.
    pub fn is_cut_off(self) -> bool {
        matches!(self, Refusal::Revoked | Refusal::Removed)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Protocol => "no protocol (ALPN) that both sides speak: another version, or a cluster that was recovered without one of them",
            Refusal::Foreign => "the certificate belongs to another cluster",
            Refusal::NoCertificate => CloseCode::NoCertificate.text(),
            Refusal::Expired => "the certificate has expired or is not valid yet",
            Refusal::WrongCertificate => "the certificate is somebody else's or not for this use",
            Refusal::BadCertificate => "the certificate doesn't hold",
            Refusal::Role => CloseCode::Role.text(),
            Refusal::Busy => CloseCode::Busy.text(),
            Refusal::Revoked => CloseCode::Revoked.text(),
            Refusal::Removed => CloseCode::Removed.text(),
        })
    }
}

/// What a failed or lost connection means for whoever waits for it.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) enum Cause {
    /// One side refused the other.
    Refused(Refusal),
    /// Silence.
    Silence,
    /// The attempt was broken off before it was complete: its process ends, or it tries anew.
    BrokenOff,
    /// Anything else, in words.
    Other(String),
}

impl Cause {
    /// The cause, and whether it was the other side that refused us.
    pub(crate) fn of(error: &ConnectionError) -> (Cause, bool) {
        match error {
            ConnectionError::TransportError(error) => (Cause::of_code(error.code.into(), &error.reason), false),
            ConnectionError::ConnectionClosed(close) => {
                let reason = String::from_utf8_lossy(&close.reason);
                (Cause::of_code(close.error_code.into(), &reason), true)
            }
            ConnectionError::ApplicationClosed(close) => {
                let known = CloseCode::ALL.into_iter().find(|code| code.number() == close.error_code);
                let cause = match (known.and_then(CloseCode::refusal), known) {
                    (Some(refusal), _) => Cause::Refused(refusal),
                    (None, Some(code)) if close.reason.is_empty() => Cause::Other(code.text().to_string()),
                    (None, _) => Cause::Other(String::from_utf8_lossy(&close.reason).into_owned()),
                };
                (cause, true)
            }
            ConnectionError::TimedOut => (Cause::Silence, false),
            ConnectionError::Reset => (Cause::Other("the other side was restarted".to_string()), true),
            ConnectionError::VersionMismatch | ConnectionError::LocallyClosed | ConnectionError::CidsExhausted => {
                (Cause::Other(error.to_string()), false)
            }
        }
    }

    /// What the other side refused us for, if it did.
    pub(crate) fn refusal_by_them(error: &ConnectionError) -> Option<Refusal> {
        match Cause::of(error) {
            (Cause::Refused(refusal), true) => Some(refusal),
            (Cause::Refused(_) | Cause::Silence | Cause::BrokenOff | Cause::Other(_), _) => None,
        }
    }

    /// The transport's error codes, among them TLS alerts from 0x100 on.
    fn of_code(code: u64, reason: &str) -> Cause {
        match code {
            0x02 => Cause::Refused(Refusal::Busy),
            // An application's close during the handshake, whose own code and words may not be shown so early.
            0x0c => Cause::BrokenOff,
            0x178 => Cause::Refused(Refusal::Protocol),
            0x130 => Cause::Refused(Refusal::Foreign),
            0x174 => Cause::Refused(Refusal::NoCertificate),
            0x12d => Cause::Refused(Refusal::Expired),
            0x12a => Cause::Refused(Refusal::WrongCertificate),
            0x12b..=0x133 => Cause::Refused(Refusal::BadCertificate),
            _ => {
                Cause::Other(if reason.is_empty() { format!("transport error {code:#x}") } else { reason.to_string() })
            }
        }
    }

    /// Counts a handshake that a node refused or lost.
    pub(crate) fn count(&self, tally: &Tally) {
        let counter = match self {
            Cause::Refused(refusal) => match refusal {
                Refusal::Protocol => &tally.refused_protocol,
                Refusal::Foreign => &tally.refused_foreign,
                Refusal::NoCertificate | Refusal::Expired | Refusal::WrongCertificate | Refusal::BadCertificate => {
                    &tally.refused_certificate
                }
                Refusal::Role => &tally.refused_role,
                Refusal::Busy => &tally.refused_busy,
                Refusal::Revoked | Refusal::Removed => &tally.refused_revoked,
            },
            Cause::Silence | Cause::BrokenOff | Cause::Other(_) => &tally.handshakes_failed,
        };
        add(counter, 1);
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Refused(refusal) => fmt::Display::fmt(refusal, f),
            Cause::Silence => f.write_str("no answer"),
            Cause::BrokenOff => f.write_str("the other side broke the attempt off"),
            Cause::Other(text) => f.write_str(text),
        }
    }
}

/// The end of a connection in words.
pub(crate) fn describe(error: &ConnectionError) -> String {
    Cause::of(error).0.to_string()
}
