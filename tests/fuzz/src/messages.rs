//! Decoders that are functions of their bytes alone. What is read is written and read once more: it must be the same.

use bytes::Bytes;
use outboard_client::Reply;
use outboard_net::fuzz;
use outboard_raft::NodeId;
use outboard_wire::bulk::{BulkHeader, BulkReply};
use outboard_wire::client::{Answer, Request, Standing};
use outboard_wire::command::{EngineRecord, EngineVote, Stamped};
use outboard_wire::peer::PeerMessage;

/// A frame of a peer.
pub fn peer(bytes: &[u8]) -> bool {
    let (from, to) = (NodeId(1), NodeId(2));
    let Ok(message) = PeerMessage::decode(bytes, from, to) else { return false };
    let again = PeerMessage::decode(&message.encode(), from, to);
    assert_eq!(again.as_ref(), Ok(&message), "a frame is read back as it was written");
    true
}

/// A client's request, a node's answer, and an engine's reply in it.
pub fn client(bytes: &[u8]) -> bool {
    // Never more than a guess about bytes that are not an answer.
    Standing::of(bytes);
    let request = Request::decode(bytes);
    if let Ok(request) = &request {
        assert_eq!(Request::decode(&request.encode()).as_ref(), Ok(request), "a request is read back");
    }
    let answer = Answer::decode(bytes);
    if let Ok(answer) = &answer {
        assert_eq!(Answer::decode(&answer.encode()).as_ref(), Ok(answer), "an answer is read back");
        assert_eq!(Standing::of(&answer.encode()), Standing::of(bytes), "its head says the same");
    }
    let reply = Reply::parse(&Bytes::copy_from_slice(bytes));
    request.is_ok() || answer.is_ok() || reply.is_ok()
}

/// A command in an entry, and the records of engines and votes.
pub fn entry(bytes: &[u8]) -> bool {
    let command = Stamped::decode(bytes);
    if let Ok(command) = &command {
        let encoded = command.encode();
        assert_eq!(Stamped::decode(&encoded).as_ref(), Ok(command), "an entry is read back as it was written");
    }
    let engine = EngineRecord::decode(bytes);
    if let Ok(engine) = &engine {
        assert_eq!(EngineRecord::decode(&engine.encode()).as_ref(), Ok(engine), "a record is read back");
    }
    let vote = EngineVote::decode(bytes);
    if let Ok(vote) = &vote {
        assert_eq!(EngineVote::decode(&vote.encode()).as_ref(), Ok(vote), "a vote is read back");
    }
    command.is_ok() || engine.is_ok() || vote.is_ok()
}

/// How a stream begins, and how it is answered.
pub fn bulk(bytes: &[u8]) -> bool {
    let header = BulkHeader::decode(bytes);
    if let Ok(header) = &header {
        assert_eq!(BulkHeader::decode(&header.encode()).as_ref(), Ok(header), "a header is read back");
    }
    let reply = BulkReply::decode(bytes);
    if let Ok(reply) = &reply {
        assert_eq!(BulkReply::decode(&reply.encode()).as_ref(), Ok(reply), "an answer is read back");
    }
    header.is_ok() || reply.is_ok()
}

/// Tokens and what joiners and their nodes say.
pub fn join(bytes: &[u8]) -> bool {
    let read = [
        fuzz::token(bytes).is_ok(),
        fuzz::join_request(bytes).is_ok(),
        fuzz::join_statement(bytes).is_ok(),
        fuzz::join_answer(bytes).is_ok(),
        fuzz::certificate_request(bytes).is_ok(),
    ];
    read.contains(&true)
}

/// What a Redis client sends.
pub fn redis(bytes: &[u8]) -> bool {
    outboard_redis::fuzz_requests(bytes).is_ok_and(|requests| requests > 0)
}
