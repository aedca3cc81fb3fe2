//! Which node to ask next: pure, times are arguments.
//!
//! The route knows the endpoints of the context and the nodes that answers hinted at. It stays with the node that last
//! proved right, goes to the next one when that is lost or silent, and comes back to a lost one only after a while that
//! doubles. Invariant: there is always a node to ask; when all are being avoided, it is the one whose time is up first.

use std::time::Duration;
use tokio::time::Instant;

/// Nodes that one client knows at most; hints to more are ignored.
pub(crate) const NODES_MAX: usize = 64;
/// A lost node is avoided for this long at first ...
const AVOID_MIN: Duration = Duration::from_millis(100);
/// ... and for this long at last.
const AVOID_MAX: Duration = Duration::from_secs(2);
/// A silent node, whose connection still stands, is avoided for longer than the others need to elect.
const SILENT_AVOID: Duration = Duration::from_millis(1_500);

/// The nodes and the one in favour.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    nodes: Vec<Node>,
    current: usize,
    pinned: bool,
}

#[derive(Clone, Debug)]
struct Node {
    address: String,
    avoid_until: Option<Instant>,
    failures: u32,
}

/// The choice.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) struct Pick {
    /// The node's number on this route.
    pub(crate) node: usize,
    /// Not before this time, if all are being avoided.
    pub(crate) not_before: Option<Instant>,
}

/// What a hint to the leader leads to.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Hinted {
    /// Nothing: known, avoided or no room.
    Nothing,
    /// A node worth connecting to; [`Route::prefer`] it when that works.
    Try(usize),
}

impl Route {
    /// A pinned route stays with its first endpoint whatever happens.
    pub(crate) fn new(endpoints: &[String], pinned: bool) -> Route {
        assert!(!endpoints.is_empty(), "a route needs an endpoint");
        let nodes =
            endpoints.iter().take(if pinned { 1 } else { NODES_MAX }).map(|address| Node::new(address)).collect();
        Route { nodes, current: 0, pinned }
    }

    pub(crate) fn address(&self, node: usize) -> &str {
        &self.nodes[node].address
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn find(&self, address: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.address == address)
    }

    /// The node to ask now.
    pub(crate) fn pick(&mut self, now: Instant) -> Pick {
        let count = self.nodes.len();
        let free = |node: &Node| node.avoid_until.is_none_or(|until| until <= now);
        let next = (0..count).map(|step| (self.current + step) % count).find(|&at| free(&self.nodes[at]));
        let soonest = || (0..count).min_by_key(|&at| self.nodes[at].avoid_until).expect("a route has a node");
        let node = next.unwrap_or_else(soonest);
        self.current = node;
        Pick { node, not_before: self.nodes[node].avoid_until.filter(|until| *until > now) }
    }

    /// The node connected or answered: it is not avoided any more.
    pub(crate) fn on_alive(&mut self, node: usize) {
        self.nodes[node].avoid_until = None;
        self.nodes[node].failures = 0;
    }

    /// The node can't be reached, or its connection was lost. Everybody who waited for it says so; only the first counts.
    pub(crate) fn on_lost(&mut self, node: usize, now: Instant) {
        let lost = &mut self.nodes[node];
        if lost.avoid_until.is_some_and(|until| until > now) {
            return;
        }
        let avoid = AVOID_MIN.saturating_mul(1 << lost.failures.min(10)).min(AVOID_MAX);
        lost.failures = lost.failures.saturating_add(1);
        lost.avoid_until = Some(now + avoid);
    }

    /// The node doesn't answer, though its connection stands.
    pub(crate) fn on_silent(&mut self, node: usize, now: Instant) {
        self.nodes[node].avoid_until = Some(now + SILENT_AVOID);
    }

    /// The node said that it can't help: the next one is asked first from now on.
    pub(crate) fn on_not_done(&mut self, node: usize) {
        if self.current == node {
            self.current = (node + 1) % self.nodes.len();
        }
    }

    /// An answer named the leader.
    pub(crate) fn on_hint(&mut self, address: &str, now: Instant) -> Hinted {
        if self.pinned {
            return Hinted::Nothing;
        }
        match self.find(address) {
            Some(node) if node == self.current => Hinted::Nothing,
            Some(node) if self.nodes[node].avoid_until.is_some_and(|until| until > now) => Hinted::Nothing,
            Some(node) => Hinted::Try(node),
            None if self.nodes.len() == NODES_MAX => Hinted::Nothing,
            None => {
                self.nodes.push(Node::new(address));
                Hinted::Try(self.nodes.len() - 1)
            }
        }
    }

    /// Ask this node first from now on.
    pub(crate) fn prefer(&mut self, node: usize) {
        self.current = node;
        self.on_alive(node);
    }
}

impl Node {
    fn new(address: &str) -> Node {
        Node { address: address.to_owned(), avoid_until: None, failures: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(pinned: bool) -> (Route, Instant) {
        let endpoints = ["a:1", "b:1", "c:1"].map(str::to_owned);
        (Route::new(&endpoints, pinned), Instant::now())
    }

    #[test]
    fn a_lost_node_is_left_for_the_next_and_found_again_later() {
        let (mut route, now) = route(false);
        assert_eq!(route.pick(now), Pick { node: 0, not_before: None });
        route.on_lost(0, now);
        assert_eq!(route.pick(now).node, 1);
        route.on_lost(1, now);
        route.on_silent(2, now);
        // All are avoided: the one whose time is up first, and not before.
        let pick = route.pick(now);
        assert!(pick.node < 2 && pick.not_before == Some(now + AVOID_MIN));
        assert_eq!(route.pick(now + AVOID_MAX).not_before, None);
    }

    #[test]
    fn the_time_of_avoiding_doubles_up_to_its_limit_and_ends_with_a_success() {
        let (mut route, mut now) = route(true);
        for round in 0..70 {
            // Many calls wait on one connection and all of them report its loss.
            route.on_lost(0, now);
            route.on_lost(0, now);
            let until = route.pick(now).not_before.expect("avoided");
            assert_eq!(until - now, AVOID_MIN.saturating_mul(1 << round.min(10)).min(AVOID_MAX));
            now = until;
        }
        route.on_alive(0);
        assert_eq!(route.pick(now).not_before, None);
    }

    #[test]
    fn hints_lead_to_the_leader_but_not_back_to_a_silent_one() {
        let (mut route, now) = route(false);
        assert_eq!(route.on_hint("a:1", now), Hinted::Nothing);
        assert_eq!(route.on_hint("c:1", now), Hinted::Try(2));
        route.prefer(2);
        assert_eq!(route.pick(now).node, 2);
        route.on_silent(2, now);
        assert_ne!(route.pick(now).node, 2);
        assert_eq!(route.on_hint("c:1", now), Hinted::Nothing);
        assert_eq!(route.on_hint("c:1", now + SILENT_AVOID), Hinted::Try(2));
        assert_eq!(route.on_hint("d:1", now), Hinted::Try(3));
    }

    #[test]
    fn the_nodes_that_hints_add_are_bounded() {
        let (mut route, now) = route(false);
        for port in 0..1_000 {
            route.on_hint(&format!("x:{port}"), now);
        }
        assert_eq!(route.len(), NODES_MAX);
    }

    #[test]
    fn a_pinned_route_stays() {
        let (mut route, now) = route(true);
        assert_eq!(route.on_hint("b:1", now), Hinted::Nothing);
        route.on_lost(0, now);
        route.on_not_done(0);
        assert_eq!(route.pick(now).node, 0);
    }
}
