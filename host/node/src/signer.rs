//! This node's copy of the authority with its key, in memory: who signs asks here. The copy on the disk is `enrolment/authority.rs`'s business.

use outboard_net::Authority;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The authority of a node that signs; empty on one that doesn't. Clones are the same place.
#[derive(Clone)]
pub(crate) struct Signer(Arc<Mutex<Held>>);

struct Held {
    authority: Option<Arc<Authority>>,
    /// Whether another node is known to have it: else this copy must not go.
    elsewhere: bool,
}

impl Signer {
    pub(crate) fn new(authority: Option<Arc<Authority>>, elsewhere: bool) -> Signer {
        Signer(Arc::new(Mutex::new(Held { authority, elsewhere })))
    }

    pub(crate) fn get(&self) -> Option<Arc<Authority>> {
        self.lock().authority.clone()
    }

    /// From another node.
    pub(crate) fn set(&self, authority: Authority) {
        *self.lock() = Held { authority: Some(Arc::new(authority)), elsewhere: true };
    }

    /// Whether another node is known to have it.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.lock().elsewhere
    }

    pub(crate) fn on_elsewhere(&self) {
        self.lock().elsewhere = true;
    }

    /// This node has deleted its copy.
    pub(crate) fn on_given_up(&self) {
        *self.lock() = Held { authority: None, elsewhere: true };
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
