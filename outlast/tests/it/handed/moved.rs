//! Another host in the agent's place: with nothing but the share.

use std::fs;

use outlast_drop::hash::{Algorithm, Digest};
use outlast_handover::lease::Moment;
use outlast_handover::manifest::Manifest;
use outlast_handover::{FileFact, Holds, JobFacts, Place, State};
use outlast_types::{Clock, SystemClock};

use super::site::{Past, Site};
use crate::harness::{scratch, wait_until};

#[test]
fn another_agent_offers_what_is_unconfirmed_again_under_new_names_and_later_than_all_before() {
    let (past, directory) = (Past::new(), scratch());
    let site = past.site(directory.path(), "");
    // The clock of the host of before was an hour ahead, as this one's would seem to be set back.
    let ahead = SystemClock.now().saturating_add(std::time::Duration::from_secs(3600));
    fs::create_dir_all(site.place().desk()).unwrap();
    Moment { version: 1, appeared: ahead, stamp: ahead }.write(&site.place()).unwrap();
    let (first, second) = (site.drop("shop", b"the first"), site.drop("shop", b"the second"));
    let mut agent = site.start();
    wait_until("both are offered", || site.drops().len() == 2);
    // The product has the first, and has only read the second.
    let job = JobFacts::of_id("host_1");
    let lease = site.begin(&job);
    site.end(&lease, 0);
    let offer = site.find(&first).unwrap();
    site.say(&job, Holds::Listed(listed(&site.product, &offer.path)));
    wait_until("the share is told of both", || {
        site.receipt("shop", &first, "confirmed")["state"] == "confirmed"
            && site.receipt("shop", &second, "handed-over")["state"] == "handed-over"
    });
    agent.stop();
    let before = site.find(&second).unwrap();
    // The next host has the share, and nothing else.
    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    let (share, away) = (site.share.path().to_owned(), directory.path().join("away"));
    let next = Site::of(&past, &other, &share, &other.join("nbu"), "");
    durable_rename(&share, &away);
    let mut agent = next.start();
    wait_until("it says that not all is there yet", || {
        next.heartbeat()["state"] == "rebuilding" && next.product.join("README.txt").exists()
    });
    durable_rename(&away, &share);
    wait_until("all is there", || next.heartbeat()["state"] == "well");
    let drops = next.drops();
    let found: Vec<_> = drops.iter().map(|it| (it.drop.as_str(), it.state)).collect();
    assert_eq!(
        found,
        [(second.as_str(), State::Offered)],
        "what is confirmed is not offered again"
    );
    assert_ne!(drops[0].path, before.path);
    let of_first = site.receipt("shop", &first, "confirmed");
    let of_second = site.receipt("shop", &second, "handed-over");
    let stamps = [&of_first, &of_second].map(|it| {
        it["handover"]["stamp"].as_str().unwrap().parse::<outlast_types::Timestamp>().unwrap()
    });
    let stamp = modified(&next.product.join(&drops[0].path).join("outlast-drop.json"));
    assert!(stamps.iter().all(|before| stamp > *before), "{stamp} {stamps:?}");
    agent.stop();
}

/// Moves a directory, as a mount that goes and comes back.
fn durable_rename(from: &std::path::Path, to: &std::path::Path) {
    outlast_fs::durable::move_new(from, to).unwrap();
}

fn modified(path: &std::path::Path) -> outlast_types::Timestamp {
    outlast_types::Timestamp::from_system_time(path.metadata().unwrap().modified().unwrap())
}

/// The files of a drop, as a product lists them.
pub(super) fn listed(product: &std::path::Path, path: &str) -> Vec<FileFact> {
    let at = product.join(path);
    let manifest = Manifest::read(&at).unwrap();
    let names = manifest.files.iter().map(|file| file.path.clone());
    let names = names.chain(["outlast-drop.json".to_owned()]);
    let fact = |name: String| {
        let facts = at.join(&name).metadata().unwrap();
        let modified = modified(&at.join(&name)).unix_seconds();
        FileFact { path: format!("{path}/{name}"), size: facts.len(), modified }
    };
    names.map(fact).collect()
}

#[test]
fn drops_of_a_share_that_was_replaced_leave_when_the_product_has_them_and_a_newer_one() {
    let (past, directory) = (Past::new(), scratch());
    let site = past.site(directory.path(), "");
    let old = [site.drop("shop", b"the first"), site.drop("shop", b"the second")];
    let mut agent = site.start();
    wait_until("both are offered", || site.drops().len() == 2);
    agent.stop();
    // Another share in its place, and somebody says to the agent that this is meant.
    fs::remove_dir_all(directory.path().join("state")).unwrap();
    let share = directory.path().join("another");
    let next = Site::of(&past, directory.path(), &share, &site.product, "");
    let new = next.drop("shop", b"the third");
    let mut agent = next.start();
    wait_until("it is offered beside them", || next.drops().len() == 3);
    next.run_job(1);
    wait_until("only the newest stays", || {
        next.drops().iter().map(|it| it.drop.clone()).eq([new.clone()])
    });
    wait_until("the share is told of its own", || {
        next.receipt("shop", &new, "confirmed")["state"] == "confirmed"
    });
    for drop in &old {
        assert!(!next.receipt("shop", drop, "confirmed")["state"].is_string(), "not on this one");
        let days = fs::read_dir(site.share.path().join("w/shop/drops")).unwrap();
        let mut days = days.map(|day| day.unwrap().path().join(drop).join("sealed.json"));
        assert!(days.any(|seal| seal.exists()), "the old share is as it was");
    }
    agent.stop();
}

#[test]
fn a_directory_that_was_there_and_is_gone_is_not_made_anew() {
    let (past, directory) = (Past::new(), scratch());
    let site = past.site(directory.path(), "");
    let drop = site.drop("shop", b"content");
    let mut agent = site.start();
    wait_until("it is offered", || site.find(&drop).is_some());
    agent.stop();
    // As if the disk were not mounted.
    let place = Place::of(&site.product);
    let aside = directory.path().join("aside");
    fs::create_dir(&aside).unwrap();
    durable_rename(&site.product, &aside.join("nbu"));
    durable_rename(place.desk(), &aside.join("nbu.outlast"));
    let mut agent = site.start();
    wait_until("it says so", || agent.words().contains("is its file system mounted?"));
    assert!(!site.product.exists() && !place.desk().exists());
    durable_rename(&aside.join("nbu.outlast"), place.desk());
    durable_rename(&aside.join("nbu"), &site.product);
    wait_until("it goes on", || agent.words().contains("it goes on"));
    let content = fs::read(site.product.join(&site.find(&drop).unwrap().path).join("0001.seg"));
    let digest = |bytes: &[u8]| Digest::of(Algorithm::Sha256, bytes);
    assert_eq!(digest(&content.unwrap()), digest(b"content"));
    agent.stop();
}
