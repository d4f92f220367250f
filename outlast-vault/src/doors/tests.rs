//! What strangers send to the doors, without a network between.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use outlast_wire::Role;
use outlast_wire::api::{BODY_BYTES_MAX, ErrorBody};
use outlast_wire::server::RequestId;
use tower_service::Service;

use crate::core::storage::VaultStorage as _;
use crate::core::testing::{World, identity};
use crate::doors::api;

fn router(world: &World, role: Role) -> Router {
    let identity = identity(world.directory.path(), role, "road-1");
    api::router(world.open())
        .layer(axum::Extension(identity.certified().clone()))
        .layer(axum::Extension(RequestId("1-1".into())))
}

/// Sends a request; returns the status and the error's code and message.
fn send(router: &mut Router, method: &str, path: &str, body: Body) -> (StatusCode, ErrorBody) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let request = Request::builder().method(method).uri(path).body(body).unwrap();
        let response = router.call(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    })
}

#[test]
fn a_strangers_request_is_answered_in_the_words_of_the_api() {
    let world = World::new();
    let mut router = router(&world, Role::Agent);
    let mut check = |method: &str, path: &str, body: Body, status: u16, code: &str| {
        let (found, error) = send(&mut router, method, path, body);
        assert_eq!((found.as_u16(), error.code.as_str()), (status, code), "{path}: {error:?}");
        assert!(!error.message.is_empty());
    };
    for name in ["..%2F..%2Fetc", "%2e%2e", "UPPER", "a%00b", "con", "a%2Fb", "%FF"] {
        let path = format!("/api/v1/workloads/{name}/open");
        check("POST", &path, Body::from("{}"), 400, "bad_name");
    }
    check("POST", "/api/v1/workloads/shop-db/open", Body::from("{"), 400, "bad_request");
    // As a program of before there were signatures says it, and as nobody does.
    for unsigned in ["{}", r#"{"box_public_key":"AAAA"}"#, r#"{"signature":""}"#] {
        check("POST", "/api/v1/workloads/shop-db/open", Body::from(unsigned), 403, "unsigned");
        check("POST", "/api/v1/shipments", Body::from(unsigned), 403, "unsigned");
    }
    let nonsense = r#"{"text":"{}","certificate":"PEM","signature":"????"}"#;
    check("POST", "/api/v1/shipments", Body::from(nonsense), 403, "bad_statement");
    check("POST", "/api/v1/shipments", Body::from("[1,2"), 400, "bad_request");
    let crowd = format!(
        r#"{{"share":"7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d11","problems":[],"workloads":[{}],
            "pass":{{"started":"2026-01-01T00:00:00Z","finished":"2026-01-01T00:00:00Z"}}}}"#,
        vec![r#"{"name":"a"}"#; 10_001].join(",")
    );
    check("POST", "/api/v1/agent/report", Body::from(crowd), 403, "unsigned");
    let deep = "[".repeat(1 << 20);
    check("POST", "/api/v1/shipments", Body::from(deep), 400, "bad_request");
    let long = vec![b' '; BODY_BYTES_MAX + 1];
    check("POST", "/api/v1/agent/report", Body::from(long), 413, "bad_body");
    check("GET", "/api/v1/elsewhere", Body::empty(), 404, "not_found");
    check("DELETE", "/api/v1/snapshots", Body::empty(), 405, "bad_method");
    check("GET", "/api/v1/snapshots", Body::empty(), 403, "refused");
    assert!(world.storage.repositories().unwrap().is_empty(), "nothing was made of any of it");
}

#[test]
fn a_query_that_is_no_workload_is_refused() {
    let world = World::new();
    let mut router = router(&world, Role::Reader);
    for query in ["workload=..%2Fx", "workload="] {
        let path = format!("/api/v1/snapshots?{query}");
        let (status, error) = send(&mut router, "GET", &path, Body::empty());
        assert_eq!((status.as_u16(), error.code.as_str()), (400, "bad_name"));
    }
    let (status, error) = send(&mut router, "GET", "/api/v1/workloads/nobody", Body::empty());
    assert_eq!((status.as_u16(), error.code.as_str()), (404, "unknown_workload"));
}
