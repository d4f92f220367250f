//! Agents of the release before, with a media server and a vault of this one: nobody upgrades all hosts at once.
//!
//! `OUTLAST_TEST_RELEASE_BEFORE` names its program. That of the release before media servers is made by
//! `git worktree add ../before 3524f67 && cargo build --manifest-path ../before/Cargo.toml`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::{Tier, Tiers};
use super::{MIB, fill};
use crate::harness::{scratch, succeed, wait_until};

const BEFORE: &str = "OUTLAST_TEST_RELEASE_BEFORE";

fn program() -> Option<PathBuf> {
    let named = std::env::var_os(BEFORE).map(PathBuf::from);
    if named.is_none() {
        println!("SKIPPED: {BEFORE} names no program of the release before");
    }
    named
}

/// Whether a release knows media servers. Without a ticket, which nobody told its agents to ask for, no
/// media server lets them in.
fn knows_media_servers(program: &Path) -> bool {
    let mut help = Command::new(program);
    help.args(["media", "--help"]).output().is_ok_and(|output| output.status.success())
}

#[test]
fn an_agent_of_the_release_before_is_upgraded_in_the_middle_of_a_drop_and_goes_on() {
    let Some(program) = program() else { return };
    let directory = scratch();
    let mut tiers = Tiers::start_with_agent_of(directory.path(), &program);
    let file = directory.path().join("data");
    fill(&file, 21, 24 * MIB);
    let before = tiers.line.carried().there;
    let first = tiers.drop("shop", &file);
    if knows_media_servers(&program) {
        wait_until("it is on its way", || tiers.line.carried().there > before + MIB);
    } else {
        // It waits, and says for what: one incident of the platform's, which ends with the upgrade.
        let told = |cause: &String| cause.contains("does not get drops into the vault");
        wait_until("somebody is told", || tiers.incidents().iter().any(told));
        assert!(tiers.words(Tier::Agent).contains("shows no ticket"));
        assert!(!tiers.is_vaulted("shop", &first));
    }
    tiers.kill(Tier::Agent);
    tiers.upgrade_agent();
    tiers.begin(Tier::Agent);
    tiers.wait_for_receipt("shop", &first, "vaulted");
    assert!(tiers.content("shop", &file) == fs::read(&file).unwrap());
    assert_eq!(tiers.snapshots("shop"), 1);
    succeed(tiers.restic("shop").args(["check", "--read-data"]));
    wait_until("nothing is open", || tiers.open_incidents().is_empty());
}

#[test]
fn an_agent_of_the_release_before_ships_straight_to_a_vault_of_this_one() {
    let Some(program) = program() else { return };
    let directory = scratch();
    let mut tiers = Tiers::start_with_agent_of(directory.path(), &program);
    tiers.kill(Tier::Agent);
    tiers.go_straight_to_the_vault();
    tiers.begin(Tier::Agent);
    let file = directory.path().join("data");
    for (seed, bytes) in [(23, 8 * MIB), (24, 100)] {
        fill(&file, seed, bytes);
        let drop = tiers.drop("shop", &file);
        tiers.wait_for_receipt("shop", &drop, "vaulted");
        assert!(tiers.content("shop", &file) == fs::read(&file).unwrap());
    }
    assert_eq!(tiers.snapshots("shop"), 2);
    succeed(tiers.restic("shop").args(["check", "--read-data"]));
    assert_eq!(tiers.incidents(), Vec::<String>::new());
}
