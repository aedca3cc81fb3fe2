//! What `status -o json` says, read as a script would read it.

use serde_json::Value;

/// The document of `status`.
#[derive(Clone, Debug)]
pub struct Status(pub Value);

/// One node in it.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a>(&'a Value);

impl Status {
    /// The leader's name, if there is one.
    pub fn leader(&self) -> Option<&str> {
        self.0["leader"].as_str()
    }

    /// `healthy`, `degraded`, …
    pub fn health(&self) -> &str {
        self.0["health"].as_str().expect("status says how the cluster is")
    }

    /// The highest term that a node reports.
    pub fn term(&self) -> u64 {
        number(&self.0["term"])
    }

    /// The highest commit index that a node reports.
    pub fn commit(&self) -> u64 {
        number(&self.0["commit"])
    }

    /// `equal`, `differs` or `not_compared`.
    pub fn comparison(&self) -> &str {
        self.0["state"]["comparison"].as_str().expect("status compares the states")
    }

    /// The index at which the states were compared.
    pub fn compared_at(&self) -> Option<u64> {
        self.0["state"]["index"].as_str().map(|text| text.parse().expect("an index is a number"))
    }

    /// All members.
    pub fn nodes(&self) -> Vec<NodeView<'_>> {
        self.0["nodes"].as_array().expect("status lists the nodes").iter().map(NodeView).collect()
    }

    /// Whether every node answers, has applied everything, and has the same state there.
    pub fn is_settled(&self) -> bool {
        let everywhere = |node: &NodeView<'_>| node.answered() && node.applied() == self.commit();
        self.health() == "healthy"
            && self.nodes().iter().all(everywhere)
            && self.comparison() == "equal"
            && self.compared_at() == Some(self.commit())
    }
}

impl<'a> NodeView<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        self.0["name"].as_str().expect("a node has a name")
    }

    /// Whether it said anything.
    pub fn answered(&self) -> bool {
        !self.0["status"].is_null()
    }

    /// What it has applied.
    pub fn applied(&self) -> u64 {
        number(&self.0["status"]["applied"])
    }

    /// `name version` of its engine.
    pub fn engine(&self) -> String {
        let engine = &self.0["status"]["engine"];
        format!("{} {}", engine["name"].as_str().unwrap_or("?"), engine["version"].as_str().unwrap_or("?"))
    }

    /// The index at which that engine took over.
    pub fn engine_since(&self) -> u64 {
        number(&self.0["status"]["engine_since"])
    }

    /// What it dropped as malformed or refused.
    pub fn refused(&self) -> u64 {
        self.0["status"]["refused"].as_u64().expect("a node counts what it refuses")
    }
}

/// Numbers of 64 bits are strings in JSON.
fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("a number in a string was expected: {value}"));
    text.parse().expect("digits")
}
