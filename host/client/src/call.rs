//! One command for the engine, set up and then awaited.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use crate::client::Client;
use crate::error::ClientError;
use crate::reply::Reply;
use crate::verdict::Repeat;
use bytes::Bytes;
use outboard_wire::client::{Consistency, RequestBody, Response};

/// A command that is ready to go. Does nothing until it is awaited.
#[must_use = "a call does nothing until it is awaited"]
#[derive(Debug)]
pub struct Call<'a> {
    client: &'a Client,
    arguments: Vec<Bytes>,
    consistency: Consistency,
    idempotent: bool,
    timeout: Duration,
}

impl<'a> Call<'a> {
    pub(crate) fn new(client: &'a Client, arguments: Vec<Bytes>) -> Call<'a> {
        let options = client.options();
        let (consistency, timeout) = (options.consistency, options.timeout);
        Call { client, arguments, consistency, idempotent: false, timeout }
    }

    /// The caller says that doing it twice is the same as doing it once: a read, or a write such as `SET k v` of a key
    /// that nobody else writes. It then needs no session. The client does not know an engine's commands: without this, it
    /// takes each for a write that must be done once.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// What a read may show.
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }

    /// How long to wait at most, retries included.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends it and returns the engine's reply as the bytes that the engine wrote.
    pub async fn send_raw(self) -> Result<Bytes, ClientError> {
        let repeat = self.client.repeat(self.idempotent);
        let body = RequestBody::Command { arguments: self.arguments, consistency: self.consistency, id: None };
        let response = self.client.inner.ask(body, repeat, self.timeout).await?;
        if let Response::Reply(bytes) = response { Ok(bytes) } else { Err(misplaced("a command", &response)) }
    }

    /// Sends it and returns the engine's reply. The same as awaiting the call, without a box for the future.
    pub async fn send(self) -> Result<Reply, ClientError> {
        let bytes = self.send_raw().await?;
        Reply::parse(&bytes).map_err(|error| ClientError::Protocol(error.to_string()))
    }
}

impl Client {
    /// How a request may be asked again.
    pub(crate) fn repeat(&self, idempotent: bool) -> Repeat {
        match (idempotent, self.options().sessions) {
            (true, _) => Repeat::Harmless,
            (false, true) => Repeat::Named,
            (false, false) => Repeat::Never,
        }
    }
}

impl<'a> IntoFuture for Call<'a> {
    type Output = Result<Reply, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// An answer to another question than the one that was asked.
pub(crate) fn misplaced(question: &str, response: &Response) -> ClientError {
    let kind = match response {
        Response::Reply(_) => "a reply",
        Response::Rejected(_) => "a rejection",
        Response::Failed(_) => "a failure",
        Response::NotDone(_) | Response::Overloaded => "a postponement",
        Response::Unknown(_) => "an unknown outcome",
        Response::Invalid(_) => "an objection",
        Response::Status(_) | Response::NodeStatus(_) => "a status",
        Response::Engines(_) => "a list of engines",
        Response::Upgraded(_) | Response::UpgradeRefused(_) => "an upgrade",
        Response::Transferred { .. } => "a transfer",
        Response::Done => "a confirmation",
        Response::Replies(_) => "a transaction's replies",
        Response::WatchBroken | Response::Watching { .. } => "a word on a watcher",
        Response::SessionOpened { .. } | Response::SessionGone | Response::Forgotten => "a word on a session",
        Response::Members(_) => "a list of members",
        Response::ChangeRefused { .. } | Response::Forbidden(_) => "a refusal",
        Response::Enrolled(_) | Response::EnrolRefused(_) => "an enrolment",
        Response::AccessLists(_) => "lists of tokens and clients",
        Response::Certificate { .. } => "a certificate",
    };
    ClientError::Protocol(format!("{question} was answered with {kind}"))
}
