//! What a vault does by itself, as people see it.

use outlast_wire::Role;
use outlast_wire::api::{ErrorCode, JobView};

use crate::support::{World, eventually, shop};

const JOBS: [&str; 18] = [
    "drill",
    "forget-snapshots",
    "forget-unnamed",
    "judge-promises",
    "keep-kit-keys",
    "keep-months",
    "look-after-repositories",
    "look-after-shipments",
    "measure-stored",
    "renew-own-certificate",
    "repair-catalog",
    "save-own-state",
    "scrub",
    "sweep-leftovers",
    "trim-own-state",
    "verify-audit-log",
    "write-audit-counts",
    "write-usage",
];

#[test]
fn operators_and_readers_see_the_jobs_and_when_they_were_done_last() {
    let world = World::new();
    let vault = world.start();
    world.agent(&vault).ship(&shop(), b"one");
    let jobs_of = |role| world.client(&vault, role).jobs();
    let all_done = |jobs: Vec<JobView>| {
        let has_ended = |name: &str| {
            jobs.iter().any(|job| job.name == name && job.ended.is_some() && job.error.is_none())
        };
        [
            "forget-snapshots",
            "forget-unnamed",
            "look-after-shipments",
            "sweep-leftovers",
            "repair-catalog",
            "measure-stored",
            "renew-own-certificate",
            "trim-own-state",
            "verify-audit-log",
        ]
        .iter()
        .all(|it| has_ended(it))
    };
    eventually("the first runs", || all_done(jobs_of(Role::Reader).unwrap()).then_some(()));
    let jobs = jobs_of(Role::Operator).unwrap();
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, JOBS);
    for role in [Role::Agent, Role::Media] {
        let error = jobs_of(role).unwrap_err();
        assert_eq!(error.code(), Some(&ErrorCode::Refused), "{role}: {error}");
    }
    let rare = |jobs: Vec<JobView>| {
        let ended = |job: JobView| job.ended.filter(|_| job.every_seconds >= 600);
        jobs.into_iter().filter_map(ended).collect::<Vec<_>>()
    };
    let before = rare(jobs);
    assert_eq!(before.len(), 9);
    vault.shutdown();

    // Another start knows when they were done, and does them when they are due.
    let vault = world.start();
    let again = eventually("the jobs", || {
        let jobs = world.client(&vault, Role::Reader).jobs().unwrap();
        (jobs.len() == JOBS.len()).then_some(jobs)
    });
    assert_eq!(rare(again), before);
}
