//! `client`: what each client may do, and who is out.

use crate::failure::Failure;
use crate::global::Global;
use crate::output::Output;
use crate::session;
use crate::table::{Align, columns};
use clap::Subcommand;
use outboard_client::ClientError;
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
            let client = session::connect(global).await?;
            if dry_run {
                judge(&client.access_lists().await?.clients, &name, Some(role))?;
                eprintln!("would give {name} the role {role}");
                return Ok(());
            }
            client.set_role(&name, role).await.map_err(refused)?;
            if out.format().is_json() {
                return out
                    .document(&json!({ "$type": "client", "name": name, "role": role.name(), "revoked": false }));
            }
            out.line(format!("{name} has the role {role}"))
        }
        ClientCommand::Revoke { name, dry_run } => {
            let client = session::connect(global).await?;
            if dry_run {
                judge(&client.access_lists().await?.clients, &name, None)?;
                eprintln!("would revoke {name}");
                return Ok(());
            }
            client.revoke_client(&name).await.map_err(refused)?;
            if out.format().is_json() {
                return out.document(&json!({ "$type": "client", "name": name, "revoked": true }));
            }
            out.line(format!("{name} is revoked"))
        }
    }
}

/// What the cluster would say to a new role, or to a revocation.
fn judge(clients: &[ClientEntry], name: &str, role: Option<Role>) -> Result<(), Failure> {
    let conflict = |text: String| Err(refused(ClientError::Conflict(text)));
    let Some(client) = clients.iter().find(|client| client.name == name) else {
        return conflict(format!("there is no client {name}"));
    };
    if client.revoked && role.is_some() {
        return conflict(format!("{name} is revoked"));
    }
    let is_admin = |client: &&ClientEntry| client.role == Role::Admin && !client.revoked;
    let is_only = is_admin(&client) && clients.iter().filter(is_admin).count() == 1;
    if is_only && role != Some(Role::Admin) {
        return conflict(format!("{name} is the only admin: without one nobody could make another"));
    }
    Ok(())
}

/// A change that can't be as things stand; the clients tell why.
fn refused(error: ClientError) -> Failure {
    let is_conflict = matches!(error, ClientError::Conflict(_));
    let failure = Failure::from(error);
    if is_conflict { failure.help("outboard client list") } else { failure }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_is_judged_as_the_cluster_would() {
        let client = |name: &str, role, revoked| ClientEntry { name: name.into(), role, revoked };
        let clients =
            [client("admin", Role::Admin, false), client("ana", Role::Reader, false), client("eve", Role::Admin, true)];
        for (name, role, says) in [
            ("bob", Some(Role::Reader), "there is no client bob"),
            ("eve", Some(Role::Reader), "eve is revoked"),
            ("admin", Some(Role::Writer), "admin is the only admin"),
            ("admin", None, "admin is the only admin"),
        ] {
            let failure = judge(&clients, name, role).expect_err(says);
            assert!(failure.message.contains(says) && failure.code.exit() == 4, "{failure:?}");
            assert_eq!(failure.help.as_deref(), Some("outboard client list"));
        }
        for (name, role) in [("ana", None), ("ana", Some(Role::Admin)), ("eve", None), ("admin", Some(Role::Admin))] {
            assert!(judge(&clients, name, role).is_ok(), "{name} {role:?}");
        }
    }
}
