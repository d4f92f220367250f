//! Every cell of the table, tried over the wire: each role, each verb and call, with a workload that
//! is granted and with others that are not, which are there or not.

mod calls;

use std::collections::BTreeMap;

use bytes::Bytes;
use outlast_format::Sha256Id;
use outlast_store::{Kind, Object, Store, StoreError, Verb};
use outlast_types::{SnapshotId, SystemRandom, WorkloadName};
use outlast_vault::{AuditSelection, VaultHandle};
use outlast_wire::access::{self, Action, Call, Reach};
use outlast_wire::api::{AckIncident, ErrorCode, ReasonedOrder};
use outlast_wire::client::OpenError;
use outlast_wire::holdings::{HeldDrop, Nonce, Question};
use outlast_wire::statement::{Statement, Subject};
use outlast_wire::ticket::may_grant;
use outlast_wire::{ApiClient, Identity, RestStore, Role, ticket};
use serde_json::Value;

use self::calls::make;
use crate::support::{Agent, World, grants, shop, speaker};

/// Granted to nobody here, and there.
fn crm() -> WorkloadName {
    WorkloadName::new("crm-db").unwrap()
}

/// Granted to nobody here, and not there.
fn nothing() -> WorkloadName {
    WorkloadName::new("erp-db").unwrap()
}

fn store(vault: &VaultHandle, workload: &WorkloadName, identity: &Identity) -> RestStore {
    let address = format!("rest:{}repo/{workload}/", vault.url());
    RestStore::open(&address, Some(identity)).unwrap()
}

/// Does `verb` with an object of `kind` that is there, if it is not to be made; the words of a refusal.
fn refusal(store: &dyn Store, verb: Verb, kind: Kind, there: &Object) -> Option<String> {
    let junk = Bytes::from(format!("junk of {kind}"));
    let made = match kind {
        Kind::Config => Object::Config,
        kind => Object::new(kind, SnapshotId::of(&junk).0),
    };
    let result = match verb {
        Verb::Create => store.create(&made, junk),
        Verb::Read => store.read(there).map(drop),
        Verb::Size => store.size(there).map(drop),
        Verb::List => store.list(kind).map(drop),
        Verb::Remove => store.remove(&made),
    };
    match result {
        Err(StoreError::Refused { reason, .. }) => Some(reason),
        Err(StoreError::List { source, .. })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Some(source.to_string())
        }
        // It was looked at, which is what was asked.
        _ => None,
    }
}

/// What can be asked of a kind: there is one config, and no list of it.
fn verbs_of(kind: Kind) -> impl Iterator<Item = Verb> {
    let no_list = kind == Kind::Config;
    Verb::ALL.into_iter().filter(move |verb| !(no_list && *verb == Verb::List))
}

/// An object of each kind in the workload's repository.
fn objects_of(world: &World, vault: &VaultHandle, workload: &WorkloadName) -> Vec<(Kind, Object)> {
    let store = store(vault, workload, &world.identity(Role::Operator, "all"));
    let kinds = [Kind::Key, Kind::Lock, Kind::Snapshot, Kind::Index, Kind::Data];
    let listed = kinds.into_iter().map(|kind| {
        let objects = store.list(kind).unwrap();
        let none = Object::new(kind, [7; 32]);
        (kind, objects.first().map_or(none, |(object, _)| *object))
    });
    listed.chain([(Kind::Config, Object::Config)]).collect()
}

#[test]
fn every_cell_of_the_table_of_objects_holds_over_the_wire() {
    let world = World::new();
    let vault = world.start();
    let all = world.agent(&vault);
    for workload in [shop(), crm()] {
        all.ship(&workload, workload.as_str().as_bytes());
    }
    let agent = Agent::new(&vault.url(), world.identity_of(Role::Agent, "narrow", "shop-*"));
    let opened = agent.client.open_workload(&shop(), agent.speaker()).unwrap();
    let ticket = ticket::header_text(&opened.ticket.unwrap()).unwrap();
    for role in Role::ALL {
        let identity = world.identity_of(role, "narrow", "shop-*");
        for workload in [shop(), crm(), nothing()] {
            let mut store = store(&vault, &workload, &identity);
            store.show_ticket(&ticket);
            let is_granted = workload == shop();
            let there = if workload == nothing() { crm() } else { workload.clone() };
            for (kind, object) in objects_of(&world, &vault, &there) {
                for verb in verbs_of(kind) {
                    let reach = access::reach(role, Action::Object { verb, kind });
                    let refused = refusal(&store, verb, kind, &object);
                    // What takes a grant of the vault, no other ticket opens.
                    let is_granted = is_granted && !(role == Role::Media && may_grant(verb, kind));
                    let allowed = !matches!(reach, Reach::Nothing | Reach::Grant) && is_granted;
                    assert_eq!(refused.is_none(), allowed, "{role} {verb} {kind} of {workload}");
                }
            }
        }
        // Without a ticket, a media server does nothing at all.
        if role == Role::Media {
            let store = store(&vault, &shop(), &identity);
            for (kind, object) in objects_of(&world, &vault, &shop()) {
                for verb in verbs_of(kind) {
                    assert!(refusal(&store, verb, kind, &object).is_some(), "{verb} {kind}");
                }
            }
        }
    }
}

/// What somebody who asks is told of what is not its own: the same, whether it is there or not.
#[test]
fn nothing_tells_whether_a_foreign_workload_exists() {
    let world = World::new();
    let vault = world.start();
    let bill = world.agent(&vault).ship(&crm(), b"secret");
    let identity = world.identity_of(Role::Agent, "narrow", "shop-*");
    let agent = Agent::new(&vault.url(), identity);
    let told = |workload: &WorkloadName| {
        let store = store(&vault, workload, &agent.identity);
        let pack = bill.objects[0].object();
        let mut words = vec![
            store.read(&Object::Config).unwrap_err().to_string(),
            store.size(&pack).unwrap_err().to_string(),
            store.list(Kind::Index).unwrap_err().to_string(),
            store.create(&pack, Bytes::from_static(b"junk")).unwrap_err().to_string(),
        ];
        let OpenError::Call(error) =
            agent.client.open_workload(workload, agent.speaker()).err().unwrap()
        else {
            panic!("it was answered")
        };
        assert_eq!(error.code(), Some(&ErrorCode::NotGranted));
        words.push(error.to_string());
        let foreign = outlast_wire::api::Shipment { workload: workload.clone(), ..bill.clone() };
        let error = agent.hand_in(&foreign).unwrap_err();
        assert_eq!(error.code(), Some(&ErrorCode::NotGranted));
        words.push(error.to_string());
        // But for its name, which it said itself, and the request's id.
        let plain = |text: String| {
            let text = text.replace(workload.as_str(), "W");
            text.split(" (request ").next().unwrap().to_owned()
        };
        words.into_iter().map(plain).collect::<Vec<_>>()
    };
    assert_eq!(told(&crm()), told(&nothing()));

    // In one question with its own: neither held nor not held, and its own answer comes.
    let own = agent.ship(&shop(), b"mine");
    let held = |bill: &outlast_wire::api::Shipment| HeldDrop {
        drop: bill.identity(),
        size: bill.size,
        tree: bill.tree,
        snapshot: bill.snapshot_id,
    };
    let mut absent = held(&bill);
    absent.drop.workload = nothing();
    let nonce = Nonce::new(&SystemRandom);
    let drops = vec![held(&bill), held(&own), absent];
    let question = Question {
        nonce: nonce.clone(),
        drops,
        receipts: Vec::new(),
        handed: Vec::new(),
        heeds_withheld: true,
        signed: None,
    };
    let answer = agent.client.holdings(&question).unwrap();
    let answer = answer.verify(agent.identity.ca_pem(), &nonce).unwrap();
    assert_eq!((answer.held, answer.refused), (vec![held(&own)], vec![crm(), nothing()]));
}

#[test]
fn lists_show_what_is_granted_and_nothing_else() {
    let mut world = World::new();
    let promise = outlast_promise::Promise::new(std::time::Duration::from_secs(2), "team");
    world.config.policy = promise.unwrap().into();
    let vault = world.start();
    let agent = world.agent(&vault);
    for workload in [shop(), crm()] {
        agent.ship(&workload, b"one");
    }
    let operator = world.client(&vault, Role::Operator);
    crate::support::eventually("both are late", || {
        let incidents = operator.incidents().unwrap();
        (incidents.iter().filter(|it| it.workload.is_some()).count() == 2).then_some(())
    });
    for workload in [shop(), crm()] {
        let order = ReasonedOrder { reason: Some("it is old".to_owned()) };
        operator.retire(&workload, &order).unwrap();
    }
    for role in [Role::Operator, Role::Reader] {
        let identity = world.identity_of(role, "team-shop", "shop-*");
        let client = ApiClient::new(&vault.url(), &identity).unwrap();
        let names: Vec<_> = client.workloads().unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names, [shop()]);
        assert!(client.snapshots(None).unwrap().iter().all(|it| it.workload == shop()));
        assert!(client.orders(None).unwrap().iter().all(|it| it.workload == shop()));
        let incidents = client.incidents().unwrap();
        assert!(!incidents.is_empty());
        assert!(incidents.iter().all(|it| it.workload == Some(shop())), "{incidents:?}");
        if role == Role::Operator {
            let said = |workload: &WorkloadName| {
                let key = format!("recovery-point/{workload}");
                let order = AckIncident { key, for_seconds: None, comment: None };
                let said = client.acknowledge(&order).unwrap_err().to_string();
                let said = said.replace(workload.as_str(), "W");
                said.split(" (request ").next().unwrap().to_owned()
            };
            assert_eq!(said(&crm()), said(&nothing()), "nothing tells whether it exists");
        }
    }
}

/// The calls of which a foreign workload is no part: lists leave it out, a question is answered
/// without it, a report is of a share.
const WITHOUT_WORKLOAD: [Call; 21] = [
    Call::ReportSpool,
    Call::Renew,
    Call::MakeToken,
    Call::ListTokens,
    Call::RevokeToken,
    Call::AskHoldings,
    Call::Report,
    Call::AskTrust,
    Call::ListWorkloads,
    Call::ListIncidents,
    // Of what is about a foreign workload, nothing is open, whether it is there or not.
    Call::AnswerIncident,
    Call::ListJobs,
    Call::ViewScrubs,
    Call::ViewReports,
    Call::Greet,
    Call::MeasureRoad,
    Call::ViewMetrics,
    Call::ListCertificates,
    Call::RevokeCertificate,
    Call::ResumeReleases,
    Call::ApplyPolicy,
];

#[test]
fn every_cell_of_the_table_of_calls_holds_over_the_wire() {
    let world = World::new();
    let vault = world.start();
    let all = world.agent(&vault);
    let bill = all.ship(&shop(), b"one");
    all.ship(&crm(), b"one");
    for role in Role::ALL {
        let wide = world.identity(role, "wide");
        let narrow = world.identity_of(role, "narrow", "shop-*");
        // Whether opening makes a repository is another test's.
        for call in Call::ALL.into_iter().filter(|call| *call != Call::MakeRepository) {
            let reach = access::reach(role, call.into());
            let by_itself = matches!(reach, Reach::Granted | Reach::Everything);
            let code = |identity: &Identity, workload: &WorkloadName| {
                let made = make(call, &vault, identity, workload, &bill);
                let code = made.err().and_then(|error| error.code().cloned());
                // It was looked at, which is what was asked.
                code.filter(|code| {
                    use ErrorCode::{NoTicket, NotGranted, Refused};
                    matches!(code, Refused | NotGranted | NoTicket)
                })
            };
            let cell = format!("{role} {}", call.as_str());
            let by_role = match reach {
                Reach::Nothing => Some(ErrorCode::Refused),
                Reach::Behalf => Some(ErrorCode::NoTicket),
                Reach::Granted | Reach::Everything | Reach::Free | Reach::Grant => None,
            };
            assert_eq!(code(&wide, &shop()), by_role, "{cell}");
            let narrow_own = match reach {
                Reach::Everything => Some(ErrorCode::NotGranted),
                _ => by_role.clone(),
            };
            assert_eq!(code(&narrow, &shop()), narrow_own, "{cell}, narrow");
            for foreign in [crm(), nothing()] {
                let expected = match by_itself && !WITHOUT_WORKLOAD.contains(&call) {
                    true => Some(ErrorCode::NotGranted),
                    false => narrow_own.clone(),
                };
                assert_eq!(code(&narrow, &foreign), expected, "{cell} of {foreign}");
            }
        }
    }
    assert!(!world.repository_directory(&nothing()).exists(), "nothing was made of any of it");
}

#[test]
fn policy_takes_from_an_agent_what_its_certificate_grants_and_the_refusal_is_audited() {
    let mut world = World::new();
    world.config.agents = BTreeMap::from([("road-1".to_owned(), grants(&["shop-*"]))]);
    let vault = world.start();
    let agent = world.agent(&vault);
    agent.ship(&shop(), b"one");
    let error = agent.client.open_workload(&crm(), agent.speaker()).err().unwrap();
    assert!(error.to_string().contains("workload crm-db is not granted to it"), "{error}");
    let other = Agent::new(&vault.url(), world.identity(Role::Agent, "road-2"));
    other.ship(&crm(), b"one");
    vault.shutdown();
    let mut log = Vec::new();
    let mut take = |line: &[u8]| {
        // The end of the line comes by itself.
        log.extend(serde_json::from_slice::<Value>(line).ok());
        Ok(())
    };
    let asked = AuditSelection { workload: Some(crm()), ..AuditSelection::default() };
    outlast_vault::export_audit(&world.config.dir, &asked, &mut take).unwrap();
    let refused: Vec<&Value> = log.iter().filter(|entry| entry["outcome"] == "refused").collect();
    assert_eq!(refused.len(), 1, "{log:#?}");
    assert_eq!(refused[0]["actor"], "agent road-1");
    assert_eq!(refused[0]["code"], "not_granted");
    assert_eq!(refused[0]["object"], "POST /api/v1/workloads/crm-db/open");
    let reason = refused[0]["details"]["reason"].as_str().unwrap();
    assert!(reason.contains("is not granted to it"), "{reason}");
}

#[test]
fn what_a_report_says_of_others_workloads_is_left_out_and_audited_once_a_minute() {
    let mut world = World::new();
    world.config.agents = BTreeMap::from([("road-1".to_owned(), grants(&["shop-*"]))]);
    let vault = world.start();
    let agent = world.agent(&vault);
    let declared = Some(outlast_wire::api::Declared { rpo_seconds: Some(60), owner: None });
    let row = |name| outlast_wire::api::WorkloadReport {
        name,
        declared: declared.clone(),
        waiting: 1,
        waiting_bytes: 0,
        rejected: Vec::new(),
        stopped: None,
        unconfirmed: Vec::new(),
        share_bytes: None,
    };
    for _ in 0..3 {
        agent.report(vec![row(shop()), row(crm()), row(nothing())], Vec::new());
    }
    let known = world.client(&vault, Role::Operator).workloads().unwrap();
    assert_eq!(known.into_iter().map(|it| it.name).collect::<Vec<_>>(), [shop()]);
    vault.shutdown();
    let mut log: Vec<Value> = Vec::new();
    let mut take = |line: &[u8]| {
        log.extend(serde_json::from_slice(line).ok());
        Ok(())
    };
    let all = AuditSelection::default();
    outlast_vault::export_audit(&world.config.dir, &all, &mut take).unwrap();
    log.retain(|entry| entry["action"] == "reported");
    assert_eq!(log.len(), 2, "the first, and the others counted: {log:#?}");
    assert_eq!(
        (&log[0]["actor"], &log[0]["code"]),
        (&"agent road-1".into(), &"not_granted".into())
    );
    assert_eq!(log[0]["details"]["reason"], "2 of 3 rows are of workloads that are not granted");
    assert_eq!((&log[0]["details"]["first"], &log[1]["times"]), (&"crm-db".into(), &2.into()));
}

#[test]
fn only_who_brings_data_has_room_made_for_it_and_only_for_what_is_granted() {
    let world = World::new();
    let vault = world.start();
    let fresh = WorkloadName::new("shop-new").unwrap();
    let opened = |role, workload: &WorkloadName| {
        let identity = world.identity_of(role, "narrow", "shop-*");
        let client = ApiClient::new(&vault.url(), &identity).unwrap();
        match client.open_workload(workload, speaker(&identity)) {
            Ok(_) => None,
            Err(OpenError::Call(error)) => error.code().cloned(),
            Err(other) => panic!("{other}"),
        }
    };
    for role in [Role::Operator, Role::Reader] {
        assert_eq!(opened(role, &fresh), Some(ErrorCode::UnknownWorkload), "{role}");
    }
    // As many as it likes to name: none of them is made.
    for number in 0..30 {
        let foreign = WorkloadName::new(&format!("z{number}")).unwrap();
        assert_eq!(opened(Role::Agent, &foreign), Some(ErrorCode::NotGranted));
        assert!(!world.repository_directory(&foreign).exists());
    }
    assert!(!world.repository_directory(&fresh).exists());
    assert_eq!(opened(Role::Agent, &fresh), None);
    assert!(world.repository_directory(&fresh).exists());
}

/// Words for one workload, sent to the address of another.
#[test]
fn a_request_counts_for_the_workload_that_was_signed() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    agent.open(&shop());
    let asked = outlast_wire::api::OpenRepository {
        challenge: agent.client.challenge(),
        at: outlast_types::Timestamp::EPOCH,
        share: None,
        workload: shop(),
        box_public_key: agent.identity.box_key().public(),
        why: None,
        purpose: None,
    };
    let signed = Statement::sign(Subject::Open, &asked, &agent.identity).unwrap();
    let error = agent.client.carry_request(&crm(), &signed).unwrap_err();
    assert_eq!(error.code(), Some(&ErrorCode::BadStatement), "{error}");
    agent.client.carry_request(&shop(), &signed).unwrap();
}
