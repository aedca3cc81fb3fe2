//! Certificates that are not of this cluster, hold no more or are for something else; and no certificate at all.

use super::{Fort, Row};
use crate::OUTBOARD;
use outboard_net::{Authority, ClusterId, Credentials, Principal, Validity};
use outboard_tests::{Cluster, is_turned_away, is_turned_away_without_a_certificate};
use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_secs(3_600);

/// What each stranger tries.
const ATTEMPTS: [&[&str]; 5] = [
    &["get", "treasure"],
    &["put", "treasure", "stolen"],
    &["member", "remove", "n1", "--force"],
    &["token", "create", "--client", "admin"],
    &["client", "role", "eve", "admin"],
];

/// Who, by which certificate, and what the answers say. All end with exit code 6.
type Stranger = (&'static str, fn(&Fort) -> Credentials, &'static [&'static str]);

const STRANGERS: [Stranger; 8] = [
    ("the admin of another cluster", of_another_cluster, &["OB6001", "another cluster"]),
    ("an admin of a self-made authority with the right names", of_a_self_made_authority, &["OB6001", "certificate"]),
    ("the same that trusts the cluster's own authority", of_a_mixture, &["OB6001", "the certificate doesn't hold"]),
    ("an admin whose time is over", expired, &["OB6001", "expired"]),
    ("an admin of the future", of_the_future, &["OB6001", "not valid yet"]),
    ("a client whom the authority signed and nobody enrolled", never_enrolled, &["OB6003", "eve has no role"]),
    ("a node that acts as a client", a_node, &["OB6003", "is a node and not a client"]),
    ("a node that nobody enrolled", an_unknown_node, &["OB6003", "is a node and not a client"]),
];

fn of_another_cluster(_: &Fort) -> Credentials {
    let other = Authority::create(ClusterId::random()).expect("an authority");
    other.issue_client("admin").expect("signed")
}

fn of_a_self_made_authority(fort: &Fort) -> Credentials {
    Authority::create(fort.authority.cluster()).expect("an authority").issue_client("admin").expect("signed")
}

fn of_a_mixture(fort: &Fort) -> Credentials {
    let own = of_a_self_made_authority(fort);
    Credentials::from_pem(own.certificate_pem(), own.key_pem(), fort.authority.certificate_pem())
        .expect("it looks right")
}

fn admin_from_to(fort: &Fort, from: SystemTime, until: SystemTime) -> Credentials {
    fort.authority.issue(Principal::Client { name: "admin".to_owned() }, Validity { from, until }).expect("signed")
}

fn expired(fort: &Fort) -> Credentials {
    admin_from_to(fort, SystemTime::now() - 48 * HOUR, SystemTime::now() - HOUR)
}

fn of_the_future(fort: &Fort) -> Credentials {
    admin_from_to(fort, SystemTime::now() + 24 * HOUR, SystemTime::now() + 48 * HOUR)
}

fn never_enrolled(fort: &Fort) -> Credentials {
    fort.authority.issue_client("eve").expect("signed")
}

fn a_node(fort: &Fort) -> Credentials {
    fort.node(1)
}

fn an_unknown_node(fort: &Fort) -> Credentials {
    fort.node(7)
}

/// Who comes by which door: who, its certificate if it has one, and the protocol (ALPN) that it asks for.
type Door = (&'static str, Option<fn(&Fort) -> Credentials>, &'static str);

const DOORS: [Door; 8] = [
    ("nobody, as a client", None, "outboard-client/1"),
    ("nobody, as a node", None, "outboard-peer/1"),
    ("nobody, with another protocol", None, "h3"),
    ("an enrolled client, as a node", Some(the_admin), "outboard-peer/1"),
    ("an enrolled client, as a node of a recovered cluster", Some(the_admin), "outboard-peer/1.1"),
    ("an enrolled client, with a later protocol", Some(the_admin), "outboard-client/2"),
    ("a client of a self-made authority", Some(of_a_mixture), "outboard-client/1"),
    ("a node that claims to be the very one that it dials", Some(a_node), "outboard-peer/1"),
];

fn the_admin(fort: &Fort) -> Credentials {
    fort.authority.issue_client("admin").expect("signed")
}

#[test]
fn who_does_not_belong_gets_nothing_by_any_certificate_and_by_no_door() {
    let cluster = Cluster::start(OUTBOARD, 1);
    let ca = cluster.dir(1).join("ca");
    let fort = Fort::new(cluster.program(), cluster.folder(), &ca, cluster.address(1), &cluster.client_context());
    for (who, credentials, says) in STRANGERS {
        let context = fort.context(credentials(&fort));
        for line in ATTEMPTS {
            fort.refuses(&context, &Row { who, line, exit: 6, says });
        }
    }
    let trusted = the_admin(&fort);
    for (who, credentials, protocol) in DOORS {
        let protocol = protocol.as_bytes();
        let turned_away = fort.is_untouched(async {
            match credentials {
                Some(credentials) => is_turned_away(fort.address, &credentials(&fort), protocol).await,
                None => is_turned_away_without_a_certificate(fort.address, &trusted, protocol).await,
            }
        });
        assert!(turned_away, "{who} was let in");
    }
    cluster.run(["get", "treasure"]).ok();
}
