//! The road of a drop: agent, spool, vault.

use std::time::Duration;

use outlast_civil::Rate;
use outlast_media::{MediaConfig, MediaHandle};
use outlast_types::{DropId, SystemClock, SystemRandom, WorkloadName};
use outlast_wire::api::MediaState;
use outlast_wire::{ApiClient, Role};

use crate::scene::{Scene, emptied, hand_in, limits, open_at, vaulted};
use crate::support::{Agent, eventually, shop};

#[test]
fn a_drop_goes_through_the_spool_and_is_vaulted_and_the_spool_is_empty_again() {
    let scene = Scene::new();
    let media = scene.media("eu-1");
    let agent = scene.world.agent_at(&media.url());
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"insert into shop values (1);"));
    let receipt = vaulted(&agent, &bill);
    assert!(receipt.contains("\"state\":\"vaulted\""), "{receipt}");
    let operator = scene.world.client(scene.vault.as_ref().unwrap(), Role::Operator);
    assert_eq!(operator.snapshots(Some(&shop())).unwrap()[0].snapshot, bill.snapshot_id);
    emptied(&media);
    let status = media.status();
    assert!(status.taken.objects >= 2 && status.refused == 0 && status.dropped == 0, "{status:?}");
    assert_eq!(status.forwarded.objects + status.known, status.taken.objects);
    assert_eq!(status.report.state, MediaState::Taking);
}

#[test]
fn an_agent_that_restarts_while_the_vault_is_away_goes_on_and_so_does_a_media_server() {
    let mut scene = Scene::new();
    let media = scene.closed("eu-1");
    let address = media.address();
    let agent = scene.world.agent_at(&media.url());
    agent.client.speak_of(agent.share);
    let first = agent.upload(&shop(), b"the first");
    scene.vault_leaves();
    // It knows nothing but who it is.
    let repository = open_at(&agent, &media.url(), &shop());
    assert!(!repository.store().list(outlast_store::Kind::Index).unwrap().is_empty());
    let other: WorkloadName = "crm-db".parse().unwrap();
    let unknown = agent.client.open_workload(&other, agent.speaker()).err().unwrap().to_string();
    assert!(unknown.contains("cannot be reached from media server eu-1"), "{unknown}");
    let bill = agent.bill(&shop(), &first);
    let pending = hand_in(&agent, &bill).unwrap().pending.unwrap();
    assert!(!pending.by_vault && pending.waiting[0].media == "eu-1", "{pending:?}");
    let waits = media.status().report;
    assert!(waits.objects >= 2 && !waits.problems.is_empty(), "{waits:?}");
    media.shutdown();

    let mut config = scene.config("eu-1");
    config.listen = address;
    let media = scene.start(config);
    assert_eq!(
        (media.status().report.spool, media.status().report.objects),
        (waits.spool, waits.objects)
    );
    scene.vault_is_back();
    vaulted(&agent, &bill);
    emptied(&media);
    assert_eq!(scene.snapshots(&shop()), 1);
}

/// What it takes to play weeks: a media server of this name and an agent, whose certificates last for them.
fn for_weeks(scene: &Scene, name: &str) -> (MediaHandle, Agent) {
    let life = Duration::from_secs(60 * 24 * 3600);
    let identity = scene.world.identity_for(Role::Media, name, life);
    identity.save(&scene.directory(&format!("{name}-identity"))).unwrap();
    let media = scene.closed(name);
    let identity = scene.world.identity_for(Role::Agent, "weeks", life);
    let agent = Agent::new(&media.url(), identity);
    agent.client.speak_of(agent.share);
    (media, agent)
}

#[test]
fn what_opens_a_repository_is_kept_for_a_day_and_no_longer() {
    let mut scene = Scene::new();
    let (media, agent) = for_weeks(&scene, "eu-1");
    agent.upload(&shop(), b"the first");
    media.shutdown();
    scene.vault_leaves();
    let after =
        |hours: u32| scene.start_ahead(scene.config("eu-1"), Duration::from_secs(3600) * hours);
    let asked = |media: &MediaHandle| {
        let client = ApiClient::new(&media.url(), &agent.identity).unwrap();
        client.speak_of(agent.share);
        client.open_workload(&shop(), agent.speaker()).map(drop)
    };
    let media = after(23);
    asked(&media).unwrap();
    media.shutdown();
    let media = after(25);
    let words = asked(&media).unwrap_err().to_string();
    assert!(words.contains("cannot be reached from media server eu-1"), "{words}");
}

#[test]
fn what_nothing_came_of_for_two_weeks_is_dropped_and_counted_and_not_before() {
    let scene = Scene::new();
    let (media, agent) = for_weeks(&scene, "eu-1");
    agent.client.bring(Some(DropId::new(&SystemClock, &SystemRandom)));
    agent.upload(&shop(), b"of a drop");
    agent.client.bring(None);
    agent.upload(&shop(), b"of none");
    let waits = media.status().report.objects;
    media.shutdown();
    let closed = || MediaConfig { limits: limits(Rate::PerSecond(0)), ..scene.config("eu-1") };
    let day = Duration::from_secs(24 * 3600);
    // It looks at its start, and has looked when it has ended.
    scene.start_ahead(closed(), 13 * day).shutdown();
    let items = scene.directory("eu-1").join("spool/items");
    assert_eq!(std::fs::read_dir(items).unwrap().count() as u64, waits);
    let media = scene.start_ahead(closed(), 15 * day);
    eventually("it is dropped", || (media.status().dropped == waits).then_some(()));
    assert_eq!(media.status().report.objects, 0);
    assert_eq!(media.status().report.problems, Vec::<String>::new());
}

#[test]
fn a_spool_that_is_wiped_has_another_id_and_what_it_held_comes_again() {
    let scene = Scene::new();
    let media = scene.closed("eu-1");
    let agent = scene.world.agent_at(&media.url());
    let lost = agent.upload(&shop(), b"insert into shop values (1);");
    let bill = agent.bill(&shop(), &lost);
    assert!(hand_in(&agent, &bill).is_err() || hand_in(&agent, &bill).unwrap().receipt.is_none());
    let (spool, address) = (media.status().report.spool, media.address());
    media.shutdown();
    std::fs::remove_dir_all(scene.directory("eu-1")).unwrap();

    let mut config = scene.config("eu-1");
    config.listen = address;
    let media = scene.start(config);
    assert_ne!(media.status().report.spool, spool);
    assert_eq!(media.status().report.objects, 0);
    // What the vault does not have is not listed, so it is stored anew.
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"insert into shop values (1);"));
    vaulted(&agent, &bill);
    assert_eq!(scene.snapshots(&shop()), 1);
}

#[test]
fn a_calendar_is_changed_at_work_and_until_then_nothing_goes_that_it_forbids() {
    let scene = Scene::new();
    let media = scene.closed("eu-1");
    let agent = scene.world.agent_at(&media.url());
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"insert into shop values (1);"));
    let before = media.status();
    assert_eq!((before.forwarded.objects, before.report.line_allowed), (0, Some(0)));
    assert!(hand_in(&agent, &bill).map_or(true, |answer| answer.receipt.is_none()));
    media.set_limits(limits(Rate::Unlimited));
    vaulted(&agent, &bill);
}

#[test]
fn what_is_forwarded_while_somebody_lists_is_listed() {
    let scene = Scene::new();
    let media = scene.media("eu-1");
    let agent = scene.world.agent_at(&media.url());
    agent.upload(&shop(), b"the first");
    let repository = open_at(&agent, &media.url(), &shop());
    let list = || repository.store().list(outlast_store::Kind::Index).unwrap();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !is_done.load(std::sync::atomic::Ordering::SeqCst) {
                let now: std::collections::BTreeSet<_> = list().into_iter().collect();
                let gone: Vec<_> = seen.difference(&now).collect();
                assert!(gone.is_empty(), "{gone:?} were listed, and nobody removed them");
                seen = now;
            }
        });
        let uploads = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..20 {
                agent.upload(&shop(), format!("content {round}").as_bytes());
            }
        }));
        is_done.store(true, std::sync::atomic::Ordering::SeqCst);
        uploads.unwrap();
    });
}
