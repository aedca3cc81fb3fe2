//! The request stream of one client, on the node's side: requests in, responses out in whatever order they come.
//!
//! Bounded by what is in flight: at the limit the reader stops reading, and QUIC's flow control holds the client back.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use quinn::{RecvStream, SendStream};

use crate::counters::add;
use crate::error::NetError;
use crate::event::NetEvent;
use crate::frame::{CLIENT_FRAME_BYTES_MAX, FrameReader, FrameWriter, ID_BYTES, Malformed, ReadEnd};
use crate::lane::{StreamKind, greet};
use crate::responder::{ClientInfo, Exchange, Responder, units};
use crate::shared::Shared;

/// Serves the stream until it ends.
pub(crate) async fn serve(
    shared: &Shared,
    client: Arc<ClientInfo>,
    exchange: Arc<Exchange>,
    mut send: SendStream,
    receive: RecvStream,
) -> Result<(), Malformed> {
    let _writing = shared.writers.enter();
    if greet(&mut send, StreamKind::Requests).await.is_err() {
        return Ok(());
    }
    let result = tokio::select! {
        result = read(shared, client, &exchange, receive) => result,
        _ = write(shared, &exchange, send) => Ok(()),
        _ = exchange.connection.closed() => Ok(()),
    };
    exchange.responses.close();
    result
}

async fn read(
    shared: &Shared,
    client: Arc<ClientInfo>,
    exchange: &Arc<Exchange>,
    receive: RecvStream,
) -> Result<(), Malformed> {
    let mut reader = FrameReader::new(receive, CLIENT_FRAME_BYTES_MAX);
    loop {
        let frames = match reader.next().await {
            Ok(frames) => frames,
            Err(ReadEnd::Malformed(malformed)) => return Err(malformed),
            // The client may have finished asking and still wait for answers: the writer or the connection ends this.
            Err(ReadEnd::Closed) => return std::future::pending().await,
        };
        let mut requests = Vec::with_capacity(frames.len());
        for mut body in frames {
            if body.len() < ID_BYTES {
                return Err(Malformed::TooShort(body.len()));
            }
            add(&shared.tally.bytes_received, body.len());
            let id = body.get_u64_le();
            let units = units(body.len());
            if !exchange.in_flight.try_charge(units) {
                hand_over(shared, &client, &mut requests).await;
                exchange.in_flight.charge_when_room(units).await;
            }
            requests.push((body, Responder::new(id, units, exchange.clone())));
        }
        hand_over(shared, &client, &mut requests).await;
    }
}

async fn hand_over(shared: &Shared, client: &Arc<ClientInfo>, requests: &mut Vec<(Bytes, Responder)>) {
    if !requests.is_empty() {
        add(&shared.tally.requests, requests.len());
        let requests = std::mem::take(requests);
        shared.send_event(NetEvent::Client { from: client.clone(), requests }).await;
    }
}

async fn write(shared: &Shared, exchange: &Exchange, mut send: SendStream) -> Result<(), NetError> {
    let mut writer = FrameWriter::new();
    let mut frames = Vec::new();
    let finish_at_close = async {
        shared.wait_closing().await;
        exchange.responses.finish();
        std::future::pending::<()>().await;
    };
    let write_all = async {
        while exchange.responses.take_all(&mut frames).await {
            let (count, units) = (frames.len(), frames.iter().map(|frame| units(frame.body.len())).sum());
            let bytes = writer.write(&mut send, &mut frames).await?;
            exchange.in_flight.release(units);
            add(&shared.tally.responses, count);
            add(&shared.tally.bytes_sent, bytes);
        }
        send.finish().map_err(NetError::lost)?;
        send.stopped().await.map(drop).map_err(NetError::lost)
    };
    tokio::select! {
        result = write_all => result,
        () = finish_at_close => Ok(()),
    }
}
