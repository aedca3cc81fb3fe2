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
}

impl CloseCode {
    const ALL: [CloseCode; 8] = [
        CloseCode::Done,
        CloseCode::Stopping,
        CloseCode::Replaced,
        CloseCode::Malformed,
        CloseCode::Role,
        CloseCode::Slow,
        CloseCode::TooLarge,
        CloseCode::Busy,
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

/// What a failed or lost connection means for whoever waits for it.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) enum Cause {
    /// TLS protocol names didn't meet.
    Protocol,
    /// The certificate comes from another authority.
    Foreign,
    /// The certificate is missing, expired, for somebody else or doesn't hold.
    Certificate(&'static str),
    /// A good certificate in the wrong place.
    Role,
    /// The other side takes no more connections.
    Busy,
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
                let cause = match known {
                    Some(CloseCode::Role) => Cause::Role,
                    Some(CloseCode::Busy) => Cause::Busy,
                    Some(code) if close.reason.is_empty() => Cause::Other(code.text().to_string()),
                    Some(_) | None => Cause::Other(String::from_utf8_lossy(&close.reason).into_owned()),
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

    /// The transport's error codes, among them TLS alerts from 0x100 on.
    fn of_code(code: u64, reason: &str) -> Cause {
        match code {
            0x02 => Cause::Busy,
            // An application's close during the handshake, whose own code and words may not be shown so early.
            0x0c => Cause::BrokenOff,
            0x178 => Cause::Protocol,
            0x130 => Cause::Foreign,
            0x174 => Cause::Certificate("no certificate was shown"),
            0x12d => Cause::Certificate("the certificate has expired or is not valid yet"),
            0x12a => Cause::Certificate("the certificate is somebody else's or not for this use"),
            0x12b..=0x133 => Cause::Certificate("the certificate doesn't hold"),
            _ => {
                Cause::Other(if reason.is_empty() { format!("transport error {code:#x}") } else { reason.to_string() })
            }
        }
    }

    /// Counts a handshake that a node refused or lost.
    pub(crate) fn count(&self, tally: &Tally) {
        let counter = match self {
            Cause::Protocol => &tally.refused_protocol,
            Cause::Foreign => &tally.refused_foreign,
            Cause::Certificate(_) => &tally.refused_certificate,
            Cause::Role => &tally.refused_role,
            Cause::Busy => &tally.refused_busy,
            Cause::Silence | Cause::BrokenOff | Cause::Other(_) => &tally.handshakes_failed,
        };
        add(counter, 1);
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Protocol => f.write_str("no protocol (ALPN) that both sides speak"),
            Cause::Foreign => f.write_str("the certificate belongs to another cluster"),
            Cause::Certificate(what) => f.write_str(what),
            Cause::Role => f.write_str(CloseCode::Role.text()),
            Cause::Busy => f.write_str("too many connections"),
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
