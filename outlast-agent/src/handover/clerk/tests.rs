use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use outlast_drop::{Claims, Content, DropWriter, SealedDrop, Share, WriterOptions};
use outlast_handover::inbox::{self, Word};
use outlast_handover::lease::{self, Beginning};
use outlast_handover::{Holds, JobFacts, Outcome, Place, Rules, Statement};
use outlast_types::{Clock, Environment, SystemClock, SystemRandom, WorkloadName};
use outlast_wire::Fingerprint;
use outlast_wire::api::{DeliveryState, HeardDelivery};
use outlast_wire::receipts::Authority;

use super::*;
use crate::config::Handover;
use crate::seal_keys::SealKeys;

/// A room of its own, whose share nobody serves.
fn room_at(root: &Path) -> Room {
    let rules = Rules::new("nbu", root.join("nbu"));
    let handover = Handover { rules, confirm: None };
    let nobody = Authority::named(Fingerprint::try_from("00".repeat(32)).unwrap());
    Room::new(handover, root.join("note"), Environment::system(), nobody, Arc::default())
}

/// A sealed drop that has appeared in the directory.
fn offer(room: &Room, share: &Share, content: &[u8]) -> DropKey {
    let workload = WorkloadName::new("shop").unwrap();
    let (kind, options) = (Content::stream("shop.bin").unwrap(), WriterOptions::default());
    let (clock, random) = (&SystemClock, &SystemRandom);
    let claims = Claims::default();
    let made = DropWriter::create(share, &workload, kind, claims, options, clock, random);
    let mut writer = made.unwrap();
    writer.write_all(content).unwrap();
    let address = writer.address().clone();
    writer.seal(&SystemClock).unwrap();
    let sealed = SealedDrop::open(share, &address).unwrap();
    let desk = room.door.desk().unwrap();
    let copied = intake::copy(&desk, &sealed, &|| false).unwrap();
    intake::offer(&desk, share, copied, &SealKeys::default(), false).unwrap().key()
}

/// A job that has all that is there, by the product's own record.
fn run_job(place: &Place) {
    let (job, environment) = (JobFacts::of_id("host_1"), Environment::system());
    let length = Duration::from_secs(3600);
    let beginning = Beginning { job: job.clone(), stream: 1, streams: None, length };
    let (lease, _) = lease::begin(place, &beginning, &environment).unwrap();
    lease::release(place, &lease.key(), 1).unwrap();
    let statement = Statement {
        job,
        began: Some(lease.began),
        ended: Some(SystemClock.now()),
        outcome: Outcome::Well,
        holds: Holds::Everything,
        product: Some("NetBackup".to_owned()),
        by: "bplist on agenthost".to_owned(),
    };
    inbox::put(place, &Word::Evidence(Box::new(statement)), &environment).unwrap();
}

#[test]
fn the_vault_hears_of_a_drop_that_leaves_in_the_very_look_in_which_its_receipt_is_known() {
    let root = tempfile::tempdir().unwrap();
    let share = Share::init(&root.path().join("share"), &SystemClock, &SystemRandom).unwrap();
    let (room, mut clerk) = (room_at(root.path()), Clerk::default());
    clerk.look(&room, room.elapsed()).unwrap();
    let (first, second) = (offer(&room, &share, b"first"), offer(&room, &share, b"second"));
    let desk = room.door.desk().unwrap();
    run_job(&Place::of(&root.path().join("nbu")));
    clerk.look(&room, room.elapsed()).unwrap();
    assert!(intake::at(&desk).ledger().get(&first).is_some(), "the share was not told yet");
    for drop in [&first, &second] {
        intake::at(&desk).told(drop, Told::Confirmed).unwrap();
    }
    // Nothing was reported since it was confirmed.
    let mut clerk = Clerk::default();
    clerk.look(&room, room.elapsed()).unwrap();
    assert!(intake::at(&desk).ledger().is_gone(&first));
    let told = || {
        let told = room.account(10).report.deliveries.into_iter();
        told.map(|it| (it.drop.drop, it.state)).collect::<Vec<_>>()
    };
    let confirmed = DeliveryState::Confirmed;
    let both = [(first.drop, confirmed), (second.drop, confirmed)];
    assert_eq!(told(), both);
    assert_eq!(told(), both, "until the vault has heard of it");
    let heard = HeardDelivery {
        handover: "nbu".to_owned(),
        workload: first.workload.clone(),
        drop: first.drop,
        state: confirmed,
        countersigned: Some("signed".to_owned()),
        refused: None,
    };
    room.hear("a run", &[heard]);
    assert_eq!(told(), [(second.drop, confirmed)]);
}
