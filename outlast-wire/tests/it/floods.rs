//! Peers and strangers that take all they can get: the others are served all the same.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outlast_store::{Kind, MemoryStore, Object, Store};
use outlast_wire::server::budget::Bounds;
use outlast_wire::server::{Limits, MinRate};
use outlast_wire::{Identity, RestStore, Role};
use rustls::{ClientConnection, StreamOwned};

use crate::faults::{answer_to, memory_server, raw};
use crate::support::{Server, World, name_of, sample, wait_until};

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// A server that holds one object, and that object.
fn server_with_one_object(world: &World, limits: Limits) -> (Server, Object, Bytes) {
    let store = MemoryStore::new();
    let (object, content) = sample(Kind::Index, "index");
    store.create(&object, content.clone()).unwrap();
    (world.server_of(Arc::new(store), limits), object, content)
}

/// A body that is announced with `length` and of which nothing came.
fn announced(server: &Server, identity: &Identity, length: u64) -> Connection {
    let mut stream = raw(server, identity);
    let name = "ab".repeat(32);
    write!(
        stream,
        "POST /repo/shop-db/data/{name} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
         Content-Length: {length}\r\n\r\n"
    )
    .unwrap();
    stream
}

/// A body that is announced with `length` and of which a byte came.
fn begun(server: &Server, identity: &Identity, length: u64) -> Connection {
    let mut stream = announced(server, identity, length);
    // The server says so when it begins to wait for the content.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"x").unwrap();
    stream
}

fn rest_of(mut stream: Connection) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn silent_connections_keep_nobody_out_however_many() {
    let world = World::new();
    let limits = Limits { strangers: 8, ..Limits::default() };
    let (server, object, content) = server_with_one_object(&world, limits);
    // With the time of those at their handshake, the last of them would wait for longer than a client.
    let silent: Vec<TcpStream> =
        (0..80).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let store = world.store(&server, Role::Operator);
    assert_eq!(store.read(&object).unwrap(), content);
    drop(silent);
}

#[test]
fn connections_that_stop_in_their_handshake_keep_nobody_out() {
    let world = World::new();
    let limits = Limits { strangers: 4, ..Limits::default() };
    let (server, object, content) = server_with_one_object(&world, limits);
    let stuck = |_| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        // The beginning of a record of a handshake, which would have 512 bytes.
        stream.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
        stream
    };
    let stuck: Vec<TcpStream> = (0..6).map(stuck).collect();
    let store = world.store(&server, Role::Operator);
    assert_eq!(store.read(&object).unwrap(), content);
    drop(stuck);
}

#[test]
fn a_peer_with_too_many_connections_is_told_to_come_back_and_others_are_served() {
    let world = World::new();
    let connections = Bounds { total: 8, each: 3, kept: 1 };
    let limits = Limits { connections, ..Limits::default() };
    let (server, object, content) = server_with_one_object(&world, limits);
    let flood = world.named(Role::Agent, "flood");
    let held: Vec<Connection> = (0..3).map(|_| begun(&server, &flood, 1 << 20)).collect();
    let line = "GET /repo/shop-db/config HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = answer_to(&server, &flood, line);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after: ") && answer.contains("connection: close"), "{answer}");
    assert!(answer.contains(r#""code":"busy""#), "{answer}");
    assert!(answer.contains("no connections are free for agent flood now"), "{answer}");
    let store = RestStore::open(&server.repository(), Some(&flood)).unwrap();
    assert!(store.read(&object).unwrap_err().is_passing(), "it comes back by itself");
    let honest = world.named(Role::Agent, "honest");
    let store = RestStore::open(&server.repository(), Some(&honest)).unwrap();
    assert_eq!(store.read(&object).unwrap(), content);
    drop(held);
    let store = RestStore::open(&server.repository(), Some(&flood)).unwrap();
    wait_until("its connections are given back", || store.read(&object).is_ok());
}

#[test]
fn dripping_bodies_of_one_peer_stop_no_read_and_no_write_of_another() {
    let world = World::new();
    let (server, object, content) = server_with_one_object(&world, Limits::default());
    // As many as it may have, and as many again that wait for what the first ones hold; nobody cuts
    // them while this test runs.
    let flood = world.named(Role::Agent, "flood");
    let held: Vec<Connection> = (0..16).map(|_| begun(&server, &flood, 128 << 20)).collect();
    let wait: Vec<Connection> = (0..16).map(|_| announced(&server, &flood, 128 << 20)).collect();
    let operator = world.store(&server, Role::Operator);
    assert_eq!(operator.read(&object).unwrap(), content);
    let honest = world.named(Role::Agent, "honest");
    let store = RestStore::open(&server.repository(), Some(&honest)).unwrap();
    let pack = Bytes::from(vec![7; 3 << 20]);
    let object = Object::new(Kind::Data, name_of(&pack));
    store.create(&object, pack.clone()).unwrap();
    assert_eq!(store.size(&object).unwrap(), pack.len() as u64);
    assert_eq!(operator.read(&object).unwrap(), pack, "in pieces");
    drop((held, wait));
}

#[test]
fn a_body_that_drips_is_cut_with_a_code_however_long_it_says_it_is() {
    let world = World::new();
    let rate = MinRate { bytes: 1 << 10, window: Duration::from_millis(400) };
    let server = memory_server(&world, Limits { rate, ..Limits::default() });
    let flood = world.identity(Role::Agent);
    let mut drips: Vec<Connection> = (0..4).map(|_| begun(&server, &flood, 128 << 20)).collect();
    // A byte now and then is not a rate.
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(50));
        drips.iter_mut().for_each(|stream| drop(stream.write_all(b"x")));
    }
    for stream in drips {
        let answer = rest_of(stream);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains(r#""code":"too_slow""#), "{answer}");
    }
}

#[test]
fn a_body_unlike_its_length_stores_nothing() {
    let world = World::new();
    let server = memory_server(&world, Limits::default());
    let agent = world.identity(Role::Agent);
    let content = b"a pack, or what calls itself one";
    let object = Object::new(Kind::Data, name_of(content));
    // It says more than it sends, and is gone.
    let mut stream = raw(&server, &agent);
    let head = |length: usize| {
        format!(
            "POST /repo/shop-db/{object} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    stream.write_all(head(content.len() + 1).as_bytes()).unwrap();
    stream.write_all(content).unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    drop(stream);
    // It sends more than it says: what is beyond is no part of it, and no request.
    let mut stream = raw(&server, &agent);
    stream.write_all(head(content.len() - 1).as_bytes()).unwrap();
    stream.write_all(content).unwrap();
    let answer = rest_of(stream);
    assert!(answer.contains("wrong_hash"), "{answer}");
    let store = world.store(&server, Role::Operator);
    assert!(store.size(&object).is_err());
    assert_eq!(store.list(Kind::Data).unwrap(), []);
}

#[test]
fn a_large_object_passes_in_pieces_and_in_parts() {
    let world = World::new();
    let store = MemoryStore::new();
    let content: Vec<u8> = (0..(5 << 20) + 3).map(|at: u32| (at % 251) as u8).collect();
    let object = Object::new(Kind::Data, name_of(&content));
    store.create(&object, Bytes::from(content.clone())).unwrap();
    let server = world.server_of(Arc::new(store), Limits::default());
    let reader = world.store(&server, Role::Reader);
    assert_eq!(reader.read(&object).unwrap(), content);
    let (from, length) = ((1 << 20) - 5, (2 << 20) + 11);
    let part = reader.read_range(&object, from as u64, length).unwrap();
    assert_eq!(part, content[from..from + length]);
}
