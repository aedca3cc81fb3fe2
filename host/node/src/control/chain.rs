//! The hash chain: after every entry, a hash over the one before, the entry's index, its outcome, its reply and its writes.
//! Two nodes with the same value at the same index went through the same states up to there.

use outboard_store::Transaction;
use outboard_wire::status::{ChainMark, Divergence};
use std::collections::VecDeque;

/// Every so many indexes the chain's value is remembered, so that nodes under load have values in common to compare.
pub(crate) const MARK_EVERY: u64 = 256;
/// How many such values are remembered.
const MARKS_MAX: usize = 1024;
/// The values after the newest entries, so that nodes that are an entry or two apart have some in common.
pub(crate) const RECENT_MARKS: usize = 32;
/// How many a node tells of itself in `status`.
const MARKS_TOLD: usize = 256;
/// How many a node tells its peers with every pulse.
const MARKS_PULSED: usize = 4;

/// One step of the chain in the making.
pub(crate) struct Chain(blake3::Hasher);

impl Chain {
    /// The step of one entry: `outcome` tells the kinds of outcomes apart, `reply` is what the asker gets.
    pub(crate) fn step(before: &[u8; 32], index: u64, outcome: u8, reply: &[u8]) -> Chain {
        let mut head = [0; 49];
        head[..32].copy_from_slice(before);
        head[32..40].copy_from_slice(&index.to_le_bytes());
        head[40] = outcome;
        head[41..].copy_from_slice(&(reply.len() as u64).to_le_bytes());
        let mut hasher = blake3::Hasher::new();
        hasher.update(&head).update(reply);
        Chain(hasher)
    }

    /// The command's writes, in the order of their keys.
    pub(crate) fn writes(&mut self, txn: &Transaction) {
        for (table, key, value) in txn.command_writes() {
            let mut head = [0; 25];
            head[..8].copy_from_slice(&table.0.to_le_bytes());
            head[8..16].copy_from_slice(&(key.len() as u64).to_le_bytes());
            head[16] = u8::from(value.is_some());
            head[17..].copy_from_slice(&(value.map_or(0, <[u8]>::len) as u64).to_le_bytes());
            self.0.update(&head).update(key).update(value.unwrap_or_default());
        }
    }

    /// The chain's value after the entry.
    pub(crate) fn end(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The recent values of this node's chain, and what comparing them with the others' has shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    /// The newest, ascending.
    recent: VecDeque<ChainMark>,
    /// Those at every so many indexes, ascending.
    kept: VecDeque<ChainMark>,
    /// What others said of indexes that this node has not reached, newest per node.
    ahead: Vec<(u64, ChainMark)>,
    equal_at: u64,
    diverged: Option<Divergence>,
}

impl Marks {
    /// Takes note of this node's values, ascending.
    pub(crate) fn on_applied(&mut self, marks: &[ChainMark]) {
        for mark in marks {
            self.recent.push_back(*mark);
            if self.recent.len() > RECENT_MARKS {
                self.recent.pop_front();
            }
            if mark.index.is_multiple_of(MARK_EVERY) {
                self.kept.push_back(*mark);
                if self.kept.len() > MARKS_MAX {
                    self.kept.pop_front();
                }
            }
        }
        for (node, mark) in std::mem::take(&mut self.ahead) {
            self.on_peer(node, &[mark]);
        }
    }

    /// Compares another node's values with this node's. True when this shows the first difference.
    pub(crate) fn on_peer(&mut self, node: u64, marks: &[ChainMark]) -> bool {
        let was_equal = self.diverged.is_none();
        for theirs in marks {
            if self.recent.back().is_none_or(|latest| theirs.index > latest.index) {
                self.ahead.retain(|(other, mark)| *other != node || mark.index == theirs.index);
                if theirs.index.is_multiple_of(MARK_EVERY) && !self.ahead.contains(&(node, *theirs)) {
                    self.ahead.push((node, *theirs));
                }
            } else if let Some(ours) = self.at(theirs.index) {
                if ours.hash == theirs.hash {
                    self.equal_at = self.equal_at.max(ours.index);
                } else if self.diverged.is_none() {
                    let (equal_at, differs_at) = (self.equal_at, ours.index);
                    self.diverged = Some(Divergence { with: node, equal_at, differs_at });
                }
            }
        }
        was_equal && self.diverged.is_some()
    }

    /// For `status`: newest first.
    pub(crate) fn told(&self) -> Vec<ChainMark> {
        let oldest = self.recent.front().map_or(u64::MAX, |mark| mark.index);
        let kept = self.kept.iter().rev().filter(|mark| mark.index < oldest);
        self.recent.iter().rev().chain(kept).take(MARKS_TOLD).copied().collect()
    }

    /// For the peers: the newest, and the newest of those that all nodes keep.
    pub(crate) fn pulsed(&self) -> Vec<ChainMark> {
        let kept = self.kept.iter().rev();
        self.recent.back().into_iter().chain(kept).take(MARKS_PULSED).copied().collect()
    }

    /// What was found, if the states are known to differ.
    pub(crate) fn diverged(&self) -> Option<Divergence> {
        self.diverged.clone()
    }

    fn at(&self, index: u64) -> Option<ChainMark> {
        let find = |marks: &VecDeque<ChainMark>| {
            marks.binary_search_by_key(&index, |mark| mark.index).ok().map(|at| marks[at])
        };
        find(&self.recent).or_else(|| find(&self.kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(index: u64, byte: u8) -> ChainMark {
        ChainMark { index, hash: [byte; 32] }
    }

    #[test]
    fn the_chain_depends_on_every_part_of_an_entry() {
        let plain = |before: u8, index, outcome, reply: &[u8]| Chain::step(&[before; 32], index, outcome, reply).end();
        let base = plain(0, 1, 0, b"+OK\r\n");
        for other in [plain(1, 1, 0, b"+OK\r\n"), plain(0, 2, 0, b"+OK\r\n"), plain(0, 1, 1, b"+OK\r\n")] {
            assert_ne!(base, other);
        }
        assert_ne!(base, plain(0, 1, 0, b"+KO\r\n"));
    }

    #[test]
    fn equal_marks_are_no_divergence_and_the_first_difference_is_reported_once() {
        let mut marks = Marks::default();
        marks.on_applied(&[mark(256, 1), mark(512, 2), mark(600, 3)]);
        assert!(!marks.on_peer(2, &[mark(256, 1)]));
        assert!(marks.on_peer(2, &[mark(512, 9)]));
        assert!(!marks.on_peer(2, &[mark(600, 9)]), "reported once");
        assert_eq!(marks.diverged(), Some(Divergence { with: 2, equal_at: 256, differs_at: 512 }));
    }

    #[test]
    fn a_mark_ahead_of_this_node_is_compared_when_it_gets_there() {
        let mut marks = Marks::default();
        marks.on_applied(&[mark(10, 1)]);
        assert!(!marks.on_peer(3, &[mark(512, 9)]));
        assert_eq!(marks.diverged(), None);
        marks.on_applied(&[mark(512, 1)]);
        assert_eq!(marks.diverged().map(|d| d.with), Some(3));
    }

    #[test]
    fn a_node_tells_its_newest_values_first_and_each_once() {
        let mut marks = Marks::default();
        marks.on_applied(&[mark(256, 1), mark(300, 2)]);
        assert_eq!(marks.told(), vec![mark(300, 2), mark(256, 1)]);
        let many: Vec<ChainMark> = (301..400).map(|index| mark(index, 3)).collect();
        marks.on_applied(&many);
        let told: Vec<u64> = marks.told().iter().map(|mark| mark.index).collect();
        assert_eq!(told, (368..400).rev().chain([256]).collect::<Vec<_>>());
        assert_eq!(marks.pulsed(), vec![mark(399, 3), mark(256, 1)]);
    }

    #[test]
    fn nodes_that_are_one_entry_apart_have_marks_in_common() {
        let (mut one, mut other) = (Marks::default(), Marks::default());
        one.on_applied(&[mark(10, 1), mark(11, 2)]);
        other.on_applied(&[mark(10, 1)]);
        let common = one.told().into_iter().find(|mark| other.told().contains(mark));
        assert_eq!(common, Some(mark(10, 1)));
    }
}
