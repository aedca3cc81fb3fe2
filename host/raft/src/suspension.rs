//! A node that lost data from its disk, and the way back. It keeps its number; until it is readmitted its word counts for
//! nothing: not in an election, not for a commit, not for a read.
//!
//! # What is at stake
//!
//! A voter's promises are the term and the vote of its hard state ("I voted for B in term 7, I take nothing from older
//! leaders") and the entries that it acknowledged ("I have 100@6 and help nobody into office who hasn't"). A disk that
//! forgets them breaks them all, and a quorum that counts on this voter is one no longer.
//!
//! # Only entries are lost, and how far they went is known (`remembers` is given)
//!
//! A damaged range in the log; the hard state is whole. Judging a candidate needs no entries, only the position where the
//! own log ended: this node goes on voting as if it still had what it lost, so it votes for nobody who lacks what may have
//! committed with its help. It doesn't stand for election: it lacks that itself. It takes entries anew from a leader whose
//! term is at least its own. Let `upto` be that leader's last index when it heard of the loss. The leader has every entry
//! that ever committed in an earlier term (leader completeness: all promises in that proof are still kept), and, in its own
//! term, everything it ever had acknowledged. So with the leader's log up to `upto` this node has again whatever it
//! may have to answer for. No quorum is needed: two nodes can do it.
//!
//! # Everything is lost (`remembers` is none)
//!
//! It may have voted in a term that nobody else has seen yet. Say it voted for B in term 7 and forgot; the leader L of term
//! 6 fills its log, it acknowledges a write, L commits it with this acknowledgement; B's election comes through with the
//! old vote and misses the write. To have the log of the leader is not enough. So the leader, on hearing of the loss,
//! appends an entry: the fence, at `upto`. The node is readmitted once the fence is committed *without it* and it has
//! the log up to there.
//!
//! Why that will do. As long as it is suspended it does nothing that anyone counts, so up to the commit of the fence all
//! is a run of Raft in which this node has crashed, and leader completeness holds for the fence: whoever is elected in a
//! term after the fence's has the fence in its log, also if the node's old vote helps. But B's election depends on a
//! vote from before the loss, so B stood in its term before the fence was written, and a candidate takes no entries of an
//! older term: B does not have the fence, B will not be elected. Neither was B elected before: a quorum of B's would
//! share a node other than this one with the quorum of the fence, and that node was in B's term already. The same holds
//! for a term that this node led itself: its old quorum and the fence's share a node, so the fence's term is above it,
//! and no second entry will stand at a position that it once filled. What it acknowledged, the leader has, as above.
//! So an amnesiac that begins its second life with the log up to the fence, in the fence's term, breaks no promise that
//! still matters. Without a quorum beside it (one of two voters, or too many losses) there is no fence: a change of
//! membership that takes its vote away, or a recovery by hand, has to come first.
//!
//! # What the messages have to survive
//!
//! The leader of the term in which the loss happened knows the node's earlier acceptances, and more of them may be on
//! the way. On the first word of a new incarnation it forgets what it knew of the node's log, and hears only
//! `Suspended` from it until the readmission. Before that first word it may send a heartbeat with a commit index that the
//! lost log agreed with; the present one, filled by a deposed leader's late Append, may not: a suspended node takes a
//! commit index from an Append alone. After the readmission it has more than any earlier acceptance of that term could
//! claim, so late messages do no harm. Incarnations ascend: late words of an earlier loss are ignored. A lost `Readmitted` is
//! repeated whenever the node still says that it is suspended. Acceptances from before the loss that a leader still counts
//! while it has not heard of the loss are those of a node that crashed right after it sent them: they were true, and
//! nobody else is elected with its help meanwhile.
//!
//! The owner writes incarnation and `remembers` down before it starts such a node, and starts it with them until the core
//! has said `readmitted`. Tests: the scripts on E20 and M16, the simulation, and the small world of a wiped voter in the
//! model crate.

use crate::message::Message;
use crate::types::{Index, Position};

/// A node's loss, told by its owner at every start until the node is readmitted.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct Suspension {
    /// Names this loss; greater than those of earlier losses of this node. The time of the discovery will do.
    pub incarnation: u64,
    /// If term and vote are whole: at or behind the last entry that was ever durable here, its term not below that
    /// entry's. None if anything of this is in doubt.
    pub remembers: Option<Position>,
}

impl Suspension {
    /// The answer to an Append that fits, or to a heartbeat.
    pub(crate) fn message(self, matched: Option<Index>) -> Message {
        Message::Suspended { incarnation: self.incarnation, fence: self.remembers.is_none(), matched }
    }
}

/// What a leader knows of a peer's loss.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Readmission {
    pub(crate) incarnation: u64,
    fence: bool,
    /// With the leader's log up to here it has all that it may have promised.
    pub(crate) upto: Index,
    pub(crate) done: bool,
}

impl Readmission {
    pub(crate) fn new(incarnation: u64, fence: bool, upto: Index) -> Readmission {
        Readmission { incarnation, fence, upto, done: false }
    }

    /// True if the peer may be told that it takes part again.
    pub(crate) fn is_granted(&mut self, matched: Index, commit: Index) -> bool {
        let fenced = !self.fence || commit >= self.upto;
        self.done |= matched >= self.upto && fenced;
        self.done
    }
}
