//! A view of nothing: what a transaction stands on while it only keeps another one's place.

use std::sync::Arc;

use bytes::Bytes;
use outboard_store::{Range, Records, StoreError, Table, View};

struct Nothing;

pub(crate) fn nothing() -> Arc<dyn View> {
    Arc::new(Nothing)
}

impl View for Nothing {
    fn get(&self, _: Table, _: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    fn scan(&self, _: Table, _: &[u8], _: Option<&[u8]>, _: usize, _: bool) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Ok(Vec::new())
    }

    fn applied(&self) -> u64 {
        0
    }

    fn range(self: Arc<Self>, _: Table, _: &[u8], _: Option<&[u8]>, _: bool) -> Range {
        Box::new(std::iter::empty())
    }

    fn records(self: Arc<Self>) -> Records {
        Box::new(std::iter::empty())
    }
}
