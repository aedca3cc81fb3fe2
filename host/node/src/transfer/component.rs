//! Components on their way: pushed by a client, fetched by nodes that lack one.

use super::answer;
use crate::core::{Event, Verdict};
use crate::desk::{Desk, Stopping, blocking};
use crate::inspect::record;
use crate::library::{InsertError, Library};
use outboard_net::{BulkStream, NetError};
use outboard_raft::NodeId;
use outboard_wire::bulk::{BulkHeader, BulkReply, Pushed, Readiness};
use outboard_wire::client::{RequestBody, Response};
use outboard_wire::command::{Command, Digest, EngineRecord, Stamped};
use outboard_wire::limits::COMPONENT_BYTES_MAX;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long to wait before an engine is staged again.
const STAGE_AGAIN: Duration = Duration::from_millis(50);
/// How long a push waits for the word of voters to which there is no connection.
const OUT_OF_REACH: Duration = Duration::from_secs(3);
/// How often a push looks whether those that it waits for are still connected.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A fetch that brings nothing for so long is given up, and another node is asked.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Somebody pushes a component: check it, keep it, stage it, and wait for every voter's word.
pub(super) async fn on_push(desk: &Desk, stream: &mut BulkStream, bytes: u64, timeout_ms: u32) -> Result<(), NetError> {
    if bytes > COMPONENT_BYTES_MAX as u64 {
        let text = format!("the component has {bytes} bytes, more than {COMPONENT_BYTES_MAX}");
        return answer(stream, BulkReply::Refused(text)).await;
    }
    let Some(component) = read_exactly(stream, bytes).await? else {
        let text = format!("the component is not {bytes} bytes long as announced");
        return answer(stream, BulkReply::Refused(text)).await;
    };
    let deadline = Instant::now() + Duration::from_millis(u64::from(timeout_ms));
    let reply = match push(desk, component, deadline).await {
        Ok(pushed) => BulkReply::Pushed(pushed),
        Err(reason) => BulkReply::Refused(reason),
    };
    answer(stream, reply).await
}

async fn push(desk: &Desk, component: Vec<u8>, deadline: Instant) -> Result<Pushed, String> {
    let library = desk.library.clone();
    let inserted = blocking(move || library.insert(&component)).await;
    let engine = record(&*inserted.map_err(|error| error.to_string())?);
    stage(desk, &engine, deadline).await?;
    let nodes = every_word(desk, engine.digest, deadline).await?;
    Ok(Pushed { engine, nodes })
}

/// Each voter's word of an engine. Whoever is connected is waited for until the deadline, however long it compiles; whoever is
/// out of reach, only for a moment. What is known by then is told.
async fn every_word(desk: &Desk, digest: Digest, deadline: Instant) -> Result<Vec<(u64, Readiness)>, String> {
    let mut control = desk.control.clone();
    let mut give_up = deadline;
    loop {
        let nodes = control.borrow_and_update().readiness(&digest);
        let waiting: Vec<u64> =
            nodes.iter().filter(|(_, word)| *word == Readiness::Waiting).map(|(node, _)| *node).collect();
        let now = Instant::now();
        if waiting.iter().any(|node| desk.is_connected(NodeId(*node))) {
            give_up = deadline;
        } else if !nodes.is_empty() {
            give_up = give_up.min(now + OUT_OF_REACH);
        }
        if (waiting.is_empty() && !nodes.is_empty()) || now >= give_up {
            return Ok(nodes);
        }
        match timeout_at(give_up.min(now + LOOK_AGAIN), control.changed()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => return Err(Stopping.to_string()),
        }
    }
}

/// Staging twice is staging once: where the outcome is not known, as when the leader dies over it, it is asked for again.
async fn stage(desk: &Desk, engine: &EngineRecord, deadline: Instant) -> Result<(), String> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match try_stage(desk, engine, left).await {
            Ok(Response::Done) => return Ok(()),
            Ok(Response::Invalid(reason)) => return Err(reason),
            Ok(Response::NotDone(reason) | Response::Unknown(reason)) if left.is_zero() => return Err(reason),
            Ok(Response::NotDone(_) | Response::Unknown(_) | Response::Overloaded) => {
                tokio::time::sleep(STAGE_AGAIN).await;
            }
            Ok(other) => return Err(format!("the engine could not be staged: {other:?}")),
            Err(stopping) => return Err(stopping.to_string()),
        }
    }
}

async fn try_stage(desk: &Desk, engine: &EngineRecord, timeout: Duration) -> Result<Response, Stopping> {
    let command = Stamped { time_ms: 0, command: Command::EngineStage(engine.clone()) }.encode().into();
    desk.request(RequestBody::Control { command }, timeout).await
}

/// Another node lacks a component.
pub(super) async fn on_fetch(desk: &Desk, stream: &mut BulkStream, digest: Digest) -> Result<(), NetError> {
    let library = desk.library.clone();
    match blocking(move || library.bytes(&digest)).await {
        Some(component) => {
            let bytes = component.len() as u64;
            stream.write_frame(BulkReply::Component { bytes }.encode().into()).await?;
            stream.write_all(component.into()).await?;
            stream.finish().await
        }
        None => answer(stream, BulkReply::Refused("it is not here".into())).await,
    }
}

/// Gets an engine ready on this node: from its disk, else from any peer; then tells the core.
pub(crate) async fn prepare(desk: Desk, engine: EngineRecord) {
    let digest = engine.digest;
    let library = desk.library.clone();
    let here = blocking(move || library.load(&digest).is_some()).await;
    let verdict = if here { Verdict::Ready } else { fetch_and_try(&desk, &engine).await };
    desk.words.event(Event::EnginePrepared { digest, verdict });
}

async fn fetch_and_try(desk: &Desk, engine: &EngineRecord) -> Verdict {
    let mut why = "there is no other node".to_owned();
    for peer in desk.peers() {
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetch(desk, peer, engine)).await;
        match fetched {
            Ok(Ok(component)) => return try_here(desk.library.clone(), component).await,
            Ok(Err(error)) => why = format!("{peer}: {error}"),
            Err(_) => why = format!("{peer} sends nothing"),
        }
    }
    Verdict::NotHad(why)
}

async fn try_here(library: Library, component: Vec<u8>) -> Verdict {
    match blocking(move || library.insert(&component)).await {
        Ok(_) => Verdict::Ready,
        Err(InsertError::Refused(refusal)) => Verdict::Refused(refusal.to_string()),
        Err(error @ InsertError::Io { .. }) => Verdict::NotHad(error.to_string()),
    }
}

async fn fetch(desk: &Desk, peer: NodeId, engine: &EngineRecord) -> Result<Vec<u8>, String> {
    let (reply, mut stream) = desk.ask(peer, BulkHeader::Fetch { digest: engine.digest }).await?;
    let BulkReply::Component { bytes } = reply else { return Err(reply.into_refusal()) };
    if bytes > COMPONENT_BYTES_MAX as u64 {
        return Err(format!("{bytes} bytes are too many"));
    }
    let component =
        read_exactly(&mut stream, bytes).await.map_err(|error| error.to_string())?.ok_or("it ended early")?;
    if *blake3::hash(&component).as_bytes() != engine.digest.0 {
        return Err("its bytes have another digest".into());
    }
    Ok(component)
}

/// So many bytes up to the stream's end; none if there are more or fewer.
async fn read_exactly(stream: &mut BulkStream, bytes: u64) -> Result<Option<Vec<u8>>, NetError> {
    let length = usize::try_from(bytes).expect("bounded by the largest component");
    let mut all = Vec::with_capacity(length);
    while let Some(chunk) = stream.read_chunk().await? {
        if all.len() + chunk.len() > length {
            return Ok(None);
        }
        all.extend_from_slice(&chunk);
    }
    Ok((all.len() == length).then_some(all))
}
