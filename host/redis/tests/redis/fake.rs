//! A node that keeps a map: for the tests of the listener, and for its example. It answers from its own thread, in an order that can be
//! chosen, and keeps what a node promises and nothing more: writes are done in the order in which they came, while a read is done at any
//! time after it came.

use bytes::Bytes;
use outboard_redis::{Ask, Backend, Figures};
use outboard_sandbox::{CommandSpec, KeyPositions, Manifest};
use outboard_wire::client::{Consistency, RequestBody, Response};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// In which order requests are done and answered.
#[derive(Copy, Clone, Default, Eq, PartialEq, Debug)]
pub(crate) enum Order {
    /// As they come.
    #[default]
    AsTheyCome,
    /// By chance, as far as the node's promises go; the seed.
    Shuffled(u64),
    /// Not at all, until [`Fake::release`].
    Held,
}

/// The node.
#[derive(Clone)]
pub(crate) struct Fake {
    jobs: Sender<Job>,
    state: Arc<State>,
}

enum Job {
    Do(Vec<Ask>),
    /// Answers all that is held, truly or with this, and says when it is done.
    Release(Option<Response>, Sender<()>),
}

/// What tests may look at and turn.
#[derive(Default)]
pub(crate) struct State {
    manifest: Mutex<Option<Arc<Manifest>>>,
    /// How many requests each hand-over had.
    pub(crate) batches: Mutex<Vec<usize>>,
    /// All requests, as they came.
    pub(crate) requests: Mutex<Vec<RequestBody>>,
    /// Requests that are neither answered nor dropped.
    pub(crate) waiting: AtomicUsize,
    /// Those that wait for [`Fake::release`].
    pub(crate) held: AtomicUsize,
    /// The most there were.
    pub(crate) waiting_most: AtomicUsize,
    keeps_requests: AtomicBool,
    next_watcher: AtomicU64,
}

impl Fake {
    /// Starts its thread, which ends with the last clone.
    pub(crate) fn start(order: Order) -> Fake {
        let (jobs, received) = channel();
        let state = Arc::new(State {
            manifest: Mutex::new(Some(manifest())),
            keeps_requests: AtomicBool::new(true),
            next_watcher: AtomicU64::new(1),
            ..State::default()
        });
        let worker = Worker { order, state: state.clone(), ..Worker::default() };
        std::thread::spawn(move || worker.run(&received));
        Fake { jobs, state }
    }

    /// For measuring: requests are not kept.
    pub(crate) fn forgetful(self) -> Fake {
        self.state.keeps_requests.store(false, Ordering::Relaxed);
        self
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Answers all that is held, truly or with this.
    pub(crate) fn release(&self, instead: Option<Response>) {
        let (done, released) = channel();
        self.jobs.send(Job::Release(instead, done)).expect("the worker lives");
        released.recv().expect("the worker lives");
    }

    /// The engine is there, or not.
    pub(crate) fn set_engine(&self, there: bool) {
        *self.state.manifest.lock().expect("no panics") = there.then(manifest);
    }

    /// Waits until so many requests are held.
    pub(crate) fn wait_for(&self, count: usize) {
        for _ in 0..20_000 {
            if self.state.held.load(Ordering::SeqCst) >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("only {} requests came", self.state.held.load(Ordering::SeqCst));
    }
}

impl Backend for Fake {
    fn submit(&self, asks: Vec<Ask>) {
        if self.state.keeps_requests.load(Ordering::Relaxed) {
            self.state.batches.lock().expect("no panics").push(asks.len());
            self.state.requests.lock().expect("no panics").extend(asks.iter().map(|ask| ask.body.clone()));
        }
        let waiting = self.state.waiting.fetch_add(asks.len(), Ordering::SeqCst) + asks.len();
        self.state.waiting_most.fetch_max(waiting, Ordering::SeqCst);
        self.jobs.send(Job::Do(asks)).expect("the worker lives");
    }

    fn manifest(&self) -> Option<Arc<Manifest>> {
        self.state.manifest.lock().expect("no panics").clone()
    }

    fn figures(&self) -> Figures {
        Figures { version: "0.0.0".into(), node: "n1".into(), role: "leader".into(), voters: 3, ..Figures::default() }
    }
}

#[derive(Default)]
struct Worker {
    order: Order,
    state: Arc<State>,
    map: BTreeMap<Bytes, Bytes>,
    /// When each key was last written.
    written: BTreeMap<Bytes, u64>,
    watchers: BTreeMap<u64, (BTreeSet<Bytes>, u64)>,
    time: u64,
    writes: VecDeque<Ask>,
    reads: Vec<Ask>,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>) {
        match self.order {
            Order::AsTheyCome => {
                for job in jobs {
                    if let Job::Do(asks) = job {
                        asks.into_iter().for_each(|ask| self.answer(ask));
                    }
                }
            }
            Order::Held => {
                let mut held = Vec::new();
                for job in jobs {
                    match job {
                        Job::Do(asks) => held.extend(asks),
                        Job::Release(instead, done) => {
                            for ask in held.drain(..) {
                                match &instead {
                                    None => self.answer(ask),
                                    Some(instead) => self.reply(ask, instead.clone()),
                                }
                            }
                            self.state.held.store(0, Ordering::SeqCst);
                            done.send(()).expect("it is waited for");
                        }
                    }
                    self.state.held.store(held.len(), Ordering::SeqCst);
                }
            }
            Order::Shuffled(seed) => self.shuffle(jobs, seed | 1),
        }
    }

    /// Takes what comes, and while nothing does, answers one that waits.
    fn shuffle(&mut self, jobs: &Receiver<Job>, mut chance: u64) {
        loop {
            let job = if self.writes.is_empty() && self.reads.is_empty() {
                jobs.recv().map_err(drop)
            } else {
                match jobs.recv_timeout(Duration::from_micros(100)) {
                    Ok(job) => Ok(job),
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                        chance ^= chance << 13;
                        chance ^= chance >> 7;
                        chance ^= chance << 17;
                        let pick = (chance % (self.reads.len() as u64 + 1)) as usize;
                        let ask = if pick < self.reads.len() {
                            Some(self.reads.swap_remove(pick))
                        } else {
                            self.writes.pop_front()
                        };
                        ask.into_iter().for_each(|ask| self.answer(ask));
                        continue;
                    }
                    Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Err(()),
                }
            };
            let Ok(Job::Do(asks)) = job else { return };
            for ask in asks {
                if reads(&ask.body) { self.reads.push(ask) } else { self.writes.push_back(ask) }
            }
        }
    }

    fn answer(&mut self, ask: Ask) {
        let response = self.carry_out(&ask.body);
        self.reply(ask, response);
    }

    fn reply(&self, ask: Ask, response: Response) {
        self.state.waiting.fetch_sub(1, Ordering::SeqCst);
        (ask.reply)(response);
    }

    fn carry_out(&mut self, body: &RequestBody) -> Response {
        match body {
            RequestBody::Command { arguments, .. } => self.command(arguments),
            RequestBody::Transaction { commands, watcher, .. } => self.transaction(commands, *watcher),
            RequestBody::Watch { watcher, keys } => {
                let new = || self.state.next_watcher.fetch_add(1, Ordering::Relaxed);
                let watcher = watcher.unwrap_or_else(new);
                let (watched, _) = self.watchers.entry(watcher).or_insert_with(|| (BTreeSet::new(), self.time));
                watched.extend(keys.iter().cloned());
                Response::Watching { watcher }
            }
            RequestBody::Unwatch { watcher } => {
                self.watchers.remove(watcher);
                Response::Done
            }
            other => Response::Invalid(format!("the fake does not know {other:?}")),
        }
    }

    fn transaction(&mut self, commands: &[Vec<Bytes>], watcher: Option<u64>) -> Response {
        if let Some(watcher) = watcher {
            let Some((keys, since)) = self.watchers.remove(&watcher) else { return Response::WatchBroken };
            if keys.iter().any(|key| self.written.get(key).is_some_and(|time| *time > since)) {
                return Response::WatchBroken;
            }
        }
        let (map, written) = (self.map.clone(), self.written.clone());
        let mut replies = Vec::new();
        for command in commands {
            match self.command(command) {
                Response::Reply(reply) => replies.push(reply),
                refusal => {
                    (self.map, self.written) = (map, written);
                    return refusal;
                }
            }
        }
        Response::Replies(replies)
    }

    fn command(&mut self, arguments: &[Bytes]) -> Response {
        let name = arguments[0].to_ascii_uppercase();
        let value = |value: Option<&Bytes>| match value {
            Some(value) => [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat().into(),
            None => Bytes::from_static(b"_\r\n"),
        };
        let all = |found: Vec<Bytes>| [format!("*{}\r\n", found.len()).into_bytes(), found.concat()].concat().into();
        let reply: Bytes = match (name.as_slice(), &arguments[1..]) {
            (b"GET", [key]) => value(self.map.get(key)),
            (b"SET", [key, new]) => {
                self.put(key, new.clone());
                Bytes::from_static(b"+OK\r\n")
            }
            (b"SET", _) => return Response::Rejected("ERR syntax error".into()),
            (b"MSET", pairs) => {
                pairs.chunks_exact(2).for_each(|pair| self.put(&pair[0], pair[1].clone()));
                Bytes::from_static(b"+OK\r\n")
            }
            (b"DEL", keys) => {
                let removed = keys.iter().filter(|key| self.remove(key)).count();
                format!(":{removed}\r\n").into()
            }
            (b"INCR", [key]) => {
                let number =
                    self.map.get(key).map_or(Some(0), |text| std::str::from_utf8(text).ok()?.parse::<i64>().ok());
                let Some(number) = number else {
                    return Response::Rejected("ERR value is not an integer or out of range".into());
                };
                self.put(key, (number + 1).to_string().into());
                format!(":{}\r\n", number + 1).into()
            }
            (b"MGET", keys) => all(keys.iter().map(|key| value(self.map.get(key))).collect()),
            (b"KEYS", _) => all(self.map.keys().map(|key| value(Some(key))).collect()),
            (b"SCAN", _) => {
                [&b"*2\r\n$1\r\n0\r\n"[..], &all(self.map.keys().map(|key| value(Some(key))).collect())].concat().into()
            }
            (b"DBSIZE", []) => format!(":{}\r\n", self.map.len()).into(),
            (b"STRLEN", [key]) => format!(":{}\r\n", self.map.get(key).map_or(0, Bytes::len)).into(),
            (b"TYPE", [key]) => {
                if self.map.contains_key(key) {
                    "+string\r\n".into()
                } else {
                    "+none\r\n".into()
                }
            }
            // One of everything that RESP2 lacks.
            (b"MEDLEY", []) => "%1\r\n#t\r\n~3\r\n,1.5\r\n_\r\n(123456789012345678901234567890\r\n".into(),
            (b"TRAP", []) => return Response::Failed("the engine trapped".into()),
            (b"ODD", []) => return Response::Done,
            _ => return Response::Invalid("the fake does not know this command".into()),
        };
        Response::Reply(reply)
    }

    fn put(&mut self, key: &Bytes, value: Bytes) {
        self.touch(key);
        self.map.insert(key.clone(), value);
    }

    fn remove(&mut self, key: &Bytes) -> bool {
        let there = self.map.remove(key).is_some();
        if there {
            self.touch(key);
        }
        there
    }

    fn touch(&mut self, key: &Bytes) {
        if !self.watchers.is_empty() {
            self.time += 1;
            self.written.insert(key.clone(), self.time);
        }
    }
}

fn reads(body: &RequestBody) -> bool {
    let RequestBody::Command { arguments, consistency, .. } = body else { return false };
    *consistency == Consistency::Stale
        || manifest()
            .commands
            .iter()
            .any(|spec| !spec.writes && spec.name.as_bytes().eq_ignore_ascii_case(&arguments[0]))
}

/// What it claims to be.
pub(crate) fn manifest() -> Arc<Manifest> {
    let command = |name: &str, usage: &str, writes, least, most, (first, last, step)| CommandSpec {
        name: name.into(),
        summary: format!("{name}{usage} -- as in Redis."),
        writes,
        arguments_min: least,
        arguments_max: most,
        keys: KeyPositions { first, last, step },
    };
    let none = (0, 0, 0);
    let commands = vec![
        command("GET", " key", false, 1, Some(1), (1, 1, 1)),
        command("SET", " key value [NX|XX] [EX seconds|PX ms]", true, 2, None, (1, 1, 1)),
        command("MSET", " key value [key value ...]", true, 2, None, (1, -1, 2)),
        command("DEL", " key [key ...]", true, 1, None, (1, -1, 1)),
        command("INCR", " key", true, 1, Some(1), (1, 1, 1)),
        command("MGET", " key [key ...]", false, 1, None, (1, -1, 1)),
        command("KEYS", " pattern", false, 1, Some(1), none),
        command("SCAN", " cursor [MATCH pattern] [COUNT number]", false, 1, None, none),
        command("DBSIZE", "", false, 0, Some(0), none),
        command("STRLEN", " key", false, 1, Some(1), (1, 1, 1)),
        command("TYPE", " key", false, 1, Some(1), (1, 1, 1)),
        command("MEDLEY", "", false, 0, Some(0), none),
        command("TRAP", "", true, 0, Some(0), none),
        command("ODD", "", true, 0, Some(0), none),
        // The gateway's own are not to be taken over.
        command("PING", "", true, 0, None, none),
    ];
    Arc::new(Manifest {
        name: "fake".into(),
        version: "0.0.1".into(),
        schema: 1,
        reads_schemas: Vec::new(),
        caches: false,
        commands,
    })
}
