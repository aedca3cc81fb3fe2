//! One question to the cluster, until it is answered, decided, or its time is up: the loop around the attempts.
//!
//! Silence: a node that has answered nothing at all for a while may be gone without a word (a killed process says no
//! goodbye, and its connection stands for seconds more). New questions then go elsewhere, and so do questions that may be
//! asked twice; a write that must not be repeated keeps waiting for its own answer. So such a write is not trusted to a
//! connection that has been idle before the node has shown that it is there.
//!
//! A write with a name may be asked twice. Each attempt goes out under the same name, with the newest word on what is settled.
//! When its session is gone, that attempt did nothing: if no earlier one may have done it, it goes on in a new session.

use std::sync::Arc;
use std::time::Duration;

use crate::client::Inner;
use crate::error::ClientError;
use crate::link::{Link, OpenError};
use crate::sessions::Name;
use crate::verdict::{Outcome, Repeat, Verdict, judge};
use bytes::Bytes;
use outboard_net::{ClientConnection, RequestError};
use outboard_wire::client::{Answer, Request, RequestBody, Response};
use outboard_wire::limits::REQUEST_TIMEOUT_MS_MAX;
use tokio::time::{Instant, sleep_until, timeout_at};

/// A node that is silent for this long is suspected; each further time within one call, after twice as long ...
const SILENCE_MIN: Duration = Duration::from_millis(300);
/// ... up to this.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Between attempts, growing ...
const PAUSE_MIN: Duration = Duration::from_millis(4);
/// ... up to this.
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// A single question that may be repeated waits this long at one node, each further time twice as long: the node may have
/// passed it on to a leader that is gone, while it answers others.
const ATTEMPT_MIN: Duration = Duration::from_secs(2);
/// After so long without an answer, a node is asked for a sign of life before it gets a write that must not be repeated.
const IDLE: Duration = Duration::from_secs(1);
/// The node is told the call's deadline and gets this much longer to say how things stand at it.
const GRACE: Duration = Duration::from_millis(250);

impl Inner {
    /// Asks until the deadline.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        body: RequestBody,
        repeat: Repeat,
        timeout: Duration,
    ) -> Result<Response, ClientError> {
        let timeout = timeout.min(Duration::from_millis(REQUEST_TIMEOUT_MS_MAX.into()));
        let mut asking = Asking {
            request: Request { timeout_ms: 0, body },
            repeat,
            timeout,
            deadline: Instant::now() + timeout,
            silence: SILENCE_MIN,
            attempt: ATTEMPT_MIN,
            attempts: 0,
            sent: false,
            doubtful: false,
            name: None,
            why: None,
        };
        loop {
            if repeat == Repeat::Named {
                self.give_name(&mut asking).await?;
            }
            let (outcome, node) = self.attempt(&mut asking).await?;
            match judge(outcome, repeat, timeout.as_millis() as u64) {
                Verdict::Done(response) => return Ok(response),
                Verdict::End(error) => return Err(error),
                Verdict::SessionGone => {
                    self.on_session_gone(&mut asking)?;
                    asking.pause().await?;
                }
                Verdict::Again { elsewhere, doubtful, why } => {
                    if elsewhere {
                        self.lock().route.on_not_done(node);
                    }
                    asking.doubtful |= doubtful;
                    asking.why = Some(why);
                    asking.pause().await?;
                }
            }
        }
    }

    async fn give_name(self: &Arc<Self>, asking: &mut Asking) -> Result<(), ClientError> {
        let name = match asking.name.take() {
            Some(name) => name,
            None => self.name(asking.deadline).await?,
        };
        asking.request.body.set_id(Some(name.id()));
        asking.name = Some(name);
        Ok(())
    }

    fn on_session_gone(&self, asking: &mut Asking) -> Result<(), ClientError> {
        if let Some(name) = asking.name.take() {
            self.sessions.forget(name.id().session);
        }
        if asking.doubtful {
            let why = "an attempt may have done it, and its session is gone since";
            return Err(ClientError::Unknown(why.to_owned()));
        }
        asking.why = Some("the session was gone".to_owned());
        Ok(())
    }

    /// Finds a connection and asks there once.
    async fn attempt(self: &Arc<Self>, asking: &mut Asking) -> Result<(Outcome, usize), ClientError> {
        let (pick, link, others) = self.pick();
        let connection = match link.standing() {
            Some(connection) if pick.not_before.is_none() => connection,
            Some(_) | None => {
                if let Some(time) = pick.not_before {
                    sleep_until(time.min(asking.deadline)).await;
                }
                match timeout_at(asking.deadline, link.open(&self.dialler, others)).await {
                    Ok(Ok(connection)) => {
                        self.lock().route.on_alive(pick.node);
                        connection
                    }
                    Ok(Err(error)) => {
                        return self.not_opened(asking, pick.node, error).map(|outcome| (outcome, pick.node));
                    }
                    Err(_) => return Err(asking.time_is_up(&format!("no answer from {}", link.address()))),
                }
            }
        };
        if asking.repeat == Repeat::Never && link.heard().elapsed() > IDLE && !is_there(&connection, &link).await {
            self.lock().route.on_silent(pick.node, Instant::now());
            return Ok((Outcome::NotSent(format!("no answer from {}", link.address())), pick.node));
        }
        let outcome = self.ask_once(asking, &connection, &link, pick.node).await;
        if matches!(outcome, Outcome::NotSent(_) | Outcome::Lost(_)) {
            self.lock().route.on_lost(pick.node, Instant::now());
        }
        Ok((outcome, pick.node))
    }

    /// The node is not reachable now, or these credentials are refused for good.
    fn not_opened(&self, asking: &Asking, node: usize, error: OpenError) -> Result<Outcome, ClientError> {
        self.lock().route.on_lost(node, Instant::now());
        match self.refused_for_good(&error) {
            // An attempt before may have done it.
            Some(why) if asking.doubtful => Err(ClientError::Unknown(why)),
            Some(why) => Err(ClientError::Auth(why)),
            None => Ok(Outcome::NotSent(error.into_text())),
        }
    }

    /// Sends and waits.
    async fn ask_once(
        self: &Arc<Self>,
        asking: &mut Asking,
        connection: &ClientConnection,
        link: &Link,
        node: usize,
    ) -> Outcome {
        let sent_at = Instant::now();
        let deadline = asking.next_deadline(sent_at);
        let answer = connection.request(asking.frame(deadline - sent_at));
        tokio::pin!(answer);
        asking.sent = true;
        let expires = deadline + GRACE;
        let mut wake = expires.min(sent_at + asking.silence);
        let answered = loop {
            match timeout_at(wake, answer.as_mut()).await {
                Ok(answered) => break answered,
                Err(_) => {
                    let now = Instant::now();
                    let silent_since = link.heard().max(sent_at);
                    if now >= expires {
                        return if deadline < asking.deadline { Outcome::Silent } else { Outcome::Expired };
                    }
                    if now < silent_since + asking.silence {
                        wake = expires.min(silent_since + asking.silence);
                        continue;
                    }
                    self.lock().route.on_silent(node, now);
                    asking.silence = (asking.silence * 2).min(SILENCE_MAX);
                    if asking.repeat != Repeat::Never && !self.options.pinned {
                        return Outcome::Silent;
                    }
                    wake = expires.min(now + asking.silence);
                }
            }
        };
        match answered {
            Ok(bytes) => {
                link.on_heard();
                self.read_answer(&bytes)
            }
            Err(RequestError::NotSent(why)) => Outcome::NotSent(why),
            Err(RequestError::Lost(why)) => Outcome::Lost(why),
            Err(error @ RequestError::TooLarge { .. }) => Outcome::Unsendable(error.to_string()),
        }
    }

    fn read_answer(self: &Arc<Self>, bytes: &[u8]) -> Outcome {
        match Answer::decode(bytes) {
            Ok(Answer { leader, response }) => {
                if let Some(hint) = leader {
                    self.on_hint(&hint);
                }
                Outcome::Answered(response)
            }
            Err(error) => Outcome::Undecodable(error.to_string()),
        }
    }
}

/// One question on its way through the attempts.
struct Asking {
    request: Request,
    repeat: Repeat,
    timeout: Duration,
    deadline: Instant,
    silence: Duration,
    attempt: Duration,
    attempts: u32,
    /// Whether any attempt got as far as a connection.
    sent: bool,
    /// Whether any attempt may have done it.
    doubtful: bool,
    /// In a session, for a write that has one.
    name: Option<Name>,
    /// Why the last attempt was not the last.
    why: Option<String>,
}

impl Asking {
    /// Until when one node may think about it.
    fn next_deadline(&mut self, now: Instant) -> Instant {
        let deadline = match self.repeat {
            Repeat::Harmless | Repeat::Named => self.deadline.min(now + self.attempt),
            Repeat::Never => self.deadline,
        };
        self.attempt = (self.attempt * 2).min(self.timeout.max(ATTEMPT_MIN));
        deadline.max(now)
    }

    /// The request, to be answered within this time.
    fn frame(&mut self, left: Duration) -> Bytes {
        self.request.timeout_ms = u32::try_from(left.as_millis().max(1)).expect("a call's time is bounded");
        Bytes::from(self.request.encode())
    }

    /// The first repetition goes out at once: it is the usual change of leader. Later ones wait, longer each time.
    async fn pause(&mut self) -> Result<(), ClientError> {
        self.attempts += 1;
        if self.attempts > 1 {
            let pause = PAUSE_MIN.saturating_mul(1 << (self.attempts - 2).min(10)).min(PAUSE_MAX);
            sleep_until((Instant::now() + spread(pause)).min(self.deadline)).await;
        }
        if Instant::now() < self.deadline { Ok(()) } else { Err(self.time_is_up("")) }
    }

    /// Between attempts only a write with a name can be in doubt: one without has ended already.
    fn time_is_up(&self, otherwise: &str) -> ClientError {
        let why = self.why.as_deref().unwrap_or(otherwise);
        let ms = self.timeout.as_millis() as u64;
        if self.doubtful {
            return ClientError::Unknown(format!("{why} (tried for {ms} ms)"));
        }
        match (self.repeat, self.sent) {
            (Repeat::Harmless, true) if why.is_empty() => ClientError::Timeout(ms),
            (Repeat::Harmless | Repeat::Named | Repeat::Never, _) => {
                ClientError::Unavailable(format!("{why} (tried for {ms} ms)"))
            }
        }
    }
}

/// Whether the node answers the cheapest question soon.
async fn is_there(connection: &ClientConnection, link: &Link) -> bool {
    let question = Request { timeout_ms: SILENCE_MIN.as_millis() as u32, body: RequestBody::NodeStatus };
    let answer = connection.request(Bytes::from(question.encode()));
    let is_there = matches!(timeout_at(Instant::now() + SILENCE_MIN, answer).await, Ok(Ok(_)));
    if is_there {
        link.on_heard();
    }
    is_there
}

/// Between a half and the whole, so that many callers don't come back at the same time.
fn spread(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let chance = (RandomState::new().hash_one(0) % 512) as u32;
    pause / 2 + pause / 1024 * chance
}
