//! INFO: the node's figures under the names that Redis clients and `redis-cli --stat` look for, and the cluster's under its own.
//!
//! Any node takes any command, so to Redis clients each is a master without replicas; who leads stands in the section `outboard`.

use super::Commands;
use crate::hub::Hub;
use bytes::Bytes;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// The Redis whose protocol and replies are met here; clients choose their ways by it.
pub(crate) const REDIS_VERSION: &str = "7.0.15";

/// The sections that are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Sections(Vec<&'static str>);

/// All of them, in their order. All belong to the default.
const SECTIONS: &[&str] =
    &["server", "clients", "memory", "persistence", "stats", "replication", "cpu", "cluster", "keyspace", "outboard"];

impl Sections {
    /// By INFO's arguments.
    pub(crate) fn of(names: &[Bytes]) -> Sections {
        let is = |name: &Bytes, word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        let all = names.is_empty()
            || names.iter().any(|name| ["default", "all", "everything"].iter().any(|word| is(name, word)));
        let wanted = |section: &&&str| all || names.iter().any(|name| is(name, section));
        Sections(SECTIONS.iter().filter(wanted).copied().collect())
    }

    /// The number of keys is the engine's to tell.
    pub(crate) fn want_keys(&self) -> bool {
        self.0.contains(&"keyspace")
    }
}

/// The sections' text; `keys` is how many keys the engine has, if it was asked and knows.
pub(crate) fn text(sections: &Sections, hub: &Hub, commands: &Commands, keys: Option<u64>) -> String {
    let mut text = String::with_capacity(2_048);
    for section in &sections.0 {
        if !text.is_empty() {
            text += "\r\n";
        }
        let title = section[..1].to_ascii_uppercase() + &section[1..];
        write!(text, "# {title}\r\n").expect("a string takes everything");
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            write!(text, "{name}:{value}\r\n").expect("a string takes everything");
        };
        match *section {
            "server" => server(hub, &mut line),
            "clients" => {
                line("connected_clients", &hub.counters.connected.get());
                line("maxclients", &hub.options.connections_max);
                line("blocked_clients", &0);
                line("tracking_clients", &0);
            }
            "memory" => memory(hub, &mut line),
            "persistence" => {
                line("loading", &u8::from(commands.manifest().is_none()));
                line("async_loading", &0);
                line("rdb_bgsave_in_progress", &0);
                line("aof_enabled", &1);
                line("aof_rewrite_in_progress", &0);
                line("aof_last_write_status", &"ok");
            }
            "stats" => stats(hub, &mut line),
            "replication" => {
                line("role", &"master");
                line("connected_slaves", &0);
                line("master_repl_offset", &hub.backend.figures().applied);
            }
            "cpu" => {
                let (user, system) = processor_seconds();
                line("used_cpu_sys", &format_args!("{system:.6}"));
                line("used_cpu_user", &format_args!("{user:.6}"));
            }
            "cluster" => line("cluster_enabled", &0),
            "keyspace" => {
                if let Some(keys) = keys.filter(|keys| *keys > 0) {
                    line("db0", &format_args!("keys={keys},expires=0,avg_ttl=0"));
                }
            }
            _ => outboard(hub, commands, &mut line),
        }
    }
    text
}

type Line<'a> = dyn FnMut(&str, &dyn std::fmt::Display) + 'a;

fn server(hub: &Hub, line: &mut Line<'_>) {
    let figures = hub.backend.figures();
    let uptime_s = figures.uptime.as_secs();
    line("redis_version", &REDIS_VERSION);
    line("redis_mode", &"standalone");
    line("outboard_version", &figures.version);
    line("os", &std::env::consts::OS);
    line("arch_bits", &usize::BITS);
    line("process_id", &std::process::id());
    line("tcp_port", &hub.address.port());
    line("server_time_usec", &SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros());
    line("uptime_in_seconds", &uptime_s);
    line("uptime_in_days", &(uptime_s / 86_400));
}

fn memory(hub: &Hub, line: &mut Line<'_>) {
    let resident = resident_bytes();
    line("used_memory", &resident);
    line("used_memory_human", &human(resident));
    line("used_memory_rss", &resident);
    line("used_memory_rss_human", &human(resident));
    line("used_memory_clients", &hub.held_bytes());
    line("maxmemory", &0);
    line("maxmemory_human", &"0B");
    line("maxmemory_policy", &"noeviction");
}

fn stats(hub: &Hub, line: &mut Line<'_>) {
    let counters = &hub.counters;
    line("total_connections_received", &counters.connections.get());
    line("total_commands_processed", &counters.commands.get());
    line("instantaneous_ops_per_sec", &counters.commands_per_second.get());
    line("total_net_input_bytes", &counters.input_bytes.get());
    line("total_net_output_bytes", &counters.output_bytes.get());
    line("rejected_connections", &counters.rejected.get());
    line("total_error_replies", &counters.errors.get());
    line("expired_keys", &0);
    line("evicted_keys", &0);
    line("keyspace_hits", &0);
    line("keyspace_misses", &0);
    line("pubsub_channels", &0);
    line("cut_off_connections", &counters.cut_off.get());
}

fn outboard(hub: &Hub, commands: &Commands, line: &mut Line<'_>) {
    let figures = hub.backend.figures();
    line("cluster", &figures.cluster);
    line("node", &figures.node);
    line("node_role", &figures.role);
    line("leader", &figures.leader.as_deref().unwrap_or("none"));
    line("term", &figures.term);
    line("applied", &figures.applied);
    line("voters", &figures.voters);
    line("durability", &figures.durability);
    line("engine", &figures.engine.as_deref().unwrap_or("none"));
    line("engine_commands", &commands.of_engine().count());
}

/// The process's memory; 0 where the system doesn't tell it this way.
fn resident_bytes() -> u64 {
    let pages = || std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse::<u64>().ok();
    pages().unwrap_or(0) * rustix::param::page_size() as u64
}

/// User's and system's, of the whole process.
fn processor_seconds() -> (f64, f64) {
    let ticks = || {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name in parentheses may hold spaces.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        Some((fields.next()?.parse::<f64>().ok()?, fields.next()?.parse::<f64>().ok()?))
    };
    let (user, system) = ticks().unwrap_or_default();
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    (user / per_second, system / per_second)
}

fn human(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes}B"),
        1_024..1_048_576 => format!("{:.2}K", bytes as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.2}M", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2}G", bytes as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::words;

    #[test]
    fn sections_are_chosen_by_name_or_all() {
        assert_eq!(Sections::of(&[]).0, SECTIONS);
        assert_eq!(Sections::of(&words("everything")).0, SECTIONS);
        assert_eq!(Sections::of(&words("cpu Server nonsense")).0, ["server", "cpu"]);
        assert!(Sections::of(&words("keyspace")).want_keys() && !Sections::of(&words("cpu")).want_keys());
    }

    #[test]
    fn memory_is_shown_for_people_as_redis_does() {
        assert_eq!([0, 1_023, 1_682_472, 25_276_502_016].map(human), ["0B", "1023B", "1.60M", "23.54G"]);
    }
}
