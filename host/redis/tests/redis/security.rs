//! Logins and TLS.

use crate::fake::{Fake, Order};
use crate::harness::{Client, Server, array};
use outboard_redis::{Options, Users, tls_from_pem, user_line};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::net::TcpStream;
use std::sync::Arc;

/// Of `secret`, as cheap as can be.
const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$vk+JgWgZGbXHtEqPQPhzXbD+QxxkJR5Fq2AXLhDyYaY";

/// Both with that password.
fn users() -> Users {
    Users::parse(&format!("default {HASH}\nana {HASH}\n")).expect("well-formed")
}

fn server() -> Server {
    Server::start(Fake::start(Order::AsTheyCome), Options { users: users(), ..Options::default() })
}

#[test]
fn nothing_but_a_login_is_carried_out_before_a_login() {
    let server = server();
    let mut client = server.client();
    for line in
        ["PING", "GET k", "SET k v", "CLIENT LIST", "CONFIG GET *", "INFO", "COMMAND", "MULTI", "WATCH k", "DISCARD"]
    {
        assert_eq!(client.ask(line), "-NOAUTH Authentication required.\r\n", "{line}");
    }
    assert_eq!(client.ask("EXEC"), "-EXECABORT Transaction discarded because of: NOAUTH Authentication required.\r\n");
    assert_eq!(client.ask("GET"), "-ERR wrong number of arguments for 'get' command\r\n");
    assert!(client.ask("HELLO 3").starts_with("-NOAUTH HELLO must be called with the client already authenticated"));
    assert_eq!(client.ask("HELLO 9"), "-NOPROTO unsupported protocol version\r\n");
    assert_eq!(client.ask("RESET"), "+RESET\r\n");
    assert_eq!(client.ask("QUIT"), "+OK\r\n");
    assert!(server.fake.state().requests.lock().expect("no panics").is_empty());
}

#[test]
fn a_right_password_lets_in_and_a_wrong_one_does_not() {
    let server = server();
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    for line in [
        "AUTH nope",
        "AUTH default nope",
        "AUTH ana nope",
        "AUTH bob secret",
        "AUTH \"\" secret",
        "HELLO 3 AUTH ana nope",
    ] {
        let mut client = server.client();
        assert_eq!(client.ask(line), wrong, "{line}");
        assert!(client.ask("PING").starts_with("-NOAUTH"));
    }
    for (line, user) in [("AUTH secret", "default"), ("AUTH ana secret", "ana"), ("HELLO 2 AUTH ana secret", "ana")] {
        let mut client = server.client();
        assert!(!client.ask(line).starts_with('-'), "{line}");
        assert_eq!(client.ask("PING"), "+PONG\r\n");
        assert!(client.ask("CLIENT INFO").contains(&format!(" user={user} ")));
        // A second login that fails leaves the first.
        assert_eq!(client.ask("AUTH nope"), wrong);
        assert_eq!(client.ask("PING"), "+PONG\r\n");
        assert_eq!(client.ask("RESET"), "+RESET\r\n");
        assert!(client.ask("PING").starts_with("-NOAUTH"));
    }
}

#[test]
fn commands_behind_a_login_wait_for_it() {
    let server = server();
    let mut client = server.client();
    let many: Vec<&[u8]> = [&b"MSET"[..]].into_iter().chain([&b"k"[..]; 20]).collect();
    client.send([b"AUTH ana secret\r\n".to_vec(), array(&many), b"AUTH nope\r\nGET k\r\n".to_vec()].concat());
    assert_eq!(client.text(), "+OK\r\n");
    assert_eq!(client.text(), "+OK\r\n", "large commands are welcome as soon as the login is");
    assert!(client.text().starts_with("-WRONGPASS"));
    assert_eq!(client.text(), "$1\r\nk\r\n");
    let mut client = server.client();
    client.send("HELLO 3 AUTH default secret SETNAME me\r\nCLIENT GETNAME\r\nGET none\r\n");
    assert!(client.text().starts_with("%7\r\n"));
    assert_eq!((client.text(), client.text()), ("$2\r\nme\r\n".into(), "_\r\n".into()));
}

#[test]
fn before_a_login_only_small_commands_are_taken() {
    let server = server();
    for (stream, error) in [
        (array(&[&b"x"[..]; 11]), "unauthenticated multibulk length"),
        (array(&[&b"AUTH"[..], &vec![b'x'; 20_000]]), "unauthenticated bulk length"),
    ] {
        let mut client = server.client();
        client.try_send(&stream);
        assert_eq!(client.text(), format!("-ERR Protocol error: {error}\r\n"));
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn other_connections_go_on_while_passwords_are_checked() {
    let dear = user_line("default", b"secret", &[7; 16]).expect("a salt of 16 bytes");
    let users = Users::parse(&dear).expect("own line");
    let server = Server::start(Fake::start(Order::AsTheyCome), Options { users, ..Options::default() });
    let mut inside = server.client();
    assert_eq!(inside.ask("AUTH secret"), "+OK\r\n");
    let mut waiting: Vec<_> = (0..6).map(|_| server.client()).collect();
    waiting.iter_mut().for_each(|client| client.send("AUTH nope\r\n"));
    // Were the checks on the loop, all of them would come before this.
    for n in 1..50 {
        assert_eq!(inside.ask("INCR n"), format!(":{n}\r\n"));
    }
    for client in &mut waiting {
        assert!(client.text().starts_with("-WRONGPASS"));
    }
}

struct Secure {
    server: Server,
    config: Arc<ClientConfig>,
}

impl Secure {
    fn start(options: Options) -> Secure {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key is made");
        let tls =
            tls_from_pem(pair.cert.pem().as_bytes(), pair.signing_key.serialize_pem().as_bytes()).expect("a pair");
        let mut roots = RootCertStore::empty();
        let certificate =
            rustls::pki_types::CertificateDer::from_pem_slice(pair.cert.pem().as_bytes()).expect("own PEM");
        roots.add(certificate).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = Server::start(Fake::start(Order::AsTheyCome), Options { tls: Some(tls), ..options });
        Secure { server, config: Arc::new(config) }
    }

    fn client(&self) -> Client<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(self.config.clone(), name).expect("a session");
        Client::new(StreamOwned::new(session, self.server.stream()))
    }
}

#[test]
fn over_tls_everything_is_as_without() {
    let secure = Secure::start(Options { users: users(), ..Options::default() });
    let mut client = secure.client();
    assert!(client.ask("PING").starts_with("-NOAUTH"));
    assert_eq!(client.ask("AUTH secret"), "+OK\r\n");
    let value: Vec<u8> = (0..1_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for length in [0, 1, 16_000, 16_384, 70_000, 1 << 20] {
        client.send([array(&[b"SET", b"k", &value[..length]]), array(&[b"GET", b"k"]).repeat(3)].concat());
        assert_eq!(client.text(), "+OK\r\n");
        for _ in 0..3 {
            assert!(
                client.reply() == [format!("${length}\r\n").as_bytes(), &value[..length], b"\r\n"].concat(),
                "{length}"
            );
        }
    }
    client.send("INCR n\r\n".repeat(500));
    for n in 1..=500 {
        assert_eq!(client.text(), format!(":{n}\r\n"));
    }
    assert_eq!(client.ask("QUIT"), "+OK\r\n");
    assert_eq!(client.rest(), b"", "ended as TLS ends");
}

#[test]
fn whoever_does_not_speak_tls_on_its_port_is_closed_unheard() {
    let secure = Secure::start(Options::default());
    for stream in
        ["PING\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "*1\r\n$4\r\nPING\r\n", "\x16\x03\x01\x00\x05garbage"]
    {
        let mut client = secure.server.client();
        client.try_send(stream.as_bytes());
        let rest = client.rest();
        assert!(rest.len() < 20 && !rest.starts_with(b"+"), "{stream:?} got {rest:?}");
    }
    assert_eq!(secure.client().ask("PING"), "+PONG\r\n");
}
