//! Where the authority's key is: voters have it, whoever votes no more gives it up, and the last copy never goes by itself.

use crate::control::Control;
use crate::desk::Desk;
use crate::formation::AUTHORITY;
use crate::signer::Signer;
use outboard_net::Authority;
use outboard_raft::NodeId;
use outboard_wire::bulk::{BulkHeader, BulkReply, SecretPem};
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

/// How long another node may take to sign, or to say that it does.
pub(super) const SIGN_TIMEOUT: Duration = Duration::from_secs(5);
/// Why there is no certificate.
pub(super) const NOBODY_SIGNS: &str = "no node that can be asked holds the authority's key";

/// A voter asks for the authority's key.
pub(crate) fn on_authority(desk: &Desk, from: NodeId) -> BulkReply {
    let Some(authority) = desk.signer.get() else { return BulkReply::NoAuthority };
    if !is_to_sign(&desk.control.borrow(), from) {
        return BulkReply::NoVoter;
    }
    tracing::info!(to = %from, "a voter gets the authority's key");
    desk.signer.on_elsewhere();
    BulkReply::Authority { certificate: authority.certificate_pem().to_owned(), key: SecretPem(authority.key_pem()) }
}

/// A voter, or who is about to be one.
fn is_to_sign(control: &Control, node: NodeId) -> bool {
    control.voters.contains(&node)
        || control.membership.outgoing.contains(&node)
        || control.membership.joining.contains_key(&node)
}

/// Gets the key if this node is to have it, gives it up if not. True if there is nothing left to do for now.
pub(super) async fn look_after(desk: &Desk, dir: &Path) -> bool {
    let (signs, is_learner) = {
        let control = desk.control.borrow();
        let signs = is_to_sign(&control, desk.id);
        (signs, !signs && control.membership.learners.contains(&desk.id))
    };
    match desk.signer.get() {
        None if signs => get_authority(desk, dir).await,
        Some(_) if signs => is_elsewhere(desk).await,
        Some(_) if is_learner => give_up_authority(desk, dir).await,
        Some(_) | None => true,
    }
}

/// Finds out once whether this node's copy is the only one. True also if there is nobody to have another.
async fn is_elsewhere(desk: &Desk) -> bool {
    let others = desk.control.borrow().voters.iter().any(|node| *node != desk.id);
    if !others || desk.signer.is_elsewhere() {
        return true;
    }
    let found = another_signs(desk).await;
    if found {
        desk.signer.on_elsewhere();
    }
    found
}

/// Whether some other voter has the key: it gives it, or says that it would to a voter.
pub(super) async fn another_signs(desk: &Desk) -> bool {
    let voters: Vec<NodeId> = desk.control.borrow().voters.iter().copied().filter(|node| *node != desk.id).collect();
    for peer in voters {
        let asked = timeout(SIGN_TIMEOUT, desk.ask(peer, BulkHeader::Authority)).await;
        if let Ok(Ok((BulkReply::Authority { .. } | BulkReply::NoVoter, _))) = asked {
            return true;
        }
    }
    false
}

/// This node votes no more: its copy goes, but never the last one.
async fn give_up_authority(desk: &Desk, dir: &Path) -> bool {
    if !another_signs(desk).await {
        tracing::info!("this node votes no more, and keeps the authority's key until a voter is known to have it");
        return false;
    }
    match Authority::forget(&dir.join(AUTHORITY)) {
        Ok(()) => {
            desk.signer.on_given_up();
            tracing::info!("this node votes no more and has given up the authority's key");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "the authority's key can't be deleted");
            false
        }
    }
}

/// This node is no member any more: it signs for the cluster no more.
pub(crate) fn leave(signer: &Signer, dir: &Path) {
    let home = dir.join(AUTHORITY);
    if signer.get().is_some() && !signer.is_elsewhere() {
        let home = home.display();
        tracing::warn!(
            "no other node is known to have the authority's key, so {home} is kept: if tokens are not taken any more, stop a voter, \
             move that folder into its own, and start it"
        );
    } else if let Err(error) = Authority::forget(&home) {
        tracing::warn!(%error, "the authority's key can't be deleted");
    }
}

async fn get_authority(desk: &Desk, dir: &Path) -> bool {
    let mut away = false;
    for peer in desk.peers() {
        match timeout(SIGN_TIMEOUT, desk.ask(peer, BulkHeader::Authority)).await {
            Ok(Ok((BulkReply::Authority { certificate, key: SecretPem(key) }, _))) => {
                match keep_authority(desk, dir, &certificate, &key) {
                    Ok(()) => return true,
                    Err(why) => tracing::warn!(%peer, why, "the authority can't be kept"),
                }
            }
            Ok(Ok((BulkReply::NoAuthority, _))) => {}
            // It does not know yet that this node votes, or is out of reach.
            Ok(Ok(_) | Err(_)) | Err(_) => away = true,
        }
    }
    !away
}

fn keep_authority(desk: &Desk, dir: &Path, certificate: &str, key: &str) -> Result<(), String> {
    let authority = Authority::from_pem(certificate, key).map_err(|error| error.to_string())?;
    if authority.pin() != desk.net.credentials().authority_pin() {
        return Err("it is another cluster's".to_owned());
    }
    authority.save(&dir.join(AUTHORITY)).map_err(|error| error.to_string())?;
    desk.signer.set(authority);
    tracing::info!("this node signs certificates from now on");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_net::ClusterId;
    use std::sync::Arc;

    #[test]
    fn a_node_that_leaves_deletes_its_copy_of_the_authority_but_not_the_last_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join(AUTHORITY);
        let authority = Arc::new(Authority::create(ClusterId::random()).expect("an authority"));
        authority.save(&home).expect("writable");
        leave(&Signer::new(Some(authority.clone()), false), folder.path());
        assert!(Authority::is_kept_in(&home), "the last copy is gone");
        leave(&Signer::new(Some(authority), true), folder.path());
        assert!(!home.exists());
        // One that never had it has nothing to do.
        leave(&Signer::new(None, false), folder.path());
    }
}
