//! A day of blue and green with a real Bacula: what it has is confirmed, what it has not stays, and what it gives back is
//! what was dropped.

use std::fs;
use std::path::Path;

use outlast_handover::{Offer, State, verify};
use outlast_types::monitor::Silent;

use super::bacula::{Bacula, Plan, is_here};
use super::desk::{World, contents};
use super::hooks::{confirm, hooks};
use crate::harness::{document, fail, succeed};

#[test]
fn a_day_of_blue_and_green_is_confirmed_job_by_job_and_comes_back_byte_by_byte() {
    if !is_here() {
        return;
    }
    let world = World::new();
    let plan = Plan {
        directory: world.directory(),
        hooks: hooks(world.path(), &world.directory(), "", ""),
        volume: "500M",
        pace: "50m/s",
    };
    let bacula = Bacula::start(&world.path().join("bacula"), &plan);
    let config = world.config(&format!(
        "with = \"bacula\"\nbconsole_config = {:?}",
        bacula.console().display().to_string()
    ));
    let blue = outlast_testing::pseudo_random(1, 300_000);
    let mut dropped: Vec<(Offer, Vec<u8>)> = Vec::new();
    let mut drop_one = |workload: &str, content: &[u8]| -> Offer {
        let offer = world.drop(workload, content);
        dropped.push((offer.clone(), content.to_vec()));
        offer
    };
    let shop = drop_one("shop-db", &blue);
    let crm = drop_one("crm", b"the only one of its day");

    // The client has sent it, and that is no proof.
    let (full, status) = bacula.run("Handed", "Full");
    assert_eq!(status, 'T', "{}", bacula.log());
    world.pass();
    assert_eq!(world.state(&shop), Some(State::Read), "{}", world.status());
    let said = document(confirm(&config).arg("--json"));
    assert_eq!(said["jobs"].as_array().unwrap().len(), 1, "{said}");
    assert!(said["jobs"][0]["said"].as_str().unwrap().contains("ended well"), "{said}");
    assert!(world.pass().is_empty(), "each is the newest of its workload");
    assert_eq!(world.state(&shop), Some(State::Confirmed), "{}", world.status());
    assert_eq!(world.state(&crm), Some(State::Confirmed), "{}", world.status());

    // Blue drops once more and vanishes; an incremental has the new one alone.
    let last_of_blue = drop_one("shop-db", b"blue, a moment before it ended");
    let (_, status) = bacula.run("Handed", "Incremental");
    assert_eq!(status, 'T', "{}", bacula.log());
    world.pass();
    assert_eq!(world.state(&last_of_blue), Some(State::Read));
    assert!(world.state(&shop).is_some(), "nothing newer is confirmed");
    succeed(&mut confirm(&config));
    assert_eq!(world.pass(), [shop.key()]);
    let green = drop_one("shop-db", b"green");
    let (_, status) = bacula.run("Handed", "Incremental");
    assert_eq!(status, 'T', "{}", bacula.log());
    succeed(&mut confirm(&config));
    assert_eq!(world.pass(), [last_of_blue.key()]);
    assert_eq!(world.state(&green), Some(State::Confirmed));
    assert_eq!(world.state(&crm), Some(State::Confirmed), "it is the newest of its workload");

    comes_back(&bacula, &world, &dropped);
    is_taken_back(&bacula, &world, &config, full, (&crm, &green));
    is_said_by_hand(&world, &config, full, &crm);
}

/// Bacula has all of the day, whatever has left the directory.
fn comes_back(bacula: &Bacula, world: &World, dropped: &[(Offer, Vec<u8>)]) {
    let restored = world.path().join("restored");
    bacula.restore(&restored);
    let within = world.directory();
    let directory = restored.join(within.strip_prefix("/").unwrap());
    for (offer, content) in dropped {
        let files = contents(&directory.join(&offer.path));
        assert!(
            files.iter().any(|(_, bytes)| bytes == content),
            "{} is not what was dropped",
            offer.path
        );
    }
    let search = verify::search(&restored).unwrap();
    assert_eq!(search.drops.len(), dropped.len());
    for found in &search.drops {
        let findings = verify::verify(found, &Silent).unwrap();
        assert!(findings.is_well(), "{findings:?}");
    }
}

/// An image that is gone takes its confirmation back while the data is here.
fn is_taken_back(
    bacula: &Bacula,
    world: &World,
    config: &Path,
    full: u64,
    (crm, green): (&Offer, &Offer),
) {
    bacula.tell(&format!("delete jobid={full}\nyes"));
    let said = succeed(&mut confirm(config));
    assert!(said.contains("its image is gone"), "{said}");
    world.pass();
    assert!(world.state(crm) < Some(State::Confirmed), "{}", world.status());
    assert_eq!(world.state(green), Some(State::Confirmed));
}

/// A word by hand is kept with who said it, and a job that nobody knows is refused.
fn is_said_by_hand(world: &World, config: &Path, full: u64, crm: &Offer) {
    let mut by_hand = confirm(config);
    by_hand.args(["--job", &full.to_string(), "--reason", "seen on tape 7"]);
    let said = succeed(&mut by_hand);
    assert!(said.contains("operator") && said.contains("seen on tape 7"), "{said}");
    world.pass();
    assert_eq!(world.state(crm), Some(State::Confirmed));
    let kept = fs::read_to_string(world.place().audit()).unwrap();
    assert!(kept.contains("\"confirmed\"") && kept.contains("seen on tape 7"), "{kept}");
    let mut unknown = confirm(config);
    unknown.args(["--job", "4711", "--reason", "trust me"]);
    let said = fail(&mut unknown, 1);
    assert!(said.contains("nobody has told") && said.contains("--began"), "{said}");
}
