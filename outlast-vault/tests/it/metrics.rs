//! What monitoring sees, and by which doors; and what the vault says to whoever looks at the way to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use outlast_wire::Role;
use outlast_wire::api::{BODY_BYTES_MAX, ErrorCode};

use crate::support::{World, shop};

/// An answer in plain HTTP, its head and body.
fn get(at: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn metrics_are_for_operators_and_readers_and_on_this_host_for_whoever_is_there() {
    let mut world = World::new();
    let here = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.config.metrics_listen = Some(here);
    let vault = world.start();
    let agent = world.agent(&vault);
    agent.ship(&shop(), b"one");
    agent.report(Vec::new(), Vec::new());
    for role in [Role::Operator, Role::Reader] {
        let page = world.client(&vault, role).metrics().unwrap();
        assert!(page.contains("\noutlast_drops_published_total 1\n"), "{page}");
        assert!(
            page.contains("\noutlast_workload_state{workload=\"shop-db\",state=\"fresh\"} 1\n")
        );
    }
    for role in [Role::Agent, Role::Media, Role::Vault] {
        let error = world.client(&vault, role).metrics().unwrap_err();
        assert_eq!(error.code(), Some(&ErrorCode::Refused), "{role}: {error}");
    }
    let (head, page) = get(here, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(page.contains("outlast_requests_total{code=\"403\"} 3\n"), "{page}");
    assert!(
        page.contains("outlast_certificate_expiry_timestamp_seconds{holder=\"agent road-1\"} ")
    );
    // Nothing else is served there.
    for path in ["/api/v1/workloads", "/repo/shop-db/config", "/"] {
        assert!(get(here, path).0.starts_with("HTTP/1.1 404 "), "{path}");
    }
    vault.shutdown();
    assert!(TcpStream::connect(here).is_err(), "it ends with the vault");
}

#[test]
fn who_looks_at_the_way_hears_who_they_are_and_is_not_taken_for_an_agent_at_work() {
    let world = World::new();
    let vault = world.start();
    for role in Role::ALL {
        let client = world.client(&vault, role);
        let greeting = client.greet().unwrap();
        assert_eq!(greeting.peer, format!("{role} road-1"));
        assert_eq!(greeting.vault, "vault main");
        assert_eq!(client.measure(100_000).unwrap().bytes, 100_000);
    }
    let operator = world.client(&vault, Role::Operator);
    let error = operator.measure(BODY_BYTES_MAX + 1).unwrap_err();
    assert_eq!(error.code(), Some(&ErrorCode::BadBody), "{error}");
    let page = operator.metrics().unwrap();
    assert!(!page.contains("outlast_agent_heard_age_seconds{"), "{page}");
}
