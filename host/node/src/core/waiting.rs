//! Who waits for what: proposals for their entries, reads for their barriers, forwarded requests for the leader's answer, and
//! parked ones for a leader. Everything has a deadline.

use super::{Now, Query};
use crate::reply::Reply;
use bytes::Bytes;
use outboard_raft::{Index, NodeId, Position, ReadId};
use outboard_wire::client::{Request, Response};
use std::collections::{BTreeMap, VecDeque};

/// Everyone who waits at this node.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) proposals: Proposals,
    pub(super) reads: Reads,
    /// By ticket.
    pub(super) forwards: BTreeMap<u64, Forward>,
    pub(super) parked: VecDeque<Parked>,
    /// Parked ones that are not tried again before the next tick or the next leader.
    pub(super) postponed: Vec<Parked>,
    /// A hand-over of leadership that somebody waits for.
    pub(super) transfer: Option<Transfer>,
    tickets: u64,
}

/// A request that another node was asked to answer.
pub(super) struct Forward {
    pub(super) to: NodeId,
    pub(super) again: Again,
    /// An earlier attempt may have done it.
    pub(super) doubtful: bool,
    pub(super) request: Bytes,
    pub(super) reply: Reply,
    pub(super) deadline_us: u64,
}

/// When a request may be asked again.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Again {
    /// Never by this node: whoever asked decides.
    Never,
    /// When it surely was not done.
    IfNotDone,
    /// Always: doing it twice is as doing it once.
    Harmless,
    /// Always: its name sees to it that it is done once.
    Named,
}

impl Again {
    /// Even when it may have been done.
    pub(super) fn always(self) -> bool {
        matches!(self, Again::Harmless | Again::Named)
    }
}

/// A request that waits for a leader, or for an engine.
pub(super) struct Parked {
    pub(super) request: Request,
    /// As it came, if it came so: to be passed on.
    pub(super) encoded: Option<Bytes>,
    pub(super) reply: Reply,
    pub(super) deadline_us: u64,
    /// An earlier attempt may have done it.
    pub(super) doubtful: bool,
}

/// Somebody waits until this node leads.
pub(super) struct Transfer {
    pub(super) to: NodeId,
    pub(super) reply: Reply,
    pub(super) deadline_us: u64,
}

/// Tickets that one life of a node may give out, as a power of two.
const TICKETS_OF_LIFE_BITS: u32 = 40;

impl Waiting {
    /// A node that starts anew may get the answers to what it asked in an earlier life: its tickets must not mean anything else.
    pub(super) fn of_life(life: u64) -> Waiting {
        Waiting { tickets: life << TICKETS_OF_LIFE_BITS, ..Waiting::default() }
    }

    pub(super) fn len(&self) -> usize {
        let parked = self.parked.len() + self.postponed.len();
        self.proposals.waiting.len() + self.reads.len() + self.forwards.len() + parked
    }

    pub(super) fn new_ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Answers everyone whose time is over, each by what can be said of the request.
    pub(super) fn expire(&mut self, now: Now) {
        let late = |deadline: u64| now.mono_us >= deadline;
        for proposal in self.proposals.waiting.iter_mut().filter(|p| late(p.deadline_us)) {
            let reply = std::mem::replace(&mut proposal.reply, Reply::Nobody);
            proposal.deadline_us = u64::MAX;
            reply.send(Response::Unknown("it was proposed, and not committed in time".into()));
        }
        for query in self.reads.take_late(now) {
            query.reply.send(Response::NotDone("the read could not be confirmed by a majority in time".into()));
        }
        for (_, forward) in self.forwards.extract_if(.., |_, forward| late(forward.deadline_us)) {
            forward.reply.send(lost(forward.again, "the leader did not answer in time"));
        }
        for parked in std::mem::take(&mut self.parked) {
            if late(parked.deadline_us) {
                parked.end("the cluster had no leader in time");
            } else {
                self.parked.push_back(parked);
            }
        }
        for postponed in self.postponed.extract_if(.., |postponed| late(postponed.deadline_us)) {
            postponed.end("no leader took it in time");
        }
        if let Some(transfer) = self.transfer.take_if(|transfer| late(transfer.deadline_us)) {
            transfer.reply.send(Response::NotDone("leadership did not move in time".into()));
        }
    }

    /// The way to this node is lost, and with it what it would have answered. What may be asked again is so by the caller.
    pub(super) fn on_peer_lost(&mut self, peer: NodeId) {
        let ended = |forward: &mut Forward| forward.to == peer && !forward.again.always();
        for (_, forward) in self.forwards.extract_if(.., |_, forward| ended(forward)) {
            forward.reply.send(lost(forward.again, "the leader was lost before it answered"));
        }
        for forward in self.forwards.values_mut().filter(|forward| forward.to == peer) {
            forward.to = NodeId(0);
        }
    }

    /// The node stops: everyone who waits for something that was never proposed here is told so.
    pub(super) fn end(&mut self, why: &str) {
        let reads = std::mem::take(&mut self.reads);
        for query in reads.waiting.into_values().chain(reads.released.into_values().flatten()) {
            query.reply.send(Response::NotDone(why.into()));
        }
        for parked in self.parked.drain(..).chain(self.postponed.drain(..)) {
            parked.end(why);
        }
    }
}

impl Parked {
    /// Not done; by an earlier attempt perhaps.
    pub(super) fn end(self, why: &str) {
        self.reply.send(if self.doubtful { perhaps_done(why) } else { Response::NotDone(why.into()) });
    }
}

/// It was sent to a leader, and how that ended is not known.
pub(super) fn perhaps_done(why: &str) -> Response {
    Response::Unknown(why.into())
}

fn lost(again: Again, why: &str) -> Response {
    if again == Again::Harmless { Response::NotDone(why.into()) } else { perhaps_done(why) }
}

/// Proposals that were appended here, ascending.
#[derive(Default)]
pub(super) struct Proposals {
    waiting: VecDeque<Proposal>,
}

struct Proposal {
    position: Position,
    reply: Reply,
    deadline_us: u64,
}

impl Proposals {
    pub(super) fn push(&mut self, position: Position, reply: Reply, deadline_us: u64) {
        if matches!(reply, Reply::Nobody) {
            return;
        }
        // A new term may write again where an old proposal still waits. Another node may yet hold the old entry and win the
        // next election with it, so nothing is decided.
        while let Some(last) = self.waiting.pop_back_if(|last| last.position.index >= position.index) {
            last.reply.send(Response::Unknown("leadership changed before it was committed".into()));
        }
        self.waiting.push_back(Proposal { position, reply, deadline_us });
    }

    /// The reply that waits for this committed entry. Whoever waits for another entry at its place waits in vain; what is
    /// before it was passed over by a snapshot, which does not tell what it holds.
    pub(super) fn claim(&mut self, position: Position) -> Reply {
        while let Some(front) = self.waiting.pop_front_if(|front| front.position.index <= position.index) {
            if front.position == position {
                return front.reply;
            }
            front.reply.send(if front.position.index == position.index {
                Response::NotDone("another leader's entry took its place in the log".into())
            } else {
                Response::Unknown("a snapshot passed over it".into())
            });
        }
        Reply::Nobody
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Reads on their way to a barrier, and those whose barrier is ahead of the tables.
#[derive(Default)]
pub(super) struct Reads {
    next: u64,
    waiting: BTreeMap<ReadId, Query>,
    released: BTreeMap<Index, Vec<Query>>,
}

impl Reads {
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.released.len()
    }

    pub(super) fn next_id(&mut self) -> ReadId {
        self.next += 1;
        ReadId(self.next)
    }

    pub(super) fn wait(&mut self, id: ReadId, query: Query) {
        self.waiting.insert(id, query);
    }

    /// The read with this number, unless its time was over.
    pub(super) fn take(&mut self, id: ReadId) -> Option<Query> {
        self.waiting.remove(&id)
    }

    /// These wait for the tables to come so far.
    pub(super) fn release_at(&mut self, index: Index, queries: Vec<Query>) {
        self.released.entry(index).or_default().extend(queries);
    }

    /// Those that may run once `applied` is in the tables.
    pub(super) fn due(&mut self, applied: Index) -> Vec<Query> {
        let later = self.released.split_off(&applied.next());
        std::mem::replace(&mut self.released, later).into_values().flatten().collect()
    }

    fn take_late(&mut self, now: Now) -> Vec<Query> {
        let late = |query: &mut Query| now.mono_us >= query.deadline_us;
        let mut taken: Vec<Query> = self.waiting.extract_if(.., |_, query| late(query)).map(|(_, q)| q).collect();
        for queries in self.released.values_mut() {
            taken.extend(queries.extract_if(.., late));
        }
        self.released.retain(|_, queries| !queries.is_empty());
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_wire::client::RequestBody;
    use tokio::sync::oneshot::{self, Receiver};

    const NEVER: u64 = u64::MAX;

    fn waiting() -> (Reply, Receiver<Response>) {
        let (reply, answer) = oneshot::channel();
        (Reply::Local(reply), answer)
    }

    fn proposed(proposals: &mut Proposals, index: u64, term: u64) -> Receiver<Response> {
        let (reply, answer) = waiting();
        proposals.push(Position::new(index, term), reply, NEVER);
        answer
    }

    fn query(deadline_us: u64) -> (Query, Receiver<Response>) {
        let (reply, answer) = waiting();
        (Query { arguments: Vec::new(), time_ms: None, reply, deadline_us }, answer)
    }

    fn forwarded(to: u64, again: Again, reply: Reply, deadline_us: u64) -> Forward {
        Forward { to: NodeId(to), again, doubtful: false, request: Bytes::new(), reply, deadline_us }
    }

    #[test]
    fn a_reply_is_claimed_by_its_own_entry_only() {
        let mut proposals = Proposals::default();
        let (mut first, mut second) = (proposed(&mut proposals, 5, 1), proposed(&mut proposals, 6, 1));
        assert!(matches!(proposals.claim(Position::new(4, 1)), Reply::Nobody));
        proposals.claim(Position::new(5, 1)).send(Response::Done);
        assert_eq!(first.try_recv(), Ok(Response::Done));
        // The next leader's entry is committed at 6.
        assert!(matches!(proposals.claim(Position::new(6, 2)), Reply::Nobody));
        assert!(matches!(second.try_recv(), Ok(Response::NotDone(_))), "it can't commit any more");
        assert!(proposals.is_empty());
    }

    #[test]
    fn an_entry_that_is_overwritten_before_a_commit_may_still_win_elsewhere() {
        let mut proposals = Proposals::default();
        let mut old = proposed(&mut proposals, 5, 1);
        let mut new = proposed(&mut proposals, 5, 3);
        assert!(matches!(old.try_recv(), Ok(Response::Unknown(_))));
        proposals.claim(Position::new(5, 3)).send(Response::Done);
        assert_eq!(new.try_recv(), Ok(Response::Done));
    }

    #[test]
    fn what_a_snapshot_passed_over_is_unknown() {
        let mut proposals = Proposals::default();
        let mut passed = proposed(&mut proposals, 5, 1);
        assert!(matches!(proposals.claim(Position::new(9, 2)), Reply::Nobody));
        assert!(matches!(passed.try_recv(), Ok(Response::Unknown(_))));
    }

    #[test]
    fn no_ticket_of_an_earlier_life_is_given_out_again() {
        let (mut before, mut after) = (Waiting::of_life(7), Waiting::of_life(8));
        assert!((0..1_000).map(|_| before.new_ticket()).max() < Some(after.new_ticket()));
    }

    #[test]
    fn d6_time_ends_each_kind_of_waiting_by_what_can_be_said_of_it() {
        let mut all = Waiting::default();
        let (reply, mut write) = waiting();
        all.proposals.push(Position::new(1, 1), reply, 10);
        let (reading, mut read) = query(10);
        let id = all.reads.next_id();
        all.reads.wait(id, reading);
        let mut forward = |again| {
            let (reply, answer) = waiting();
            let ticket = all.new_ticket();
            all.forwards.insert(ticket, forwarded(2, again, reply, 10));
            answer
        };
        let (mut forwarded_write, mut forwarded_read) = (forward(Again::Named), forward(Again::Harmless));
        let mut park = |doubtful| {
            let (reply, answer) = waiting();
            let request = Request { timeout_ms: 1, body: RequestBody::SessionOpen };
            all.parked.push_back(Parked { request, encoded: None, reply, deadline_us: 10, doubtful });
            answer
        };
        let (mut parked, mut parked_after_an_attempt) = (park(false), park(true));
        all.expire(Now { wall_ms: 0, mono_us: 9 });
        assert!(write.try_recv().is_err() && read.try_recv().is_err(), "not yet");
        all.expire(Now { wall_ms: 0, mono_us: 10 });
        assert!(matches!(write.try_recv(), Ok(Response::Unknown(_))));
        assert!(matches!(read.try_recv(), Ok(Response::NotDone(_))));
        assert!(matches!(forwarded_write.try_recv(), Ok(Response::Unknown(_))));
        assert!(matches!(forwarded_read.try_recv(), Ok(Response::NotDone(_))));
        assert!(matches!(parked.try_recv(), Ok(Response::NotDone(_))));
        assert!(matches!(parked_after_an_attempt.try_recv(), Ok(Response::Unknown(_))));
        assert!(matches!(all.proposals.claim(Position::new(1, 1)), Reply::Nobody), "answered once");
    }

    #[test]
    fn a_read_is_due_when_the_tables_have_come_to_its_barrier() {
        let mut reads = Reads::default();
        reads.release_at(Index(5), vec![query(NEVER).0]);
        reads.release_at(Index(7), vec![query(NEVER).0, query(NEVER).0]);
        assert_eq!(reads.due(Index(4)).len(), 0);
        assert_eq!(reads.due(Index(6)).len(), 1);
        assert_eq!(reads.due(Index(7)).len(), 2);
        assert_eq!(reads.len(), 0);
    }

    #[test]
    fn d6_r8_the_loss_of_a_peer_ends_its_writes_as_unknown_and_frees_what_may_be_asked_again() {
        let mut all = Waiting::default();
        let mut forward = |to, again| {
            let (reply, answer) = waiting();
            let ticket = all.new_ticket();
            all.forwards.insert(ticket, forwarded(to, again, reply, NEVER));
            answer
        };
        let (mut lost, mut other) = (forward(2, Again::IfNotDone), forward(3, Again::IfNotDone));
        let (mut read, mut named) = (forward(2, Again::Harmless), forward(2, Again::Named));
        all.on_peer_lost(NodeId(2));
        assert!(matches!(lost.try_recv(), Ok(Response::Unknown(_))));
        assert!(other.try_recv().is_err(), "waiting");
        assert!(read.try_recv().is_err() && named.try_recv().is_err(), "asked again");
        assert_eq!(all.forwards.values().filter(|forward| forward.to == NodeId(2)).count(), 0);
    }
}
