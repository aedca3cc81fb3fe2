//! The gateway's own commands: what they are called, how many arguments they take, and what COMMAND tells of them.

/// A command that no engine sees.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Own {
    Auth,
    ClientGetName,
    ClientHelp,
    ClientId,
    ClientInfo,
    ClientList,
    ClientNoEvict,
    ClientNoTouch,
    ClientSetInfo,
    ClientSetName,
    Command,
    CommandCount,
    CommandDocs,
    CommandHelp,
    CommandInfo,
    CommandList,
    ConfigGet,
    ConfigHelp,
    ConfigResetStat,
    ConfigRewrite,
    ConfigSet,
    Discard,
    Echo,
    Exec,
    Hello,
    Info,
    Multi,
    Ping,
    Quit,
    ReadOnly,
    ReadWrite,
    Reset,
    Select,
    Time,
    Unwatch,
    Wait,
    Watch,
}

/// What is known of one.
#[derive(Debug)]
pub(crate) struct Spec {
    /// In small letters; a subcommand has its container and a bar before it.
    pub(crate) name: &'static str,
    /// As Redis counts: with the name, and negative for a least number.
    pub(crate) arity: i64,
    /// None for a name that only leads to subcommands.
    pub(crate) own: Option<Own>,
    /// `connection`, `server` or `transactions`.
    pub(crate) group: &'static str,
    /// The arguments, as a manifest's summary has them.
    pub(crate) usage: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) subcommands: &'static [Spec],
}

impl Spec {
    /// Whether so many arguments, the name among them, fit.
    pub(crate) fn takes(&self, count: usize) -> bool {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if self.arity < 0 { count >= -self.arity } else { count == self.arity }
    }

    /// The subcommand of that name.
    pub(crate) fn subcommand(&self, name: &[u8]) -> Option<&'static Spec> {
        self.subcommands.iter().find(|spec| spec.last_name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Without the container.
    pub(crate) fn last_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, last)| last)
    }

    /// It may come before a login.
    pub(crate) fn before_login(&self) -> bool {
        matches!(self.own, Some(Own::Auth | Own::Hello | Own::Quit | Own::Reset))
    }
}

const fn spec(
    name: &'static str,
    arity: i64,
    own: Own,
    group: &'static str,
    usage: &'static str,
    summary: &'static str,
) -> Spec {
    Spec { name, arity, own: Some(own), group, usage, summary, subcommands: &[] }
}

const C: &str = "connection";
const S: &str = "server";
const T: &str = "transactions";

/// All of them, in the order of their names.
pub(crate) const OWN: &[Spec] = &[
    spec("auth", -2, Own::Auth, C, "[username] password", "Logs in."),
    Spec {
        name: "client",
        arity: -2,
        own: None,
        group: C,
        usage: "",
        summary: "About this connection and the others.",
        subcommands: &[
            spec("client|getname", 2, Own::ClientGetName, C, "", "The name of this connection."),
            spec("client|help", 2, Own::ClientHelp, C, "", "The subcommands of CLIENT."),
            spec("client|id", 2, Own::ClientId, C, "", "The number of this connection."),
            spec("client|info", 2, Own::ClientInfo, C, "", "What is known of this connection."),
            spec(
                "client|list",
                -2,
                Own::ClientList,
                C,
                "[TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID client-id [client-id ...]]",
                "What is known of the connections to this node.",
            ),
            spec("client|no-evict", 3, Own::ClientNoEvict, C, "ON|OFF", "Accepted; nothing is evicted here."),
            spec("client|no-touch", 3, Own::ClientNoTouch, C, "ON|OFF", "Accepted; nothing is touched here."),
            spec(
                "client|setinfo",
                4,
                Own::ClientSetInfo,
                C,
                "LIB-NAME libname|LIB-VER libver",
                "Names the library that the client uses.",
            ),
            spec("client|setname", 3, Own::ClientSetName, C, "connection-name", "Names this connection."),
        ],
    },
    Spec {
        name: "command",
        arity: -1,
        own: Some(Own::Command),
        group: S,
        usage: "",
        summary: "What commands there are: the running engine's and the gateway's.",
        subcommands: &[
            spec("command|count", 2, Own::CommandCount, S, "", "How many commands there are."),
            spec("command|docs", -2, Own::CommandDocs, S, "[command-name ...]", "Documentation of commands."),
            spec("command|help", 2, Own::CommandHelp, S, "", "The subcommands of COMMAND."),
            spec("command|info", -2, Own::CommandInfo, S, "[command-name ...]", "Arity, flags and keys of commands."),
            spec(
                "command|list",
                -2,
                Own::CommandList,
                S,
                "[FILTERBY MODULE module-name|ACLCAT category|PATTERN pattern]",
                "The names of the commands.",
            ),
        ],
    },
    Spec {
        name: "config",
        arity: -2,
        own: None,
        group: S,
        usage: "",
        summary: "Settings, under the names that Redis clients ask for.",
        subcommands: &[
            spec("config|get", -3, Own::ConfigGet, S, "pattern [pattern ...]", "Settings whose names fit."),
            spec("config|help", 2, Own::ConfigHelp, S, "", "The subcommands of CONFIG."),
            spec("config|resetstat", 2, Own::ConfigResetStat, S, "", "Sets the counters of INFO back to 0."),
            spec("config|rewrite", 2, Own::ConfigRewrite, S, "", "Refused: nothing can be set here."),
            spec(
                "config|set",
                -4,
                Own::ConfigSet,
                S,
                "parameter value [parameter value ...]",
                "Refused: nothing can be set here.",
            ),
        ],
    },
    spec("discard", 1, Own::Discard, T, "", "Forgets the commands since MULTI."),
    spec("echo", 2, Own::Echo, C, "message", "Answers with the message."),
    spec("exec", 1, Own::Exec, T, "", "Carries out the commands since MULTI as one entry of the log: all or none."),
    spec(
        "hello",
        -1,
        Own::Hello,
        C,
        "[protover [AUTH username password] [SETNAME clientname]]",
        "Chooses the version of the protocol, and logs in.",
    ),
    spec("info", -1, Own::Info, S, "[section ...]", "Figures of this node."),
    spec("multi", 1, Own::Multi, T, "", "The commands that follow wait for EXEC."),
    spec("ping", -1, Own::Ping, C, "[message]", "Answers PONG, or the message."),
    spec("quit", -1, Own::Quit, C, "", "Closes the connection."),
    spec("readonly", 1, Own::ReadOnly, C, "", "Reads of this connection may show what this node has, however old."),
    spec("readwrite", 1, Own::ReadWrite, C, "", "Reads of this connection are linearizable again."),
    spec("reset", 1, Own::Reset, C, "", "Makes the connection as if it were new."),
    spec("select", 2, Own::Select, C, "index", "Accepts 0: there is one database."),
    spec("time", 1, Own::Time, S, "", "This node's clock: seconds and microseconds."),
    spec("unwatch", 1, Own::Unwatch, T, "", "Forgets the keys that WATCH named."),
    spec(
        "wait",
        3,
        Own::Wait,
        C,
        "numreplicas timeout",
        "On how many nodes beside one every acknowledged write is at least: a majority less one.",
    ),
    spec("watch", -2, Own::Watch, T, "key [key ...]", "EXEC does nothing if one of these keys is written before it."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_own_command_stands_once_in_the_order_of_names() {
        assert!(OWN.is_sorted_by_key(|spec| spec.name));
        for spec in OWN {
            assert!(spec.subcommands.is_sorted_by_key(|sub| sub.name));
            for sub in spec.subcommands {
                assert_eq!(sub.name, format!("{}|{}", spec.name, sub.last_name()));
                assert!(sub.own.is_some() && sub.subcommands.is_empty());
            }
            assert!(spec.own.is_some() || !spec.subcommands.is_empty());
        }
    }
}
