use outlast_types::{ContentHash, WorkloadName};
use outlast_wire::Role;
use outlast_wire::api::{HandoverJob, JobResult};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix(1_800_000_000 + second, 0).unwrap()
}

fn told(number: u32, state: DeliveryState) -> Delivery {
    let drop = DropIdentity {
        share: "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap(),
        workload: WorkloadName::new("shop").unwrap(),
        day: Timestamp::EPOCH.day(),
        drop: format!("01a2066b-8649-78cb-a8bc-a5af{number:08x}").parse().unwrap(),
        seal: ContentHash([7; 32]),
    };
    Delivery {
        drop,
        state,
        at: at(0),
        size: 7,
        first_seen: None,
        sanity: None,
        sanity_rule: None,
        product: None,
        jobs: Vec::new(),
        evidence: None,
        by: None,
        reason: None,
    }
}

/// A drop of that second, of which was heard at another one.
fn heard(number: u32, point: i64, second: i64, state: DeliveryState) -> Delivered {
    let told = told(number, state);
    let by = ("nbu".to_owned(), Peer::new(Role::Agent, "road-1").unwrap());
    let mut delivered = Delivered::new(told.drop.clone(), by, at(point), None);
    assert!(delivered.take(&told, at(second)));
    delivered
}

fn numbers(drops: &[Delivered]) -> Vec<i64> {
    drops.iter().map(|it| it.point.since(at(0)).as_secs() as i64).collect()
}

#[test]
fn of_what_was_heard_long_ago_a_hundred_stay_and_of_what_was_heard_just_now_all() {
    let confirmed =
        |number: u32, second| heard(number, i64::from(number), second, DeliveryState::Confirmed);
    let daily: Vec<_> = (0..150).map(|it| confirmed(it, i64::from(it) * 86_400)).collect();
    assert_eq!(numbers(&remembered(daily)), (50..150).collect::<Vec<_>>());
    // A thousand drops, of which one job a day has all.
    let often: Vec<_> = (0..1440).map(|it| confirmed(it, 86_400)).collect();
    assert_eq!(remembered(often).len(), 1440);
    let flood: Vec<_> = (0..3000).map(|it| confirmed(it, 86_400)).collect();
    assert_eq!(remembered(flood).len(), FRESH_MAX);
}

#[test]
fn the_newest_points_stay_whatever_is_told_again_of_old_ones() {
    let all = (0..150).map(|number| {
        let second = 1_000_000 - i64::from(number) * 86_400 / 10;
        heard(number, i64::from(number), second, DeliveryState::Confirmed)
    });
    let kept = numbers(&remembered(all.collect()));
    assert_eq!(kept.len(), DROPS_MAX);
    assert!((100..150).all(|newest| kept.contains(&newest)), "{kept:?}");
}

#[test]
fn i4_a_withdrawal_is_news_also_where_it_was_forgotten_that_it_was_confirmed() {
    let mut gone = heard(1, 1, 5, DeliveryState::Withdrawn);
    assert!(!gone.is_confirmed() && gone.last_told().is_some());
    assert!(!gone.take(&told(1, DeliveryState::Withdrawn), at(6)));
    assert!(gone.take(&told(1, DeliveryState::Confirmed), at(7)) && gone.is_confirmed());
}

#[test]
fn a_record_can_be_read_again_however_many_words_a_product_has() {
    let job = HandoverJob {
        key: "k".repeat(200),
        shown: Some("s".repeat(200)),
        schedule: None,
        kind: None,
        began: None,
        ended: None,
        result: JobResult::Well,
        status: None,
        meaning: Some("m".repeat(200)),
        advice: Some("a".repeat(200)),
        by: None,
    };
    let mut drops: Vec<_> = (0..2000).map(|it| heard(it, 1, 1, DeliveryState::Confirmed)).collect();
    for it in &mut drops {
        let step = it.confirmed.as_mut().unwrap();
        step.told.jobs = vec![job.clone(); 8];
    }
    let content = written(drops.clone()).unwrap();
    assert!(content.len() as u64 <= RECORD_BYTES_MAX);
    let read: DeliveriesJson = serde_json::from_slice(&content).unwrap();
    assert_eq!(read.drops.len(), drops.len(), "all of them, with a job each");
}
