//! Rules of the product that a world breaks on purpose: promises of disks, nodes and clients. The checks must find each of them.

/// A rule of the product that the world breaks, to see that the checks find it.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Mutation {
    /// The log's disk does nothing when it is told to sync.
    SyncsDropped,
    /// The log's disk says that it has synced before it has.
    AckBeforeSync,
    /// A loss of power takes log and tables back to where they were a moment before, as if nothing had been synced since.
    DiskGoesBack,
    /// A node forgets after a crash whom it voted for.
    VotesForgotten,
    /// The tables' disk forgets what it was told to keep.
    TablesForgotten,
    /// A read that has to be linearizable is answered by whoever is asked.
    StaleReads,
    /// A node changes an entry that it passes on.
    EntriesAltered,
    /// A client is told that a write is done which may not be.
    WritesInvented,
    /// The tables of one node lose a write now and then.
    TableWritesLost,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Mutation; 9] = [
        Mutation::SyncsDropped,
        Mutation::AckBeforeSync,
        Mutation::DiskGoesBack,
        Mutation::VotesForgotten,
        Mutation::TablesForgotten,
        Mutation::StaleReads,
        Mutation::EntriesAltered,
        Mutation::WritesInvented,
        Mutation::TableWritesLost,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mutation::SyncsDropped => "syncs-dropped",
            Mutation::AckBeforeSync => "ack-before-sync",
            Mutation::DiskGoesBack => "disk-goes-back",
            Mutation::VotesForgotten => "votes-forgotten",
            Mutation::TablesForgotten => "tables-forgotten",
            Mutation::StaleReads => "stale-reads",
            Mutation::EntriesAltered => "entries-altered",
            Mutation::WritesInvented => "writes-invented",
            Mutation::TableWritesLost => "table-writes-lost",
        }
    }
}
