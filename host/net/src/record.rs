//! What the cluster keeps of a token, in its replicated control state: plain data and pure judgement.
//!
//! Two judges of one state at one time of the log say the same; expiry is judged by the log's time, and a use counts once its entry is
//! applied. The node proposes and applies; here is only what is true. Invariant: `uses_left` and the keys in `used_by` together never
//! change their sum. Tests: at the end.

use std::collections::BTreeMap;

use outboard_wire::access::Enrols;
use serde::{Deserialize, Serialize};

use crate::identity::{KeyHash, Principal};
use crate::join::JoinRefusal;
use crate::proof::Verifier;
use crate::token::{Token, TokenId};

/// Keys that may come in by one token: each stays in its record.
pub const TOKEN_USES_MAX: u32 = 1_000;

/// A token as the cluster knows it. Nobody can join by knowing all of it.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct TokenRecord {
    /// The token's name.
    pub id: TokenId,
    /// Recognizes its secret.
    pub verifier: Verifier,
    /// What its users become.
    pub enrols: Enrols,
    /// From this time of the log on no new key comes in, in milliseconds since 1970.
    pub expires_ms: u64,
    /// How many more keys may.
    pub uses_left: u32,
    /// Who came in by it, and what became of each.
    pub used_by: BTreeMap<KeyHash, Principal>,
}

impl TokenRecord {
    /// A token that nobody has used; `uses` is brought into 1 to [`TOKEN_USES_MAX`].
    pub fn new(id: TokenId, verifier: Verifier, enrols: Enrols, expires_ms: u64, uses: u32) -> TokenRecord {
        let uses_left = uses.clamp(1, TOKEN_USES_MAX);
        TokenRecord { id, verifier, enrols, expires_ms, uses_left, used_by: BTreeMap::new() }
    }

    /// What the cluster keeps of a token.
    pub fn of(token: &Token, expires_ms: u64, uses: u32) -> TokenRecord {
        TokenRecord::new(token.id(), token.verifier(), token.enrols(), expires_ms, uses)
    }

    /// Whether the holder of that key may come in at this time of the log. A key that came in already gets what it got, even when the
    /// token is used up or expired meanwhile: its join was interrupted. Whether that member still is one, only the caller knows.
    pub fn may_use(&self, now_ms: u64, key: &KeyHash) -> Result<Permit, JoinRefusal> {
        if let Some(principal) = self.used_by.get(key) {
            return Ok(Permit::Resume(principal.clone()));
        }
        if now_ms >= self.expires_ms {
            return Err(JoinRefusal::Expired);
        }
        if self.uses_left == 0 {
            return Err(JoinRefusal::UsedUp);
        }
        Ok(Permit::New)
    }

    /// Notes that this key has come in as that principal. Call it where the entry is applied, after [`TokenRecord::may_use`] said
    /// [`Permit::New`] at the same place in the log.
    pub fn use_up(&mut self, key: KeyHash, principal: Principal) {
        assert!(self.uses_left > 0, "a token that is used up lets no new key in");
        assert_eq!(self.enrols.is_node(), matches!(principal, Principal::Node(_)), "a token makes what its kind says");
        let before = self.used_by.insert(key, principal);
        assert!(before.is_none(), "a key comes in by a token once");
        self.uses_left -= 1;
    }
}

/// What a token allows a key.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum Permit {
    /// To come in; nothing is kept for it yet.
    New,
    /// To get once more what it was given.
    Resume(Principal),
}

#[cfg(test)]
mod tests {
    use outboard_raft::NodeId;

    use super::*;
    use outboard_wire::access::Wish;

    fn record(uses: u32) -> TokenRecord {
        TokenRecord::new(TokenId(1), Verifier([0; 32]), Enrols::Node(Wish::Voter), 1_000, uses)
    }

    #[test]
    fn a_token_lets_in_as_many_keys_as_it_says_and_each_of_them_again_at_any_time() {
        let mut record = record(2);
        let keys = [1, 2, 3].map(|byte| KeyHash([byte; 32]));
        for (at, key) in keys.iter().take(2).enumerate() {
            assert_eq!(record.may_use(999, key), Ok(Permit::New));
            record.use_up(*key, Principal::Node(NodeId(at as u64 + 4)));
        }
        assert_eq!(record.may_use(999, &keys[2]), Err(JoinRefusal::UsedUp));
        for now in [0, 999, 1_000, u64::MAX] {
            assert_eq!(record.may_use(now, &keys[1]), Ok(Permit::Resume(Principal::Node(NodeId(5)))));
        }
    }

    #[test]
    fn a_token_expires_for_new_keys_at_its_millisecond() {
        let key = KeyHash([1; 32]);
        assert_eq!(record(1).may_use(999, &key), Ok(Permit::New));
        assert_eq!(record(1).may_use(1_000, &key), Err(JoinRefusal::Expired));
    }

    #[test]
    fn a_record_is_bounded_and_read_back_as_it_was_written() {
        assert_eq!((record(0).uses_left, record(u32::MAX).uses_left), (1, TOKEN_USES_MAX));
        let mut record = record(3);
        record.use_up(KeyHash([9; 32]), Principal::Node(NodeId(7)));
        let bytes = postcard::to_stdvec(&record).expect("plain data");
        assert_eq!(postcard::from_bytes::<TokenRecord>(&bytes), Ok(record));
    }

    #[test]
    #[should_panic(expected = "used up")]
    fn using_a_token_beyond_its_uses_is_a_broken_rule() {
        let mut record = record(1);
        record.use_up(KeyHash([1; 32]), Principal::Node(NodeId(1)));
        record.use_up(KeyHash([2; 32]), Principal::Node(NodeId(2)));
    }
}
