//! Several commands as one entry of the log: all or none. And watching keys, to make a transaction depend on what was read.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use crate::call::misplaced;
use crate::client::Client;
use crate::error::ClientError;
use crate::reply::Reply;
use crate::verdict::Repeat;
use bytes::Bytes;
use outboard_wire::client::{RequestBody, Response};

/// Commands that are done together or not at all. Does nothing until it is awaited; then it brings one reply for each.
///
/// A command that is refused ends the whole as [`ClientError::Rejected`], whose text tells which one it was.
#[must_use = "a transaction does nothing until it is awaited"]
#[derive(Debug)]
pub struct Transaction<'a> {
    client: &'a Client,
    commands: Vec<Vec<Bytes>>,
    watch: Option<u64>,
    timeout: Duration,
}

/// Keys that are watched from a moment on, until a transaction depends on them ([`Transaction::only_if`]) or ten minutes pass.
/// Dropped unused, the cluster forgets it by itself.
#[derive(Debug)]
#[must_use = "watched keys are for a transaction that depends on them"]
pub struct Watch {
    number: u64,
}

impl Client {
    /// A transaction without commands yet.
    pub fn transaction(&self) -> Transaction<'_> {
        Transaction { client: self, commands: Vec::new(), watch: None, timeout: self.options().timeout }
    }

    /// From now on, notes whether one of these keys is written.
    pub async fn watch<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Watch, ClientError> {
        self.watch_with(None, keys).await
    }

    /// Watches these keys too. Those that are watched already stay so from their own moment on.
    pub async fn watch_more<K: AsRef<[u8]>>(
        &self,
        watch: &Watch,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<(), ClientError> {
        self.watch_with(Some(watch.number), keys).await.map(drop)
    }

    /// The keys need not be watched any more.
    pub async fn unwatch(&self, watch: Watch) -> Result<(), ClientError> {
        let body = RequestBody::Unwatch { watcher: watch.number };
        let response = self.inner.ask(body, Repeat::Harmless, self.options().timeout).await?;
        if response == Response::Done { Ok(()) } else { Err(misplaced("an end of watching", &response)) }
    }

    async fn watch_with<K: AsRef<[u8]>>(
        &self,
        watcher: Option<u64>,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Watch, ClientError> {
        let keys = keys.into_iter().map(|key| Bytes::copy_from_slice(key.as_ref())).collect();
        let body = RequestBody::Watch { watcher, keys };
        let response = self.inner.ask(body, Repeat::Harmless, self.options().timeout).await?;
        if let Response::Watching { watcher } = response {
            Ok(Watch { number: watcher })
        } else {
            Err(misplaced("watching", &response))
        }
    }
}

impl<'a> Transaction<'a> {
    /// One more command, its name first; the arguments are copied. Reads may stand among writes, and see what was written before.
    pub fn command<A: AsRef<[u8]>>(self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command_bytes(arguments.into_iter().map(|argument| Bytes::copy_from_slice(argument.as_ref())).collect())
    }

    /// One more command, whose arguments are not copied.
    pub fn command_bytes(mut self, arguments: Vec<Bytes>) -> Self {
        self.commands.push(arguments);
        self
    }

    /// Only if nothing that is watched was written since; else it ends as [`ClientError::WatchBroken`].
    pub fn only_if(mut self, watch: Watch) -> Self {
        self.watch = Some(watch.number);
        self
    }

    /// How long to wait at most, retries included.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends it. The same as awaiting it, without a box for the future.
    pub async fn send(self) -> Result<Vec<Reply>, ClientError> {
        let body = RequestBody::Transaction { commands: self.commands, watcher: self.watch, id: None };
        let repeat = self.client.repeat(false);
        let response = self.client.inner.ask(body, repeat, self.timeout).await?;
        let Response::Replies(replies) = response else { return Err(misplaced("a transaction", &response)) };
        let parsed = replies.iter().map(Reply::parse).collect::<Result<_, _>>();
        parsed.map_err(|error| ClientError::Protocol(error.to_string()))
    }
}

impl<'a> IntoFuture for Transaction<'a> {
    type Output = Result<Vec<Reply>, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
