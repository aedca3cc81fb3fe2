//! Tables with a simulated disk under them: what was persisted or installed survives a loss of power, of what was committed
//! since then some beginning does, as with the table store's journal. The end of the process alone loses nothing.

use crate::mutation::Mutation;
use crate::random::Random;
use bytes::Bytes;
use outboard_store::{Batch, MemoryStore, Store, StoreError, Table, View};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// States since the last persist that a loss of power may fall back to.
const VERSIONS_MAX: usize = 64;

/// The tables of one simulated node.
pub struct SimStore {
    tables: MemoryStore,
    disk: Mutex<Disk>,
    mutation: Option<Mutation>,
}

struct Disk {
    fails: bool,
    durable: Arc<dyn View>,
    /// Ascending, after the durable one.
    later: VecDeque<Arc<dyn View>>,
}

impl SimStore {
    /// Empty tables.
    pub fn new(mutation: Option<Mutation>) -> SimStore {
        SimStore::over(MemoryStore::new(), mutation)
    }

    fn over(tables: MemoryStore, mutation: Option<Mutation>) -> SimStore {
        let disk = Mutex::new(Disk { fails: false, durable: tables.view(), later: VecDeque::new() });
        SimStore { tables, disk, mutation }
    }

    /// The tables as they are found after a loss of power.
    pub fn after_power_loss(&self, random: &mut Random) -> SimStore {
        let disk = self.disk();
        let survived = match random.below(disk.later.len() as u64 + 2) {
            0 | 1 => &disk.durable,
            version => &disk.later[version as usize - 2],
        };
        self.gone_back_to(survived)
    }

    /// The tables as they were in this view.
    pub fn gone_back_to(&self, view: &Arc<dyn View>) -> SimStore {
        let tables = MemoryStore::new();
        tables.install(view.applied(), &mut view.clone().records()).expect("what was committed is in order");
        SimStore::over(tables, self.mutation)
    }

    /// The next time that the tables are to be made durable, their disk refuses.
    pub fn fail_next_persist(&self) {
        self.disk().fails = true;
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for SimStore {
    fn view(&self) -> Arc<dyn View> {
        self.tables.view()
    }

    fn commit(&self, mut batch: Batch) -> Result<(), StoreError> {
        if self.mutation == Some(Mutation::TableWritesLost) && batch.applied.is_multiple_of(7) {
            let of_engine = batch.writes().find(|(table, ..)| table.generation() > 0);
            if let Some((table, key)) = of_engine.map(|(table, key, _)| (table, key.to_vec())) {
                batch.delete(table, &key)?;
            }
        }
        self.tables.commit(batch)?;
        let mut disk = self.disk();
        if disk.later.len() == VERSIONS_MAX {
            disk.later.pop_front();
        }
        disk.later.push_back(self.tables.view());
        Ok(())
    }

    fn applied(&self) -> u64 {
        self.tables.applied()
    }

    fn persist(&self) -> Result<u64, StoreError> {
        let mut disk = self.disk();
        if std::mem::take(&mut disk.fails) {
            return Err(StoreError::Io { doing: "making the tables durable", source: io::Error::other("refused") });
        }
        if self.mutation != Some(Mutation::TablesForgotten) {
            disk.durable = self.tables.view();
            disk.later.clear();
        }
        Ok(self.tables.applied())
    }

    fn install(
        &self,
        applied: u64,
        records: &mut dyn Iterator<Item = Result<(Table, Bytes, Bytes), StoreError>>,
    ) -> Result<(), StoreError> {
        self.tables.install(applied, records)?;
        let mut disk = self.disk();
        disk.durable = self.tables.view();
        disk.later.clear();
        Ok(())
    }

    fn bytes_on_disk(&self) -> u64 {
        0
    }
}
