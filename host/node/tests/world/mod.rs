//! A cluster for tests: nodes in this process, on free ports and in a temp folder that goes with it.

use bytes::Bytes;
use outboard_client::{Client, Context, Options};
use outboard_net::{ClientConnection, Credentials, Token};
use outboard_node::enrolment::{EnrolError, join_client, join_node};
use outboard_node::formation::{Planned, form};
use outboard_node::{Durability, LogCare, Node, NodeSettings};
use outboard_wire::access::{AccessCommand, Enrols, MemberChange, MemberInfo, Standing, TokenSpec};
use outboard_wire::bulk::{BulkHeader, BulkReply, Readiness};
use outboard_wire::client::{Answer, Consistency, Request, RequestBody, RequestId, Response};
use outboard_wire::status::{Agreement, ClusterStatus, NodeStatus};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Generous: only a broken cluster ever waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    nodes: BTreeMap<u64, Node>,
    dirs: BTreeMap<u64, PathBuf>,
    addresses: BTreeMap<u64, std::net::SocketAddr>,
    connections: BTreeMap<u64, ClientConnection>,
    admin: Credentials,
    engine: Arc<[u8]>,
    cluster: u128,
    log: LogCare,
    _folder: tempfile::TempDir,
}

impl World {
    /// So many nodes, named n1 and so on, with that engine to begin with.
    pub(crate) async fn start(nodes: u64, engine: &[u8]) -> World {
        World::start_with_log(nodes, engine, LogCare::default()).await
    }

    /// As [`World::start`], with another log.
    pub(crate) async fn start_with_log(nodes: u64, engine: &[u8], log: LogCare) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let addresses: BTreeMap<_, _> = (1..=nodes).zip(free_addresses(nodes)).collect();
        let plan = |(id, address): (&u64, &std::net::SocketAddr)| Planned {
            name: format!("n{id}"),
            address: address.to_string(),
        };
        let plan: Vec<Planned> = addresses.iter().map(plan).collect();
        let formed = form(&folder.path().join("cluster"), &plan).expect("formed");
        let mut world = World {
            nodes: BTreeMap::new(),
            dirs: (1..=nodes).zip(formed.node_dirs).collect(),
            addresses,
            connections: BTreeMap::new(),
            admin: formed.admin,
            engine: engine.into(),
            cluster: formed.cluster.0,
            log,
            _folder: folder,
        };
        for number in 1..=nodes {
            world.restart(number).await;
        }
        world
    }

    /// A token of this cluster, known to it.
    pub(crate) async fn token(&mut self, enrols: Enrols, uses: u32) -> Token {
        let token = Token::generate(enrols, self.admin.authority_pin());
        let (id, verifier) = (token.id().0, token.verifier().0);
        let spec = TokenSpec { id, verifier, enrols, lasts_ms: 3_600_000, uses };
        let asked = self.running()[0];
        let made = self.request(asked, RequestBody::Access(AccessCommand::TokenCreate(spec))).await;
        assert_eq!(made, Response::Done);
        token
    }

    /// A new node comes in through a running one; its number, which is that of its folder here too. It runs from now on.
    pub(crate) async fn join(&mut self, through: u64, token: &Token) -> Result<u64, EnrolError> {
        let number = self.dirs.keys().max().expect("there are nodes") + 1;
        let (dir, address) = (self._folder.path().join(format!("joined-{number}")), free_addresses(1)[0]);
        join_node(self.addresses[&through], token, &dir, "", &address.to_string()).await?;
        self.dirs.insert(number, dir);
        self.addresses.insert(number, address);
        self.restart(number).await;
        Ok(number)
    }

    /// Joins with a folder of its own, and runs nothing.
    pub(crate) async fn try_join(&self, through: u64, token: &Token, folder: &str) -> Result<(), EnrolError> {
        let (dir, address) = (self._folder.path().join(folder), free_addresses(1)[0]);
        join_node(self.addresses[&through], token, &dir, "", &address.to_string()).await
    }

    /// A client comes in.
    pub(crate) async fn join_client(&self, through: u64, token: &Token, name: &str) -> Result<Credentials, EnrolError> {
        let dir = self._folder.path().join(format!("client-{name}"));
        Ok(join_client(self.addresses[&through], token, &dir, name).await?.credentials)
    }

    /// Asks as somebody else, once.
    pub(crate) async fn ask_as(&self, who: &Credentials, number: u64, body: RequestBody) -> Result<Response, String> {
        let connection = ClientConnection::connect(self.addresses[&number], who).await.map_err(|e| e.to_string())?;
        let answer = connection.request(Request { timeout_ms: 20_000, body }.encode().into()).await;
        let answer = answer.map_err(|error| format!("{error} {:?}", connection.refusal()))?;
        Ok(Answer::decode(&answer).expect("readable").response)
    }

    /// A connection of somebody else's.
    pub(crate) async fn connect_as(&self, who: &Credentials, number: u64) -> ClientConnection {
        ClientConnection::connect(self.addresses[&number], who).await.expect("let in")
    }

    pub(crate) async fn change(&mut self, change: MemberChange, forced: bool) -> Response {
        // Not the one that leaves: it is cut off, perhaps before it has passed on the answer.
        let leaves = match change {
            MemberChange::Remove { node } => Some(node),
            MemberChange::Replace { old, .. } => Some(old),
            MemberChange::Promote { .. } | MemberChange::Demote { .. } => None,
        };
        let asked = self.running().into_iter().find(|node| Some(*node) != leaves).expect("another one runs");
        let answer = self.request(asked, RequestBody::MemberChange { change, forced, dry_run: false }).await;
        let (Some(leaves), Response::Unknown(_)) = (leaves, &answer) else { return answer };
        // It led, and left before it could pass on the answer: the members tell, as they tell the command line.
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.request(asked, RequestBody::MemberList).await {
                Response::Members(members) if members.iter().all(|member| member.node != leaves) => {
                    return Response::Done;
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        answer
    }

    pub(crate) async fn members(&mut self) -> Vec<MemberInfo> {
        let asked = self.running()[0];
        match self.request(asked, RequestBody::MemberList).await {
            Response::Members(members) => members,
            other => panic!("no members: {other:?}"),
        }
    }

    /// Until exactly these vote, and nothing else is on its way.
    pub(crate) async fn until_voters(&mut self, voters: &[u64]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let members = self.members().await;
            let voting = members.iter().filter(|it| it.standing == Standing::Voter).map(|it| it.node);
            let under_way = members
                .iter()
                .any(|it| matches!(it.standing, Standing::Joining { .. } | Standing::Leaving | Standing::Enrolled));
            if voting.collect::<Vec<_>>() == voters && !under_way {
                return;
            }
            assert!(Instant::now() < deadline, "not these voters: {members:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A node that ends by itself; why.
    pub(crate) async fn until_ended(&mut self, number: u64) -> outboard_node::Halt {
        let deadline = Instant::now() + PATIENCE;
        while !self.nodes[&number].has_ended() {
            assert!(Instant::now() < deadline, "n{number} goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.connections.remove(&number);
        self.nodes.remove(&number).expect("it ran").stop().expect_err("it ended by itself")
    }

    pub(crate) fn dir(&self, number: u64) -> &std::path::Path {
        &self.dirs[&number]
    }

    pub(crate) async fn raw(&mut self, number: u64, body: RequestBody) -> Response {
        self.request(number, body).await
    }

    pub(crate) fn running(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) fn kill(&mut self, number: u64) {
        self.connections.remove(&number);
        self.nodes.remove(&number).expect("it runs").kill();
    }

    pub(crate) fn stop(&mut self, number: u64) {
        self.connections.remove(&number);
        self.nodes.remove(&number).expect("it runs").stop().expect("it stops in order");
    }

    pub(crate) async fn restart(&mut self, number: u64) {
        let engine = self.engine.clone();
        self.restart_with(number, &engine).await;
    }

    pub(crate) async fn restart_with(&mut self, number: u64, engine: &[u8]) {
        let settings = self.settings(number, engine.into());
        let node = Node::start(settings).unwrap_or_else(|error| panic!("n{number} does not start: {error}"));
        self.nodes.insert(number, node);
    }

    /// Throws away the components of a node that does not run.
    pub(crate) fn forget_engines(&self, number: u64) {
        for folder in ["engines", "compiled"] {
            std::fs::remove_dir_all(self.dirs[&number].join(folder)).expect("it was there");
        }
    }

    /// Throws away the log alone of a node that does not run.
    pub(crate) fn lose_log(&self, number: u64) {
        std::fs::remove_dir_all(self.dirs[&number].join("log")).expect("it was there");
    }

    /// Starts a node that may refuse.
    pub(crate) fn try_restart(&mut self, number: u64) -> Result<(), outboard_node::StartError> {
        let settings = self.settings(number, self.engine.clone());
        self.nodes.insert(number, Node::start(settings)?);
        Ok(())
    }

    fn settings(&self, number: u64, engine: Arc<[u8]>) -> NodeSettings {
        let (data_dir, log) = (self.dirs[&number].clone(), self.log.clone());
        NodeSettings { data_dir, engine, durability: Durability::Sync, listen: None, log }
    }

    /// Throws away the tables alone of a node that does not run: what the log holds has to be applied again.
    pub(crate) fn lose_tables(&self, number: u64) {
        std::fs::remove_dir_all(self.dirs[&number].join("tables")).expect("it was there");
    }

    /// The segments of a node's log, oldest first.
    pub(crate) fn segments(&self, number: u64) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.dirs[&number].join("log")).expect("there is a log");
        let paths = files.map(|file| file.expect("a folder can be read").path());
        let mut segments: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|end| end == "wal")).collect();
        segments.sort();
        segments
    }

    /// Whether files of a damaged log are kept.
    pub(crate) fn keeps_damaged_files(&self, number: u64) -> bool {
        let mut files = std::fs::read_dir(self.dirs[&number].join("log")).expect("there is a log");
        files.any(|file| file.expect("a folder can be read").path().extension().is_some_and(|end| end == "damaged"))
    }

    /// Waits until the files of a damaged log are gone.
    pub(crate) async fn until_no_damaged_files(&self, number: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.keeps_damaged_files(number) {
            assert!(Instant::now() < deadline, "n{number} keeps files of a damaged log");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until there is no such file any more.
    pub(crate) async fn until_gone(&self, file: &std::path::Path) {
        let deadline = Instant::now() + PATIENCE;
        while file.exists() {
            assert!(Instant::now() < deadline, "{} is still there", file.display());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a node says so of itself.
    pub(crate) async fn until(&mut self, number: u64, what: &str, holds: impl Fn(&NodeStatus) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(number).await;
            if holds(&status) {
                return;
            }
            assert!(Instant::now() < deadline, "n{number} not {what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Throws away log and tables of a node that does not run.
    pub(crate) fn lose_data(&self, number: u64) {
        for folder in ["log", "tables"] {
            std::fs::remove_dir_all(self.dirs[&number].join(folder)).expect("it was there");
        }
    }

    /// Empties the log of a node that does not run, as if it had been compacted up to the tables.
    pub(crate) fn compact_log(&self, number: u64) {
        use outboard_store::Store;
        let tables = outboard_store::DiskStore::open(self.dirs[&number].join("tables"), Default::default());
        let applied = tables.expect("it was there").applied();
        let disk = Box::new(outboard_wal::FileDisk::new(self.dirs[&number].join("log")));
        let unrecovered = outboard_wal::Unrecovered::open(disk, self.cluster, Default::default()).expect("free");
        let (mut wal, _) = unrecovered.recover().expect("sound");
        let base = wal.position(outboard_raft::Index(applied)).expect("the tables stand within the log");
        wal.reset(base).expect("emptied");
    }

    /// A patient client of all nodes.
    pub(crate) fn client(&self) -> Client {
        let endpoints = self.addresses.values().map(|address| address.to_string()).collect();
        let options = Options { timeout: PATIENCE, ..Options::default() };
        Client::new(&Context::new(endpoints, self.admin.clone()), options).expect("a client")
    }

    pub(crate) fn node(&self, number: u64) -> &Node {
        &self.nodes[&number]
    }

    /// One write with a name in a session.
    pub(crate) async fn ask_once(&mut self, number: u64, id: RequestId, arguments: &[&str]) -> Response {
        let arguments = arguments.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let body = RequestBody::Command { arguments, consistency: Consistency::Linearizable, id: Some(id) };
        self.request(number, body).await
    }

    pub(crate) async fn open_session(&mut self, number: u64) -> u64 {
        match self.request(number, RequestBody::SessionOpen).await {
            Response::SessionOpened { session } => session,
            other => panic!("no session: {other:?}"),
        }
    }

    /// Asks one node until there is an outcome.
    pub(crate) async fn ask(&mut self, number: u64, arguments: &[&str]) -> Response {
        self.command(number, arguments, Consistency::Linearizable).await
    }

    /// Asks one node once to read by itself what was acknowledged before.
    pub(crate) async fn ask_follower(&mut self, number: u64, arguments: &[&str], patience: Duration) -> Response {
        let timeout_ms = patience.as_millis().try_into().expect("not so long");
        let arguments = arguments.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let body = RequestBody::Command { arguments, consistency: Consistency::Follower, id: None };
        let request = Request { timeout_ms, body }.encode();
        let answer = self.connect(number).await.request(request.into()).await.expect("the node answers");
        Answer::decode(&answer).expect("readable").response
    }

    /// Asks one node for what it has applied, until it has applied anything that answers without nil.
    pub(crate) async fn ask_stale(&mut self, number: u64, arguments: &[&str]) -> Response {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let response = self.command(number, arguments, Consistency::Stale).await;
            let behind =
                matches!(&response, Response::Reply(reply) if &reply[..] == b"_\r\n" || &reply[..] == b":0\r\n");
            if !(behind || matches!(response, Response::Rejected(_))) || Instant::now() > deadline {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn command(&mut self, number: u64, arguments: &[&str], consistency: Consistency) -> Response {
        let arguments = arguments.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        self.request(number, RequestBody::Command { arguments, consistency, id: None }).await
    }

    pub(crate) async fn upgrade(&mut self, number: u64, digest: &str) -> Response {
        self.request(number, RequestBody::EngineUpgrade { digest: digest.to_owned() }).await
    }

    pub(crate) async fn upgrade_when_ready(&mut self, number: u64, digest: &str) -> Response {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let response = self.upgrade(number, digest).await;
            let waiting = matches!(&response, Response::UpgradeRefused(why) if why.contains("ready yet"));
            if !waiting || Instant::now() > deadline {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Until every node has said its word on every engine.
    pub(crate) async fn until_engines_are_ready(&mut self, number: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Response::Engines(engines) = self.request(number, RequestBody::EngineList).await else {
                panic!("no list of engines");
            };
            let ready = |word: &(u64, Readiness)| word.1 == Readiness::Ready;
            if engines.iter().all(|engine| engine.nodes.iter().all(ready)) {
                return;
            }
            assert!(Instant::now() < deadline, "not all are ready: {engines:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn transfer(&mut self, number: u64, to: u64) -> Response {
        self.request(number, RequestBody::LeaderTransfer { to: Some(to) }).await
    }

    /// Pushes a component and waits until every node is ready; its digest, or the refusal.
    pub(crate) async fn push(&mut self, number: u64, component: &[u8]) -> Result<String, String> {
        match self.push_within(number, component, 30_000).await {
            BulkReply::Pushed(pushed) => {
                let ready = pushed.nodes.iter().all(|(_, word)| *word == Readiness::Ready);
                assert!(ready, "every node is ready: {:?}", pushed.nodes);
                Ok(pushed.engine.digest.to_string())
            }
            BulkReply::Refused(reason) => Err(reason),
            other => panic!("no answer to a push: {other:?}"),
        }
    }

    /// Pushes a component while some node is away, for which the push does not wait out its time; its digest.
    pub(crate) async fn push_to_some(&mut self, number: u64, component: &[u8]) -> String {
        const TIMEOUT_MS: u32 = 300_000;
        let started = Instant::now();
        match self.push_within(number, component, TIMEOUT_MS).await {
            BulkReply::Pushed(pushed) => {
                assert!(started.elapsed() < Duration::from_millis(TIMEOUT_MS.into()), "it waited for who is away");
                assert!(pushed.nodes.iter().any(|(_, word)| *word == Readiness::Waiting), "{:?}", pushed.nodes);
                pushed.engine.digest.to_string()
            }
            other => panic!("not staged: {other:?}"),
        }
    }

    async fn push_within(&mut self, number: u64, component: &[u8], timeout_ms: u32) -> BulkReply {
        let connection = self.connect(number).await;
        let header = BulkHeader::Push { bytes: component.len() as u64, timeout_ms };
        let mut stream = connection.open_bulk(header.encode().into()).await.expect("a stream");
        stream.write_all(Bytes::copy_from_slice(component)).await.expect("written");
        stream.finish().await.expect("finished");
        let frame = stream.read_frame().await.expect("an answer").expect("not empty");
        BulkReply::decode(&frame).expect("readable")
    }

    pub(crate) async fn status(&mut self, number: u64) -> NodeStatus {
        match self.request(number, RequestBody::NodeStatus).await {
            Response::NodeStatus(status) => *status,
            other => panic!("no status: {other:?}"),
        }
    }

    pub(crate) async fn leader(&mut self) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked = self.running()[0];
            if let Some(leader) = self.status(asked).await.leader {
                return leader;
            }
            assert!(Instant::now() < deadline, "no leader");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every running node has applied the same, and compares their hash chains.
    pub(crate) async fn assert_equal_states(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked = self.running()[0];
            let Response::Status(status) = self.request(asked, RequestBody::Status).await else {
                panic!("no status");
            };
            match status.agreement() {
                Agreement::Differs(index) => panic!("states differ at {index}: {status:#?}"),
                Agreement::Equal(_) if settled(&status) => return,
                Agreement::Equal(_) | Agreement::NoCommonMark => {}
            }
            assert!(Instant::now() < deadline, "not all nodes caught up: {status:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A request that is sent once: what becomes of it is the node's affair.
    pub(crate) async fn once(
        &mut self,
        number: u64,
        body: RequestBody,
    ) -> impl Future<Output = Response> + Send + 'static {
        let encoded = Bytes::from(Request { timeout_ms: 60_000, body }.encode());
        let connection = self.connect(number).await;
        async move {
            let answer = connection.request(encoded).await.expect("the node answers");
            Answer::decode(&answer).expect("readable").response
        }
    }

    async fn request(&mut self, number: u64, body: RequestBody) -> Response {
        let deadline = Instant::now() + PATIENCE;
        let encoded = Bytes::from(Request { timeout_ms: 20_000, body }.encode());
        loop {
            let connection = self.connect(number).await;
            let answer = connection.request(encoded.clone()).await.expect("the node answers");
            let answer = Answer::decode(&answer).expect("readable");
            if !answer.response.is_safe_to_retry() || Instant::now() > deadline {
                return answer.response;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn connect(&mut self, number: u64) -> ClientConnection {
        if let Some(connection) = self.connections.get(&number) {
            return connection.clone();
        }
        let connection = ClientConnection::connect(self.addresses[&number], &self.admin).await.expect("connected");
        self.connections.insert(number, connection.clone());
        connection
    }
}

fn settled(status: &ClusterStatus) -> bool {
    let all: Vec<&NodeStatus> = status.members.iter().filter_map(|member| member.status.as_ref()).collect();
    all.len() == status.members.len() && all.iter().all(|node| node.applied == all[0].applied)
}

/// Free until somebody else takes them, which on a test machine nobody does between here and the start.
fn free_addresses(count: u64) -> Vec<std::net::SocketAddr> {
    let sockets: Vec<_> = (0..count).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").expect("a port")).collect();
    sockets.iter().map(|socket| socket.local_addr().expect("bound")).collect()
}
