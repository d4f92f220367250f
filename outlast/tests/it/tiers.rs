//! Agent, media server and vault, each a process of its own, with a line that breaks between the last
//! two: whatever dies and whenever, a drop is vaulted once, and what crossed the line does so once.

mod back;
mod before;
mod copies;
mod ended;
mod harness;
mod link;
mod monitored;
mod plan;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use outlast_testing::faulty_line::Weather;
use outlast_testing::{Sequence, pseudo_random};

use self::harness::{Tier, Tiers};
use crate::harness::{outlast, restored, scratch, succeed, wait_until};

const MIB: u64 = 1 << 20;
/// What a line may carry beside the content: words, and objects that were on their way at a kill, which
/// are of at most 16 MiB and a few at one time.
const LOST_AT_A_KILL: u64 = 4 * 17 * MIB;

fn fill(path: &Path, seed: u64, bytes: u64) {
    let content = pseudo_random(seed, usize::try_from(bytes).unwrap());
    File::create(path).unwrap().write_all(&content).unwrap();
}

/// Ships `shipments` drops of `bytes` each through tiers of which one is killed `kills` times on the way
/// of each drop, and compares with a drop that nobody disturbed.
fn ship_and_kill(seed: u64, shipments: u64, kills: u64, bytes: u64) {
    println!("seed {seed}");
    let mut chance = Sequence::new(seed);
    let directory = scratch();
    let mut tiers = Tiers::start(directory.path());
    let file = directory.path().join("data");
    fill(&file, seed, bytes);
    tiers.line.set(Weather::of_rate(bytes / 6));
    let before = tiers.line.carried().there;
    let calm = tiers.drop("calm", &file);
    tiers.wait_for_receipt("calm", &calm, "vaulted");
    let undisturbed = tiers.line.carried().there - before;

    let mut struck = 0;
    for shipment in 0..shipments {
        let workload = format!("shop-{shipment}");
        let before = tiers.line.carried().there;
        let drop = tiers.drop(&workload, &file);
        for kill in 0..kills {
            // Some way on, each in its part of the whole.
            let part = undisturbed * 8 / 10 / kills;
            let at = before + kill * part + chance.below(part);
            wait_until("the drop is on its way", || {
                tiers.line.carried().there >= at || tiers.is_vaulted(&workload, &drop)
            });
            let tier = match chance.below(3) {
                0 => Tier::Agent,
                1 => Tier::Media,
                _ => Tier::Vault,
            };
            if tiers.is_vaulted(&workload, &drop) {
                println!("{workload}: vaulted before kill {kill} of the {tier:?}");
                break;
            }
            println!(
                "{workload}: the {tier:?} is killed after {} bytes",
                tiers.line.carried().there - before
            );
            tiers.kill(tier);
            assert!(!tiers.is_vaulted(&workload, &drop), "it was published early, or not struck");
            tiers.begin(tier);
            struck += 1;
        }
        tiers.wait_for_receipt(&workload, &drop, "vaulted");
        let carried = tiers.line.carried().there - before;
        let allowed = undisturbed * 11 / 10 + kills * LOST_AT_A_KILL;
        assert!(carried <= allowed, "{carried} bytes crossed the line, {undisturbed} undisturbed");
        assert!(tiers.content(&workload, &file) == fs::read(&file).unwrap(), "{workload}");
        assert_eq!(tiers.snapshots(&workload), 1, "one drop is one snapshot");
        succeed(tiers.restic(&workload).args(["check", "--read-data"]));
    }
    println!("{struck} of {} kills struck", shipments * kills);
    assert!(struck * 10 >= shipments * kills * 8, "too few kills struck work");
    assert_eq!(tiers.incidents(), Vec::<String>::new());
}

/// With this variable the whole of it is done, which takes half an hour: fifty kills in ten shipments of
/// half a gigabyte.
const WHOLE: &str = "OUTLAST_TEST_FIFTY_KILLS";

#[test]
fn each_tier_killed_at_random_points_of_a_shipment_loses_nothing_and_sends_little_twice() {
    match std::env::var_os(WHOLE) {
        Some(_) => ship_and_kill(1126, 10, 5, 500_000_000),
        None => ship_and_kill(20_261_126, 2, 4, 64 * MIB),
    }
}

#[test]
fn a_media_server_that_loses_its_disk_in_the_middle_costs_nothing_but_time() {
    let directory = scratch();
    let mut tiers = Tiers::start(directory.path());
    let file = directory.path().join("data");
    fill(&file, 3, 48 * MIB);
    // Slow enough that much of it waits when the disk goes.
    tiers.line.set(Weather::of_rate(6 * MIB));
    let before = tiers.line.carried().there;
    let drop = tiers.drop("shop", &file);
    wait_until("a part of it is over", || tiers.line.carried().there - before > 8 * MIB);
    tiers.kill(Tier::Media);
    assert!(!tiers.is_vaulted("shop", &drop));
    tiers.wipe_spool();
    tiers.line.set(Weather::default());
    tiers.begin(Tier::Media);
    tiers.wait_for_receipt("shop", &drop, "vaulted");
    succeed(tiers.restic("shop").args(["check", "--read-data"]));
    let target = directory.path().join("restored");
    succeed(tiers.ask(&["restore", "shop", "--into"]).arg(&target));
    assert!(fs::read(restored(&target, &file)).unwrap() == fs::read(&file).unwrap());
    assert_eq!(tiers.incidents(), Vec::<String>::new());
}

#[test]
fn one_id_is_in_the_logs_of_agent_media_server_and_vault_and_in_the_audit_log() {
    let directory = scratch();
    let mut tiers = Tiers::start(directory.path());
    let file = directory.path().join("data");
    fill(&file, 2, 100_000);
    let drop = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &drop, "vaulted");
    for tier in [Tier::Agent, Tier::Media, Tier::Vault] {
        let has = || tiers.words(tier).lines().any(|line| line.contains(&format!("{drop}.")));
        wait_until(&format!("the log of the {tier:?} has it"), has);
    }
    let log = succeed(outlast().args(["audit", "export"]).arg(tiers.vault_directory()));
    let published = log.lines().find(|line| line.contains("drop_published")).unwrap().to_owned();
    assert!(published.contains(&format!("\"{drop}.")), "{published}");
}

#[test]
fn a_narrow_line_that_cuts_stalls_and_changes_bytes_brings_all_in_the_end() {
    let directory = scratch();
    let mut tiers = Tiers::start(directory.path());
    let file = directory.path().join("data");
    tiers.line.set(Weather {
        rate: Some(8 * MIB),
        cuts: 60,
        changes: 20,
        within: 2 * MIB,
        ..Weather::default()
    });
    // Connections of before know no trouble.
    tiers.line.cut();
    // Which connections are in trouble is chance: a day is over when it was a bad one.
    let is_bad = |tiers: &Tiers| tiers.line.carried().troubled >= 3;
    for seed in 40..60 {
        if is_bad(&tiers) {
            break;
        }
        fill(&file, seed, 24 * MIB);
        let drop = tiers.drop("shop", &file);
        tiers.wait_for_receipt("shop", &drop, "vaulted");
    }
    assert!(is_bad(&tiers), "that was no bad day: {:?}", tiers.line.carried());
    succeed(tiers.restic("shop").args(["check", "--read-data"]));
    assert_eq!(tiers.incidents(), Vec::<String>::new());
}

#[test]
fn while_the_vault_is_away_the_media_server_takes_drops_and_an_agent_that_begins_anew_goes_on() {
    let directory = scratch();
    let mut tiers = Tiers::start(directory.path());
    let file = directory.path().join("data");
    fill(&file, 5, 4 * MIB);
    let first = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &first, "vaulted");
    tiers.line.set(Weather::down());
    fill(&file, 6, 4 * MIB);
    let second = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &second, "shipped");
    tiers.kill(Tier::Agent);
    tiers.kill(Tier::Media);
    tiers.begin(Tier::Media);
    tiers.begin(Tier::Agent);
    fill(&file, 7, 4 * MIB);
    let third = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &third, "shipped");
    assert!(!tiers.is_vaulted("shop", &second) && !tiers.is_vaulted("shop", &third));
    tiers.line.set(Weather::default());
    tiers.wait_for_receipt("shop", &second, "vaulted");
    tiers.wait_for_receipt("shop", &third, "vaulted");
    assert_eq!(tiers.snapshots("shop"), 3);
    succeed(tiers.restic("shop").args(["check", "--read-data"]));
}
