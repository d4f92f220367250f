use std::sync::Arc;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use outlast_store::{Object, Store};
use outlast_types::{
    BlobId, Clock, ContentHash, DropId, PackId, ShareId, SnapshotId, SystemClock, SystemRandom,
};
use outlast_wire::api::{
    BILL_VERSION, Base64, BilledName, BilledObject, CHALLENGE_HEADER, ErrorCode, OpenRepository,
    Reported, Shipment, Vaulted,
};
use outlast_wire::challenge::{Challenge, ChallengeKey};
use outlast_wire::opening::{self, Opening};
use outlast_wire::server::{ApiError, Limits};
use outlast_wire::statement::{Statement, Subject};
use outlast_wire::{ApiClient, CallError, Peer, Role, Speaker};

use crate::support::{Server, World, workload};

const KEY: &[u8; 64] = &[7; 64];

fn server(world: &World) -> Server {
    let vault = Arc::new(world.identity(Role::Vault));
    let open = |Path(name): Path<String>, Json(request): Json<Statement>| async move {
        let (asker, asked): (_, OpenRepository) =
            request.read(Subject::Open, vault.ca_pem()).unwrap();
        let challenges = ChallengeKey::new(&[7; 32]);
        if let Err(stale) = challenges.check(&asked.challenge, SystemClock.now()) {
            let fresh = challenges.issue(SystemClock.now());
            let refused = ApiError::new(
                StatusCode::PRECONDITION_FAILED,
                ErrorCode::StaleChallenge,
                stale.to_string(),
            );
            return ([(CHALLENGE_HEADER, fresh.as_str().to_owned())], refused).into_response();
        }
        let repository_path = format!("/repo/{name}/");
        let opening = Opening { repository_path, version: 2, key: KEY, ticket: None };
        let now = SystemClock.now();
        let answer = opening::answer(&asked, &asker, opening, &vault, now, &SystemRandom);
        Json(answer.unwrap()).into_response()
    };
    let ca_pem = world.identity(Role::Vault).ca_pem().to_owned();
    let ship = |Extension(peer): Extension<Peer>, Json(bill): Json<Statement>| async move {
        let (signer, shipment): (_, Shipment) = bill.read(Subject::Bill, &ca_pem).unwrap();
        assert_eq!(signer.peer, peer);
        if shipment.objects.is_empty() {
            return Ok(Json(Vaulted { receipt: format!("{} by {peer}", shipment.drop) }));
        }
        let missing: Vec<Object> = shipment.objects.iter().map(BilledObject::object).collect();
        let text = "1 object of the shipment is not here";
        Err(ApiError::new(StatusCode::CONFLICT, ErrorCode::MissingObjects, text)
            .hint("send it again")
            .missing(&missing))
    };
    let broken = || async {
        Err::<Json<Reported>, _>(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Storage,
            "broken",
        ))
    };
    let router = Router::new()
        .route("/api/v1/workloads/{workload}/open", post(open))
        .route("/api/v1/shipments", post(ship))
        .route("/api/v1/incidents", get(broken))
        .route("/api/v1/workloads", get(async || "not what was asked for"));
    world.serve_router(router, Limits::default())
}

fn client(world: &World, server: &Server) -> ApiClient {
    let address = format!("https://localhost:{}", server.address.port());
    ApiClient::new(&address, &world.identity(Role::Agent)).unwrap()
}

fn shipment(objects: Vec<BilledObject>) -> Shipment {
    let drop = DropId::new(&SystemClock, &SystemRandom);
    Shipment {
        version: BILL_VERSION,
        share: ShareId::new(&SystemRandom),
        workload: workload(),
        day: drop.claimed_time().day(),
        drop,
        seal: ContentHash([9; 32]),
        size: 7,
        tree: BlobId([2; 32]),
        snapshot_id: SnapshotId([1; 32]),
        snapshot: Base64(vec![1, 2, 3]),
        objects,
        claims: serde_json::json!({"instance": "blue-1"}),
        packs: None,
        sanity: None,
        sanity_rule: None,
        first_seen: None,
        other: Default::default(),
        called: None,
    }
}

#[test]
fn an_agent_asks_over_the_vaults_challenge_and_gets_the_repository_key() {
    let world = World::new();
    let server = server(&world);
    let identity = world.identity(Role::Agent);
    let client = client(&world, &server);
    assert_eq!(client.challenge(), Challenge::default());
    let speaker = Speaker { identity: &identity, clock: &SystemClock };
    let workload = client.open_workload(&workload(), speaker).unwrap();
    assert_eq!(*workload.key, *KEY);
    assert_ne!(client.challenge(), Challenge::default(), "it asked once more by itself");
    assert_eq!(workload.store.location(), format!("{}repo/shop-db/", client.location()));
}

#[test]
fn a_shipment_is_known_by_its_certificate() {
    let world = World::new();
    let server = server(&world);
    let shipment = shipment(Vec::new());
    let answer = client(&world, &server).ship(&shipment, &world.identity(Role::Agent)).unwrap();
    assert_eq!(answer.receipt, format!("{} by agent test", shipment.drop));
}

/// Bills and answers are kept and passed on by programs that are older: their texts stay.
#[test]
fn typed_ids_are_the_same_texts_on_the_wire() {
    let billed = BilledObject { name: BilledName::Data(PackId([0xab; 32])), size: 1 };
    let text = format!(r#"{{"kind":"data","name":"{}","size":1}}"#, "ab".repeat(32));
    assert_eq!(serde_json::to_string(&billed).unwrap(), text);
    assert_eq!(serde_json::from_str::<BilledObject>(&text).unwrap(), billed);
    let index = text.replace("data", "index");
    let billed = serde_json::from_str::<BilledObject>(&index).unwrap();
    assert_eq!(billed.object(), Object::new(outlast_store::Kind::Index, [0xab; 32]));
    let bill = serde_json::to_value(shipment(vec![billed])).unwrap();
    assert_eq!(bill["tree"], "02".repeat(32));
    assert_eq!(bill["snapshot_id"], "01".repeat(32));
    assert_eq!(bill["objects"][0]["kind"], "index");
}

#[test]
fn a_refusal_says_what_is_missing_and_what_to_do() {
    let world = World::new();
    let server = server(&world);
    let pack = PackId([0xab; 32]);
    let lacking = shipment(vec![BilledObject { name: BilledName::Data(pack), size: 1 }]);
    let error = client(&world, &server).ship(&lacking, &world.identity(Role::Agent)).unwrap_err();
    assert!(!error.is_passing());
    assert_eq!(error.code(), Some(&ErrorCode::MissingObjects));
    let text = error.to_string();
    assert!(text.contains("is not here; send it again (request "), "{text}");
    let CallError::Refused { body, .. } = error else { panic!("{text}") };
    assert_eq!(body.missing, [Object::Data(pack).to_string()]);
}

#[test]
fn a_vault_that_cannot_now_may_be_asked_again() {
    let world = World::new();
    let server = server(&world);
    let client = client(&world, &server);
    let error = client.incidents().unwrap_err();
    assert!(matches!(error, CallError::Unable { .. }) && error.is_passing(), "{error}");
    let error = client.workloads().unwrap_err();
    assert!(matches!(error, CallError::Unintelligible { .. }), "{error}");
    let error = client.snapshots(None).unwrap_err();
    assert!(matches!(error, CallError::Refused { status: 404, .. }), "{error}");
    drop(server);
    let error = client.incidents().unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }) && error.is_passing(), "{error}");
}
