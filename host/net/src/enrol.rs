//! The node's side of a join: a stranger with a token, read within narrow bounds and handed to the node, which decides.
//!
//! Who joins has no certificate, so nothing is believed before the node has looked the token up and [`JoinRequest::judge`] has checked the
//! proof. Bounds: [`JOIN_REQUEST_BYTES_MAX`] each, so many at once and so long to say it as [`Limits`](crate::Limits) allow,
//! [`DECISION_TIMEOUT`] to decide it; beyond the first a joiner is told to come back. Never: decides, keeps a token, signs. Tests: `tests/net/enrolment.rs`.

use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::counters::add;
use crate::error::NetError;
use crate::frame::read_frame;
use crate::join::{
    JOIN_ANSWER_BYTES_MAX, JOIN_REQUEST_BYTES_MAX, JoinAnswer, JoinFrame, JoinRefusal, Statement, encode, signed,
};
use crate::join_request::{JoinRequest, check_reach};
use crate::lane::StreamKind;
use crate::refusal::CloseCode;
use crate::shared::Shared;

/// The node decides within this: a use of a token goes through the log.
pub const DECISION_TIMEOUT: Duration = Duration::from_secs(30);
/// The joiner takes its answer within this.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves one joiner from its handshake to its answer.
pub(crate) async fn serve(shared: Arc<Shared>, connection: Connection) {
    let Ok(_slot) = shared.joins_room.try_acquire() else {
        add(&shared.tally.joins_refused, 1);
        return CloseCode::Busy.close(&connection, None);
    };
    let heard = timeout(shared.limits.join_request_timeout, listen(&connection)).await;
    let (mut send, frame) = match heard {
        Ok(Ok(heard)) => heard,
        Ok(Err(what)) => {
            add(&shared.tally.malformed, 1);
            return turn_away(&shared, &connection, CloseCode::Malformed, what);
        }
        Err(_) => return turn_away(&shared, &connection, CloseCode::Silent, "no request to join came in time"),
    };
    let answer = tokio::select! {
        answer = decide(&shared, &connection, frame) => answer,
        // Nobody waits for the answer any more.
        _ = connection.closed() => return,
    };
    if let JoinAnswer::Refused(why) = &answer {
        tracing::debug!(address = %connection.remote_address(), %why, "join refused");
    }
    let say = async {
        let bytes = encode(&answer);
        let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= JOIN_ANSWER_BYTES_MAX);
        let Some(length) = length else {
            tracing::error!(bytes = bytes.len(), "an answer to a joiner is too long");
            return CloseCode::TooLarge.close(&connection, None);
        };
        let said = async {
            send.write_all(&length.to_le_bytes()).await.ok()?;
            send.write_all(&bytes).await.ok()?;
            send.finish().ok()?;
            send.stopped().await.ok()
        };
        said.await.map(drop).unwrap_or_default();
    };
    timeout(FAREWELL, say).await.unwrap_or_default();
    CloseCode::Done.close(&connection, None);
}

fn turn_away(shared: &Shared, connection: &Connection, code: CloseCode, what: &str) {
    add(&shared.tally.joins_refused, 1);
    let address = connection.remote_address();
    tracing::debug!(%address, what, "a join that came to nothing");
    if let Some(held) = shared.tally.refusals.pass() {
        tracing::warn!(%address, held_back = held, "a join that came to nothing: {what}");
    }
    code.close(connection, Some(&what));
}

/// The first stream's only frame.
async fn listen(connection: &Connection) -> Result<(SendStream, JoinFrame), &'static str> {
    let (send, mut receive) = connection.accept_bi().await.map_err(|_| "the connection ended")?;
    let frame = read_request(&mut receive).await?;
    Ok((send, JoinFrame::decode(&frame).map_err(|error| error.0)?))
}

async fn read_request(receive: &mut RecvStream) -> Result<bytes::Bytes, &'static str> {
    let mut kind = [0];
    receive.read_exact(&mut kind).await.map_err(|_| "the stream ended")?;
    if StreamKind::parse(kind[0]) != Ok(StreamKind::Join) {
        return Err("a stream of another kind");
    }
    match read_frame(receive, JOIN_REQUEST_BYTES_MAX).await {
        Ok(Some(frame)) => Ok(frame),
        Ok(None) => Err("the stream ended"),
        Err(NetError::TooLarge { .. }) => Err("too long"),
        Err(_) => Err("the stream ended inside the request"),
    }
}

async fn decide(shared: &Shared, connection: &Connection, frame: JoinFrame) -> JoinAnswer {
    let address = connection.remote_address();
    let checked = Statement::decode(&frame.statement).and_then(|(statement, request)| {
        if statement.cluster != shared.cluster.0 {
            return Err(JoinRefusal::WrongCluster { cluster: shared.cluster.to_string() });
        }
        check_reach(&statement.advertised, !address.ip().to_canonical().is_loopback())?;
        Ok((statement, request))
    });
    let (statement, request) = match checked {
        Ok(checked) => checked,
        Err(refusal) => {
            add(&shared.tally.joins_refused, 1);
            return JoinAnswer::Refused(refusal);
        }
    };
    let (answer, answered) = oneshot::channel();
    let signed = signed(connection, &frame.statement);
    let JoinFrame { token, proof, statement: _ } = frame;
    let join = JoinRequest { token, address, proof, signed, statement, request, answer };
    let asked = async {
        shared.joins.as_ref()?.send(join).await.ok()?;
        add(&shared.tally.joins, 1);
        answered.await.ok()
    };
    match timeout(DECISION_TIMEOUT, asked).await {
        Ok(Some(answer)) => answer,
        Ok(None) => JoinAnswer::Refused(JoinRefusal::Unavailable { what: "this node can't decide".to_string() }),
        Err(_) => JoinAnswer::Refused(JoinRefusal::Unavailable { what: "no decision came in time".to_string() }),
    }
}
