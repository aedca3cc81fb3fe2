//! When a command of a connection may start, while earlier ones of it are under way.
//!
//! A linearizable read shows what was acknowledged before it began, which is not yet the write that stands before it in the same
//! pipeline; and it is carried out on a view that may already hold a write that stands behind it. So a connection sees its own commands
//! in order only if reads and writes take turns: a read starts when no write is under way and a write when no read is. Runs of either
//! kind stay pipelined as they are.
//!
//! The gate also holds back what would grow too large: too many commands, too many bytes of arguments, or replies that nobody takes. How
//! large replies are is known only from those that were seen, so few reads go at first, and one more with each reply (as TCP's slow
//! start, RFC 5681, section 3.1).

use crate::limits::{OUTPUT_BYTES_PAUSE, PIPELINE_BYTES_MAX, PIPELINE_MAX, READS_FIRST, REPLY_BYTES_EXPECTED};

/// Beside which others a command may be under way.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Turn {
    /// It asks the node for nothing and depends on nothing that is under way.
    Any,
    /// Beside other reads.
    Read,
    /// Beside other writes.
    Write,
    /// When nothing is under way, and nothing else until it is done.
    Alone,
}

/// What of a connection is under way.
#[derive(Debug)]
pub(crate) struct Gate {
    reads: usize,
    writes: usize,
    alone: bool,
    argument_bytes: usize,
    /// How many reads may be under way.
    window: usize,
    /// What the next reply will probably have, in bytes: as the largest lately.
    reply_bytes: usize,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate {
            reads: 0,
            writes: 0,
            alone: false,
            argument_bytes: 0,
            window: READS_FIRST,
            reply_bytes: REPLY_BYTES_EXPECTED,
        }
    }

    /// Whether a command may start now.
    pub(crate) fn admits(&self, turn: Turn) -> bool {
        match turn {
            Turn::Any => !self.alone,
            Turn::Read => !self.alone && self.writes == 0,
            Turn::Write => !self.alone && self.reads == 0,
            Turn::Alone => self.is_idle(),
        }
    }

    /// Nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        !self.alone && self.reads == 0 && self.writes == 0
    }

    /// Whether nothing more should be started, when so many bytes of replies wait for the client.
    pub(crate) fn is_full(&self, output_bytes: usize) -> bool {
        let count = self.under_way();
        let expected = count.saturating_mul(self.reply_bytes);
        count >= PIPELINE_MAX
            || self.reads >= self.window
            || self.argument_bytes >= PIPELINE_BYTES_MAX
            || output_bytes.saturating_add(expected) >= OUTPUT_BYTES_PAUSE && output_bytes + count > 0
    }

    /// The arguments of what is under way, in bytes.
    pub(crate) fn argument_bytes(&self) -> usize {
        self.argument_bytes
    }

    /// A command went to the node.
    pub(crate) fn start(&mut self, turn: Turn, argument_bytes: usize) {
        assert!(self.admits(turn), "a command waits for its turn");
        match turn {
            Turn::Any => unreachable!("only what is answered at once needs no turn"),
            Turn::Read => self.reads += 1,
            Turn::Write => self.writes += 1,
            Turn::Alone => self.alone = true,
        }
        self.argument_bytes += argument_bytes;
    }

    /// Its answer is here.
    pub(crate) fn finish(&mut self, turn: Turn, argument_bytes: usize, reply_bytes: usize) {
        match turn {
            Turn::Any => unreachable!("only what is answered at once needs no turn"),
            Turn::Read => self.reads -= 1,
            Turn::Write => self.writes -= 1,
            Turn::Alone => self.alone = false,
        }
        self.argument_bytes -= argument_bytes;
        self.window = (self.window + 1).min(PIPELINE_MAX);
        self.reply_bytes = (self.reply_bytes - self.reply_bytes / 8).max(reply_bytes);
    }

    fn under_way(&self) -> usize {
        self.reads + self.writes + usize::from(self.alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_take_turns_and_runs_of_one_kind_do_not_wait() {
        let mut gate = Gate::new();
        gate.start(Turn::Write, 1);
        gate.start(Turn::Write, 1);
        assert!(!gate.admits(Turn::Read) && !gate.admits(Turn::Alone) && gate.admits(Turn::Any));
        gate.finish(Turn::Write, 1, 0);
        assert!(!gate.admits(Turn::Read), "the other write is still under way");
        gate.finish(Turn::Write, 1, 0);
        gate.start(Turn::Read, 1);
        gate.start(Turn::Read, 1);
        assert!(!gate.admits(Turn::Write) && !gate.admits(Turn::Alone));
        gate.finish(Turn::Read, 1, 0);
        gate.finish(Turn::Read, 1, 0);
        gate.start(Turn::Alone, 0);
        assert!([Turn::Any, Turn::Read, Turn::Write, Turn::Alone].iter().all(|turn| !gate.admits(*turn)));
        gate.finish(Turn::Alone, 0, 0);
        assert!(gate.is_idle() && gate.argument_bytes() == 0);
    }

    #[test]
    fn a_full_pipeline_starts_nothing_more() {
        let mut gate = Gate::new();
        gate.reply_bytes = 5;
        for _ in 0..READS_FIRST {
            assert!(!gate.is_full(0));
            gate.start(Turn::Read, 10);
        }
        assert!(gate.is_full(0), "nobody knows how large the replies are");
        for _ in READS_FIRST..PIPELINE_MAX + READS_FIRST {
            gate.finish(Turn::Read, 10, 5);
            gate.start(Turn::Read, 10);
        }
        for _ in READS_FIRST..PIPELINE_MAX {
            assert!(!gate.is_full(0));
            gate.start(Turn::Read, 10);
        }
        assert!(gate.is_full(0));
        let mut gate = Gate::new();
        assert!(!gate.is_full(0));
        gate.start(Turn::Write, PIPELINE_BYTES_MAX);
        assert!(gate.is_full(0));
    }

    #[test]
    fn replies_that_wait_or_are_to_be_expected_hold_the_next_command_back() {
        let mut gate = Gate::new();
        assert!(gate.is_full(OUTPUT_BYTES_PAUSE) && !gate.is_full(OUTPUT_BYTES_PAUSE - 1));
        gate.start(Turn::Read, 1);
        gate.finish(Turn::Read, 1, OUTPUT_BYTES_PAUSE);
        assert!(!gate.is_full(0), "one command may always go");
        gate.start(Turn::Read, 1);
        assert!(gate.is_full(0), "two large replies at once may not");
        for _ in 0..200 {
            gate.finish(Turn::Read, 1, 5);
            gate.start(Turn::Read, 1);
        }
        assert!(!gate.is_full(0), "small replies are learnt again");
    }
}
