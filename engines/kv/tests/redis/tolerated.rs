//! The differences between `kv` and Redis that sequences meet and that are meant, each by its name and for exactly the
//! replies that it explains. (The differences that no sequence meets have tests of their own, in `meant.rs`.)

use outboard_sdk::args::parse_i64;

use crate::resp::Value;
use crate::sequence::Command;

/// Two replies that are not equal, and what is known of the keyspace.
pub(crate) struct Scene<'a> {
    pub(crate) command: &'a Command,
    pub(crate) redis: &'a Value,
    pub(crate) engine: &'a Value,
    /// The keys that are live.
    pub(crate) live: Vec<Value>,
    /// Whether some key's time has run out in this sequence.
    pub(crate) some_ran_out: bool,
}

/// A difference that is meant.
pub(crate) struct Tolerance {
    pub(crate) name: &'static str,
    /// Thousands of sequences meet it in any case; else it depends on what Redis does in its spare time.
    pub(crate) surely_met: bool,
    /// Whether it is what the scene shows.
    explains: fn(&Scene) -> bool,
}

pub(crate) const TOLERATED: [Tolerance; 5] = [
    Tolerance {
        name: "RANDOMKEY draws by another chance",
        surely_met: true,
        explains: |scene| {
            let one_of_the_live = |reply: &Value| scene.live.contains(reply);
            scene.is("RANDOMKEY") && one_of_the_live(scene.redis) && one_of_the_live(scene.engine)
        },
    },
    // Redis walks its hash table, kv its own order of hashes: a cursor that neither gave out leads to other places.
    Tolerance {
        name: "SCAN begins elsewhere at a cursor that nobody was given",
        surely_met: true,
        explains: |scene| {
            let some_of_the_live =
                |reply: &Value| matches!(reply, Value::Array(keys) if keys.iter().all(|key| scene.live.contains(key)));
            let begins = |cursor: &Vec<u8>| !["", "0", "00", "+0", "-0"].iter().any(|zero| cursor == zero.as_bytes());
            scene.is("SCAN")
                && scene.command.get(1).is_some_and(begins)
                && some_of_the_live(scene.redis)
                && some_of_the_live(scene.engine)
        },
    },
    // The contract between host and engine has errors as text; Redis shows what was sent, whatever it is.
    Tolerance {
        name: "errors show bytes that are no UTF-8 as U+FFFD",
        surely_met: true,
        explains: |scene| match (scene.redis, scene.engine) {
            (Value::Error(redis), Value::Error(engine)) => {
                std::str::from_utf8(redis).is_err() && String::from_utf8_lossy(redis).as_bytes() == engine
            }
            (_, _) => false,
        },
    },
    // Both count a key whose time is over until they remove it: Redis on its own when it finds time, kv in its sweeps.
    Tolerance {
        name: "DBSIZE counts keys that are over until they are removed",
        surely_met: false,
        explains: |scene| {
            let counts_the_live = |reply: &Value| integer(reply).is_some_and(|count| count >= scene.live.len() as i64);
            scene.is("DBSIZE") && scene.some_ran_out && counts_the_live(scene.redis) && counts_the_live(scene.engine)
        },
    },
    // Redis notices only while it asks for the type that a key is over, and takes "none" for an answer.
    Tolerance {
        name: "SCAN TYPE none brings no keys that are over",
        surely_met: false,
        explains: |scene| {
            let asks_for_none = scene.command.iter().any(|word| word.eq_ignore_ascii_case(b"none"));
            let none = Value::Array(Vec::new());
            scene.is("SCAN") && asks_for_none && scene.some_ran_out && !scene.redis.is_error() && *scene.engine == none
        },
    },
];

/// The first tolerance that explains it.
pub(crate) fn name(scene: &Scene) -> Option<&'static str> {
    TOLERATED.iter().find(|tolerance| (tolerance.explains)(scene)).map(|tolerance| tolerance.name)
}

impl Scene<'_> {
    fn is(&self, name: &str) -> bool {
        self.command[0].eq_ignore_ascii_case(name.as_bytes())
    }
}

fn integer(reply: &Value) -> Option<i64> {
    if let Value::Integer(digits) = reply { parse_i64(digits) } else { None }
}
