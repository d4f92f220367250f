use outlast_types::{Clock as _, SystemClock, hex};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outlast_store::faulty::{Fault, Faulty};
use outlast_store::{Kind, MemoryStore, Object, Store, StoreError, Verb};
use outlast_wire::server::{Limits, MinRate};
use outlast_wire::{Credentials, Identity, RestStore, Role, tls};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::support::{Server, World, name_of, sample, wait_until};

pub(crate) fn memory_server(world: &World, limits: Limits) -> Server {
    world.server_of(Arc::new(MemoryStore::new()), limits)
}

/// A connection on which a test says what it likes.
pub(crate) fn raw(
    server: &Server,
    identity: &Identity,
) -> StreamOwned<ClientConnection, TcpStream> {
    let config = Arc::new(tls::client_config(identity).unwrap());
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream)
}

pub(crate) fn answer_to(server: &Server, identity: &Identity, request: &str) -> String {
    let mut stream = raw(server, identity);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The end may come without TLS's farewell; what was said before counts.
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_server_of_another_authority_is_not_trusted() {
    let world = World::new();
    let server = memory_server(&world, Limits::default());
    let stranger = World::new();
    let error = stranger.store(&server, Role::Operator).list(Kind::Data).unwrap_err();
    assert!(error.to_string().contains("not from the authority that we trust"), "{error}");
    assert!(!error.is_passing(), "trying again cannot help");
}

#[test]
fn a_client_without_a_certificate_is_turned_away() {
    let world = World::new();
    let server = memory_server(&world, Limits::default());
    let identity = world.identity(Role::Reader);
    let credentials = Credentials::Authority(identity.ca_pem());
    let store = RestStore::with(&server.repository(), credentials).unwrap();
    let error = store.create(&Object::Config, Bytes::new()).unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("no certificate"), "{error}");
    assert!(matches!(store.size(&Object::Config), Err(StoreError::Refused { .. })));
}

/// In TLS 1.3 the client is done before the server has judged its certificate, so its connection may
/// be gone before the reason for that is heard. It hears the reason all the same, each time.
fn hears_that_it_is_refused(server: &Server, identity: &Identity) {
    let store = RestStore::open(&server.repository(), Some(identity)).unwrap();
    for _ in 0..16 {
        let error = store.size(&Object::Config).unwrap_err();
        assert!(
            !error.is_passing() && error.to_string().contains("refuses our certificate"),
            "{error}"
        );
    }
}

#[test]
fn a_client_of_another_authority_is_turned_away() {
    let world = World::new();
    let server = memory_server(&world, Limits::default());
    let stranger = World::new().identity(Role::Operator);
    // It trusts our authority, but shows a certificate of its own.
    let directory = world.path().join("stranger");
    stranger.save(&directory).unwrap();
    let ours = world.saved_identity(Role::Operator).join("ca.pem");
    std::fs::copy(ours, directory.join("ca.pem")).unwrap();
    let mixed = Identity::load(&directory).unwrap();
    hears_that_it_is_refused(&server, &mixed);
}

#[test]
fn an_identity_is_not_used_without_encryption() {
    let world = World::new();
    let identity = world.identity(Role::Agent);
    let error = RestStore::open("http://localhost:1/", Some(&identity)).err().unwrap();
    assert!(error.to_string().contains("not encrypted"), "{error}");
    let error = RestStore::open("https://localhost:1/", None).err().unwrap();
    assert!(error.to_string().contains("identity"), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_a_passing_fault() {
    let world = World::new();
    let address = memory_server(&world, Limits::default()).repository();
    let store = RestStore::open(&address, Some(&world.identity(Role::Agent))).unwrap();
    let error = store.size(&Object::Config).unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert!(error.to_string().contains("localhost"), "{error}");
}

#[test]
fn content_that_does_not_fit_its_name_is_not_stored() {
    let world = World::new();
    let server = memory_server(&world, Limits::default());
    let store = world.store(&server, Role::Operator);
    let object = Object::new(Kind::Data, name_of(b"what was meant"));
    let error = store.create(&object, Bytes::from_static(b"what came")).unwrap_err();
    assert!(error.to_string().contains("another SHA-256"), "{error}");
    assert!(matches!(store.size(&object), Err(StoreError::NotFound { .. })));
}

#[test]
fn faults_of_the_storage_arrive_as_what_they_are() {
    let world = World::new();
    let faulty = Arc::new(Faulty::new(Arc::new(MemoryStore::new())));
    faulty.script(Verb::Create, 1, Fault::Full);
    faulty.script(Verb::Create, 2, Fault::Before(io::ErrorKind::Other));
    faulty.script(Verb::List, 1, Fault::Before(io::ErrorKind::StaleNetworkFileHandle));
    let server = world.server_of(faulty, Limits::default());
    let store = world.store(&server, Role::Operator);
    let (object, content) = sample(Kind::Index, "index");
    let full = store.create(&object, content.clone()).unwrap_err();
    assert!(matches!(full, StoreError::Full { .. }), "{full}");
    let broken = store.create(&object, content.clone()).unwrap_err();
    assert!(broken.is_passing(), "{broken}");
    assert!(store.list(Kind::Index).unwrap_err().is_passing());
    store.create(&object, content).unwrap();
}

#[test]
fn bad_requests_are_refused_without_harm() {
    let world = World::new();
    let server = memory_server(&world, Limits::default());
    let operator = world.identity(Role::Operator);
    let name = "ab".repeat(32);
    let ask = |line: &str, headers: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        answer_to(&server, &operator, &request)
    };
    for (line, headers, status) in [
        ("GET /repo/shop-db/data/ABC", "", "400"),
        ("GET /repo/%2e%2e/config", "", "400"),
        ("GET /repo/..%2f..%2fetc/config", "", "400"),
        ("GET /repo/shop-db/passwords/", "", "404"),
        ("GET /repo/shop-db/config/", "", "404"),
        ("PATCH /repo/shop-db/config", "", "405"),
        ("DELETE /repo/shop-db/", "", "405"),
        ("POST /repo/shop-db/", "", "400"),
        ("GET /elsewhere", "", "404"),
        (&format!("POST /repo/shop-db/data/{name}"), "Content-Length: 209715200\r\n", "413"),
        (&format!("POST /repo/shop-db/locks/{name}"), "Content-Length: 5000000\r\n", "413"),
        (&format!("POST /repo/shop-db/locks/{name}"), "Content-Length: x\r\n", "400"),
        ("GET /repo/shop-db/config", &format!("X: {}\r\n", "y".repeat(64 << 10)), "431"),
    ] {
        let answer = ask(line, headers);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer:.300}");
    }
    let answer = ask("DELETE /repo/shop-db/config", "");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("operator test may not remove config"), "{answer}");
    let id = answer.split("\"request_id\":\"").nth(1).and_then(|rest| rest.split('"').next());
    assert!(answer.contains(&format!("x-request-id: {}", id.unwrap())), "{answer}");
}

#[test]
fn both_versions_of_a_listing_are_spoken() {
    let world = World::new();
    let server = memory_server(&world, Limits::default());
    let (object, content) = sample(Kind::Index, "index");
    world.store(&server, Role::Operator).create(&object, content).unwrap();
    let reader = world.identity(Role::Reader);
    let ask = |accept: &str| {
        let line = "GET /repo/shop-db/index/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
        answer_to(&server, &reader, &format!("{line}{accept}\r\n"))
    };
    let name = hex::encode(&object.name().unwrap());
    let version_1 = ask("");
    assert!(version_1.contains("application/vnd.x.restic.rest.v1"), "{version_1}");
    assert!(version_1.ends_with(&format!("[\"{name}\"]")), "{version_1}");
    let version_2 = ask("Accept: application/vnd.x.restic.rest.v2\r\n");
    assert!(version_2.contains("application/vnd.x.restic.rest.v2"), "{version_2}");
    assert!(version_2.ends_with(&format!("[{{\"name\":\"{name}\",\"size\":5}}]")), "{version_2}");
}

#[test]
fn silent_clients_are_cut_off() {
    let short = Duration::from_millis(100);
    let limits = Limits { handshake: short, idle: short, ..Limits::default() };
    let world = World::new();
    let server = memory_server(&world, limits);
    // Says nothing at all: no handshake.
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    // Begins a request and never ends it; says nothing after the handshake.
    for beginning in ["GET / HTTP/1.1\r\nHo", ""] {
        let answer = answer_to(&server, &world.identity(Role::Reader), beginning);
        assert!(!answer.contains("200 OK"), "{answer}");
    }
}

#[test]
fn a_client_that_stops_in_the_middle_is_cut_off() {
    let rate = MinRate { bytes: 100, window: Duration::from_millis(100) };
    let world = World::new();
    let server = memory_server(&world, Limits { rate, ..Limits::default() });
    let name = "ab".repeat(32);
    let head = "HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf";
    let request = format!("POST /repo/shop-db/data/{name} {head}");
    let answer = answer_to(&server, &world.identity(Role::Agent), &request);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains(r#""code":"too_slow""#) && answer.contains("100 bytes"), "{answer}");
}

#[test]
fn certificates_are_good_in_their_time_only() {
    let world = World::new();
    let server = memory_server(&world, Limits::default());
    let ended = |days: u64| {
        let ago = Duration::from_secs(days * 86_400 + 2 * 3600);
        world.identity_by(Role::Operator, SystemClock.now().saturating_sub(ago))
    };
    hears_that_it_is_refused(&server, &ended(91));
    // For a while, it could be renewed, and do nothing else.
    let store = RestStore::open(&server.repository(), Some(&ended(80))).unwrap();
    let error = store.create(&Object::Config, Bytes::new()).unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("was valid until"), "{error}");
    let tomorrow = SystemClock.now().saturating_add(Duration::from_secs(86_400));
    hears_that_it_is_refused(&server, &world.identity_by(Role::Operator, tomorrow));
    // The authority's clock may be a little ahead of the server's.
    let ahead =
        world.identity_at(Role::Operator, |now| now.saturating_add(Duration::from_secs(240)));
    let store = RestStore::open(&server.repository(), Some(&ahead)).unwrap();
    assert!(matches!(store.size(&Object::Config), Err(StoreError::NotFound { .. })));
}

#[test]
fn a_stop_waits_for_requests_under_way() {
    let world = World::new();
    let mut server = memory_server(&world, Limits::default());
    let content = b"a pack that is on its way when the server is told to stop";
    let (first, rest) = content.split_at(10);
    let mut stream = raw(&server, &world.identity(Role::Agent));
    let name = hex::encode(&name_of(content));
    let length = content.len();
    write!(
        stream,
        "POST /repo/shop-db/data/{name} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
         Content-Length: {length}\r\n\r\n"
    )
    .unwrap();
    // The server says so when it begins to read the content.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(first).unwrap();
    server.begin_stop();
    wait_until("the server stops listening", || TcpStream::connect(server.address).is_err());
    assert!(server.is_running());
    stream.write_all(rest).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    wait_until("the server ends", || !server.is_running());
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let limits = Limits { drain: Duration::from_millis(50), ..Limits::default() };
    let world = World::new();
    let mut server = memory_server(&world, limits);
    let mut stream = raw(&server, &world.identity(Role::Agent));
    let name = "ab".repeat(32);
    let head = "HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf";
    write!(stream, "POST /repo/shop-db/data/{name} {head}").unwrap();
    server.begin_stop();
    wait_until("the server ends", || !server.is_running());
}
