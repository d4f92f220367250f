//! A plain rest-server as others run it: http, a password, version 1 of the protocol, and 403 for
//! an object that exists.

use outlast_types::Interrupt;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_wire::RestStore;

use crate::support::sample;

type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

async fn answer(
    State(objects): State<Objects>,
    Path(path): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // me:secret
    if headers.get("authorization").is_none_or(|given| given != "Basic bWU6c2VjcmV0") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut objects = objects.lock().unwrap();
    if path.ends_with('/') {
        let names = objects.keys().filter_map(|key| key.strip_prefix(&path));
        let names: Vec<_> = names.chain(["strange"]).map(|name| format!("{name:?}")).collect();
        return format!("[{}]", names.join(",")).into_response();
    }
    match (method, objects.get(&path).cloned()) {
        (Method::POST, Some(_)) => StatusCode::FORBIDDEN.into_response(),
        (Method::POST, None) if path.starts_with("keys/") => StatusCode::FORBIDDEN.into_response(),
        (Method::POST, None) => {
            objects.insert(path, body);
            StatusCode::OK.into_response()
        }
        (_, None) => StatusCode::NOT_FOUND.into_response(),
        (_, Some(content)) => content.into_response(),
    }
}

/// Serves until the process ends.
fn plain_server() -> SocketAddr {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/{*path}", any(answer)).with_state(Objects::default());
    std::thread::spawn(move || runtime.block_on(async { axum::serve(listener, router).await }));
    address
}

#[test]
fn a_plain_server_of_version_1_is_a_store() {
    let address = plain_server();
    let store = RestStore::open(&format!("rest:http://me:secret@{address}"), None).unwrap();
    assert_eq!(store.location(), format!("http://me:***@{address}/"));
    let (object, content) = sample(Kind::Data, "pack");
    store.create(&object, content.clone()).unwrap();
    assert_eq!(store.read(&object).unwrap(), content);
    assert_eq!(store.list(Kind::Data).unwrap(), [(object, 4)]);
    let again = store.create(&object, content).unwrap_err();
    assert!(matches!(again, StoreError::AlreadyExists { .. }), "{again}");
    let (key, content) = sample(Kind::Key, "key");
    let refused = store.create(&key, content).unwrap_err();
    assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
    let missing = store.read(&Object::Config).unwrap_err();
    assert!(matches!(missing, StoreError::NotFound { .. }), "{missing}");
    let ignored = store.read_range(&object, 0, 2).unwrap_err();
    assert!(ignored.to_string().contains("ignores ranges"), "{ignored}");
}

#[test]
fn a_wrong_password_is_a_refusal_that_does_not_show_it() {
    let address = plain_server();
    let store = RestStore::open(&format!("rest:http://me:wrong@{address}/"), None).unwrap();
    let error = store.read(&Object::Config).unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    assert!(!error.to_string().contains("wrong@"), "{error}");
}

#[test]
fn a_call_to_a_server_that_hangs_ends_when_it_is_asked_to() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let interrupt = Interrupt::default();
    let store = RestStore::open(&address, None).unwrap().heeding(&interrupt);
    let calling = std::thread::spawn(move || store.read(&sample(Kind::Data, "x").0));
    // It is taken, and never answered.
    let (_silent, _) = listener.accept().unwrap();
    interrupt.request();
    let error = calling.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("asked to end"), "{error}");
}
