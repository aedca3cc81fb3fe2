//! Who comes in, what each may do, and how nodes and clients go.

use crate::world::World;
use bytes::Bytes;
use outboard_net::{Authority, JoinError, JoinRefusal};
use outboard_node::HaltKind;
use outboard_node::enrolment::EnrolError;
use outboard_wire::access::{AccessCommand, Enrols, MemberChange, Role, Wish};
use outboard_wire::client::{Consistency, RequestBody, Response};

const VOTER: Enrols = Enrols::Node(Wish::Voter);

fn command(words: &[&str]) -> RequestBody {
    let arguments = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    RequestBody::Command { arguments, consistency: Consistency::Linearizable, id: None }
}

fn number(response: Response) -> i64 {
    let Response::Reply(reply) = response else { panic!("no number: {response:?}") };
    let text = std::str::from_utf8(&reply).expect("text");
    text.trim_start_matches(':').trim_end().parse().expect("a number")
}

fn refusal(error: EnrolError) -> JoinRefusal {
    match error {
        EnrolError::Join(JoinError::Refused(why)) => why,
        other => panic!("not refused: {other}"),
    }
}

#[tokio::test]
async fn a_cluster_of_one_grows_to_three_by_a_token_and_shrinks_to_one_and_counts_on() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    assert_eq!(number(world.ask(1, &["INCR", "k"]).await), 1);
    let token = world.token(VOTER, 2).await;
    assert_eq!(world.join(1, &token).await.expect("let in"), 2);
    world.until_voters(&[1, 2]).await;
    assert_eq!(number(world.ask(2, &["INCR", "k"]).await), 2);
    // Through the newcomer, which may not sign yet and has it done by one that does.
    assert_eq!(world.join(2, &token).await.expect("let in"), 3);
    world.until_voters(&[1, 2, 3]).await;
    assert_eq!(number(world.ask(3, &["INCR", "k"]).await), 3);
    world.assert_equal_states().await;
    // All by themselves, and over a restart of all.
    for node in [1, 2, 3] {
        world.stop(node);
    }
    for node in [2, 3, 1] {
        world.restart(node).await;
    }
    assert_eq!(number(world.ask(1, &["INCR", "k"]).await), 4);
    // The founder goes; whether it leads or not.
    assert_eq!(world.change(MemberChange::Remove { node: 1 }, false).await, Response::Done);
    let halt = world.until_ended(1).await;
    assert_eq!(halt.kind, HaltKind::Removed, "{halt}");
    assert_eq!(number(world.ask(2, &["INCR", "k"]).await), 5);
    assert!(world.try_restart(1).is_err_and(|error| error.to_string().contains("was removed")));
    assert_eq!(world.change(MemberChange::Remove { node: 3 }, false).await, Response::Done);
    assert_eq!(world.until_ended(3).await.kind, HaltKind::Removed);
    world.until_voters(&[2]).await;
    assert_eq!(number(world.ask(2, &["INCR", "k"]).await), 6);
}

#[tokio::test]
async fn a_node_that_was_away_when_it_was_removed_hears_it_when_it_comes_back() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    world.kill(3);
    assert_eq!(world.change(MemberChange::Remove { node: 3 }, false).await, Response::Done);
    world.restart(3).await;
    let halt = world.until_ended(3).await;
    assert_eq!(halt.kind, HaltKind::Removed, "{halt}");
    let again = world.change(MemberChange::Remove { node: 3 }, false).await;
    assert!(matches!(&again, Response::ChangeRefused { reason, .. } if reason.contains("was removed")), "{again:?}");
}

#[tokio::test]
async fn a_learner_takes_a_voters_place_and_a_change_without_a_living_majority_is_refused_unless_forced() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let token = world.token(Enrols::Node(Wish::Learner), 1).await;
    assert_eq!(world.join(2, &token).await.expect("let in"), 4);
    world.until_voters(&[1, 2, 3]).await;
    assert_eq!(world.change(MemberChange::Replace { old: 3, new: 4 }, false).await, Response::Done);
    assert_eq!(world.until_ended(3).await.kind, HaltKind::Removed);
    world.until_voters(&[1, 2, 4]).await;
    assert_eq!(world.change(MemberChange::Demote { node: 4 }, false).await, Response::Done);
    world.until_voters(&[1, 2]).await;
    assert_eq!(world.change(MemberChange::Promote { node: 4 }, false).await, Response::Done);
    world.until_voters(&[1, 2, 4]).await;
    // Of three voters one is silent: the majority of two would be both.
    let leader = world.leader().await;
    let others: Vec<u64> = [1, 2, 4].into_iter().filter(|node| *node != leader).collect();
    world.kill(others[0]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while world.members().await.iter().any(|member| member.node == others[0] && member.heard) {
        assert!(std::time::Instant::now() < deadline, "the killed node is still heard");
    }
    let refused = world.change(MemberChange::Remove { node: others[1] }, false).await;
    let says = |reason: &str| reason.contains("silent") && reason.contains(&format!("n{}", others[0]));
    assert!(matches!(&refused, Response::ChangeRefused { reason, can_be_forced: true } if says(reason)), "{refused:?}");
    assert_eq!(world.change(MemberChange::Remove { node: others[0] }, false).await, Response::Done);
}

#[tokio::test]
async fn a_token_lets_in_whom_it_says_once_and_nobody_by_another_way() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    let other = World::start(1, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let token = world.token(VOTER, 1).await;
    // The same line again goes on with the same key.
    world.try_join(1, &token, "a").await.expect("let in");
    world.try_join(1, &token, "a").await.expect("let in again");
    assert_eq!(refusal(world.try_join(1, &token, "b").await.expect_err("used up")), JoinRefusal::UsedUp);
    let unknown = outboard_net::Token::generate(token.kind(), token.pin());
    let refused = refusal(world.try_join(1, &unknown, "b").await.expect_err("unknown"));
    assert_eq!(refused, JoinRefusal::UnknownToken);
    let elsewhere = other.try_join(1, &token, "b").await.expect_err("another cluster");
    assert!(matches!(elsewhere, EnrolError::Join(JoinError::WrongAuthority { .. })), "{elsewhere}");
    let client = world.token(Enrols::Client(Role::Reader), 1).await;
    assert!(world.try_join(1, &client, "c").await.is_err(), "a client's token makes no node");
}

#[tokio::test]
async fn a_client_may_do_what_its_role_says_and_is_cut_off_at_once_when_it_is_revoked() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let token = world.token(Enrols::Client(Role::Reader), 1).await;
    let ana = world.join_client(1, &token, "ana").await.expect("let in");
    assert_eq!(world.ask_as(&ana, 1, command(&["GET", "k"])).await, Ok(Response::Reply("$1\r\nv\r\n".into())));
    let refused = world.ask_as(&ana, 1, command(&["SET", "k", "w"])).await;
    assert!(matches!(&refused, Ok(Response::Forbidden(why)) if why.contains("ana is a reader")), "{refused:?}");
    let role = AccessCommand::ClientRole { name: "ana".into(), role: Role::Writer };
    assert!(matches!(world.ask_as(&ana, 1, RequestBody::Access(role.clone())).await, Ok(Response::Forbidden(_))));
    assert_eq!(world.raw(1, RequestBody::Access(role)).await, Response::Done);
    assert_eq!(world.ask_as(&ana, 1, command(&["SET", "k", "w"])).await, Ok(Response::Reply("+OK\r\n".into())));
    let standing = world.connect_as(&ana, 1).await;
    let revoke = AccessCommand::ClientRevoke { name: "ana".into() };
    assert_eq!(world.raw(1, RequestBody::Access(revoke)).await, Response::Done);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !standing.is_closed() {
        assert!(std::time::Instant::now() < deadline, "the revoked client's connection stands");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let refused = world.ask_as(&ana, 1, command(&["GET", "k"])).await.expect_err("cut off");
    assert!(refused.contains("revoked"), "{refused}");
}

#[tokio::test]
async fn who_is_signed_by_the_authority_and_unknown_to_the_cluster_may_do_nothing() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let authority = Authority::load(&world.dir(1).join("ca")).expect("a node that signs");
    let eve = authority.issue_client("eve").expect("signed");
    for body in [command(&["GET", "k"]), RequestBody::Status, RequestBody::MemberList, RequestBody::AccessLists] {
        let refused = world.ask_as(&eve, 1, body).await;
        assert!(matches!(&refused, Ok(Response::Forbidden(why)) if why.contains("no role")), "{refused:?}");
    }
}

#[tokio::test]
async fn a_node_s_certificate_is_renewed_by_itself_while_its_connections_stand() {
    use outboard_net::{Credentials, Principal, Validity};
    use std::time::{Duration, SystemTime};
    let mut world = World::start(1, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    world.stop(1);
    let home = world.dir(1).join("identity");
    let authority = Authority::load(&world.dir(1).join("ca")).expect("a node that signs");
    let day = Duration::from_secs(24 * 3_600);
    let validity = Validity { from: SystemTime::now() - 80 * day, until: SystemTime::now() + 10 * day };
    let old = authority.issue(Principal::Node(outboard_raft::NodeId(1)), validity).expect("signed");
    old.save(&home).expect("saved");
    world.restart(1).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while Credentials::load(&home).is_ok_and(|now| now.serial() == old.serial()) {
        assert!(std::time::Instant::now() < deadline, "not renewed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let new = Credentials::load(&home).expect("whole");
    assert_eq!(new.key_pem(), old.key_pem());
    assert!(new.valid_until() > SystemTime::now() + 80 * day);
    assert_eq!(world.ask(1, &["GET", "k"]).await, Response::Reply("$1\r\nv\r\n".into()));
}
