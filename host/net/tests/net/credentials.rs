//! Certificates on disk: what is written is read back, what doesn't fit together is refused with the file's name, keys stay secret.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use outboard_net::{Authority, Credentials, CredentialsError, Principal};
use outboard_raft::NodeId;

use crate::harness::authority;

#[test]
fn credentials_and_authority_are_read_back_as_they_were_saved() {
    let dir = tempfile::tempdir().expect("a folder");
    let (ca, node) = (dir.path().join("ca"), dir.path().join("n1/identity"));
    let authority = authority();
    authority.save(&ca).expect("it is written");
    let again = Authority::load(&ca).expect("it is read");
    assert_eq!(again.cluster(), authority.cluster());
    let issued = again.issue_node(NodeId(1)).expect("a certificate");
    issued.save(&node).expect("it is written");
    issued.save(&node).expect("it is written over");
    let credentials = Credentials::load(&node).expect("it is read");
    assert_eq!(credentials.principal(), &Principal::Node(NodeId(1)));
    assert_eq!(credentials.cluster(), authority.cluster());
    let days = credentials.valid_until().duration_since(SystemTime::now()).expect("in the future").as_secs() / 86_400;
    assert!((88..=90).contains(&days), "{days} days");
    // What the re-read authority issued is good where the first one is trusted.
    assert_eq!(credentials.ca_pem(), authority.certificate_pem());
}

#[cfg(unix)]
#[test]
fn keys_and_their_folder_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let dir = tempfile::tempdir().expect("a folder");
    let authority = authority();
    let home = dir.path().join("identity");
    authority.save(&home).expect("it is written");
    authority.issue_client("ana").expect("a certificate").save(&home).expect("it is written");
    assert_eq!(mode(&home), 0o700);
    assert_eq!((mode(&home.join("key.pem")), mode(&home.join("ca-key.pem"))), (0o600, 0o600));
}

#[test]
fn files_that_do_not_belong_together_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, other) = (authority(), authority());
    let home = dir.path();
    one.issue_node(NodeId(1)).expect("a certificate").save(home).expect("it is written");
    let another_key = one.issue_node(NodeId(1)).expect("a certificate").key_pem().to_string();
    let cases = [
        ("key.pem", another_key, "doesn't belong"),
        ("key.pem", "-----BEGIN nonsense".to_string(), "no private key"),
        ("ca.pem", other.certificate_pem().to_string(), "the authority of"),
        ("certificate.pem", one.certificate_pem().to_string(), "names neither"),
        ("certificate.pem", String::new(), "no certificate"),
    ];
    for (name, content, expected) in cases {
        let path = home.join(name);
        let good = fs::read(&path).expect("it is there");
        fs::write(&path, content).expect("it is written");
        let error = Credentials::load(home).expect_err("it must not be taken");
        assert!(matches!(&error, CredentialsError::Damaged { path: told, .. } if *told == path), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        fs::write(&path, good).expect("it is written");
    }
    Credentials::load(home).expect("all is well again");
    fs::remove_file(home.join("key.pem")).expect("it was there");
    let missing = Credentials::load(home).expect_err("it is gone").to_string();
    assert!(missing.contains("key.pem"), "{missing}");
}

#[test]
fn a_name_that_is_no_name_gets_no_certificate() {
    for name in ["", "a/b", "a b", "é", &"a".repeat(65)] {
        assert!(matches!(authority().issue_client(name), Err(CredentialsError::Issue { .. })), "{name:?}");
    }
}

#[test]
fn debug_never_shows_a_key() {
    let authority = authority();
    let credentials = authority.issue_client("ana").expect("a certificate");
    let options = outboard_net::Options::new(crate::harness::socket(), credentials.clone(), Default::default());
    let shown = format!("{authority:?} {credentials:?} {options:?}");
    let secret = credentials.key_pem().lines().nth(1).expect("a line of the key");
    assert!(!shown.contains(secret) && !shown.contains("PRIVATE"), "{shown}");
    assert!(shown.contains("ana"));
}
