//! How a connection ends: by its own wish, its client's, or because it doesn't go on.

use super::{Connection, Stage};
use crate::backend::Ask;
use crate::hub::{Hub, add};
use crate::limits::{HALF_COMMAND_TIMEOUT, HANDSHAKE_TIMEOUT, LINGER, STUCK_READER_TIMEOUT};
use crate::told::Cause;
use std::time::Instant;

impl Connection {
    /// Nothing more is read.
    pub(super) fn end(&mut self) {
        self.stage = Stage::Ending { by_client: false };
        self.intake.clear();
    }

    /// The connection's task is dropped. Returns its place.
    pub(crate) fn leave(&mut self, hub: &Hub, asks: &mut Vec<Ask>) -> usize {
        self.forget_watch(hub, asks);
        hub.account(std::mem::take(&mut self.facts.held_bytes), 0);
        self.stage = Stage::Over;
        self.place
    }

    /// Cuts off whoever doesn't go on.
    pub(crate) fn look_after(&mut self, now: Instant, hub: &Hub) {
        let over = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        match self.stage {
            Stage::Open | Stage::Ending { .. } => {
                if self.transport.is_handshaking() && over(self.facts.opened, HANDSHAKE_TIMEOUT) {
                    self.cut_off(Cause::Tls, "its TLS handshake does not go on", hub);
                } else if self.stuck_since.is_some_and(|since| over(since, STUCK_READER_TIMEOUT)) {
                    self.cut_off(Cause::SlowReader, "it takes nothing of its replies", hub);
                } else if self.starved && self.intake.is_half() && over(self.facts.active, HALF_COMMAND_TIMEOUT) {
                    self.cut_off(Cause::Silence, "half a command, and silence", hub);
                }
            }
            Stage::Lingering { since } if over(since, LINGER) => {
                self.stage = Stage::Over;
                self.wake();
            }
            Stage::Lingering { .. } | Stage::Over => {}
        }
    }

    pub(super) fn cut_off(&mut self, cause: Cause, why: &str, hub: &Hub) {
        let output_bytes = self.output.bytes();
        hub.tell(cause, self.facts.peer, format_args!("cut off: {why} ({output_bytes} bytes were not taken)"));
        add(&hub.counters.cut_off, 1);
        self.stage = Stage::Over;
        self.wake();
    }
}
