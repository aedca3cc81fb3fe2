//! What clients did and saw: the history that has to be linearizable.
//!
//! Every key holds a number or nothing, so one small model serves all commands. An operation whose outcome is not known may
//! take effect at any later time, or never; one that was refused or failed must not have had an effect, and is left out: if it
//! had one after all, some read shows it.

use std::fmt;

/// What a key holds.
pub type State = Option<i64>;

/// What was asked.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Kind {
    /// `GET key`
    Get,
    /// `SET key value`
    Set(i64),
    /// `INCR key`, so many times in one transaction.
    Add(i64),
    /// `CAS key expected new`
    Cas(i64, i64),
    /// `DEL key`
    Del,
}

/// What was answered.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Seen {
    /// `OK`
    Done,
    /// What the key held, or nothing.
    Value(State),
    /// A number.
    Number(i64),
    /// CAS met no key.
    Nothing,
}

/// One operation of one client.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who asked.
    pub client: u64,
    /// About which key.
    pub key: u64,
    /// What was asked.
    pub kind: Kind,
    /// When it was asked; moments are unique and ascend.
    pub asked: u64,
    /// When it was answered, and what; nothing while the outcome is not known.
    pub answered: Option<(u64, Seen)>,
    /// Which node was asked, for the report.
    pub node: u64,
    /// It was refused, or failed: it must not have done anything.
    pub without_effect: bool,
}

impl Kind {
    /// Whether it can change anything.
    pub fn writes(self) -> bool {
        self != Kind::Get
    }

    /// What it does to a key that holds `state`, and what is answered.
    pub fn apply(self, state: State) -> (State, Seen) {
        match self {
            Kind::Get => (state, Seen::Value(state)),
            Kind::Set(value) => (Some(value), Seen::Done),
            Kind::Add(steps) => {
                let next = state.unwrap_or(0) + steps;
                (Some(next), Seen::Number(next))
            }
            Kind::Cas(expected, new) => match state {
                None => (None, Seen::Nothing),
                Some(held) if held == expected => (Some(new), Seen::Number(1)),
                Some(held) => (Some(held), Seen::Number(0)),
            },
            Kind::Del => (None, Seen::Number(i64::from(state.is_some()))),
        }
    }

    /// What the key holds after this was seen, as far as it tells.
    pub fn leaves(self, seen: Seen) -> State {
        match (self, seen) {
            (Kind::Get, Seen::Value(value)) => value,
            (Kind::Set(value), Seen::Done) | (Kind::Cas(_, value), Seen::Number(1)) => Some(value),
            (Kind::Add(_), Seen::Number(value)) => Some(value),
            (Kind::Get | Kind::Set(_) | Kind::Add(_) | Kind::Cas(..) | Kind::Del, _) => None,
        }
    }

    /// As a client sends it.
    pub fn arguments(self, key: &str) -> Vec<String> {
        match self {
            Kind::Get => vec!["GET".into(), key.into()],
            Kind::Set(value) => vec!["SET".into(), key.into(), value.to_string()],
            Kind::Add(_) => vec!["INCR".into(), key.into()],
            Kind::Cas(expected, new) => vec!["CAS".into(), key.into(), expected.to_string(), new.to_string()],
            Kind::Del => vec!["DEL".into(), key.into()],
        }
    }

    /// Reads a reply to it in RESP3 notation; nothing if it is none.
    pub fn seen(self, reply: &[u8]) -> Option<Seen> {
        let text = std::str::from_utf8(reply).ok()?;
        let mut lines = text.split("\r\n");
        let first = lines.next()?;
        match (self, first.split_at_checked(1)?) {
            (Kind::Get, ("_", "")) => Some(Seen::Value(None)),
            (Kind::Get, ("$", _)) => Some(Seen::Value(Some(lines.next()?.parse().ok()?))),
            (Kind::Set(_), ("+", "OK")) => Some(Seen::Done),
            (Kind::Cas(..), ("_", "")) => Some(Seen::Nothing),
            (Kind::Add(_) | Kind::Cas(..) | Kind::Del, (":", number)) => Some(Seen::Number(number.parse().ok()?)),
            (Kind::Get | Kind::Set(_) | Kind::Add(_) | Kind::Cas(..) | Kind::Del, _) => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = format!("k{}", self.key);
        write!(f, "c{} n{} {}..", self.client, self.node, self.asked)?;
        match &self.answered {
            Some((at, seen)) => write!(f, "{at} {} = {seen:?}", self.kind.arguments(&key).join(" ")),
            None => write!(f, "? {} (outcome unknown)", self.kind.arguments(&key).join(" ")),
        }
    }
}
