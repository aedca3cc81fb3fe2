//! The way back to a client, and what is in flight on its connection.
//!
//! A request counts from its arrival until its response is written, by number and by bytes. A client that asks but doesn't read is cut off.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use quinn::Connection;
use tokio::sync::Notify;

use crate::counters::{Tally, add};
use crate::frame::{CLIENT_FRAME_BYTES_MAX, Frame, ID_BYTES};
use crate::identity::{Principal, Serial};
use crate::outbox::{Outbox, Refused, Room};
use crate::refusal::CloseCode;

/// Requests in flight on a connection, each of them one unit and one more for every [`UNIT_BYTES`]: 8,192 small ones or 64 MiB.
pub const REQUEST_UNITS_MAX: usize = 8_192;
/// Bytes of a request or response that count as one unit.
pub const UNIT_BYTES: usize = 8 << 10;
/// Responses that may wait for a client that doesn't read them, beside those that QUIC has taken.
const RESPONSE_ROOM: Room = Room { frames_max: 2 * REQUEST_UNITS_MAX, bytes_max: 256 << 20 };

/// The client behind a request.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// Its certificate's holder; a node may act as a client too.
    pub principal: Principal,
    /// Its certificate's number: what is revoked when one machine is lost and not the client.
    pub serial: Serial,
    /// Where it is.
    pub address: SocketAddr,
    /// Counts this node's connections: the same number means the same connection.
    pub connection: u64,
}

/// The way back for one response. Dropped without one, the client waits in vain but the room is free again.
pub struct Responder {
    id: u64,
    units: usize,
    exchange: Arc<Exchange>,
}

impl Responder {
    /// For a request that is charged with so many units.
    pub(crate) fn new(id: u64, units: usize, exchange: Arc<Exchange>) -> Responder {
        Responder { id, units, exchange }
    }

    /// Queues the response; never blocks. Longer than [`CLIENT_FRAME_BYTES_MAX`] less the id, it costs the connection.
    pub fn send(self, response: Bytes) {
        if response.len() > CLIENT_FRAME_BYTES_MAX - ID_BYTES {
            tracing::error!(bytes = response.len(), "a response too long for a frame");
            CloseCode::TooLarge.close(&self.exchange.connection, None);
            return;
        }
        let units = units(response.len());
        self.exchange.in_flight.charge(units);
        if let Err(refused) = self.exchange.responses.push(Frame { id: Some(self.id), body: response }) {
            self.exchange.in_flight.release(units);
            if refused == Refused::Full && self.exchange.connection.close_reason().is_none() {
                add(&self.exchange.tally.slow_clients, 1);
                CloseCode::Slow.close(&self.exchange.connection, None);
            }
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.exchange.in_flight.release(self.units);
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What the reader, the writer and the responders of a connection share.
pub(crate) struct Exchange {
    pub(crate) connection: Connection,
    tally: Arc<Tally>,
    pub(crate) responses: Outbox,
    pub(crate) in_flight: InFlight,
}

impl Exchange {
    pub(crate) fn new(connection: Connection, tally: Arc<Tally>) -> Arc<Exchange> {
        let responses = Outbox::new(RESPONSE_ROOM, true);
        Arc::new(Exchange { connection, tally, responses, in_flight: InFlight::new(REQUEST_UNITS_MAX) })
    }
}

/// What so many bytes count in flight.
pub(crate) fn units(bytes: usize) -> usize {
    1 + bytes / UNIT_BYTES
}

/// A budget of units. Invariant: whoever charged releases exactly once.
pub(crate) struct InFlight {
    used: AtomicUsize,
    max: usize,
    released: Notify,
}

impl InFlight {
    fn new(max: usize) -> InFlight {
        InFlight { used: AtomicUsize::new(0), max, released: Notify::new() }
    }

    /// Charges, room or not: for what must be.
    fn charge(&self, units: usize) {
        self.used.fetch_add(units, Ordering::AcqRel);
    }

    /// Charges if there is room; an empty budget always has room. Only the reader calls this, so nobody charges in between but
    /// responses, which may go over.
    pub(crate) fn try_charge(&self, units: usize) -> bool {
        let used = self.used.load(Ordering::Acquire);
        let fits = used == 0 || used + units <= self.max;
        if fits {
            self.charge(units);
        }
        fits
    }

    pub(crate) async fn charge_when_room(&self, units: usize) {
        while !self.try_charge(units) {
            self.released.notified().await;
        }
    }

    pub(crate) fn release(&self, units: usize) {
        let before = self.used.fetch_sub(units, Ordering::AcqRel);
        assert!(before >= units, "what is released was charged");
        self.released.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_budget_waits_for_a_release_and_an_empty_one_takes_anything() {
        let budget = InFlight::new(4);
        assert!(budget.try_charge(9), "an empty budget takes anything");
        assert!(!budget.try_charge(1));
        budget.release(9);
        assert!(budget.try_charge(3));
        let wait = budget.charge_when_room(2);
        let release = async {
            tokio::task::yield_now().await;
            budget.release(3);
        };
        tokio::join!(wait, release);
        assert_eq!(budget.used.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn the_largest_request_fits_the_budget() {
        assert!(units(CLIENT_FRAME_BYTES_MAX) <= REQUEST_UNITS_MAX);
    }
}
