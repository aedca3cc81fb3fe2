//! `client`: what each client may do, and who is out.

use crate::args::Global;
use crate::failure::Failure;
use crate::output::Output;
use crate::session;
use crate::table::{Align, columns};
use clap::Subcommand;
use outboard_wire::access::{ClientEntry, Role};
use serde_json::json;

/// Flags of `client`.
#[derive(Subcommand, Debug)]
pub(crate) enum ClientCommand {
    /// Every client and its role
    List,
    /// Give a client another role
    Role {
        /// Its name
        name: String,
        /// reader, writer, operator, deployer or admin
        role: Role,
        /// Change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Cut a client off at once and for good
    Revoke {
        /// Its name
        name: String,
        /// Change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) async fn run(global: &Global, command: ClientCommand, out: &mut Output) -> Result<(), Failure> {
    match command {
        ClientCommand::List => list(global, out).await,
        ClientCommand::Role { name, role, dry_run } => {
            if dry_run {
                eprintln!("would make {name} a client with the role {role}");
                return Ok(());
            }
            session::connect(global).await?.set_role(&name, role).await?;
            if out.format().is_json() {
                return out
                    .document(&json!({ "$type": "client", "name": name, "role": role.name(), "revoked": false }));
            }
            out.line(format!("{name} has the role {role}"))
        }
        ClientCommand::Revoke { name, dry_run } => {
            if dry_run {
                eprintln!("would revoke {name}");
                return Ok(());
            }
            session::connect(global).await?.revoke_client(&name).await?;
            if out.format().is_json() {
                return out.document(&json!({ "$type": "client", "name": name, "revoked": true }));
            }
            out.line(format!("{name} is revoked"))
        }
    }
}

async fn list(global: &Global, out: &mut Output) -> Result<(), Failure> {
    let clients = session::connect(global).await?.access_lists().await?.clients;
    if out.format().is_json() {
        let document = |client: &ClientEntry| json!({ "name": client.name, "role": client.role.name(), "revoked": client.revoked });
        let clients: Vec<_> = clients.iter().map(document).collect();
        return out.document(&json!({ "$type": "clients", "clients": clients }));
    }
    let head = ["CLIENT", "ROLE"].map(str::to_owned).to_vec();
    let row = |client: &ClientEntry| {
        vec![client.name.clone(), if client.revoked { "revoked" } else { client.role.name() }.to_owned()]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(clients.iter().map(row)).collect();
    columns(&[Align::Left, Align::Left], &rows).iter().try_for_each(|line| out.line(line))
}
