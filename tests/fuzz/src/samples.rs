//! A few good inputs for each target, from which a fuzzer goes on. Keys and tokens are new each time; everything else is the same.

use crate::snapshot;
use bytes::Bytes;
use outboard_client::Consistency;
use outboard_net::{Authority, ClusterId, IdentityKey, JoinAnswer, Token};
use outboard_raft::{Entry, Envelope, Index, Membership, Message, NodeId, Payload, Position, SnapshotMeta, Term};
use outboard_wire::Blob;
use outboard_wire::access::{AccessCommand, Enrolment, Enrols, MemberChange, Wish};
use outboard_wire::bulk::{BulkHeader, BulkReply};
use outboard_wire::client::{Answer, Request, RequestBody, RequestId, Response};
use outboard_wire::command::{Command, Digest, EngineRecord, EngineVote, Stamped, Upgrade};
use outboard_wire::peer::PeerMessage;
use outboard_wire::status::ChainMark;
use std::sync::Arc;

/// A file's name and its bytes.
pub type Sample = (&'static str, Vec<u8>);

const ID: RequestId = RequestId { session: 7, sequence: 9, settled_below: 8 };

/// Those of one target.
pub fn samples(target: &str) -> Vec<Sample> {
    match target {
        "peer" => peer(),
        "client" => client(),
        "entry" => entry(),
        "bulk" => bulk(),
        "join" => join(),
        "redis" => redis(),
        "log" => log(),
        "snapshot" => snapshots(),
        "component" => component(),
        other => panic!("there is no target {other}"),
    }
}

fn peer() -> Vec<Sample> {
    let consensus = |message| {
        let envelope = Envelope { from: NodeId(1), to: NodeId(2), term: Term(300), message };
        PeerMessage::Raft(envelope).encode()
    };
    let membership = Membership {
        voters: [1, 2, 4].map(NodeId).into(),
        outgoing: [1, 2, 3].map(NodeId).into(),
        learners: [5].map(NodeId).into(),
        learners_next: [3].map(NodeId).into(),
        joining: [(NodeId(5), Some(NodeId(1)))].into(),
    };
    let entry = |index, payload| Entry { index: Index(index), term: Term(300), payload };
    let entries = vec![
        entry(8, Payload::Noop),
        entry(9, Payload::Command(Arc::from(*b"a command"))),
        entry(10, Payload::Membership(membership)),
    ];
    let append = Message::Append { prev: Position::new(7, 299), entries, commit: Index(8) };
    let mark = |index| ChainMark { index, hash: [index as u8; 32] };
    vec![
        ("append", consensus(append)),
        ("vote", consensus(Message::Vote { last: Position::new(70_000, 299), transfer: true })),
        ("accept", consensus(Message::AppendAccept { matched: Index(70_000) })),
        ("reject", consensus(Message::AppendReject { prev: Index(7), hint: Position::new(6, 2) })),
        ("heartbeat", consensus(Message::Heartbeat { commit: Index(8), read_round: 5 })),
        ("suspended", consensus(Message::Suspended { incarnation: 1, fence: true, matched: Some(Index(3)) })),
        ("forward", PeerMessage::Forward { ticket: 3, request: Bytes::from_static(b"request") }.encode()),
        ("forward-reply", PeerMessage::ForwardReply { ticket: 3, answer: Bytes::from_static(b"answer") }.encode()),
        ("pulse", PeerMessage::Pulse(vec![mark(1), mark(2)]).encode()),
    ]
}

fn client() -> Vec<Sample> {
    let words =
        |words: &[&'static str]| words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect::<Vec<_>>();
    let request = |body| Request { timeout_ms: 5_000, body }.encode();
    let answer = |response| Answer { leader: None, response }.encode();
    let set = words(&["SET", "user/42", "Ana"]);
    let command = RequestBody::Command { arguments: set.clone(), consistency: Consistency::Linearizable, id: Some(ID) };
    let commands = vec![set, words(&["GET", "user/42"])];
    let change = MemberChange::Replace { old: 3, new: 4 };
    vec![
        ("command", request(command)),
        ("transaction", request(RequestBody::Transaction { commands, watcher: Some(4), id: None })),
        ("watch", request(RequestBody::Watch { watcher: None, keys: words(&["a", "b"]) })),
        ("upgrade", request(RequestBody::EngineUpgrade { digest: "abcd".into() })),
        ("transfer", request(RequestBody::LeaderTransfer { to: Some(3) })),
        ("replace", request(RequestBody::MemberChange { change, forced: true, dry_run: false })),
        ("answer", answer(Response::Reply(Bytes::from_static(b"*2\r\n$3\r\nAna\r\n:7\r\n")))),
        ("rejected", answer(Response::Rejected("WRONGTYPE".into()))),
        ("reply", b"%1\r\n+key\r\n*3\r\n_\r\n#t\r\n,1.5\r\n".to_vec()),
    ]
}

fn entry() -> Vec<Sample> {
    let record = EngineRecord {
        digest: Digest([7; 32]),
        name: "kv".into(),
        version: "0.1.0".into(),
        schema: 1,
        reads_schemas: vec![1, 2],
        bytes: 80_000,
    };
    let vote = |refusal| EngineVote { node: 2, digest: Digest([7; 32]), environment: 1, refusal };
    let stamped = |command| Stamped { time_ms: 1_700_000_000_000, command }.encode();
    let blobs = |words: &[&'static str]| words.iter().map(|word| Blob(word.as_bytes())).collect::<Vec<_>>();
    let enrolment = Enrolment { token: 7, key: [1; 32], name: "oslo".into(), address: "10.0.0.4:4410".into() };
    let once = Command::EngineOnce { id: ID, arguments: blobs(&["INCR", "visits"]) };
    let commands = vec![blobs(&["SET", "a", "1"]), blobs(&["GET", "a"])];
    vec![
        ("engine", stamped(Command::Engine(blobs(&["SET", "user/42", "Ana"])))),
        ("once", stamped(once)),
        ("transaction", stamped(Command::Transaction { commands, watcher: Some(3), id: Some(ID) })),
        ("stage", stamped(Command::EngineStage(record.clone()))),
        ("vote", stamped(Command::EngineVote(vote(Some("it traps".into()))))),
        ("upgrade", stamped(Command::Upgrade(Upgrade { from: Digest([7; 32]), to: Digest([8; 32]) }))),
        ("enrol", stamped(Command::Access(AccessCommand::Enrol(enrolment)))),
        ("close", stamped(Command::SessionClose { session: 7 })),
        ("record", record.encode()),
        ("vote-record", vote(None).encode()),
    ]
}

fn bulk() -> Vec<Sample> {
    let meta = SnapshotMeta { position: Position::new(9, 2), membership: Membership::of_voters([1, 2, 3].map(NodeId)) };
    vec![
        ("push", BulkHeader::Push { bytes: 80_000, timeout_ms: 1_000 }.encode()),
        ("fetch", BulkHeader::Fetch { digest: Digest([7; 32]) }.encode()),
        ("snapshot", BulkHeader::Snapshot { term: 2, meta: (&meta).into() }.encode()),
        ("component", BulkReply::Component { bytes: 80_000 }.encode()),
        ("wanted", BulkReply::Wanted { chunks: vec![0b1010_0101, 1] }.encode()),
        ("refused", BulkReply::Refused("not today".into()).encode()),
    ]
}

fn join() -> Vec<Sample> {
    let key = IdentityKey::generate().expect("this machine can make keys");
    let authority = Authority::create(ClusterId(7)).expect("this machine can make an authority");
    let request = key.request().der().to_vec();
    // As a joiner's statement and its frame are written.
    let statement = postcard::to_stdvec(&(7u128, &request, "n4", "10.0.0.4:4410", vec![1u8, 2, 3]));
    let statement = statement.expect("plain values are written");
    let frame = postcard::to_stdvec(&(1u64, vec![3u8; 64], &statement)).expect("plain values are written");
    let admitted = JoinAnswer::Admitted { certificate_pem: "c".into(), ca_pem: "a".into(), members: vec![1, 2] };
    vec![
        ("token", Token::generate(Enrols::Node(Wish::Voter), authority.pin()).reveal().into_bytes()),
        ("certificate-request", request),
        ("statement", statement),
        ("frame", frame),
        ("answer", postcard::to_stdvec(&admitted).expect("plain values are written")),
    ]
}

fn redis() -> Vec<Sample> {
    vec![
        ("set", b"\x01\x05*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\nAna\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n".to_vec()),
        ("hello", b"\x00\x07*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*1\r\n$4\r\nPING\r\n".to_vec()),
        ("inline", b"\x01\x03SET a \"b \\x41 c\"\r\nget 'a b'\r\n".to_vec()),
        ("http", b"\x01\x09GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("long", b"\x00\x20*2\r\n$536870912\r\n".to_vec()),
    ]
}

fn log() -> Vec<Sample> {
    vec![
        ("untouched", Vec::new()),
        // What to do, to which file, where (2 bytes), how many bytes, which.
        ("flipped", vec![2, 1, 200, 0, 0]),
        ("written-over", vec![0, 4, 100, 1, 4, 1, 2, 3, 4]),
        ("file-lost", vec![3, 0, 0, 0, 0]),
        ("files-exchanged", vec![4, 1, 2, 0, 0]),
        ("sealed-as-it-was", vec![5, 1, 0, 0, 2, 16, 64]),
        ("sealed-term", vec![5, 1, 1, 0, 9, 48, 9, 0, 0, 0, 0, 0, 0, 0]),
        ("sealed-entry", vec![5, 1, 1, 0, 9, 104, 9, 0, 0, 0, 0, 0, 0, 0]),
        ("sealed-membership", vec![5, 1, 1, 0, 6, 120, 2, 1, 0, 0, 0]),
        ("sealed-tail", vec![5, 255, 200, 0, 3, 20, 255, 255]),
    ]
}

fn snapshots() -> Vec<Sample> {
    let record = |table: u64, key: &[u8], value: &[u8]| {
        let lengths = [(key.len() as u32).to_le_bytes(), (value.len() as u32).to_le_bytes()].concat();
        [&table.to_le_bytes()[..], &lengths, key, value].concat()
    };
    let records = [record(1, b"a", b"1"), record(1 << 32, b"user/42", b"Ana")].concat();
    let frame = Bytes::from([&[1], &records[..]].concat());
    let behind_length = |frame: &[u8]| [&(frame.len() as u16).to_le_bytes()[..], frame].concat();
    let whole = snapshot::end(std::slice::from_ref(&frame), 2);
    vec![
        ("whole", [&[0], &behind_length(&frame)[..], &behind_length(&whole)].concat()),
        ("made-to-fit", [&[5], &behind_length(&frame)[..]].concat()),
        ("empty", vec![1]),
        (
            "arriving",
            [
                &[128],
                &behind_length(&snapshot::list(std::slice::from_ref(&frame)))[..],
                &behind_length(&whole),
                &behind_length(&frame),
            ]
            .concat(),
        ),
        ("arriving-made-to-fit", [&[128 + 5], &behind_length(&frame)[..]].concat()),
        ("a-manifest-without-chunks", [&[254], &b"OUTBSNAP\0\0\0\0"[..], &snapshot::end(&[], 0)].concat()),
        ("cut-short", [&[5], &behind_length(&frame[..20])[..]].concat()),
    ]
}

fn component() -> Vec<Sample> {
    vec![
        ("engine", vec![1, 0, 0, 0, 0]),
        ("written-over", vec![1, 9, 0, 0, 3, 1, 2, 3]),
        ("other-version", vec![4, 0, 0, 0, 1, 9]),
        ("module", b"\0asm\x01\0\0\0".to_vec()),
        ("nothing-inside", b"\0asm\x0d\0\x01\0".to_vec()),
    ]
}
