//! A query worker: reads run on the newest published state, beside the writes and never in their way.
//!
//! Invariant: engine and tables come from one publication, so a read after a switch runs on the new engine.

use super::{Clock, Slot, Word, Words};
use crate::core::Query;
use crate::error::Halt;
use crate::machine::Published;
use crate::settings::QUERY_BATCH;
use outboard_sandbox::{Moment, Outcome, Querier, Sandbox};
use outboard_wire::client::Response;
use std::sync::mpsc::Receiver;

/// A query worker.
pub(crate) struct QueryWorker {
    sandbox: Sandbox,
    slot: Slot,
    words: Words,
    querier: Option<Querier>,
}

impl QueryWorker {
    pub(crate) fn new(sandbox: Sandbox, slot: Slot, words: Words) -> QueryWorker {
        QueryWorker { sandbox, slot, words, querier: None }
    }

    /// Works until the queue ends; a fault below an engine halts the node.
    pub(crate) fn run(mut self, jobs: &Receiver<Vec<Query>>, clock: Clock) {
        while let Ok(first) = jobs.recv() {
            let mut queries = first;
            while queries.len() < QUERY_BATCH
                && let Ok(more) = jobs.try_recv()
            {
                queries.extend(more);
            }
            if let Err(halt) = self.answer_all(queries, || clock.mono_us()) {
                return self.words.send(Word::Halt(halt));
            }
        }
    }

    /// All on the state that is published now.
    pub(crate) fn answer_all(&mut self, queries: Vec<Query>, mono_us: impl Fn() -> u64) -> Result<(), Halt> {
        let published = self.slot.get();
        queries.into_iter().try_for_each(|query| self.answer(&published, query, mono_us()))
    }

    fn answer(&mut self, published: &Published, query: Query, mono_us: u64) -> Result<(), Halt> {
        let Query { arguments, time_ms, reply, deadline_us } = query;
        if mono_us >= deadline_us {
            reply.send(Response::NotDone("the read waited too long for its turn".into()));
            return Ok(());
        }
        let Some(querier) = self.querier(published) else {
            reply.send(Response::NotDone("this node has no engine yet".into()));
            return Ok(());
        };
        let head = &published.head;
        let at = Moment {
            index: head.position.index.0,
            time_ms: time_ms.unwrap_or(head.time_ms).max(head.time_ms),
            seed: head.position.index.0,
        };
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| &argument[..]).collect();
        reply.send(match querier.query(published.view.clone(), at, &arguments)? {
            Outcome::Reply(bytes) => Response::Reply(bytes.into()),
            Outcome::Rejected(text) => Response::Rejected(text),
            Outcome::Failed(failure) => Response::Failed(failure.to_string()),
        });
        Ok(())
    }

    /// The live instance for the published engine.
    fn querier(&mut self, published: &Published) -> Option<&mut Querier> {
        let component = published.component.as_ref()?;
        let fits = self.querier.as_ref().is_some_and(|querier| querier.component().digest() == component.digest());
        if !fits {
            self.querier = Some(Querier::new(&self.sandbox, component.clone(), published.head.generation));
        }
        self.querier.as_mut()
    }
}
