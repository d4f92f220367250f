use std::time::Duration;

use outlast_testing::ManualTime;
use outlast_types::Timestamp;
use outlast_wire::api::ErrorCode;

use super::*;
use crate::core::storage::Records as _;
use crate::core::storage::memory::MemoryStorage;

fn agent(name: &str) -> Peer {
    Peer::new(Role::Agent, name).unwrap()
}

fn named(name: &str) -> WorkloadName {
    WorkloadName::new(name).unwrap()
}

fn policy(default: AgentLimits) -> LimitPolicy {
    LimitPolicy { default, ..LimitPolicy::default() }
}

/// Limits by a clock that a test moves.
fn limits(storage: &Arc<MemoryStorage>, time: &ManualTime, policy: LimitPolicy) -> Limits {
    let storage: Storage = Arc::clone(storage) as _;
    Limits::open(&storage, Arc::clone(&time.environment().clock), policy).unwrap()
}

fn refusal(result: Result<(), VaultError>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.code(), ErrorCode::OverLimit);
    assert!(error.is_refusal());
    error.to_string()
}

#[test]
fn an_agent_begins_so_many_workloads_a_day_and_another_one_its_own() {
    let (storage, time) = (Arc::default(), ManualTime::new(Timestamp::EPOCH));
    let mut policy = policy(AgentLimits { new_workloads: 2, ..AgentLimits::default() });
    let more = AgentLimits { new_workloads: 3, ..AgentLimits::default() };
    policy.agents.insert("large".into(), more);
    let open = || limits(&storage, &time, policy.clone());
    let limits = open();
    let (one, large) = (agent("one"), agent("large"));
    for number in 0..2 {
        limits.may_begin(&one).unwrap();
        limits.begun(&one, &named(&format!("w{number}")));
        limits.begun(&large, &named(&format!("l{number}")));
    }
    let words = refusal(limits.may_begin(&one));
    assert!(words.contains("agent one") && words.contains("2 new workloads a day"), "{words}");
    limits.may_begin(&large).unwrap();
    limits.may_begin(&Peer::new(Role::Operator, "one").unwrap()).unwrap();
    // A restart does not give it the day again, and the next day does.
    limits.write().unwrap();
    let limits = open();
    refusal(limits.may_begin(&one));
    time.advance(Duration::from_secs(86_400));
    limits.may_begin(&one).unwrap();
}

#[test]
fn what_is_sent_counts_whether_it_is_kept_or_not_and_what_is_stored_has_quotas() {
    let (storage, time) = (Arc::default(), ManualTime::new(Timestamp::EPOCH));
    let default = AgentLimits { received: 100, stored: 50, ..AgentLimits::default() };
    let mut policy = policy(default);
    policy.workloads.insert(named("small"), 10);
    let open = || limits(&storage, &time, policy.clone());
    let limits = open();
    let (one, shop, web) = (agent("one"), named("shop"), named("web"));
    limits.receive(&one, &shop, 0, 30).unwrap();
    limits.stored(&one, &shop, 30);
    let words = refusal(limits.receive(&one, &web, 0, 21));
    assert!(words.contains("50 B stored of all its workloads"), "{words}");
    limits.receive(&one, &web, 0, 20).unwrap();
    let words = refusal(limits.receive(&one, &named("small"), 8, 3));
    assert!(words.contains("10 B stored of one workload, which small has"), "{words}");
    let operator = Peer::new(Role::Operator, "o").unwrap();
    refusal(limits.receive(&operator, &named("small"), 0, 11));
    limits.receive(&operator, &shop, 0, 1 << 40).unwrap();
    // Fifty were sent, of which thirty were kept.
    limits.receive(&one, &web, 0, 20).unwrap();
    limits.receive(&one, &web, 0, 20).unwrap();
    limits.receive(&one, &web, 0, 10).unwrap();
    let words = refusal(limits.receive(&one, &web, 0, 1));
    assert!(words.contains("100 B a day"), "{words}");
    limits.write().unwrap();
    let limits = open();
    time.advance(Duration::from_secs(86_400));
    limits.receive(&one, &web, 0, 20).unwrap();
    refusal(limits.receive(&one, &web, 0, 21));
    // What is measured counts: a prune makes room.
    limits.measured(&shop, 5);
    limits.receive(&one, &web, 0, 21).unwrap();
}

#[test]
fn tiny_objects_count_however_tiny_they_are() {
    let (storage, time) = (Arc::default(), ManualTime::new(Timestamp::EPOCH));
    let default = AgentLimits { objects: 1000, ..AgentLimits::default() };
    let limits = limits(&storage, &time, policy(default));
    let (one, shop) = (agent("one"), named("shop"));
    for _ in 0..1000 {
        limits.begin_object(&one, &shop).unwrap();
    }
    let words = refusal(limits.begin_object(&one, &shop));
    assert!(words.contains("1000 objects a day"), "{words}");
    limits.begin_object(&agent("two"), &shop).unwrap();
    limits.begin_object(&Peer::new(Role::Operator, "o").unwrap(), &shop).unwrap();
}

#[test]
fn a_record_that_is_no_record_is_counted_anew_and_nothing_is_written_without_news() {
    let (storage, time): (Arc<MemoryStorage>, _) =
        (Arc::default(), ManualTime::new(Timestamp::EPOCH));
    let other = br#"{"version":9,"day":null,"agents":{},"workloads":{}}"#;
    for record in [&b"{"[..], b"", other] {
        storage.replace(RECORD, record, Durability::Durable).unwrap();
        let limits = limits(&storage, &time, LimitPolicy::default());
        limits.write().unwrap();
        assert_eq!(storage.read(RECORD, 1 << 20).unwrap().unwrap(), record, "no news");
        limits.begun(&agent("one"), &named("shop"));
        limits.write().unwrap();
        let written = storage.read(RECORD, 1 << 20).unwrap().unwrap();
        let text = String::from_utf8(written).unwrap();
        let (day, begun) = (r#""day":"19700101""#, r#""one":{"begun":1,"received":0,"objects":0}"#);
        assert!(text.contains(day) && text.contains(begun), "{text}");
    }
}
