//! Writing: one command's writes, over the batch's writes so far, over a view. A command may be made of steps, each a command of its
//! own that can be discarded alone.
//!
//! Invariants: a read sees the newest of the layers; what it sees and which writes it leaves depends only on what the tables hold, not on
//! which layer holds it, for nodes cut their batches differently. Tests: `tests/store/transaction.rs`.

use std::{cmp::Ordering, iter::Peekable, sync::Arc};

use bytes::Bytes;

use crate::{
    Batch, StoreError, Table, View,
    key::{self, Span},
    overlay::{Overlay, Write},
    page,
};

/// The writes of a batch of commands in the making. A command's writes are apart until they are kept or discarded.
pub struct Transaction {
    base: Arc<dyn View>,
    batch: Overlay,
    /// The writes of earlier steps, when several commands are to be kept or discarded as one.
    steps: Overlay,
    command: Overlay,
}

impl Transaction {
    /// Nothing written yet.
    pub fn new(base: Arc<dyn View>) -> Self {
        Transaction { base, batch: Overlay::default(), steps: Overlay::default(), command: Overlay::default() }
    }

    /// The value under `key`, own writes included.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match key::with_encoded(table, key, |encoded| self.written(encoded).cloned()) {
            Some(write) => Ok(write),
            None => self.base.get(table, key),
        }
    }

    /// Sets `key` to `value`. An error only for a key over [`crate::KEY_BYTES_MAX`].
    pub fn put(&mut self, table: Table, key: &[u8], value: impl Into<Bytes>) -> Result<(), StoreError> {
        key::check(key)?;
        self.command.set(key::encode(table, key), Some(value.into()));
        Ok(())
    }

    /// Removes `key`; true when it was there. Removing what is not there is no write.
    pub fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        let found = self.get(table, key)?.is_some();
        if found {
            self.command.set(key::encode(table, key), None);
        }
        Ok(found)
    }

    /// As [`View::scan`], own writes included.
    pub fn scan(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let Some(span) = Span::of(table, start, end) else { return Ok(Vec::new()) };
        let layers = [&self.command, &self.steps, &self.batch].map(|layer| layer.range(&span));
        if layers.iter().all(|layer| layer.clone().next().is_none()) {
            return self.base.scan(table, start, end, limit, reverse);
        }
        let base = self.base.clone().range(table, start, end, reverse).map(stored);
        if reverse {
            let [command, steps, batch] = layers.map(|layer| layer.rev().map(own));
            let kept = Merge::new(batch, base, Ordering::Greater);
            let all = Merge::new(command, Merge::new(steps, kept, Ordering::Greater), Ordering::Greater);
            page::fill(limit, live(all))
        } else {
            let [command, steps, batch] = layers.map(|layer| layer.map(own));
            let kept = Merge::new(batch, base, Ordering::Less);
            let all = Merge::new(command, Merge::new(steps, kept, Ordering::Less), Ordering::Less);
            page::fill(limit, live(all))
        }
    }

    /// Accounting size of the current command's writes: keys, values and a constant for each write.
    pub fn command_bytes(&self) -> usize {
        self.command.bytes()
    }

    /// The current command's writes in the order of (table, key), the last one for each key; none stands for a deletion.
    pub fn command_writes(&self) -> impl Iterator<Item = (Table, &[u8], Option<&[u8]>)> {
        self.command.iter().map(|(encoded, write)| {
            let (table, key) = key::split(encoded);
            (table, key, write.as_deref())
        })
    }

    /// The current command succeeded: its writes join the batch, and the next command begins. Panics when steps wait to be united.
    pub fn keep(&mut self) {
        assert!(self.steps.len() == 0, "steps are united before they are kept");
        self.batch.absorb(&mut self.command);
    }

    /// The current command failed: its writes are forgotten, and the next command begins. Earlier steps stay.
    pub fn discard(&mut self) {
        self.command.clear();
    }

    /// The current command succeeded as one step of several that are kept or discarded together, and the next step begins. It sees
    /// the writes of this one, and may be discarded without them.
    pub fn step(&mut self) {
        self.steps.absorb(&mut self.command);
    }

    /// All steps so far and the current command are one command from now on.
    pub fn unite(&mut self) {
        self.step();
        std::mem::swap(&mut self.steps, &mut self.command);
    }

    /// Accounting size of the writes of all steps so far, counted as for [`Transaction::command_bytes`].
    pub fn steps_bytes(&self) -> usize {
        self.steps.bytes()
    }

    /// Accounting size of the writes kept so far, counted as for [`Transaction::command_bytes`].
    pub fn batch_bytes(&self) -> usize {
        self.batch.bytes()
    }

    /// The view under this transaction.
    pub fn base(&self) -> &Arc<dyn View> {
        &self.base
    }

    /// All writes that were kept. Panics when a command's writes are neither kept nor discarded.
    pub fn into_batch(self, applied: u64) -> Batch {
        let pending = self.command.len() + self.steps.len();
        assert!(pending == 0, "a command's writes are kept or discarded before its batch is done");
        Batch { applied, writes: self.batch }
    }

    fn written(&self, encoded: &[u8]) -> Option<&Write> {
        self.command.get(encoded).or_else(|| self.steps.get(encoded)).or_else(|| self.batch.get(encoded))
    }
}

/// One step of a layer: a key without its table and what the layer says of it.
type Step = Result<(Bytes, Write), StoreError>;

fn own((encoded, write): (&Bytes, &Write)) -> Step {
    Ok((encoded.slice(key::PREFIX_BYTES..), write.clone()))
}

fn stored(record: Result<(Bytes, Bytes), StoreError>) -> Step {
    record.map(|(key, value)| (key, Some(value)))
}

/// What is left when deletions have hidden what they delete.
fn live(steps: impl Iterator<Item = Step>) -> impl Iterator<Item = Result<(Bytes, Bytes), StoreError>> {
    steps.filter_map(|step| match step {
        Ok((key, write)) => write.map(|value| Ok((key, value))),
        Err(error) => Some(Err(error)),
    })
}

/// Two layers, each in the same order, as one; where both know a key, the upper one counts.
struct Merge<U: Iterator, L: Iterator> {
    upper: Peekable<U>,
    lower: Peekable<L>,
    /// How a key compares with a later one: `Less` when walking forward, `Greater` in reverse.
    ahead: Ordering,
}

impl<U: Iterator<Item = Step>, L: Iterator<Item = Step>> Merge<U, L> {
    fn new(upper: U, lower: L, ahead: Ordering) -> Self {
        Merge { upper: upper.peekable(), lower: lower.peekable(), ahead }
    }
}

impl<U: Iterator<Item = Step>, L: Iterator<Item = Step>> Iterator for Merge<U, L> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let (Some(Ok((upper, _))), Some(Ok((lower, _)))) = (self.upper.peek(), self.lower.peek()) else {
            // One layer has ended or failed; a failure must come out before anything of the other layer.
            return match self.lower.peek() {
                Some(Err(_)) => self.lower.next(),
                Some(Ok(_)) | None => self.upper.next().or_else(|| self.lower.next()),
            };
        };
        match upper.cmp(lower) {
            Ordering::Equal => {
                self.lower.next();
                self.upper.next()
            }
            order if order == self.ahead => self.upper.next(),
            Ordering::Less | Ordering::Greater => self.lower.next(),
        }
    }
}
