use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::job::JobFacts;
use crate::lease::Lease;
use crate::offer::Release;
use crate::rules::Layout;

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix(1_800_000_000 + second, 0).unwrap()
}

fn rules() -> Rules {
    Rules::new("nbu", PathBuf::from("/srv/nbu"))
}

fn offer(workload: &str, number: u8, appeared: i64, files: u32) -> Offer {
    let workload = WorkloadName::new(workload).unwrap();
    Offer {
        share: "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap(),
        day: Timestamp::EPOCH.day(),
        drop: format!("01a2066b-8649-78cb-a8bc-a5af0e9525{number:02x}").parse().unwrap(),
        seal: outlast_types::ContentHash([number; 32]),
        layout: Layout::Plain,
        path: format!("{workload}/{number}"),
        workload,
        appeared: at(appeared),
        stamp: at(appeared + 1),
        files,
        bytes: 10,
        sight: crate::offer::Sight::default(),
        sanity: None,
    }
}

fn job(id: &str, schedule: &str) -> JobFacts {
    JobFacts { schedule: Some(schedule.to_owned()), ..JobFacts::of_id(id) }
}

fn lease(job: JobFacts, stream: u32, streams: Option<u32>, began: i64) -> Lease {
    Lease { version: 1, job, stream, streams, began: at(began), deadline: at(began + 1000) }
}

fn ended(facts: &JobFacts, began: i64, status: i32) -> Event {
    Event::Ended { lease: lease(facts.clone(), 1, None, began), status, at: at(began + 10) }
}

/// Whoever knows says how a job ended, and that it has these files.
fn evidence(ledger: &mut Ledger, facts: &JobFacts, outcome: Outcome, holds: Holds) {
    let by = "operator alice".to_owned();
    let (job, began) = (facts.clone(), None);
    let statement = Statement { job, began, ended: None, outcome, holds, product: None, by };
    let files_of = |offer: &Offer| Some(files(offer));
    let held = ledger.coverage(&statement, "/srv/nbu", files_of);
    ledger.apply(Event::Evidence(Box::new(Received { statement, held, at: at(9000) })));
}

fn files(offer: &Offer) -> Vec<FileFact> {
    let modified = offer.stamp.unix_seconds();
    let fact = |number| FileFact { path: format!("{}/{number}", offer.path), size: 5, modified };
    (0..offer.files).map(fact).collect()
}

#[test]
fn what_a_client_reports_is_no_proof_that_the_product_has_it() {
    let (mut ledger, offer) = (Ledger::default(), offer("shop", 1, 100, 3));
    ledger.apply(Event::Offered(offer.clone()));
    let state = |ledger: &Ledger| ledger.state(&offer.key(), &rules()).unwrap();
    assert_eq!(state(&ledger), State::Offered);
    let facts = job("1", "daily");
    ledger.apply(ended(&facts, 200, 0));
    assert_eq!(state(&ledger), State::Read);
    evidence(
        &mut ledger,
        &facts,
        Outcome::Failed { status: 84, words: String::new() },
        Holds::Everything,
    );
    assert!(state(&ledger) < State::Confirmed);
    evidence(&mut ledger, &facts, Outcome::Well, Holds::Everything);
    assert_eq!(state(&ledger), State::Confirmed);
    assert!(ledger.releasable(&rules()).is_empty(), "it is the newest");
}

#[test]
fn a_job_that_began_before_a_drop_appeared_confirms_nothing_of_it() {
    let (mut ledger, offer) = (Ledger::default(), offer("shop", 1, 100, 3));
    ledger.apply(Event::Offered(offer.clone()));
    let facts = job("1", "daily");
    ledger.apply(ended(&facts, 100, 0));
    evidence(&mut ledger, &facts, Outcome::Well, Holds::Listed(files(&offer)));
    assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Offered));
}

#[test]
fn several_jobs_may_share_a_drop_and_a_partial_one_counts_for_what_is_listed() {
    let (mut ledger, offer) = (Ledger::default(), offer("shop", 1, 100, 4));
    ledger.apply(Event::Offered(offer.clone()));
    let all = files(&offer);
    let (one, other) = (job("1", "daily"), job("2", "daily"));
    ledger.apply(ended(&one, 200, 1));
    evidence(&mut ledger, &one, Outcome::Partial, Holds::Everything);
    assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Read), "of none is that known");
    evidence(&mut ledger, &one, Outcome::Partial, Holds::Listed(all[..3].to_vec()));
    ledger.apply(ended(&other, 300, 0));
    assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Read));
    evidence(&mut ledger, &other, Outcome::Well, Holds::Listed(all[2..].to_vec()));
    assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Confirmed));
}

#[test]
fn a_job_whose_product_does_not_say_how_it_ended_has_sent_nothing_until_it_is_confirmed() {
    let (mut ledger, offer) = (Ledger::default(), offer("shop", 1, 100, 1));
    ledger.apply(Event::Offered(offer.clone()));
    let veeam = job("1", "veeam");
    ledger.apply(ended(&veeam, 200, UNTOLD));
    assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Offered), "nobody says that");
    let known = ledger.jobs().values().next().unwrap();
    assert!(known.is_untold() && known.client_status().is_none());
    assert_eq!(crate::words::outcome(known), "has ended, and nobody says how");
    evidence(&mut ledger, &veeam, Outcome::Well, Holds::Everything);
    assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Confirmed));
    assert!(!ledger.jobs().values().next().unwrap().is_untold());
}

#[test]
fn all_streams_of_a_job_must_have_ended() {
    let (mut ledger, offer) = (Ledger::default(), offer("shop", 1, 100, 1));
    ledger.apply(Event::Offered(offer.clone()));
    let facts = job("1", "daily");
    let end = |stream, status| Event::Ended {
        lease: lease(facts.clone(), stream, Some(2), 200),
        status,
        at: at(300),
    };
    ledger.apply(end(1, 0));
    assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Offered));
    ledger.apply(Event::Lapsed { lease: lease(facts.clone(), 2, Some(2), 200), at: at(2000) });
    assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Offered), "nobody said so");
    ledger.apply(end(2, 0));
    assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Read));
}

#[test]
fn a_drop_stays_until_a_job_of_each_named_schedule_has_it_and_a_newer_one_is_confirmed() {
    let mut ledger = Ledger::default();
    let rules = Rules { keep_until: vec!["full".to_owned()], ..rules() };
    let (old, new) = (offer("shop", 1, 100, 2), offer("shop", 2, 150, 2));
    ledger.apply(Event::Offered(old.clone()));
    ledger.apply(Event::Offered(new.clone()));
    let daily = JobFacts { kind: Some("INCR".to_owned()), ..job("1", "daily") };
    ledger.apply(ended(&daily, 200, 0));
    evidence(&mut ledger, &daily, Outcome::Well, Holds::Everything);
    assert_eq!(ledger.state(&old.key(), &rules), Some(State::Confirmed));
    assert!(ledger.releasable(&rules).is_empty());
    let monthly = JobFacts { kind: Some("FULL".to_owned()), ..job("2", "monthly") };
    ledger.apply(ended(&monthly, 300, 0));
    evidence(&mut ledger, &monthly, Outcome::Well, Holds::Everything);
    assert_eq!(ledger.releasable(&rules), vec![old.key()]);
    assert_eq!(ledger.state(&new.key(), &rules), Some(State::Confirmed));
}

#[test]
fn a_confirmation_that_is_withdrawn_takes_back_what_followed_from_it() {
    let mut ledger = Ledger::default();
    let (old, new) = (offer("shop", 1, 100, 2), offer("shop", 2, 150, 2));
    ledger.apply(Event::Offered(old.clone()));
    ledger.apply(Event::Offered(new));
    let facts = job("1", "daily");
    ledger.apply(ended(&facts, 200, 0));
    evidence(&mut ledger, &facts, Outcome::Well, Holds::Everything);
    assert_eq!(ledger.releasable(&rules()), vec![old.key()]);
    let reason = "the image expired".to_owned();
    ledger.apply(Event::Withdrawn { job: facts.key(), at: at(500), reason });
    assert!(ledger.releasable(&rules()).is_empty());
    assert_eq!(ledger.state(&old.key(), &rules()), Some(State::Read), "its client has sent it");
}

#[test]
fn what_a_job_without_hooks_had_was_read_although_its_image_is_gone() {
    for outcome in [Outcome::Well, Outcome::Partial] {
        let (mut ledger, offer) = (Ledger::default(), offer("shop", 1, 100, 2));
        ledger.apply(Event::Offered(offer.clone()));
        let (by, facts) = ("bplist on host".to_owned(), job("1", "daily"));
        let statement = Statement {
            job: facts.clone(),
            began: Some(at(200)),
            ended: None,
            outcome,
            holds: Holds::Listed(files(&offer)),
            product: None,
            by,
        };
        let held = ledger.coverage(&statement, "/srv/nbu", |offer| Some(files(offer)));
        ledger.apply(Event::Evidence(Box::new(Received { statement, held, at: at(300) })));
        assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Confirmed));
        let reason = "the image expired".to_owned();
        ledger.apply(Event::Withdrawn { job: facts.key(), at: at(500), reason });
        assert_eq!(
            ledger.state(&offer.key(), &rules()),
            Some(State::Read),
            "nobody sends it again"
        );
    }
}

#[derive(Debug, Clone)]
enum Step {
    Offer { workload: u8, number: u8 },
    Job { id: u8, status: i32, began: i64 },
    Evidence { id: u8, outcome: u8, listed: Option<Vec<(u8, u32)>> },
    Withdraw { id: u8 },
}

fn let_go(ledger: &mut Ledger, drop: &DropKey, vaulted: bool) {
    let (by, reason) = ("operator alice".to_owned(), "the disk is full".to_owned());
    let release =
        Release { drop: drop.clone(), by, reason, held_by: "somebody".to_owned(), vaulted };
    ledger.apply(Event::Released { release, at: at(9000) });
}

#[test]
fn i1_what_is_let_go_by_hand_for_a_confirmation_stays_when_that_is_withdrawn_before_it_has_left() {
    let (mut ledger, offer) = (Ledger::default(), offer("shop", 1, 100, 3));
    ledger.apply(Event::Offered(offer.clone()));
    let facts = job("1", "daily");
    ledger.apply(ended(&facts, 200, 0));
    evidence(&mut ledger, &facts, Outcome::Well, Holds::Everything);
    let_go(&mut ledger, &offer.key(), false);
    assert_eq!(ledger.releasable(&rules()), [offer.key()]);
    assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Releasable));
    let reason = "the image expired".to_owned();
    ledger.apply(Event::Withdrawn { job: facts.key(), at: at(9100), reason });
    assert_eq!(ledger.releasable(&rules()), []);
    assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Read));
    // Another job has it: what was said by hand still counts.
    let facts = job("2", "daily");
    ledger.apply(ended(&facts, 300, 0));
    evidence(&mut ledger, &facts, Outcome::Well, Holds::Everything);
    assert_eq!(ledger.releasable(&rules()), [offer.key()]);
}

#[test]
fn i1_what_is_offered_once_more_is_no_newer_than_it_was_and_makes_no_newer_one_leave() {
    let mut ledger = Ledger::default();
    let (mut first, second) = (offer("shop", 1, 500, 3), offer("shop", 2, 200, 3));
    first.sight.shown_before = Some(at(100));
    for it in [&first, &second] {
        ledger.apply(Event::Offered(it.clone()));
    }
    let facts = job("1", "daily");
    ledger.apply(ended(&facts, 600, 0));
    evidence(&mut ledger, &facts, Outcome::Well, Holds::Everything);
    assert_eq!(ledger.releasable(&rules()), [first.key()]);
    assert!(ledger.is_outlived(&first.key()) && !ledger.is_outlived(&second.key()));
}

#[test]
fn i4_what_is_let_go_since_the_vault_holds_it_leaves_and_is_never_called_confirmed() {
    let (mut ledger, offer) = (Ledger::default(), offer("shop", 1, 100, 3));
    ledger.apply(Event::Offered(offer.clone()));
    let_go(&mut ledger, &offer.key(), true);
    assert_eq!(ledger.releasable(&rules()), [offer.key()]);
    assert_eq!(ledger.state(&offer.key(), &rules()), Some(State::Offered));
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u8..2, 0_u8..6).prop_map(|(workload, number)| Step::Offer { workload, number }),
        (0_u8..4, 0_i32..3, 0_i64..60).prop_map(|(id, status, began)| Step::Job {
            id,
            status,
            began
        }),
        (
            0_u8..4,
            0_u8..3,
            proptest::option::of(proptest::collection::vec((0_u8..6, 0_u32..3), 0..12))
        )
            .prop_map(|(id, outcome, listed)| Step::Evidence { id, outcome, listed }),
        (0_u8..4).prop_map(|id| Step::Withdraw { id }),
    ];
    proptest::collection::vec(step, 0..40)
}

/// The definition, word by word, over plain sets: (job, drop, file) that somebody vouched for.
#[derive(Default)]
struct Oracle {
    vouched: BTreeSet<(u8, u8, u32)>,
    began: BTreeMap<u8, i64>,
    outcome: BTreeMap<u8, u8>,
    withdrawn: BTreeSet<u8>,
    appeared: BTreeMap<u8, (u8, i64)>,
}

impl Oracle {
    fn is_confirmed(&self, number: u8) -> bool {
        let (_, appeared) = self.appeared[&number];
        (0..3).all(|file| {
            (0..4).any(|id| {
                self.vouched.contains(&(id, number, file))
                    && self.outcome.get(&id).is_some_and(|outcome| *outcome < 2)
                    && !self.withdrawn.contains(&id)
                    && self.began.get(&id).is_some_and(|began| *began > appeared)
            })
        })
    }

    fn is_releasable(&self, number: u8) -> bool {
        let (workload, appeared) = self.appeared[&number];
        let newer = self.appeared.iter().any(|(other, (of, at))| {
            *of == workload && *at > appeared && self.is_confirmed(*other)
        });
        newer && self.is_confirmed(number)
    }
}

proptest! {
    #![proptest_config(outlast_testing::cases(400))]
    /// A drop is confirmed when each of its files lies in some job that ended well and began after the drop
    /// appeared; it may leave when a newer one is confirmed, too. Whatever happens in whatever order, and if each thing is
    /// heard twice, and the ledger is written and read in between.
    #[test]
    fn confirmed_means_that_every_file_lies_in_a_job_that_ended_well(steps in steps()) {
        let (mut ledger, mut oracle) = (Ledger::default(), Oracle::default());
        for (clock, step) in (0_i64..).zip(&steps) {
            take(&mut ledger, &mut oracle, clock, step);
            let bytes = serde_json::to_vec(&Event::Snapshot(Snapshot::from(&ledger))).unwrap();
            let mut again = Ledger::default();
            again.apply(serde_json::from_slice(&bytes).unwrap());
            prop_assert_eq!(&again, &ledger);
            for (number, (workload, _)) in &oracle.appeared {
                let key = offer(["a", "b"][usize::from(*workload)], *number, 0, 3).key();
                let state = ledger.state(&key, &rules()).unwrap();
                prop_assert_eq!(state >= State::Confirmed, oracle.is_confirmed(*number));
                prop_assert_eq!(state == State::Releasable, oracle.is_releasable(*number));
            }
        }
    }
}

fn take(ledger: &mut Ledger, oracle: &mut Oracle, clock: i64, step: &Step) {
    match step {
        Step::Offer { workload, number } => {
            if oracle.appeared.contains_key(number) {
                return;
            }
            oracle.appeared.insert(*number, (*workload, clock));
            let workload = ["a", "b"][usize::from(*workload)];
            ledger.apply(Event::Offered(offer(workload, *number, clock, 3)));
        }
        Step::Job { id, status, began } => {
            let began =
                *oracle.began.entry(*id).and_modify(|it| *it = (*began).min(*it)).or_insert(*began);
            for _ in 0..2 {
                ledger.apply(ended(&job(&id.to_string(), "daily"), began, *status));
            }
        }
        Step::Evidence { id, outcome, listed } => {
            let began = oracle.began.get(id).copied();
            let holds = match listed {
                None => Holds::Everything,
                Some(listed) => {
                    let facts = listed.iter().filter_map(|(number, file)| {
                        let (workload, appeared) = oracle.appeared.get(number)?;
                        let workload = ["a", "b"][usize::from(*workload)];
                        let all = files(&offer(workload, *number, *appeared, 3));
                        Some(all[usize::try_from(*file).unwrap()].clone())
                    });
                    Holds::Listed(facts.collect())
                }
            };
            if oracle.outcome.insert(*id, *outcome).is_some_and(|before| before != *outcome) {
                oracle.vouched.retain(|(of, _, _)| of != id);
            }
            oracle.withdrawn.remove(id);
            if let Some(began) = began {
                vouch(oracle, *id, began, *outcome, listed.as_deref());
            }
            let outcome = match outcome {
                0 => Outcome::Well,
                1 => Outcome::Partial,
                _ => Outcome::Failed { status: 84, words: String::new() },
            };
            for _ in 0..2 {
                evidence(ledger, &job(&id.to_string(), "daily"), outcome.clone(), holds.clone());
            }
        }
        Step::Withdraw { id } => {
            let key = job(&id.to_string(), "daily").key();
            if ledger.jobs().contains_key(&key) {
                oracle.withdrawn.insert(*id);
            }
            let reason = String::new();
            ledger.apply(Event::Withdrawn { job: key, at: at(0), reason });
        }
    }
}

fn vouch(oracle: &mut Oracle, id: u8, began: i64, outcome: u8, listed: Option<&[(u8, u32)]>) {
    let appeared: Vec<u8> = oracle
        .appeared
        .iter()
        .filter(|(_, (_, at))| *at < began)
        .map(|(number, _)| *number)
        .collect();
    for number in appeared {
        let is_listed = |file: u32| match listed {
            None => outcome == 0,
            Some(listed) => listed.contains(&(number, file)),
        };
        oracle
            .vouched
            .extend((0..3).filter(|file| is_listed(*file)).map(|file| (id, number, file)));
    }
}
