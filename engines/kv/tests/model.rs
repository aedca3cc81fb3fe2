//! Random commands on `kv` and on a model that is too simple to be wrong; and after each, do the tables still agree?

use std::collections::{BTreeMap, BTreeSet};

use kv::ENGINE;
use outboard_sdk::Random;
use outboard_sdk::testing::{Bench, MemoryTables};

/// Key -> value and the last millisecond of its life.
#[derive(Default)]
struct Model {
    now_ms: u64,
    keys: BTreeMap<String, (String, Option<u64>)>,
}

impl Model {
    fn run(&mut self, command: &[String]) -> String {
        let now_ms = self.now_ms;
        self.keys.retain(|_, (_, expires_ms)| expires_ms.is_none_or(|expires_ms| now_ms <= expires_ms));
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let integer = |number: i64| format!("(integer) {number}");
        let text = |value: Option<String>| value.map_or("(nil)".to_owned(), |value| format!("\"{value}\""));
        let value_of = |key: &str| self.keys.get(key).map(|(value, _)| value.clone());
        match words.as_slice() {
            ["GET", key] => text(value_of(key)),
            ["EXISTS", key] => integer(i64::from(self.keys.contains_key(*key))),
            ["TTL", key] => integer(match self.keys.get(*key) {
                None => -2,
                Some((_, None)) => -1,
                Some((_, Some(expires_ms))) => (expires_ms - now_ms + 500) as i64 / 1000,
            }),
            ["SET", key, value, options @ ..] => {
                let present = self.keys.contains_key(*key);
                if options.contains(&"NX") && present || options.contains(&"XX") && !present {
                    return text(None);
                }
                let kept_ms = self.keys.get(*key).and_then(|(_, expires_ms)| *expires_ms);
                let expires_ms = match options.iter().position(|word| *word == "PX") {
                    Some(at) => Some(now_ms + options[at + 1].parse::<u64>().expect("a number")),
                    None => kept_ms.filter(|_| options.contains(&"KEEPTTL")),
                };
                self.keys.insert((*key).to_owned(), ((*value).to_owned(), expires_ms));
                "OK".to_owned()
            }
            ["DEL", keys @ ..] => integer(keys.iter().filter(|key| self.keys.remove(**key).is_some()).count() as i64),
            ["GETDEL", key] => text(self.keys.remove(*key).map(|(value, _)| value)),
            ["APPEND", key, more] => {
                let (value, _) = self.keys.entry((*key).to_owned()).or_default();
                value.push_str(more);
                integer(value.len() as i64)
            }
            ["INCRBY", key, by] => {
                let Ok(number) = value_of(key).map_or(Ok(0), |value| value.parse::<i64>()) else {
                    return "(error) ERR value is not an integer or out of range".to_owned();
                };
                let sum = number + by.parse::<i64>().expect("a number");
                self.keys.entry((*key).to_owned()).or_default().0 = sum.to_string();
                integer(sum)
            }
            ["CAS", key, expected, new] => match self.keys.get_mut(*key) {
                None => text(None),
                Some((value, _)) if value != expected => integer(0),
                Some((value, _)) => {
                    *value = (*new).to_owned();
                    integer(1)
                }
            },
            ["PEXPIRE", key, ms] => {
                let ms: i64 = ms.parse().expect("a number");
                let present = self.keys.contains_key(*key);
                if ms <= 0 {
                    self.keys.remove(*key);
                } else if let Some((_, expires_ms)) = self.keys.get_mut(*key) {
                    *expires_ms = Some(now_ms + ms as u64);
                }
                integer(i64::from(present))
            }
            ["RENAME", key, newkey] => match self.keys.remove(*key) {
                None => "(error) ERR no such key".to_owned(),
                Some(moved) => {
                    self.keys.insert((*newkey).to_owned(), moved);
                    "OK".to_owned()
                }
            },
            ["COPY", key, newkey, "REPLACE"] if key == newkey => {
                "(error) ERR source and destination objects are the same".to_owned()
            }
            ["COPY", key, newkey, "REPLACE"] => match self.keys.get(*key).cloned() {
                None => integer(0),
                Some(copied) => {
                    self.keys.insert((*newkey).to_owned(), copied);
                    integer(1)
                }
            },
            ["GETEX", key, "PX", ms] => {
                let value = value_of(key);
                if let Some((_, expires_ms)) = self.keys.get_mut(*key) {
                    *expires_ms = Some(now_ms + ms.parse::<u64>().expect("a number"));
                }
                text(value)
            }
            ["GETEX", key, "PXAT", "1"] => text(self.keys.remove(*key).map(|(value, _)| value)),
            ["FLUSHDB"] => {
                self.keys.clear();
                "OK".to_owned()
            }
            ["PERSIST", key] => {
                integer(i64::from(self.keys.get_mut(*key).is_some_and(|(_, expires_ms)| expires_ms.take().is_some())))
            }
            other => panic!("the model does not know {other:?}"),
        }
    }
}

fn random_command(random: &mut Random) -> Vec<String> {
    let key = format!("k{}", random.below(12));
    let value = ["7", "-3", "x", "", "12"][random.below(5) as usize].to_owned();
    let ms = (1 + random.below(60)).to_string();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let other = format!("k{}", random.below(12));
    match random.below(20) {
        0 => words(&["GET", &key]),
        1 => words(&["EXISTS", &key]),
        2 => words(&["TTL", &key]),
        3 => words(&["SET", &key, &value]),
        4 => words(&["SET", &key, &value, "PX", &ms]),
        5 => words(&["SET", &key, &value, "NX", "PX", &ms]),
        6 => words(&["SET", &key, &value, "XX"]),
        7 => words(&["SET", &key, &value, "KEEPTTL"]),
        8 => words(&["DEL", &key, &other]),
        9 => words(&["GETDEL", &key]),
        10 => words(&["APPEND", &key, &value]),
        11 => words(&["INCRBY", &key, &random.below(100).to_string()]),
        12 => words(&["CAS", &key, &value, "changed"]),
        13 => words(&["PEXPIRE", &key, &ms]),
        14 => words(&["PEXPIRE", &key, "0"]),
        15 => words(&["RENAME", &key, &other]),
        16 => words(&["COPY", &key, &other, "REPLACE"]),
        17 => words(&["GETEX", &key, "PX", &ms]),
        18 if random.below(4) == 0 => words(&["FLUSHDB"]),
        18 => words(&["GETEX", &key, "PXAT", "1"]),
        _ => words(&["PERSIST", &key]),
    }
}

/// What `record.rs` promises of schema 1, read from the bytes.
fn assert_the_tables_agree(tables: &MemoryTables) {
    let of = |wanted: u32| tables.records().filter(move |(table, ..)| *table == wanted);
    let keys: BTreeSet<&[u8]> = of(0).map(|(_, key, _)| key).collect();
    let ordered: BTreeSet<&[u8]> = of(3).map(|(_, entry, _)| &entry[7..]).collect();
    assert_eq!(keys, ordered, "every record has its place in the order, and only records have");
    let count = of(1).next().map_or(0, |(_, _, count)| u64::from_le_bytes(count.try_into().expect("eight bytes")));
    assert_eq!(count, keys.len() as u64, "the count is the number of records");
    let expiring: BTreeSet<Vec<u8>> = of(0)
        .filter(|(_, _, record)| record[0] == 1)
        .map(|(_, key, record)| {
            [&u64::from_le_bytes(record[1..9].try_into().expect("eight bytes")).to_be_bytes(), key].concat()
        })
        .collect();
    let expiries: BTreeSet<Vec<u8>> = of(2).map(|(_, entry, _)| entry.to_vec()).collect();
    assert_eq!(expiring, expiries, "every record that expires is among the expiries, and nothing else is");
}

#[test]
fn random_commands_do_what_a_simple_model_does() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut bench = Bench::new(&ENGINE);
        let mut model = Model { now_ms: bench.now_ms(), ..Model::default() };
        for step in 0..400 {
            let command = random_command(&mut random);
            let line = command.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" ");
            assert_eq!(bench.run(&line), model.run(&command), "seed {seed} step {step}: {line}");
            assert_the_tables_agree(bench.tables());
            if random.below(4) == 0 {
                bench.advance_ms(random.below(20));
                model.now_ms = bench.now_ms();
            }
        }
    }
}
