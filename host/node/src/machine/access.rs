//! Who belongs to the cluster: members, tokens, clients. What is decided here is decided alike on every node.

use super::Machine;
use super::batch::Batch;
use crate::error::Halt;
use outboard_raft::{Membership, NodeId};
use outboard_store::Transaction;
use outboard_wire::access::AccessCommand;
use outboard_wire::client::Response;
use std::sync::Arc;

impl Machine {
    /// A new membership is committed: who left it leaves the address book.
    pub(super) fn on_membership(&mut self, membership: &Membership, batch: &mut Batch) -> Result<(), Halt> {
        let directory = Arc::make_mut(&mut self.control.directory);
        directory.on_membership(&self.head.membership, membership, &mut batch.txn)?;
        self.head.membership = membership.clone();
        self.control.membership = membership.clone();
        self.control.voters = self.head.voters();
        batch.control_changed = true;
        Ok(())
    }

    pub(super) fn access_command(&mut self, command: &AccessCommand, txn: &mut Transaction) -> Result<Response, Halt> {
        let now_ms = self.head.time_ms;
        let directory = Arc::make_mut(&mut self.control.directory);
        let permissions = Arc::make_mut(&mut self.control.permissions);
        Ok(match command {
            AccessCommand::TokenCreate(spec) => permissions.token_create(spec, now_ms, txn)?,
            AccessCommand::TokenRevoke { id } => permissions.token_revoke(*id, txn)?,
            AccessCommand::Enrol(enrolment) => permissions.enrol(enrolment, now_ms, directory, txn)?,
            AccessCommand::ClientRole { name, role } => permissions.client_role(name, *role, txn)?,
            AccessCommand::ClientRevoke { name } => permissions.client_revoke(name, txn)?,
            AccessCommand::MemberForget { node } => {
                let node = NodeId(*node);
                if self.head.membership.members().contains(&node) {
                    let reason = format!("{node} is a member");
                    return Ok(Response::ChangeRefused { reason, can_be_forced: false });
                }
                directory.remove(node, txn)?;
                Response::Done
            }
        })
    }
}
