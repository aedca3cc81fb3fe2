//! What an operator asks: how the cluster is, which engines it knows, a switch of engines, a change of leader.

use std::time::Duration;

use crate::call::misplaced;
use crate::client::Client;
use crate::error::ClientError;
use crate::verdict::Repeat;
use outboard_wire::client::{EngineInfo, RequestBody, Response, Upgraded};
use outboard_wire::status::{ClusterStatus, NodeStatus};

impl Client {
    /// How the whole cluster is, gathered by the node that is asked.
    pub async fn status(&self) -> Result<ClusterStatus, ClientError> {
        self.status_within(self.options().timeout).await
    }

    /// As [`Client::status`], with a time of its own.
    pub async fn status_within(&self, timeout: Duration) -> Result<ClusterStatus, ClientError> {
        let response = self.inner.ask(RequestBody::Status, Repeat::Harmless, timeout).await?;
        if let Response::Status(status) = response {
            Ok(*status)
        } else {
            Err(misplaced("a status question", &response))
        }
    }

    /// How the node is that is asked; meant for a pinned client.
    pub async fn node_status(&self) -> Result<NodeStatus, ClientError> {
        let response = self.ask(RequestBody::NodeStatus, Repeat::Harmless).await?;
        if let Response::NodeStatus(status) = response {
            Ok(*status)
        } else {
            Err(misplaced("a status question", &response))
        }
    }

    /// The engines that the cluster knows.
    pub async fn engines(&self) -> Result<Vec<EngineInfo>, ClientError> {
        let response = self.ask(RequestBody::EngineList, Repeat::Harmless).await?;
        if let Response::Engines(engines) = response {
            Ok(engines)
        } else {
            Err(misplaced("an engine list", &response))
        }
    }

    /// Switches to a staged engine, named by at least four hexadecimal digits of its digest. A refusal is
    /// [`ClientError::Refused`]; the running engine goes on.
    pub async fn upgrade(&self, digest: &str) -> Result<Upgraded, ClientError> {
        let response = self.ask(RequestBody::EngineUpgrade { digest: digest.to_owned() }, Repeat::Never).await?;
        if let Response::Upgraded(upgraded) = response {
            Ok(*upgraded)
        } else {
            Err(misplaced("an upgrade", &response))
        }
    }

    /// Hands leadership over, to the most caught-up voter if none is named. Returns the new leader and its term.
    pub async fn transfer(&self, to: Option<u64>) -> Result<(u64, u64), ClientError> {
        let response = self.ask(RequestBody::LeaderTransfer { to }, Repeat::Never).await?;
        if let Response::Transferred { to, term } = response {
            Ok((to, term))
        } else {
            Err(misplaced("a transfer", &response))
        }
    }

    async fn ask(&self, body: RequestBody, repeat: Repeat) -> Result<Response, ClientError> {
        self.inner.ask(body, repeat, self.options().timeout).await
    }
}
