//! Joining by a token: who comes in, who stays out, and what each is told. The registrar here does what a node will do through its log.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use outboard_net::{
    Admitted, Authority, ClientConnection, Credentials, IdentityKey, JoinAnswer, JoinError, JoinOffer, JoinRefusal,
    JoinRequest, Limits, Net, Options, Permit, Principal, Token, TokenId, TokenRecord, Validity, fuzz, join,
};
use outboard_raft::NodeId;
use outboard_wire::access::{Enrols, Role, Wish};
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::mpsc;

use crate::harness::{LOOPBACK, Node, Stranger, any_node, authority, certificate, socket, soon, until};

const JOIN: &[u8] = b"outboard-join/1";
const HOUR_MS: u64 = 3_600_000;

#[tokio::test]
async fn a_node_with_a_token_comes_in_and_is_a_peer_from_then_on() {
    let registrar = Registrar::start().await;
    let token = registrar.token(Enrols::Node(Wish::Voter), 1);
    let key = key();
    let admitted = soon(join(registrar.address, &token, offer(&key))).await.expect("it comes in");
    assert_eq!(admitted.members, "n1=here");
    assert_eq!(admitted.credentials.principal(), &Principal::Node(NodeId(2)));
    assert_eq!(admitted.credentials.cluster(), registrar.authority.cluster());
    assert_eq!(registrar.heard.lock().expect("whole")[0], "n2 at 127.0.0.1:1 says [7, 7]");
    let peers = BTreeMap::from([(NodeId(1), registrar.address)]);
    let mut node = Node::start_with(admitted.credentials, socket(), &peers, Default::default()).await;
    node.up(1).await;
    assert_eq!(registrar.net.counters().joins, 1);
}

#[tokio::test]
async fn a_client_with_a_token_comes_in_under_its_name_and_can_ask() {
    let registrar = Registrar::start().await;
    let token = registrar.token(Enrols::Client(Role::Writer), 1);
    let key = key();
    let offer = JoinOffer { key: &key, cluster: None, name: "ana".into(), advertised: "".into(), details: vec![] };
    let admitted = soon(join(registrar.address, &token, offer)).await.expect("it comes in");
    assert_eq!(admitted.credentials.principal(), &Principal::Client { name: "ana".to_string() });
    soon(ClientConnection::connect(registrar.address, &admitted.credentials)).await.expect("it is a client now");
}

#[tokio::test]
async fn the_same_key_gets_the_same_again_though_the_token_is_used_up_and_expired() {
    let registrar = Registrar::start().await;
    let token = registrar.token(Enrols::Node(Wish::Learner), 1);
    let dir = tempfile::tempdir().expect("a folder");
    let id_of = async || {
        // As a program that was stopped and run again would: the key waits in the folder.
        let key = IdentityKey::load_or_create(dir.path()).expect("a key");
        let Admitted { credentials, .. } =
            soon(join(registrar.address, &token, offer(&key))).await.expect("it comes in");
        credentials
    };
    let first = id_of().await;
    registrar.pass(2 * HOUR_MS);
    let again = id_of().await;
    assert_eq!(first.principal(), again.principal());
    assert_ne!(first.serial(), again.serial(), "a new certificate");
    again.save(dir.path()).expect("it is written");
    assert_eq!(Credentials::load(dir.path()).expect("key and certificate fit").serial(), again.serial());
    assert_eq!(registrar.record(&token).uses_left, 0);
}

/// Attempts and answers: the one thing that is wrong, and what the joiner is told.
#[tokio::test]
async fn who_has_no_good_token_stays_out_and_is_told_why() {
    let registrar = Registrar::start().await;
    let pin = registrar.authority.pin();
    let voter = Enrols::Node(Wish::Voter);

    let unknown = Token::generate(voter, pin);
    assert_refused(&registrar, &unknown, JoinRefusal::UnknownToken).await;

    // Right id, other secret: the record is of another token.
    let wrong_secret = Token::generate(voter, pin);
    let mut record = TokenRecord::of(&Token::generate(voter, pin), registrar.now() + HOUR_MS, 1);
    record.id = wrong_secret.id();
    registrar.add(record);
    assert_refused(&registrar, &wrong_secret, JoinRefusal::WrongProof).await;

    let used = registrar.token(voter, 1);
    soon(join(registrar.address, &used, offer(&key()))).await.expect("the first comes in");
    assert_refused(&registrar, &used, JoinRefusal::UsedUp).await;

    let expired = registrar.token(voter, 1);
    registrar.pass(HOUR_MS);
    assert_refused(&registrar, &expired, JoinRefusal::Expired).await;

    assert_eq!(registrar.admitted(), 1);
}

async fn assert_refused(registrar: &Registrar, token: &Token, why: JoinRefusal) {
    let refused = soon(join(registrar.address, token, offer(&key()))).await.expect_err("it stays out");
    assert!(matches!(&refused, JoinError::Refused(told) if *told == why), "{refused}");
    assert_eq!(refused.to_string(), why.to_string());
}

#[tokio::test]
async fn a_joiner_says_nothing_to_a_cluster_whose_authority_is_not_the_tokens() {
    let registrar = Registrar::start().await;
    let foreign = Token::generate(Enrols::Node(Wish::Voter), authority().pin());
    let wrong = soon(join(registrar.address, &foreign, offer(&key()))).await.expect_err("another cluster");
    assert!(matches!(&wrong, JoinError::WrongAuthority { address } if *address == registrar.address), "{wrong}");
    // Likewise when somebody in the way shows the right authority's certificate, but has no certificate under it.
    let rogue = authority().issue_node(NodeId(1)).expect("a certificate");
    let (address, _heard) = impostor(&rogue, registrar.authority.certificate_pem()).await;
    let token = registrar.token(Enrols::Node(Wish::Voter), 1);
    let wrong = soon(join(address, &token, offer(&key()))).await.expect_err("an impostor");
    assert!(matches!(&wrong, JoinError::NodeCertificate { .. }), "{wrong}");
    assert_eq!(registrar.net.counters().joins, 0);
}

#[tokio::test]
async fn a_client_of_the_cluster_and_an_expired_node_can_not_play_the_node() {
    let authority = authority();
    let token = Token::generate(Enrols::Node(Wish::Voter), authority.pin());
    let client = authority.issue_client("eve").expect("a certificate");
    let day = Duration::from_secs(24 * 3_600);
    let past = Validity { from: SystemTime::now() - 2 * day, until: SystemTime::now() - day };
    let expired = authority.issue(Principal::Node(NodeId(1)), past).expect("a certificate");
    for (shows, expected) in [(client, ""), (expired, "clock")] {
        let (address, _heard) = impostor(&shows, authority.certificate_pem()).await;
        let wrong = soon(join(address, &token, offer(&key()))).await.expect_err("no node of the cluster");
        assert!(matches!(&wrong, JoinError::NodeCertificate { what, .. } if what.contains(expected)), "{wrong}");
    }
}

#[tokio::test]
async fn a_joiner_that_belongs_to_another_cluster_notices_before_it_says_anything() {
    let registrar = Registrar::start().await;
    let token = registrar.token(Enrols::Node(Wish::Voter), 1);
    let (key, here) = (key(), authority().cluster());
    let offer = JoinOffer { cluster: Some(here), ..offer(&key) };
    let wrong = soon(join(registrar.address, &token, offer)).await.expect_err("it belongs elsewhere");
    let there = registrar.authority.cluster();
    assert!(matches!(&wrong, JoinError::OtherCluster { here: h, there: t } if (*h, *t) == (here, there)), "{wrong}");
    assert_eq!(registrar.net.counters().joins, 0);
}

#[tokio::test]
async fn a_proof_from_one_connection_is_worth_nothing_on_another() {
    let registrar = Registrar::start().await;
    let token = registrar.token(Enrols::Node(Wish::Voter), 1);
    // A node that was removed still has a certificate that holds; somebody joins at it, and it passes on what it hears.
    let removed = registrar.authority.issue_node(NodeId(9)).expect("a certificate");
    let (address, heard) = impostor(&removed, registrar.authority.certificate_pem()).await;
    let victim = key();
    let joining = soon(join(address, &token, offer(&victim)));
    let (lost, heard) = tokio::join!(joining, soon(heard));
    assert!(matches!(lost, Err(JoinError::Lost { .. })), "{lost:?}");
    let heard = heard.expect("it heard the whole request");
    fuzz::join_request(&heard[5..]).expect("it is a good request");

    let answer = Raw::dial(&registrar).await.ask(&heard).await.expect("an answer");
    assert_eq!(fuzz::join_answer(&answer), Ok(JoinAnswer::Refused(JoinRefusal::WrongProof)));
    assert_eq!(registrar.admitted(), 0);
    // Whose proof it was comes in as ever.
    soon(join(registrar.address, &token, offer(&victim))).await.expect("it comes in");
}

#[tokio::test]
async fn nothing_in_a_request_can_be_changed_on_its_way() {
    let registrar = Registrar::start().await;
    let token = registrar.token(Enrols::Node(Wish::Voter), 1);
    let removed = registrar.authority.issue_node(NodeId(9)).expect("a certificate");
    let (address, heard) = impostor(&removed, registrar.authority.certificate_pem()).await;
    let victim = key();
    let (_, heard) = tokio::join!(soon(join(address, &token, offer(&victim))), soon(heard));
    let heard = heard.expect("it heard the whole request");
    for at in (5..heard.len()).step_by(7) {
        let mut damaged = heard.clone();
        damaged[at] ^= 1;
        // Unreadable, unknown or unproved: never admitted.
        if let Some(answer) = Raw::dial(&registrar).await.ask(&damaged).await {
            assert!(matches!(fuzz::join_answer(&answer), Ok(JoinAnswer::Refused(_))), "byte {at}");
        }
    }
    assert_eq!(registrar.admitted(), 0);
}

#[tokio::test]
async fn an_address_that_only_the_joiner_reaches_is_refused_when_the_others_are_elsewhere() {
    let registrar = Registrar::start().await;
    *registrar.members.lock().expect("whole") = vec!["10.0.0.5:4410".to_string()];
    let token = registrar.token(Enrols::Node(Wish::Voter), 1);
    let refused = soon(join(registrar.address, &token, offer(&key()))).await.expect_err("nobody reaches it");
    let expected = JoinRefusal::Loopback { advertised: "127.0.0.1:1".to_string() };
    assert!(matches!(&refused, JoinError::Refused(told) if *told == expected), "{refused}");
    assert!(refused.to_string().contains("127.0.0.1:1"), "{refused}");
    let key = key();
    let reachable = JoinOffer { advertised: "10.0.0.6:4410".to_string(), ..offer(&key) };
    soon(join(registrar.address, &token, reachable)).await.expect("it comes in");
}

#[tokio::test]
async fn a_senseless_offer_is_refused_before_the_node_is_asked() {
    let registrar = Registrar::start().await;
    let token = registrar.token(Enrols::Node(Wish::Voter), 1);
    let key = key();
    let bad_name = JoinOffer { name: "a b".to_string(), ..offer(&key) };
    let refused = soon(join(registrar.address, &token, bad_name)).await.expect_err("no name");
    assert!(matches!(refused, JoinError::Refused(JoinRefusal::Name { .. })), "{refused}");
    let too_much = JoinOffer { details: vec![0; 64 << 10], ..offer(&key) };
    let refused = soon(join(registrar.address, &token, too_much)).await.expect_err("too much");
    assert!(matches!(refused, JoinError::TooLarge { bytes: 65_536, .. }), "{refused}");
    assert_eq!((registrar.net.counters().joins, registrar.net.counters().joins_refused), (0, 1));
    let nowhere = JoinOffer { advertised: String::new(), ..offer(&key) };
    let refused = soon(join(registrar.address, &token, nowhere)).await.expect_err("a node is somewhere");
    assert!(matches!(refused, JoinError::Refused(JoinRefusal::Invalid { .. })), "{refused}");
}

#[tokio::test]
async fn garbage_on_the_join_stream_costs_its_connection_only() {
    let registrar = Registrar::start().await;
    let oversized = [&[5u8][..], &u32::MAX.to_le_bytes()].concat();
    let truncated = [&[5u8][..], &100u32.to_le_bytes(), b"and no more"].concat();
    let nonsense = [&[5u8][..], &9u32.to_le_bytes(), b"nonsense!"].concat();
    let cases = [&[77u8][..], &[3], &[], &oversized, &truncated, &nonsense, &[5, 0, 0, 0, 0]];
    for (count, bytes) in cases.into_iter().enumerate() {
        assert_eq!(Raw::dial(&registrar).await.ask(bytes).await, None, "case {count}");
        until(|| registrar.net.counters().malformed == count as u64 + 1).await;
    }
    let token = registrar.token(Enrols::Node(Wish::Voter), 1);
    soon(join(registrar.address, &token, offer(&key()))).await.expect("a good one comes in");
}

#[tokio::test]
async fn joiners_beyond_the_limit_are_told_so_and_harm_nobody_else() {
    let registrar = Registrar::start_with(Limits { joins_max: 2, ..Limits::default() }).await;
    let (first, _second) = (Raw::dial(&registrar).await, Raw::dial(&registrar).await);
    let token = registrar.token(Enrols::Node(Wish::Voter), u32::MAX);
    // A connection stands for the joiner before it does for the node.
    let busy = async { while !matches!(try_join(&registrar, &token).await, Err(JoinError::Busy { .. })) {} };
    soon(busy).await;
    let client = registrar.authority.issue_client("ana").expect("a certificate");
    soon(ClientConnection::connect(registrar.address, &client)).await.expect("others are served");
    first.0.close(0u32.into(), b"never mind");
    let room = async { while try_join(&registrar, &token).await.is_err() {} };
    soon(room).await;
}

async fn try_join(registrar: &Registrar, token: &Token) -> Result<Admitted, JoinError> {
    join(registrar.address, token, offer(&key())).await
}

#[tokio::test]
async fn a_joiner_that_says_nothing_or_half_of_it_is_sent_away_in_time() {
    let registrar = Registrar::start_with(impatient()).await;
    let silent = Raw::dial(&registrar).await;
    let half = Raw::dial(&registrar).await;
    let (mut send, _receive) = half.0.open_bi().await.expect("a stream");
    send.write_all(&[5, 100, 0, 0, 0, 1, 2, 3]).await.expect("open");
    for raw in [silent, half] {
        let why = soon(raw.0.closed()).await.to_string();
        assert!(why.contains("no request to join came in time"), "{why}");
    }
    until(|| registrar.net.counters().joins_refused == 2).await;
    assert_eq!(registrar.net.counters().joins, 0);
}

fn impatient() -> Limits {
    Limits { join_request_timeout: Duration::from_millis(200), ..Limits::default() }
}

#[tokio::test]
async fn a_stranger_can_not_make_the_node_keep_more_than_a_little() {
    let registrar = Registrar::start_with(impatient()).await;
    let raw = Raw::dial(&registrar).await;
    let mut written = 0;
    let flood = async {
        let mut streams = Vec::new();
        // The first stream is read, up to the limit; what is written on others waits in the node's QUIC.
        streams.push(raw.0.open_bi().await.expect("a stream"));
        while let Ok((mut send, receive)) = raw.0.open_bi().await {
            while let Ok(count) = send.write(&[0; 4_096]).await {
                written += count;
            }
            streams.push((send, receive));
        }
    };
    // It blocks on flow control until the node sends it away for its silence.
    soon(flood).await;
    assert!(written <= 128 << 10, "{written} bytes were taken from a stranger");
}

#[tokio::test]
async fn nobody_without_a_certificate_gets_anything_but_a_join() {
    let registrar = Registrar::start().await;
    for (count, alpn) in [(1, &b"outboard-client/1"[..]), (2, b"outboard-peer/1")] {
        let stranger = Stranger::new(&registrar.authority, None, alpn);
        let connection = stranger.connect(registrar.address, &any_node(&registrar.authority)).await;
        if let Ok(connection) = connection {
            let why = soon(connection.closed()).await.to_string();
            assert!(why.contains("no certificate was shown"), "{why}");
        }
        until(|| registrar.net.counters().refused_certificate == count).await;
    }
    let counters = registrar.net.counters();
    assert_eq!((counters.peers_accepted, counters.clients_accepted, counters.joins), (0, 0, 0));
}

#[tokio::test]
async fn nobody_there_another_program_and_a_node_without_joins_are_told_apart() {
    let authority = authority();
    let token = Token::generate(Enrols::Node(Wish::Voter), authority.pin());
    let silent = socket();
    let address = silent.local_addr().expect("it is bound");
    let nobody = soon(join(address, &token, offer(&key()))).await.expect_err("nobody listens");
    assert!(matches!(nobody, JoinError::NoAnswer { .. }), "{nobody}");
    assert!(nobody.to_string().contains("firewall") && nobody.to_string().contains("UDP"), "{nobody}");

    let node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let deaf = soon(join(node.net.local_addr(), &token, offer(&key()))).await.expect_err("it takes no joins");
    assert!(matches!(deaf, JoinError::NotEnrolling { .. }), "{deaf}");
    assert_eq!(node.net.counters().refused_protocol, 1);
}

#[tokio::test]
async fn a_node_that_drops_a_request_or_answers_for_somebody_else_is_told_apart_from_a_refusal() {
    let (authority, other) = (authority(), authority());
    let token = Token::generate(Enrols::Node(Wish::Voter), authority.pin());
    let (joins, mut asked) = mpsc::channel(1);
    let credentials = authority.issue_node(NodeId(1)).expect("a certificate");
    let (events, _inbox) = mpsc::channel(16);
    let options = Options { joins: Some(joins), ..Options::new(LOOPBACK, credentials, BTreeMap::new()) };
    let net = Net::bind(options, events).await.expect("the net starts");
    let mut answer_with = async |answer: &dyn Fn(JoinRequest)| {
        let answering = async { answer(soon(asked.recv()).await.expect("the net lives")) };
        let key = key();
        tokio::join!(join(net.local_addr(), &token, offer(&key)), answering).0
    };
    let dropped = answer_with(&drop).await;
    assert!(matches!(dropped, Err(JoinError::Refused(JoinRefusal::Unavailable { .. }))), "{dropped:?}");
    let two = Principal::Node(NodeId(2));
    let ana = Principal::Client { name: "ana".to_string() };
    let foreign = answer_with(&|join| join.admit(&other, &two, vec![]).expect("signed")).await;
    assert!(matches!(&foreign, Err(JoinError::BadAnswer { what, .. }) if what.contains("authority")), "{foreign:?}");
    let client = answer_with(&|join| join.admit(&authority, &ana, vec![]).expect("signed")).await;
    assert!(matches!(&client, Err(JoinError::BadAnswer { what, .. }) if what.contains("token")), "{client:?}");
    let not_ours = authority.issue_node(NodeId(2)).expect("a certificate");
    let (certificate_pem, ca_pem) = (not_ours.certificate_pem().to_string(), not_ours.ca_pem().to_string());
    let stolen = JoinAnswer::Admitted { certificate_pem, ca_pem, members: vec![] };
    let stolen = answer_with(&|join| join.answer(stolen.clone())).await;
    assert!(matches!(&stolen, Err(JoinError::BadAnswer { what, .. }) if what.contains("key")), "{stolen:?}");
    let hint = JoinRefusal::NotLeader { hint: Some("10.0.0.5:4410".to_string()) };
    let elsewhere = answer_with(&|join| join.refuse(hint.clone())).await;
    assert!(matches!(&elsewhere, Err(JoinError::Refused(told)) if *told == hint), "{elsewhere:?}");
    let good = answer_with(&|join| join.admit(&authority, &two, vec![9; 1 << 19]).expect("signed")).await;
    assert_eq!(good.expect("it comes in").members.len(), 1 << 19);
}

#[test]
fn what_is_secret_is_shown_nowhere() {
    let token = Token::generate(Enrols::Node(Wish::Voter), authority().pin());
    let key = key();
    let shown = format!("{token:?} {key:?} {:?} {:?}", offer(&key), TokenRecord::of(&token, 1, 1));
    assert!(!shown.contains("PRIVATE") && !shown.contains(&token.reveal()[40..]), "{shown}");
}

fn key() -> IdentityKey {
    IdentityKey::generate().expect("a key")
}

fn offer(key: &IdentityKey) -> JoinOffer<'_> {
    let advertised = "127.0.0.1:1".to_string();
    JoinOffer { key, cluster: None, name: "n2".to_string(), advertised, details: vec![7, 7] }
}

/// A node that takes joins, with its tokens and a log of one entry at a time.
struct Registrar {
    net: Net,
    address: SocketAddr,
    authority: Arc<Authority>,
    records: Arc<Mutex<BTreeMap<TokenId, TokenRecord>>>,
    now_ms: Arc<Mutex<u64>>,
    members: Arc<Mutex<Vec<String>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Registrar {
    async fn start() -> Registrar {
        Registrar::start_with(Limits::default()).await
    }

    async fn start_with(limits: Limits) -> Registrar {
        let authority = Arc::new(authority());
        let credentials = authority.issue_node(NodeId(1)).expect("a node's certificate");
        let (joins, mut asked) = mpsc::channel(4);
        let (events, mut inbox) = mpsc::channel(16);
        let options = Options { joins: Some(joins), limits, ..Options::new(LOOPBACK, credentials, BTreeMap::new()) };
        let net = Net::bind(options, events).await.expect("the net starts");
        let registrar = Registrar {
            address: net.local_addr(),
            net,
            authority,
            records: Arc::default(),
            now_ms: Arc::new(Mutex::new(1_000_000)),
            members: Arc::default(),
            heard: Arc::default(),
        };
        let desk = Desk {
            authority: registrar.authority.clone(),
            records: registrar.records.clone(),
            now_ms: registrar.now_ms.clone(),
            members: registrar.members.clone(),
            heard: registrar.heard.clone(),
        };
        tokio::spawn(async move { while inbox.recv().await.is_some() {} });
        tokio::spawn(async move {
            while let Some(join) = asked.recv().await {
                desk.decide(join);
            }
        });
        registrar
    }

    fn token(&self, enrols: Enrols, uses: u32) -> Token {
        let token = Token::generate(enrols, self.authority.pin());
        self.add(TokenRecord::of(&token, self.now() + HOUR_MS, uses));
        // As somebody would paste it.
        Token::parse(&token.reveal()).expect("a token is read back")
    }

    fn add(&self, record: TokenRecord) {
        self.records.lock().expect("whole").insert(record.id, record);
    }

    fn record(&self, token: &Token) -> TokenRecord {
        self.records.lock().expect("whole")[&token.id()].clone()
    }

    fn admitted(&self) -> usize {
        self.records.lock().expect("whole").values().map(|record| record.used_by.len()).sum()
    }

    fn now(&self) -> u64 {
        *self.now_ms.lock().expect("whole")
    }

    fn pass(&self, ms: u64) {
        *self.now_ms.lock().expect("whole") += ms;
    }
}

/// What decides, on a task of its own.
struct Desk {
    authority: Arc<Authority>,
    records: Arc<Mutex<BTreeMap<TokenId, TokenRecord>>>,
    now_ms: Arc<Mutex<u64>>,
    members: Arc<Mutex<Vec<String>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Desk {
    fn decide(&self, join: JoinRequest) {
        let mut records = self.records.lock().expect("whole");
        let members = self.members.lock().expect("whole");
        let now = *self.now_ms.lock().expect("whole");
        let judged = join.judge(records.get(&join.token()), now);
        let judged = judged.and_then(|permit| {
            join.check_reach(members.iter().map(String::as_str))?;
            Ok(permit)
        });
        let principal = match judged {
            Err(why) => return join.refuse(why),
            Ok(Permit::Resume(principal)) => principal,
            Ok(Permit::New) => {
                let next = 2 + records.values().map(|record| record.used_by.len() as u64).sum::<u64>();
                let record = records.get_mut(&join.token()).expect("it was judged");
                let principal = match record.enrols {
                    Enrols::Node(_) => Principal::Node(NodeId(next)),
                    Enrols::Client(_) => Principal::Client { name: join.name().to_string() },
                };
                record.use_up(join.key_hash(), principal.clone());
                principal
            }
        };
        let heard = format!("{} at {} says {:?}", join.name(), join.advertised(), join.details());
        self.heard.lock().expect("whole").push(heard);
        join.admit(&self.authority, &principal, b"n1=here".to_vec()).expect("it can be signed");
    }
}

/// A connection for joining on which any bytes are said.
struct Raw(quinn::Connection, #[expect(dead_code, reason = "the connection lives on its endpoint")] Stranger);

impl Raw {
    async fn dial(registrar: &Registrar) -> Raw {
        let stranger = Stranger::new(&registrar.authority, None, JOIN);
        let connection = stranger.connect(registrar.address, &any_node(&registrar.authority)).await;
        Raw(connection.expect("it may connect"), stranger)
    }

    /// Says the bytes; what is answered, without its length.
    async fn ask(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (mut send, mut receive) = self.0.open_bi().await.ok()?;
        send.write_all(bytes).await.ok()?;
        send.finish().ok()?;
        let answer = soon(receive.read_to_end(1 << 21)).await.ok()?;
        answer.get(4..).map(<[u8]>::to_vec)
    }
}

/// Somebody who stands where a node should: shows these credentials and that authority, hears one request, and hangs up.
async fn impostor(shows: &Credentials, ca_pem: &str) -> (SocketAddr, impl Future<Output = Option<Vec<u8>>> + use<>) {
    let key = PrivateKeyDer::from_pem_slice(shows.key_pem().as_bytes()).expect("a key");
    let chain = vec![certificate(shows.certificate_pem()), certificate(ca_pem)];
    let mut config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    config.alpn_protocols = vec![JOIN.to_vec()];
    let crypto = QuicServerConfig::try_from(config).expect("a suite for QUIC");
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = quinn::Endpoint::server(config, LOOPBACK).expect("a free port");
    let address = endpoint.local_addr().expect("it is bound");
    let hearing = tokio::spawn(async move {
        let connection = endpoint.accept().await?.await.ok()?;
        let (_send, mut receive) = connection.accept_bi().await.ok()?;
        let heard = receive.read_to_end(1 << 20).await.ok();
        connection.close(0u32.into(), b"heard enough");
        endpoint.wait_idle().await;
        heard
    });
    (address, async move { hearing.await.expect("no panic") })
}
