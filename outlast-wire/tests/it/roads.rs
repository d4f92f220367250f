//! Names that move, addresses that are dead, proxies, and what is said when there is no way.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::{Extension, Router};
use outlast_store::{Kind, MemoryStore, Store, StoreError};
use outlast_types::WorkloadName;
use outlast_wire::api::ErrorCode;
use outlast_wire::client::{Survey, survey};
use outlast_wire::road::Resolve;
use outlast_wire::server::{ApiError, Limits, RequestId};
use outlast_wire::{ApiClient, Credentials, Proxies, RestStore, RoadError, Roads, Role};
use socket2::{Domain, Socket, Type};

use crate::support::{Server, World, wait_until};

/// A name service that says what the test says, once each and the last word for ever.
#[derive(Default)]
struct Names(Mutex<VecDeque<Option<Vec<IpAddr>>>>);

impl Names {
    fn of(words: &[Option<&[IpAddr]>]) -> Arc<Self> {
        let words = words.iter().map(|word| word.map(<[_]>::to_vec)).collect();
        Arc::new(Self(Mutex::new(words)))
    }

    fn say(&self, word: Option<&[IpAddr]>) {
        *self.0.lock().unwrap() = VecDeque::from([word.map(<[_]>::to_vec)]);
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(host, "vault.test");
        let mut words = self.0.lock().unwrap();
        let word = if words.len() > 1 { words.pop_front() } else { words.front().cloned() };
        word.flatten().ok_or_else(|| io::Error::other("no such name"))
    }
}

fn local(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// Passes on what comes to an address, until it goes.
struct Door {
    at: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    closed: Arc<AtomicBool>,
}

impl Door {
    fn to(server: &Server, at: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let (at, target) = (listener.local_addr().unwrap(), server.address);
        let (open, closed): (Arc<Mutex<Vec<TcpStream>>>, _) = Default::default();
        let door = Self { at, open: Arc::clone(&open), closed: Arc::clone(&closed) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if AtomicBool::load(&closed, Ordering::SeqCst) {
                    return;
                }
                let (near, far) = (stream.unwrap(), TcpStream::connect(target).unwrap());
                open.lock().unwrap().push(near.try_clone().unwrap());
                pump(&near, &far);
                pump(&far, &near);
            }
        });
        door
    }

    /// A door at this address of the same port as `self`.
    fn beside(&self, server: &Server, address: IpAddr) -> Self {
        Self::to(server, SocketAddr::new(address, self.at.port()))
    }

    fn has_been_used(&self) -> bool {
        !self.open.lock().unwrap().is_empty()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
        // Wakes the thread, which then lets the address go.
        TcpStream::connect(self.at).ok();
        wait_until("the address is let go", || TcpStream::connect(self.at).is_err());
    }
}

fn pump(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Both).ok();
    });
}

/// An address that drops whatever comes: its queue is full, and nobody takes anything from it.
fn black_hole(at: SocketAddr) -> Vec<Socket> {
    let stream = || Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
    let listener = stream();
    listener.set_reuse_address(true).unwrap();
    listener.bind(&at.into()).unwrap();
    listener.listen(0).unwrap();
    let mut held = vec![listener];
    for _ in 0..4 {
        let filler = stream();
        filler.set_nonblocking(true).unwrap();
        filler.connect(&at.into()).ok();
        held.push(filler);
    }
    held
}

fn server(world: &World) -> Server {
    world.server_of(Arc::new(MemoryStore::new()), Limits::default())
}

fn store_at(world: &World, port: u16, roads: &Roads) -> RestStore {
    let identity = world.identity(Role::Operator);
    let address = format!("https://vault.test:{port}/repo/shop-db/");
    RestStore::over(&address, Credentials::Identity(&identity), roads).unwrap()
}

fn asking(names: &Arc<Names>) -> Roads {
    Roads::default().asking(Arc::<Names>::clone(names))
}

/// The trouble with the road, which passes by itself.
#[track_caller]
fn trouble(store: &RestStore) -> RoadError {
    let error = store.list(Kind::Data).unwrap_err();
    assert!(error.is_passing(), "{error}");
    let StoreError::List { source, .. } = &error else { panic!("{error}") };
    source.get_ref().unwrap().downcast_ref::<RoadError>().unwrap().clone()
}

#[test]
fn who_moves_is_found_again_and_the_last_address_serves_while_names_are_away() {
    let world = World::new();
    let server = server(&world);
    let first = Door::to(&server, SocketAddr::new(local(2), 0));
    let port = first.at.port();
    let names = Names::of(&[Some(&[local(2)])]);
    let store = store_at(&world, port, &asking(&names));
    store.list(Kind::Data).unwrap();
    drop(first);

    let second = Door::to(&server, SocketAddr::new(local(3), port));
    names.say(Some(&[local(3)]));
    wait_until("the new address is found", || store.list(Kind::Data).is_ok());
    assert!(second.has_been_used());

    names.say(None);
    drop(second);
    let error = trouble(&store);
    assert!(matches!(&error, RoadError::Name { host, .. } if host == "vault.test"), "{error}");
    let _third = Door::to(&server, SocketAddr::new(local(3), port));
    wait_until("the last address is tried without a name service", || {
        store.list(Kind::Data).is_ok()
    });
}

#[test]
fn a_dead_address_beside_a_good_one_keeps_nobody_waiting_for_it() {
    let world = World::new();
    let server = server(&world);
    let good = Door::to(&server, SocketAddr::new(local(5), 0));
    let port = good.at.port();
    let _hole = black_hole(SocketAddr::new(local(6), port));
    // One that never answers and one that refuses, before the good one.
    let addresses = [local(6), local(7), local(5)];
    let store = store_at(&world, port, &asking(&Names::of(&[Some(&addresses)])));
    store.list(Kind::Data).unwrap();
    assert!(good.has_been_used());
}

#[test]
fn both_versions_of_the_protocol_are_gone() {
    let world = World::new();
    let server = server(&world);
    let door = Door::to(&server, SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0));
    let port = door.at.port();
    let six = IpAddr::from(Ipv6Addr::LOCALHOST);
    store_at(&world, port, &asking(&Names::of(&[Some(&[six])]))).list(Kind::Data).unwrap();
    assert!(door.has_been_used());
    // Nothing listens on the older one there.
    let store = store_at(&world, port, &asking(&Names::of(&[Some(&[local(9), six])])));
    store.list(Kind::Data).unwrap();
    let four = door.beside(&server, local(10));
    let store = store_at(&world, port, &asking(&Names::of(&[Some(&[local(10)])])));
    store.list(Kind::Data).unwrap();
    assert!(four.has_been_used());
}

#[test]
fn what_is_wrong_with_the_way_is_told_apart() {
    let world = World::new();
    let server = server(&world);
    let nobody = store_at(&world, 1, &asking(&Names::of(&[None])));
    let error = trouble(&nobody);
    assert!(matches!(error, RoadError::Name { .. }), "{error}");
    assert!(error.to_string().contains("the name vault.test cannot be looked up"), "{error}");

    let free = TcpListener::bind((local(8), 0)).unwrap().local_addr().unwrap().port();
    let refused = store_at(&world, free, &asking(&Names::of(&[Some(&[local(8), local(11)])])));
    let error = trouble(&refused);
    let RoadError::Route { tried, .. } = &error else { panic!("{error}") };
    assert!(tried.iter().all(|tried| tried.kind == io::ErrorKind::ConnectionRefused));
    assert!(error.to_string().contains("127.0.0.8 refuses it, 127.0.0.11 refuses it"), "{error}");

    // Somebody else listens there.
    let other = TcpListener::bind((local(8), 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in other.incoming() {
            stream.unwrap().write_all(b"SSH-2.0-OpenSSH_9.2\r\n").ok();
        }
    });
    let store = store_at(&world, port, &asking(&Names::of(&[Some(&[local(8)])])));
    let error = store.list(Kind::Data).unwrap_err().to_string();
    assert!(error.contains("does not speak TLS"), "{error}");
    drop(server);
}

/// A proxy that answers every CONNECT with `answer`, and connects to the server if that is a yes.
/// What it is asked goes into `asked`.
fn proxy(server: &Server, answer: &'static str, asked: &Arc<Mutex<Vec<String>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, target, asked) = (listener.local_addr().unwrap(), server.address, Arc::clone(asked));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut near = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if near.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            asked.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
            near.write_all(answer.as_bytes()).ok();
            if answer.contains(" 200 ") {
                let far = TcpStream::connect(target).unwrap();
                pump(&near, &far);
                pump(&far, &near);
            }
        }
    });
    at
}

#[test]
fn a_proxy_is_asked_for_a_tunnel_in_which_tls_is_whole() {
    let world = World::new();
    let server = server(&world);
    let asked = Arc::default();
    let yes = "HTTP/1.1 200 Connection established\r\n\r\n";
    let at = proxy(&server, yes, &asked);
    // Nobody but the proxy knows the name.
    let proxies = Proxies::new(&format!("http://me:se%63ret@{at}"), "").unwrap();
    let store = store_at(&world, 8443, &Roads::through(proxies));
    // A connection is free a moment after its answer: who asks just then may get another one.
    const LISTINGS: usize = 20;
    (0..LISTINGS).for_each(|_| drop(store.list(Kind::Data).unwrap()));
    let heard = asked.lock().unwrap().clone();
    assert!(heard.len() <= LISTINGS / 4, "connections are used again: {}", heard.len());
    assert!(heard[0].starts_with("CONNECT vault.test:8443 HTTP/1.1\r\n"), "{heard:?}");
    assert!(heard[0].contains("Proxy-Authorization: Basic bWU6c2VjcmV0"), "{heard:?}");

    for (answer, words) in [
        ("HTTP/1.1 407 Who are you\r\n\r\n", "wants a user and a password"),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "answered 403"),
        ("hello\r\n\r\n", "not one of a proxy"),
        ("", "closed the connection"),
    ] {
        let at = proxy(&server, answer, &asked);
        let proxies = Proxies::new(&at.to_string(), "").unwrap();
        let error = trouble(&store_at(&world, 8443, &Roads::through(proxies)));
        assert!(matches!(error, RoadError::Proxy { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains("vault.test:8443"), "{error}");
    }
}

#[test]
fn a_survey_tells_each_step_of_the_way() {
    let world = World::new();
    let server = server(&world);
    let identity = world.identity(Role::Agent);
    let good = Door::to(&server, SocketAddr::new(local(12), 0));
    let address = format!("https://vault.test:{}/", good.at.port());
    let look =
        |names: &Arc<Names>| -> Survey { survey(&address, &identity, &asking(names)).unwrap() };
    let found = look(&Names::of(&[Some(&[local(12), local(13)])]));
    assert_eq!((found.host.as_str(), &found.proxy), ("vault.test", &None));
    assert!(found.routes[0].1.is_ok() && found.routes[1].1.is_err(), "{found:?}");
    let server = found.server.unwrap().unwrap();
    assert_eq!(server.peer.unwrap().to_string(), "vault test");
    assert!(server.certificate.unwrap().until > server.certificate.unwrap().from);

    let found = look(&Names::of(&[None]));
    assert!(found.names.is_err() && found.routes.is_empty() && found.server.is_none());
    let found = look(&Names::of(&[Some(&[local(13)])]));
    assert!(found.names.is_ok() && found.routes[0].1.is_err() && found.server.is_none());

    let stranger = World::new().identity(Role::Agent);
    let roads = asking(&Names::of(&[Some(&[local(12)])]));
    let refused = survey(&address, &stranger, &roads).unwrap().server.unwrap().unwrap_err();
    assert!(refused.to_string().contains("not from the authority that we trust"), "{refused}");
}

/// A router that notes the id of each request and refuses it.
fn noting(ids: &Arc<Mutex<Vec<String>>>) -> Router {
    async fn note(
        State(ids): State<Arc<Mutex<Vec<String>>>>,
        Extension(RequestId(id)): Extension<RequestId>,
    ) -> ApiError {
        ids.lock().unwrap().push(id);
        ApiError::new(axum::http::StatusCode::NOT_FOUND, ErrorCode::NotFound, "nothing")
    }
    Router::new().fallback(note).with_state(Arc::clone(ids))
}

#[test]
fn an_errand_has_one_id_in_all_that_is_asked_for_it_and_in_what_is_answered() {
    let world = World::new();
    let ids = Arc::default();
    let server = world.serve_router(noting(&ids), Limits::default());
    let address = format!("https://localhost:{}/", server.address.port());
    let client = ApiClient::new(&address, &world.identity(Role::Agent)).unwrap();
    let beside = client.beside();
    client.carry(Some("0192f0c1.ab"));
    let workload = WorkloadName::new("shop").unwrap();
    let error = client.workload(&workload).unwrap_err();
    assert!(error.to_string().contains("(request 0192f0c1.ab)"), "{error}");
    beside.workload(&workload).unwrap_err();
    client.carry(None);
    client.workload(&workload).unwrap_err();
    let ids = ids.lock().unwrap();
    assert_eq!(ids[0], "0192f0c1.ab");
    assert!(ids[1..].iter().all(|id| id != "0192f0c1.ab"), "{ids:?}");
    assert_ne!(ids[1], ids[2]);
}
