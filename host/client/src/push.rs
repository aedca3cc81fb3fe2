//! Pushing a component: its bytes go over a stream of their own beside the requests, to any node, which spreads them.
//!
//! A push may be repeated: the same bytes have the same digest and are staged once.

use std::sync::Arc;
use std::time::Duration;

use crate::client::{Client, Inner};
use crate::error::ClientError;
use bytes::Bytes;
use outboard_net::{BulkStream, ClientConnection, NetError};
use outboard_wire::bulk::{BulkHeader, BulkReply, Pushed};
use outboard_wire::limits::{COMPONENT_BYTES_MAX, REQUEST_TIMEOUT_MS_MAX};
use tokio::time::{Instant, sleep_until, timeout_at};

/// Written at once, in bytes; progress is told after each.
const CHUNK_BYTES: usize = 64 << 10;
/// The node is told to answer this much before the deadline, with what it knows until then.
const GRACE: Duration = Duration::from_secs(1);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

impl Client {
    /// Pushes a component and waits until every voter has said its word on it, or the time is up. `progress` is told how
    /// many bytes are sent, from 0 again with each attempt. What a node refuses is [`ClientError::Refused`].
    pub async fn push(
        &self,
        component: Bytes,
        timeout: Duration,
        mut progress: impl FnMut(u64),
    ) -> Result<Pushed, ClientError> {
        if component.len() > COMPONENT_BYTES_MAX {
            let bytes = component.len();
            return Err(ClientError::Refused(format!("it has {bytes} bytes; {COMPONENT_BYTES_MAX} are the most")));
        }
        let deadline = Instant::now() + timeout.min(Duration::from_millis(REQUEST_TIMEOUT_MS_MAX.into()));
        loop {
            let why = match timeout_at(deadline, self.inner.push_once(&component, deadline, &mut progress)).await {
                Ok(Ok(BulkReply::Pushed(pushed))) => return Ok(pushed),
                Ok(Ok(BulkReply::Refused(why))) => return Err(ClientError::Refused(why)),
                Ok(Ok(BulkReply::Forbidden(why))) => return Err(ClientError::Forbidden(why)),
                Ok(Ok(other)) => {
                    return Err(ClientError::Protocol(format!("no answer to a push: {}", other.into_refusal())));
                }
                Ok(Err(Attempt::End(error))) => return Err(error),
                Ok(Err(Attempt::Again(why))) => why,
                Err(_) => return Err(ClientError::Timeout(timeout.as_millis() as u64)),
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(ClientError::Unavailable(why));
            }
            sleep_until(Instant::now() + PAUSE).await;
        }
    }
}

enum Attempt {
    Again(String),
    End(ClientError),
}

impl Inner {
    async fn push_once(
        self: &Arc<Self>,
        component: &Bytes,
        deadline: Instant,
        progress: &mut impl FnMut(u64),
    ) -> Result<BulkReply, Attempt> {
        let (pick, link, others) = self.pick();
        let lost = |why: String| {
            self.lock().route.on_lost(pick.node, Instant::now());
            Attempt::Again(why)
        };
        if let Some(time) = pick.not_before {
            sleep_until(time.min(deadline)).await;
        }
        let connection =
            link.open(&self.dialler, others).await.map_err(|error| match self.refused_for_good(&error) {
                Some(why) => Attempt::End(ClientError::Auth(why)),
                None => lost(error.into_text()),
            })?;
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout_ms =
            u32::try_from(left.saturating_sub(GRACE).max(left / 2).as_millis()).expect("a push's time is bounded");
        let frame =
            send(&connection, component, timeout_ms, progress).await.map_err(|error| lost(error.to_string()))?;
        let frame = frame.ok_or_else(|| lost("the node ended the transfer without an answer".to_owned()))?;
        link.on_heard();
        BulkReply::decode(&frame).map_err(|error| Attempt::End(ClientError::Protocol(error.to_string())))
    }
}

/// Sends the bytes and waits for the node's word, which may come early when it is a refusal.
async fn send(
    connection: &ClientConnection,
    component: &Bytes,
    timeout_ms: u32,
    progress: &mut impl FnMut(u64),
) -> Result<Option<Bytes>, NetError> {
    let header = BulkHeader::Push { bytes: component.len() as u64, timeout_ms };
    let mut stream = connection.open_bulk(Bytes::from(header.encode())).await?;
    match write(&mut stream, component, progress).await {
        Ok(()) => stream.read_frame().await,
        // A node that stopped reading has said why; if not, the error of writing is the better one.
        Err(error) => match stream.read_frame().await {
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) | Err(_) => Err(error),
        },
    }
}

async fn write(stream: &mut BulkStream, component: &Bytes, progress: &mut impl FnMut(u64)) -> Result<(), NetError> {
    let mut rest = component.clone();
    progress(0);
    while !rest.is_empty() {
        let chunk = rest.split_to(CHUNK_BYTES.min(rest.len()));
        stream.write_all(chunk).await?;
        progress((component.len() - rest.len()) as u64);
    }
    stream.finish().await
}
