//! Tiers that come back older than they were: a vault from yesterday's copy, a spool after a power cut.

use std::fs;
use std::path::Path;
use std::process::Command;

use outlast_testing::faulty_line::Weather;

use super::harness::{Tier, Tiers};
use super::{MIB, fill};
use crate::disks::Disk;
use crate::harness::{scratch, succeed, wait_until};

fn copy(from: &Path, to: &Path) {
    succeed(Command::new("cp").arg("-a").arg(from).arg(to));
}

#[test]
fn behind_a_media_server_a_vault_that_is_put_back_from_yesterdays_copy_gets_what_it_lacks_again() {
    let directory = scratch();
    let mut tiers = Tiers::start(directory.path());
    let file = directory.path().join("data");
    fill(&file, 21, 4 * MIB);
    let monday = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &monday, "vaulted");
    let (vault, yesterday) = (tiers.vault_directory(), directory.path().join("yesterday"));
    tiers.kill(Tier::Vault);
    copy(&vault, &yesterday);
    tiers.begin(Tier::Vault);
    fill(&file, 22, 4 * MIB);
    let tuesday = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &tuesday, "vaulted");
    assert_eq!(tiers.snapshots("shop"), 2);

    tiers.kill(Tier::Vault);
    fs::remove_dir_all(&vault).unwrap();
    copy(&yesterday, &vault);
    tiers.begin(Tier::Vault);
    assert_eq!(tiers.snapshots("shop"), 1, "it went back");
    // Nobody asks for it: the agent sees that the vault does not hold what it signed for.
    wait_until("the vault holds both again", || tiers.snapshots("shop") == 2);
    let incidents = tiers.incidents();
    assert!(
        incidents.iter().any(|cause| cause.contains("does not hold 1 drops that it signed for")),
        "{incidents:?}"
    );
    assert!(tiers.content("shop", &file) == fs::read(&file).unwrap());
    succeed(tiers.restic("shop").args(["check", "--read-data"]));
}

#[test]
fn a_power_cut_at_the_media_server_takes_nothing_that_it_said_it_holds() {
    let directory = scratch();
    let Some(disk) = Disk::mount(directory.path(), "media-disk") else { return };
    let media = disk.path.join("media");
    let settings = [("OUTLAST_MEDIA_DIR", media.to_str().unwrap())];
    let mut tiers = Tiers::start_with(directory.path(), "", &settings);
    let file = directory.path().join("data");
    fill(&file, 23, 1000);
    let first = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &first, "vaulted");
    tiers.line.set(Weather::down());
    fill(&file, 24, 12 * MIB);
    let drop = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &drop, "shipped");
    tiers.kill(Tier::Agent);
    disk.fail();
    tiers.kill(Tier::Media);
    disk.repair();
    // The agent is away: what reaches the vault now was in the spool.
    let before = tiers.line.carried().there;
    tiers.line.set(Weather::default());
    tiers.begin(Tier::Media);
    let items = media.join("spool/items");
    wait_until("all of it is forwarded", || fs::read_dir(&items).unwrap().count() == 0);
    let forwarded = tiers.line.carried().there - before;
    assert!(forwarded > 12 * MIB, "only {forwarded} bytes were in the spool");
    let before = tiers.line.carried().there;
    tiers.begin(Tier::Agent);
    tiers.wait_for_receipt("shop", &drop, "vaulted");
    let again = tiers.line.carried().there - before;
    assert!(again < MIB, "{again} bytes came a second time");
    succeed(tiers.restic("shop").args(["check", "--read-data"]));
}
