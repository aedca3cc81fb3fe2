//! The network between the nodes: frames that take time, get lost, come twice or too late, and connections that come and go.
//!
//! A frame that leaves needs a connection, as in the product. Consensus must bear anything: its frames come twice, late, in any
//! order, and even to a node's next life. Requests that are passed on, and their answers, get what QUIC promises: at most once,
//! and only to the process that the connection leads to. On one lane frames keep their order unless a fault says otherwise.

use crate::checks::{Checked, violation};
use crate::mutation::Mutation;
use crate::node::Input;
use crate::plan::{Fault, MILLI, SECOND};
use crate::world::{SnapshotOnTheWay, Step, World};
use bytes::Bytes;
use outboard_node::stepped::{Frame, Lane};
use outboard_raft::{Message, NodeId, Payload, Position, SnapshotRequest};
use outboard_wire::command::Digest;
use outboard_wire::peer::PeerMessage;

/// The connections and what blocks them, from each node to each.
pub(crate) struct Links {
    count: usize,
    /// The peer's life that a node is connected to.
    up: Vec<Option<u64>>,
    /// How many faults keep frames from getting there, and how many of them break the connection as well.
    blocked: Vec<u32>,
    broken: Vec<u32>,
    /// When the last frame on each lane arrives.
    last: Vec<[u64; 2]>,
}

impl Links {
    pub(crate) fn new(count: usize) -> Links {
        let pairs = count * count;
        Links {
            count,
            up: vec![None; pairs],
            blocked: vec![0; pairs],
            broken: vec![0; pairs],
            last: vec![[0; 2]; pairs],
        }
    }

    fn at(&self, from: usize, to: usize) -> usize {
        from * self.count + to
    }

    /// The peer's life that a connection leads to.
    pub(crate) fn leads_to(&self, from: usize, to: usize) -> Option<u64> {
        self.up[self.at(from, to)]
    }

    pub(crate) fn is_up(&self, from: usize, to: usize) -> bool {
        self.up[self.at(from, to)].is_some()
    }

    pub(crate) fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked[self.at(from, to)] > 0
    }

    pub(crate) fn block(&mut self, from: usize, to: usize, breaks: bool) {
        let at = self.at(from, to);
        self.blocked[at] += 1;
        self.broken[at] += u32::from(breaks);
    }

    pub(crate) fn unblock(&mut self, from: usize, to: usize, breaks: bool) {
        let at = self.at(from, to);
        self.blocked[at] = self.blocked[at].saturating_sub(1);
        self.broken[at] = self.broken[at].saturating_sub(u32::from(breaks));
    }

    pub(crate) fn unblock_all(&mut self) {
        self.blocked.fill(0);
        self.broken.fill(0);
    }

    fn is_broken(&self, one: usize, other: usize) -> bool {
        self.broken[self.at(one, other)] > 0 || self.broken[self.at(other, one)] > 0
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        let at = self.at(from, to);
        self.up[at] = None;
    }
}

impl World<'_> {
    /// Frames leave a node.
    pub(crate) fn send(&mut self, from: usize, frames: Vec<Frame>) -> Checked {
        for Frame { to, lane, bytes } in frames {
            self.trace.note(&[10, from as u64, to.0]);
            self.trace.bytes(&bytes);
            if lane == Lane::Control || self.trace.is_telling() || self.plan.mutation == Some(Mutation::EntriesAltered)
            {
                self.look_into(from, to, &bytes)?;
            }
            let to = to.0 as usize - 1;
            if let Some(life) = self.links.leads_to(from, to) {
                let bytes = self.maybe_alter(from, to, bytes);
                self.carry(from, to, life, lane, bytes);
            }
        }
        Ok(())
    }

    fn look_into(&mut self, from: usize, to: NodeId, bytes: &Bytes) -> Checked {
        let from = NodeId(from as u64 + 1);
        let Ok(message) = PeerMessage::decode(bytes, from, to) else {
            return violation("frames", format!("{from} sends what it could not read itself"));
        };
        match message {
            PeerMessage::Raft(envelope) => {
                self.trace.say(self.now, || format!("  {envelope}"));
                self.checks.on_message(from, to, envelope.term, &envelope.message)
            }
            PeerMessage::Forward { .. } | PeerMessage::ForwardReply { .. } | PeerMessage::Pulse(_) => Ok(()),
        }
    }

    /// A broken rule for the checks to find: an entry is not what its leader said.
    fn maybe_alter(&mut self, from: usize, to: usize, bytes: Bytes) -> Bytes {
        if self.plan.mutation != Some(Mutation::EntriesAltered) || !self.chances.net.percent(2) {
            return bytes;
        }
        let ids = (NodeId(from as u64 + 1), NodeId(to as u64 + 1));
        let Ok(PeerMessage::Raft(mut envelope)) = PeerMessage::decode(&bytes, ids.0, ids.1) else { return bytes };
        if let Message::Append { entries, .. } = &mut envelope.message
            && let Some(Payload::Command(command)) = entries.last_mut().map(|entry| &mut entry.payload)
        {
            let mut altered = command.to_vec();
            *altered.last_mut().expect("no command is empty") ^= 1;
            *command = altered.into();
        }
        PeerMessage::Raft(envelope).encode().into()
    }

    fn carry(&mut self, from: usize, to: usize, life: u64, lane: Lane, bytes: Bytes) {
        if self.links.is_blocked(from, to) {
            self.figures.frames_blocked += 1;
            return;
        }
        if self.comes(Fault::Loss) {
            return;
        }
        let (low, high) = self.plan.latency_us;
        let mut at = self.now + self.chances.net.between(low, high);
        if self.comes(Fault::Delay) {
            at += self.fault_chance(Fault::Delay).scale(5 * MILLI, 4 * SECOND);
        }
        if is_consensus(&bytes) && self.comes(Fault::Duplication) {
            let again = at + self.fault_chance(Fault::Duplication).scale(MILLI, 5 * SECOND);
            self.plan_at(again, Step::Arrive { from, to, life, bytes: bytes.clone() });
        }
        if self.comes(Fault::Reordering) {
            at += self.fault_chance(Fault::Reordering).scale(MILLI, 100 * MILLI);
        } else {
            let link = self.links.at(from, to);
            let last = &mut self.links.last[link][usize::from(lane == Lane::Append)];
            at = at.max(*last);
            *last = at;
        }
        self.figures.frames += 1;
        self.plan_at(at, Step::Arrive { from, to, life, bytes });
    }

    /// Whether a fault by chance comes now; counted.
    pub(crate) fn comes(&mut self, fault: Fault) -> bool {
        let chance = self.plan.per_million(fault);
        if chance == 0 || self.heal.is_some() {
            return false;
        }
        let comes = self.fault_chance(fault).chance(chance);
        if comes {
            self.figures.count(fault);
        }
        comes
    }

    pub(crate) fn on_arrive(&mut self, from: usize, to: usize, life: u64, bytes: Bytes) -> Checked {
        if self.nodes[to].life == life || is_consensus(&bytes) {
            self.give(to, Input::Frame { from, bytes });
        }
        Ok(())
    }

    /// Something has changed about this node's connections: each side finds out in its time.
    pub(crate) fn look_around(&mut self, number: usize, at_most_us: u64) {
        for peer in (0..self.nodes.len()).filter(|peer| *peer != number) {
            self.look_later(number, peer, at_most_us);
        }
    }

    pub(crate) fn look_later(&mut self, one: usize, other: usize, at_most_us: u64) {
        for (node, peer) in [(one, other), (other, one)] {
            let after = self.chances.times.scale(MILLI, at_most_us);
            self.plan_in(after, Step::Look { node, peer });
        }
    }

    pub(crate) fn on_look(&mut self, node: usize, peer: usize) -> Checked {
        if self.nodes[node].live.is_none() {
            let at = self.links.at(node, peer);
            self.links.up[at] = None;
            return Ok(());
        }
        let mut reachable = self.nodes[peer].live.is_some() && !self.links.is_broken(node, peer);
        let turned_away = reachable && self.plan.churns() && self.turns_away(peer, node);
        reachable &= !self.plan.churns() || !turned_away && self.dials(node, peer);
        let now = reachable.then_some(self.nodes[peer].life);
        let at = self.links.at(node, peer);
        let before = std::mem::replace(&mut self.links.up[at], now);
        if turned_away {
            self.on_turned_away(node, peer)?;
        }
        if before == now {
            return Ok(());
        }
        self.trace.note(&[11, self.now, node as u64, peer as u64, u64::from(now.is_some())]);
        self.trace
            .say(self.now, || format!("n{} {} n{}", node + 1, if reachable { "reaches" } else { "lost" }, peer + 1));
        if before.is_some() {
            self.give(node, Input::PeerDown(peer));
        }
        if now.is_some() {
            self.nodes[node].turned_away_by.remove(&NodeId(peer as u64 + 1));
            self.give(node, Input::PeerUp(peer));
            if self.plan.churns() && !self.links.is_up(peer, node) {
                // Whoever is dialled by a peer dials it, too.
                let after = self.chances.times.scale(MILLI, 50 * MILLI);
                self.plan_in(after, Step::Look { node: peer, peer: node });
            }
        }
        Ok(())
    }

    /// A leader streams its tables to a peer.
    pub(crate) fn send_snapshot(&mut self, from: usize, request: SnapshotRequest) -> Checked {
        let (to, life) = (request.to.0 as usize - 1, self.nodes[from].life);
        let Some(live) = &self.nodes[from].live else { return Ok(()) };
        let (meta, frames) = match live.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return violation("snapshots", error.to_string()),
        };
        let at = meta.position;
        self.trace.say(self.now, || format!("n{} sends a snapshot at {at} to n{}", from + 1, to + 1));
        let takes = self.chances.transfers.scale(5 * MILLI, 2 * SECOND);
        let cut = self.comes(Fault::SnapshotCut);
        if cut || !self.links.is_up(from, to) || self.links.is_blocked(from, to) {
            self.plan_in(takes, Step::SnapshotEnd { node: from, life, to: request.to, at, ok: false });
        } else {
            self.figures.snapshots += 1;
            let snapshot = SnapshotOnTheWay { from, from_life: life, to, term: request.term, meta, frames };
            self.plan_in(takes, Step::SnapshotArrive(Box::new(snapshot)));
        }
        Ok(())
    }

    pub(crate) fn on_snapshot_arrive(&mut self, snapshot: SnapshotOnTheWay) -> Checked {
        let SnapshotOnTheWay { from, from_life, to, term, meta, frames } = snapshot;
        let at = meta.position;
        let arrives = self.links.is_up(from, to) && !self.links.is_blocked(from, to);
        let now = self.nodes[to].clock(self.now);
        let mut ok = false;
        if let Some(live) = self.nodes[to].live.as_mut().filter(|_| arrives) {
            ok = true;
            if let Err(reason) = live.on_snapshot(NodeId(from as u64 + 1), term, meta, frames, now) {
                return violation("snapshots", reason);
            }
            self.trace.note(&[12, self.now, to as u64, at.index.0]);
            self.trace.say(self.now, || format!("n{} has got a snapshot at {at}", to + 1));
            let life = self.nodes[to].life;
            self.plan_in(0, Step::Wake { node: to, life });
        }
        // The answer may be lost where the snapshot was not.
        let heard = ok && !self.links.is_blocked(to, from) && !self.comes(Fault::SnapshotCut);
        let after = self.chances.transfers.scale(MILLI, 200 * MILLI);
        let to = NodeId(to as u64 + 1);
        self.plan_in(after, Step::SnapshotEnd { node: from, life: from_life, to, at, ok: heard });
        Ok(())
    }

    pub(crate) fn on_snapshot_end(&mut self, node: usize, life: u64, to: NodeId, at: Position, ok: bool) -> Checked {
        if self.nodes[node].life == life {
            self.give(node, Input::SnapshotSent { to, at, ok });
        }
        Ok(())
    }

    /// A node wants a component ready: from its disk, else from a peer that it reaches.
    pub(crate) fn on_fetch(&mut self, node: usize, life: u64, digest: Digest) -> Checked {
        if self.nodes[node].life != life {
            return Ok(());
        }
        let has = |peer: usize| self.nodes[peer].live.is_some() && self.nodes[peer].components.contains(&digest);
        let reaches = |peer: usize| {
            self.links.is_up(node, peer) && !self.links.is_blocked(node, peer) && !self.links.is_blocked(peer, node)
        };
        let came = self.nodes[node].components.contains(&digest)
            || (0..self.nodes.len()).any(|peer| peer != node && has(peer) && reaches(peer))
            || self.is_pushed_again(&digest);
        self.give(node, Input::Component { digest, came });
        Ok(())
    }
}

/// Whether a frame carries consensus: behind the version stands the kind, and this is the first one.
fn is_consensus(frame: &[u8]) -> bool {
    frame.get(1) == Some(&0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_raft::{Envelope, Term};

    #[test]
    fn consensus_is_told_from_other_frames_by_its_second_byte() {
        let envelope = Envelope { from: NodeId(1), to: NodeId(2), term: Term(3), message: Message::TimeoutNow };
        assert!(is_consensus(&PeerMessage::Raft(envelope).encode()));
        assert!(!is_consensus(&PeerMessage::Forward { ticket: 0, request: Bytes::new() }.encode()));
        assert!(!is_consensus(&PeerMessage::ForwardReply { ticket: 0, answer: Bytes::new() }.encode()));
        assert!(!is_consensus(&PeerMessage::Pulse(Vec::new()).encode()));
    }
}
