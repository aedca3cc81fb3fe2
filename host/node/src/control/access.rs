//! Tokens and clients: who may come in, and what each client may do.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | 6 | token (8 bytes, big-endian) | a version byte and the net room's `TokenRecord` |
//! | 7 | client's name | a version byte and its role, and whether it is revoked |
//!
//! Everything is judged where its entry is applied, by the log's time, so that of two joiners with one token only one comes in, the same on
//! every node. A client that is not in the table may do nothing, but for `admin`, whom the making of a cluster makes: it is an admin until the
//! table says otherwise. A revoked name stays, so that no old certificate ever holds again. Tests: below.

use super::directory::{Directory, NotListed};
use super::{damaged, key_of, number_of, read_all};
use outboard_net::{JoinRefusal, KeyHash, Permit, Principal, TokenId, TokenRecord, Verifier};
use outboard_store::{StoreError, Table, Transaction, View};
use outboard_wire::access::{
    AccessLists, ClientEntry, EnrolRefusal, Enrolled, Enrolment, Enrols, Role, TokenInfo, TokenSpec,
};
use outboard_wire::client::Response;
use outboard_wire::limits::{CLIENTS_MAX, TOKEN_KEPT_MS, TOKEN_LASTS_MS_MAX, TOKEN_USES_ALL_MAX, TOKENS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const TOKENS: Table = Table::control(6);
const CLIENTS: Table = Table::control(7);
const VERSION: u8 = 2;
/// The client that every cluster begins with.
pub(crate) const ADMIN: &str = "admin";

/// All tokens and clients.
#[derive(Clone, Debug)]
pub(crate) struct Permissions {
    tokens: BTreeMap<u64, TokenRecord>,
    clients: BTreeMap<String, Client>,
}

#[derive(Copy, Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
struct Client {
    role: Role,
    revoked: bool,
}

impl Default for Permissions {
    fn default() -> Permissions {
        let admin = Client { role: Role::Admin, revoked: false };
        Permissions { tokens: BTreeMap::new(), clients: [(ADMIN.to_owned(), admin)].into() }
    }
}

impl Permissions {
    /// Reads it back from the tables.
    pub(super) fn load(view: &dyn View) -> Result<Permissions, StoreError> {
        let mut all = Permissions::default();
        for (key, value) in read_all(view, TOKENS)? {
            let (Some(id), Some(record)) = (number_of(&key), decode::<TokenRecord>(&value)) else {
                return Err(damaged("list of tokens"));
            };
            all.tokens.insert(id, record);
        }
        for (key, value) in read_all(view, CLIENTS)? {
            let (Ok(name), Some(client)) = (String::from_utf8(key.to_vec()), decode::<Client>(&value)) else {
                return Err(damaged("list of clients"));
            };
            all.clients.insert(name, client);
        }
        Ok(all)
    }

    pub(crate) fn token(&self, id: TokenId) -> Option<&TokenRecord> {
        self.tokens.get(&id.0)
    }

    /// What a client may do; none if it is unknown or revoked.
    pub(crate) fn role_of(&self, name: &str) -> Option<Role> {
        self.clients.get(name).filter(|client| !client.revoked).map(|client| client.role)
    }

    /// Those whose certificates hold no more.
    pub(crate) fn revoked(&self) -> BTreeSet<String> {
        let revoked = self.clients.iter().filter(|(_, client)| client.revoked);
        revoked.map(|(name, _)| name.clone()).collect()
    }

    /// For `token list` and `client list`.
    pub(crate) fn lists(&self, now_ms: u64) -> AccessLists {
        let token = |(id, record): (&u64, &TokenRecord)| TokenInfo {
            id: *id,
            enrols: record.enrols,
            left_ms: record.expires_ms.saturating_sub(now_ms),
            uses_left: record.uses_left,
            used_by: record.used_by.values().map(Principal::to_string).collect(),
        };
        let client = |(name, client): (&String, &Client)| ClientEntry {
            name: name.clone(),
            role: client.role,
            revoked: client.revoked,
        };
        AccessLists {
            tokens: self.tokens.iter().map(token).collect(),
            clients: self.clients.iter().map(client).collect(),
        }
    }

    pub(crate) fn token_create(
        &mut self,
        spec: &TokenSpec,
        now_ms: u64,
        txn: &mut Transaction,
    ) -> Result<Response, StoreError> {
        self.sweep(now_ms, txn)?;
        if self.tokens.contains_key(&spec.id) {
            // The same question again, most likely: the same answer.
            return Ok(Response::Done);
        }
        let uses = |record: &TokenRecord| u64::from(record.uses_left) + record.used_by.len() as u64;
        let all_uses = self.tokens.values().map(uses).sum::<u64>() + u64::from(spec.uses);
        if self.tokens.len() >= TOKENS_MAX || all_uses > TOKEN_USES_ALL_MAX {
            return Ok(refused(format!(
                "the cluster knows {} tokens for {all_uses} uses; {TOKENS_MAX} for {TOKEN_USES_ALL_MAX} are the most: revoke some",
                self.tokens.len() + 1
            )));
        }
        if !(1..=TOKEN_LASTS_MS_MAX).contains(&spec.lasts_ms) {
            return Ok(refused("a token lasts for 1 ms to 30 days".to_owned()));
        }
        let expires_ms = now_ms.saturating_add(spec.lasts_ms);
        let record = TokenRecord::new(TokenId(spec.id), Verifier(spec.verifier), spec.enrols, expires_ms, spec.uses);
        txn.put(TOKENS, &key_of(spec.id), encode(&record))?;
        self.tokens.insert(spec.id, record);
        Ok(Response::Done)
    }

    /// Those whose time is long over are forgotten.
    fn sweep(&mut self, now_ms: u64, txn: &mut Transaction) -> Result<(), StoreError> {
        let over = |record: &TokenRecord| now_ms >= record.expires_ms.saturating_add(TOKEN_KEPT_MS);
        let over: Vec<u64> = self.tokens.iter().filter(|(_, record)| over(record)).map(|(id, _)| *id).collect();
        over.into_iter().try_for_each(|id| self.forget_token(id, txn))
    }

    fn forget_token(&mut self, id: u64, txn: &mut Transaction) -> Result<(), StoreError> {
        self.tokens.remove(&id);
        txn.delete(TOKENS, &key_of(id)).map(drop)
    }

    pub(crate) fn token_revoke(&mut self, id: u64, txn: &mut Transaction) -> Result<Response, StoreError> {
        if !self.tokens.contains_key(&id) {
            return Ok(refused(format!("there is no token {}", TokenId(id))));
        }
        self.forget_token(id, txn)?;
        Ok(Response::Done)
    }

    /// A key comes in by a token, or gets once more what it got.
    pub(crate) fn enrol(
        &mut self,
        enrolment: &Enrolment,
        now_ms: u64,
        directory: &mut Directory,
        txn: &mut Transaction,
    ) -> Result<Response, StoreError> {
        let no = |why| Ok(Response::EnrolRefused(why));
        let key = KeyHash(enrolment.key);
        let Some(record) = self.tokens.get(&enrolment.token) else { return no(EnrolRefusal::UnknownToken) };
        let enrolled = match record.may_use(now_ms, &key) {
            // A record knows two refusals.
            Err(JoinRefusal::Expired) => return no(EnrolRefusal::Expired),
            Err(_) => return no(EnrolRefusal::UsedUp),
            Ok(Permit::Resume(principal)) => {
                let again = self.resume(&principal, directory);
                return Ok(again.map_or(Response::EnrolRefused(EnrolRefusal::Removed), Response::Enrolled));
            }
            Ok(Permit::New) => match record.enrols {
                Enrols::Node(wish) => match directory.add(&enrolment.name, &enrolment.address, wish, txn)? {
                    Ok(node) => {
                        let name = directory.get(node).map_or_else(String::new, |listed| listed.name.clone());
                        Enrolled::Node { node: node.0, name }
                    }
                    Err(NotListed::Name(why)) => return no(EnrolRefusal::Name(why)),
                    Err(NotListed::Other(why)) => return no(EnrolRefusal::Full(why)),
                },
                Enrols::Client(role) => match self.add_client(&enrolment.name, role, txn)? {
                    Ok(name) => Enrolled::Client { name },
                    Err(why) => return no(why),
                },
            },
        };
        let record = self.tokens.get_mut(&enrolment.token).expect("it was there");
        record.use_up(key, principal_of(&enrolled));
        txn.put(TOKENS, &key_of(enrolment.token), encode(record))?;
        Ok(Response::Enrolled(enrolled))
    }

    /// What a key came in as, if that still holds.
    pub(crate) fn resume(&self, principal: &Principal, directory: &Directory) -> Option<Enrolled> {
        match principal {
            Principal::Node(node) => {
                let listed = directory.get(*node)?;
                Some(Enrolled::Node { node: node.0, name: listed.name.clone() })
            }
            Principal::Client { name } => self.role_of(name).map(|_| Enrolled::Client { name: name.clone() }),
        }
    }

    fn add_client(
        &mut self,
        name: &str,
        role: Role,
        txn: &mut Transaction,
    ) -> Result<Result<String, EnrolRefusal>, StoreError> {
        if self.clients.len() >= CLIENTS_MAX {
            return Ok(Err(EnrolRefusal::Full(format!("the cluster knows {CLIENTS_MAX} clients, which are the most"))));
        }
        let name = if name.is_empty() { self.free_client() } else { name.to_owned() };
        if let Some(client) = self.clients.get(&name) {
            let what = if client.revoked { "was revoked, and its name is not given out again" } else { "is taken" };
            return Ok(Err(EnrolRefusal::Name(format!("{name} {what}"))));
        }
        self.put_client(&name, Client { role, revoked: false }, txn)?;
        Ok(Ok(name))
    }

    fn free_client(&self) -> String {
        let mut names = (1..).map(|number| format!("client-{number}"));
        names.find(|name| !self.clients.contains_key(name)).expect("there are more names than clients")
    }

    fn put_client(&mut self, name: &str, client: Client, txn: &mut Transaction) -> Result<(), StoreError> {
        txn.put(CLIENTS, name.as_bytes(), encode(&client))?;
        self.clients.insert(name.to_owned(), client);
        Ok(())
    }

    pub(crate) fn client_role(
        &mut self,
        name: &str,
        role: Role,
        txn: &mut Transaction,
    ) -> Result<Response, StoreError> {
        match self.clients.get(name).copied() {
            None => return Ok(refused(format!("there is no client {name}"))),
            Some(client) if client.revoked => return Ok(refused(format!("{name} is revoked"))),
            Some(_) if role != Role::Admin && self.is_last_admin(name) => return Ok(refused(last_admin(name))),
            Some(_) => {}
        }
        self.put_client(name, Client { role, revoked: false }, txn)?;
        Ok(Response::Done)
    }

    pub(crate) fn client_revoke(&mut self, name: &str, txn: &mut Transaction) -> Result<Response, StoreError> {
        let Some(client) = self.clients.get(name).copied() else {
            return Ok(refused(format!("there is no client {name}")));
        };
        if self.is_last_admin(name) {
            return Ok(refused(last_admin(name)));
        }
        self.put_client(name, Client { revoked: true, ..client }, txn)?;
        Ok(Response::Done)
    }

    fn is_last_admin(&self, name: &str) -> bool {
        let mut admins = self.clients.iter().filter(|(_, client)| client.role == Role::Admin && !client.revoked);
        admins.next().is_some_and(|(only, _)| only == name) && admins.next().is_none()
    }
}

fn last_admin(name: &str) -> String {
    format!("{name} is the only admin: without one nobody could make another")
}

fn refused(reason: String) -> Response {
    Response::ChangeRefused { reason, can_be_forced: false }
}

pub(crate) fn principal_of(enrolled: &Enrolled) -> Principal {
    match enrolled {
        Enrolled::Node { node, .. } => Principal::Node(outboard_raft::NodeId(*node)),
        Enrolled::Client { name } => Principal::Client { name: name.clone() },
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("postcard knows all shapes of tokens and clients")
}

fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Option<T> {
    match bytes.split_first() {
        Some((&VERSION, stored)) => postcard::from_bytes(stored).ok(),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::directory::Founders;
    use outboard_raft::NodeId;
    use outboard_store::{MemoryStore, Store};
    use outboard_wire::access::Wish;

    const HOUR: u64 = 3_600_000;

    struct World {
        store: MemoryStore,
        permissions: Permissions,
        directory: Directory,
        applied: u64,
    }

    impl World {
        fn new() -> World {
            let founders = Founders::new();
            let directory = Directory::of_founders(&founders);
            World { store: MemoryStore::new(), permissions: Permissions::default(), directory, applied: 0 }
        }

        fn change(
            &mut self,
            change: impl FnOnce(&mut Permissions, &mut Directory, &mut Transaction) -> Result<Response, StoreError>,
        ) -> Response {
            let mut txn = Transaction::new(self.store.view());
            let response = change(&mut self.permissions, &mut self.directory, &mut txn).expect("memory");
            txn.keep();
            self.applied += 1;
            self.store.commit(txn.into_batch(self.applied)).expect("memory");
            response
        }

        fn create(&mut self, id: u64, enrols: Enrols, uses: u32) {
            let spec = TokenSpec { id, verifier: [1; 32], enrols, lasts_ms: HOUR, uses };
            assert_eq!(self.change(|all, _, txn| all.token_create(&spec, 1_000, txn)), Response::Done);
        }

        fn enrol(&mut self, token: u64, key: u8, name: &str, now_ms: u64) -> Response {
            let address = format!("h{key}:1");
            let enrolment = Enrolment { token, key: [key; 32], name: name.into(), address };
            self.change(|all, directory, txn| all.enrol(&enrolment, now_ms, directory, txn))
        }
    }

    fn node(node: u64, name: &str) -> Response {
        Response::Enrolled(Enrolled::Node { node, name: name.into() })
    }

    fn refused_for(why: EnrolRefusal) -> Response {
        Response::EnrolRefused(why)
    }

    #[test]
    fn of_two_joiners_with_one_token_the_first_in_the_log_comes_in_and_may_ask_again() {
        let mut world = World::new();
        world.create(7, Enrols::Node(Wish::Voter), 1);
        assert_eq!(world.enrol(7, 1, "", 2_000), node(1, "n1"));
        assert_eq!(world.enrol(7, 2, "", 2_000), refused_for(EnrolRefusal::UsedUp));
        assert_eq!(world.enrol(7, 1, "", 9 * HOUR), node(1, "n1"), "the same key, long after");
        let founders = Founders::new();
        let mut txn = Transaction::new(world.store.view());
        world.directory.remove(NodeId(1), &mut txn).expect("memory");
        assert_eq!(world.enrol(7, 1, "", 2_000), refused_for(EnrolRefusal::Removed));
        assert!(Directory::load(&*world.store.view(), &founders).expect("sound").get(NodeId(1)).is_some());
    }

    #[test]
    fn an_unknown_an_expired_and_a_revoked_token_let_nobody_in() {
        let mut world = World::new();
        world.create(7, Enrols::Client(Role::Reader), 2);
        assert_eq!(world.enrol(8, 1, "ana", 2_000), refused_for(EnrolRefusal::UnknownToken));
        assert_eq!(world.enrol(7, 1, "ana", 1_000 + HOUR), refused_for(EnrolRefusal::Expired));
        assert_eq!(world.change(|all, _, txn| all.token_revoke(7, txn)), Response::Done);
        assert_eq!(world.enrol(7, 1, "ana", 2_000), refused_for(EnrolRefusal::UnknownToken));
        assert!(matches!(world.change(|all, _, txn| all.token_revoke(7, txn)), Response::ChangeRefused { .. }));
    }

    #[test]
    fn a_client_has_its_tokens_role_until_it_is_changed_or_revoked_and_a_name_is_taken_once() {
        let mut world = World::new();
        world.create(7, Enrols::Client(Role::Writer), 9);
        let ana = Response::Enrolled(Enrolled::Client { name: "ana".into() });
        assert_eq!(world.enrol(7, 1, "ana", 2_000), ana);
        assert!(matches!(world.enrol(7, 2, "ana", 2_000), Response::EnrolRefused(EnrolRefusal::Name(_))));
        assert!(matches!(world.enrol(7, 2, "admin", 2_000), Response::EnrolRefused(EnrolRefusal::Name(_))));
        assert_eq!(world.permissions.role_of("ana"), Some(Role::Writer));
        assert_eq!(world.change(|all, _, txn| all.client_role("ana", Role::Reader, txn)), Response::Done);
        assert_eq!(world.permissions.role_of("ana"), Some(Role::Reader));
        assert_eq!(world.change(|all, _, txn| all.client_revoke("ana", txn)), Response::Done);
        assert_eq!((world.permissions.role_of("ana"), world.permissions.role_of("eve")), (None, None));
        assert_eq!(world.enrol(7, 1, "ana", 2_000), refused_for(EnrolRefusal::Removed));
        assert!(matches!(world.enrol(7, 3, "ana", 2_000), Response::EnrolRefused(EnrolRefusal::Name(_))));
        let read = Permissions::load(&*world.store.view()).expect("sound");
        assert_eq!((read.tokens, read.clients), (world.permissions.tokens, world.permissions.clients));
    }

    #[test]
    fn the_only_admin_stays_one() {
        let mut world = World::new();
        for _ in 0..2 {
            let refused = world.change(|all, _, txn| all.client_revoke(ADMIN, txn));
            assert!(matches!(refused, Response::ChangeRefused { .. }), "{refused:?}");
            let refused = world.change(|all, _, txn| all.client_role(ADMIN, Role::Reader, txn));
            assert!(matches!(refused, Response::ChangeRefused { .. }), "{refused:?}");
        }
        world.create(7, Enrols::Client(Role::Admin), 1);
        world.enrol(7, 1, "eve", 2_000);
        assert_eq!(world.change(|all, _, txn| all.client_revoke(ADMIN, txn)), Response::Done);
    }

    #[test]
    fn tokens_are_bounded_and_those_whose_time_is_long_over_make_room() {
        let mut world = World::new();
        world.create(0, Enrols::Node(Wish::Voter), 1);
        for id in 1..TOKENS_MAX as u64 {
            world.create(id, Enrols::Node(Wish::Voter), 1);
        }
        let spec =
            TokenSpec { id: 1 << 40, verifier: [1; 32], enrols: Enrols::Client(Role::Reader), lasts_ms: 1, uses: 1 };
        let full = world.change(|all, _, txn| all.token_create(&spec, 1_000, txn));
        assert!(matches!(full, Response::ChangeRefused { .. }), "{full:?}");
        let later = 1_000 + HOUR + TOKEN_KEPT_MS;
        assert_eq!(world.change(|all, _, txn| all.token_create(&spec, later, txn)), Response::Done);
        assert_eq!(world.permissions.tokens.len(), 1);
        let many = TokenSpec { id: 9, uses: 1_000, ..spec };
        let mut ids = (10..).map(|id| TokenSpec { id, ..many.clone() });
        let full = (0..11).map(|_| ids.next().expect("endless"));
        let answers: Vec<Response> =
            full.map(|spec| world.change(|all, _, txn| all.token_create(&spec, later, txn))).collect();
        assert!(matches!(answers.last(), Some(Response::ChangeRefused { .. })), "all uses together are bounded");
    }
}
