//! One simulated node: its disks, what waits for it, and what is wrong with it. How its lives begin and end is told in `lives`,
//! what it does in one of them in `steps`.

use crate::checks::Promised;
use crate::clients::Ticket;
use crate::disk::SimDisk;
use crate::engines::Engines;
use crate::plan::{MILLI, Plan};
use crate::random::Random;
use crate::store::SimStore;
use bytes::Bytes;
use outboard_node::stepped::{Now, SteppedNode, Waiting};
use outboard_raft::{NodeId, Position};
use outboard_store::View;
use outboard_wal::MemDisk;
use outboard_wire::client::Request;
use outboard_wire::command::Digest;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Milliseconds since 1970 when a world begins.
const WALL_MS: u64 = 1_700_000_000_000;

/// What waits for a node's loop.
#[derive(Debug)]
pub(crate) enum Input {
    Frame { from: usize, bytes: Bytes },
    PeerUp(usize),
    PeerDown(usize),
    Request { ticket: Ticket, request: Request },
    SnapshotSent { to: NodeId, at: Position, ok: bool },
    Component { digest: Digest, came: bool },
    Stop,
}

/// What is wrong with a log that is to be found by the next start.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    /// A bit flipped; flipping it again heals.
    Bit { file: String, offset: u64, bit: u8 },
    /// A write went to the wrong place, and later ones were synced.
    Misdirected,
}

/// How far a write has come that goes to the wrong place. Until a later batch covers it, the log can't know.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Misdirecting {
    No,
    Armed,
    /// It landed.
    Landed,
}

/// A node, alive or not.
pub(crate) struct SimNode {
    pub(crate) id: NodeId,
    pub(crate) disk: SimDisk,
    pub(crate) store: Arc<SimStore>,
    /// Whom it knew when it was let in: it dials these before it has an address book.
    pub(crate) known: BTreeSet<NodeId>,
    /// Its address book as it was looked into last.
    pub(crate) book: BTreeSet<NodeId>,
    /// Those who have turned this life away: it is out.
    pub(crate) turned_away_by: BTreeSet<NodeId>,
    /// Components on its disk.
    pub(crate) components: BTreeSet<Digest>,
    pub(crate) live: Option<SteppedNode>,
    /// Counts starts and ends.
    pub(crate) life: u64,
    /// It has started before: its folder says that there is a log.
    pub(crate) begun: bool,
    /// And which loss was the last that its log had noted.
    pub(crate) last_loss: u64,
    pub(crate) paused_until: u64,
    pub(crate) promised: Promised,
    pub(crate) damage: Option<Damage>,
    pub(crate) misdirecting: Misdirecting,
    /// At its last start it had lost data.
    pub(crate) lost: bool,
    /// Its start refused to go on; it stays down until faults are over.
    pub(crate) refused: bool,
    /// It does not come back: what it had can't be had again, or it was let out.
    pub(crate) gone: bool,
    /// Power is lost as soon as its disk stops.
    pub(crate) doomed: bool,
    pub(crate) full: bool,
    /// Its disks take so many times as long.
    pub(crate) slow_log: u64,
    pub(crate) slow_tables: u64,
    pub(crate) wall_offset_ms: i64,
    pub(crate) tick_us: u64,
    /// Log and tables before the last batches, for worlds that forget those.
    pub(crate) past: VecDeque<(MemDisk, Arc<dyn View>)>,
    pub(crate) inbox: Vec<Input>,
    pub(crate) waiting: Vec<(Ticket, Waiting, u64)>,
    pub(crate) wake_planned: bool,
    pub(crate) log_planned: bool,
    pub(crate) tables_planned: bool,
    pub(crate) queries_planned: bool,
}

impl SimNode {
    pub(crate) fn new(number: usize, plan: &Plan, engines: &Engines) -> SimNode {
        let mut random = Random::of(plan.seed ^ number as u64, "node");
        SimNode {
            id: NodeId(number as u64 + 1),
            disk: SimDisk::new(plan.mutation),
            store: Arc::new(SimStore::new(plan.mutation.filter(|_| number == 0))),
            known: (1..=plan.nodes).map(NodeId).collect(),
            book: BTreeSet::new(),
            turned_away_by: BTreeSet::new(),
            components: BTreeSet::from([Digest(engines.all()[plan.engine].digest().0)]),
            live: None,
            life: 0,
            begun: false,
            last_loss: 0,
            paused_until: 0,
            promised: Promised::default(),
            damage: None,
            misdirecting: Misdirecting::No,
            lost: false,
            refused: false,
            gone: false,
            doomed: false,
            full: false,
            slow_log: 1,
            slow_tables: 1,
            wall_offset_ms: random.below(2_000) as i64 - 1_000,
            tick_us: 50 * MILLI * random.between(90, 110) / 100,
            past: VecDeque::new(),
            inbox: Vec::new(),
            waiting: Vec::new(),
            wake_planned: false,
            log_planned: false,
            tables_planned: false,
            queries_planned: false,
        }
    }

    pub(crate) fn clock(&self, now_us: u64) -> Now {
        let wall_ms = (WALL_MS + now_us / 1_000).saturating_add_signed(self.wall_offset_ms);
        Now { wall_ms, mono_us: now_us }
    }

    /// The live node of this life.
    pub(crate) fn of_life(&mut self, life: u64) -> Option<&mut SteppedNode> {
        if self.life == life { self.live.as_mut() } else { None }
    }

    /// A write has gone astray and nothing behind it shows that.
    pub(crate) fn is_astray(&self) -> bool {
        match self.misdirecting {
            Misdirecting::No => false,
            Misdirecting::Armed => self.disk.has_misdirected(),
            Misdirecting::Landed => true,
        }
    }

    /// It has lost data and not got it back.
    pub(crate) fn is_suspended(&self) -> bool {
        self.lost && self.live.as_ref().is_none_or(|live| live.raft().is_suspended())
    }

    /// Not all that it promised can be had from its disks, or that may turn out.
    pub(crate) fn is_hurt(&self) -> bool {
        self.damage.is_some() || self.is_suspended() || self.misdirecting != Misdirecting::No || self.gone
    }

    /// Nothing is under way that must not be mixed with another fault of its disk.
    pub(crate) fn is_sound(&self) -> bool {
        self.live.is_some()
            && self.damage.is_none()
            && !self.is_suspended()
            && self.misdirecting == Misdirecting::No
            && !self.doomed
            && !self.full
            && !self.refused
            && !self.gone
    }
}
