//! What went over the wire and what was turned away: numbers that only grow, and warnings that don't flood.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A reading of all counters since the net was bound.
        #[derive(Clone, Eq, PartialEq, Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        /// The living counters.
        #[derive(Debug, Default)]
        pub(crate) struct Tally { $(pub(crate) $name: AtomicU64,)* pub(crate) refusals: Gate, pub(crate) dials: Gate }

        impl Tally {
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Connections from peers that were accepted.
    peers_accepted,
    /// Connections from clients that were accepted.
    clients_accepted,
    /// Connections from peers and clients that stand now (the only one that also falls).
    connections_open,
    /// Connections to peers that were made.
    peers_connected,
    /// How many of these followed on one that was lost.
    reconnects,
    /// Attempts to reach a peer that failed.
    dials_failed,
    /// Handshakes refused: a protocol (ALPN) that nobody here speaks.
    refused_protocol,
    /// Handshakes refused: a certificate of another cluster's authority.
    refused_foreign,
    /// Handshakes refused: no certificate, an expired one, or one that doesn't hold.
    refused_certificate,
    /// Connections refused: a good certificate, but not for this (a client as a peer, a node with our own id).
    refused_role,
    /// Connections refused or cut off: a certificate that was revoked, a node that was removed.
    refused_revoked,
    /// Connections refused because there were too many of them or of handshakes.
    refused_busy,
    /// Handshakes that ended otherwise: given up, timed out, broken.
    handshakes_failed,
    /// Joins that were handed over to be decided.
    joins,
    /// Joins that were refused before that: no good request, or one that came to nothing.
    joins_refused,
    /// Frames or streams that broke the format; each cost its connection.
    malformed,
    /// Frames to peers not sent: the control lane was full or its peer not connected.
    control_dropped,
    /// Frames to peers not sent: the append lane was full or its peer not connected.
    append_dropped,
    /// Clients cut off because they didn't read their responses.
    slow_clients,
    /// Frames to peers that were sent.
    frames_sent,
    /// Frames from peers that were handed over.
    frames_received,
    /// Requests of clients that were handed over.
    requests,
    /// Responses to clients that were sent.
    responses,
    /// Bytes of frames, requests and responses that were sent.
    bytes_sent,
    /// Bytes of frames and requests that were received.
    bytes_received,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

/// Lets one warning through in ten seconds and says how many it held back.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<(Option<Instant>, u64)>);

impl Gate {
    const PAUSE: Duration = Duration::from_secs(10);

    /// Some(held back since the last one) if a warning may go out now.
    pub(crate) fn pass(&self) -> Option<u64> {
        let mut state = self.0.lock().expect("nothing panics while it holds the gate");
        let (last, held) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < Gate::PAUSE) {
            *held += 1;
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(held))
    }
}
