//! What takes longer than a frame: components that are pushed and fetched, snapshots that are streamed. Each transfer is a task
//! on the node's runtime with a bulk stream of its own; what blocks (disk, compiler) runs on a thread beside it.

pub(crate) mod component;
pub(crate) mod snapshot;

use crate::desk::Desk;
use crate::enrolment;
use crate::permission;
use outboard_net::{BulkStream, NetError, Principal};
use outboard_wire::bulk::{BulkHeader, BulkReply};

/// Serves a bulk stream that somebody opened.
pub(crate) async fn serve(desk: Desk, mut stream: BulkStream) {
    let from = stream.from().clone();
    let header = BulkHeader::decode(stream.header());
    let served = match (header, &from) {
        (Ok(BulkHeader::Push { bytes, timeout_ms }), _) => {
            let refusal = permission::push_refusal(&desk.control.borrow(), &from);
            match refusal {
                None => component::on_push(&desk, &mut stream, bytes, timeout_ms).await,
                Some(why) => answer(&mut stream, BulkReply::Forbidden(why)).await,
            }
        }
        (Ok(BulkHeader::Certify(certify)), Principal::Node(node)) => {
            let reply = enrolment::on_certify(&desk, *node, certify).await;
            answer(&mut stream, reply).await
        }
        (Ok(BulkHeader::Authority), Principal::Node(node)) => {
            let reply = enrolment::on_authority(&desk, *node);
            answer(&mut stream, reply).await
        }
        (Ok(BulkHeader::Fetch { digest }), Principal::Node(_)) => component::on_fetch(&desk, &mut stream, digest).await,
        (Ok(BulkHeader::Snapshot { term, meta }), Principal::Node(node)) => {
            snapshot::on_snapshot(&desk, &mut stream, *node, term, meta.into()).await
        }
        (
            Ok(BulkHeader::Fetch { .. } | BulkHeader::Snapshot { .. } | BulkHeader::Certify(_) | BulkHeader::Authority),
            Principal::Client { .. },
        ) => answer(&mut stream, BulkReply::Refused("only a node may do this".into())).await,
        (Err(error), _) => answer(&mut stream, BulkReply::Refused(error.to_string())).await,
    };
    if let Err(error) = served {
        tracing::debug!(%from, %error, "a transfer broke off");
    }
}

/// The answer, and the end of the stream.
pub(crate) async fn answer(stream: &mut BulkStream, reply: BulkReply) -> Result<(), NetError> {
    stream.write_frame(reply.encode().into()).await?;
    stream.finish().await
}
