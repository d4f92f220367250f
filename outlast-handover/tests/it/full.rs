//! No room: by the budget, by the disk, and while a lease never ends.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use outlast_handover::{Desk, HandoverError, JobFacts, Layout, Rules, intake};
use outlast_types::Environment;

use crate::support::{World, contents};

#[test]
fn a_lease_that_never_ends_makes_the_budget_refuse_new_drops_and_loses_nothing() {
    let world = World::new(Layout::Plain);
    let world = World { rules: Rules { budget: Some(30_000), ..world.rules.clone() }, ..world };
    let desk = world.desk();
    let first = world.offer(&desk, &world.stream("shop", &[1; 9000])).unwrap();
    let second = world.offer(&desk, &world.stream("shop", &[2; 9000])).unwrap();
    world.run_job(&desk, "1");
    let lease = world.begin(&JobFacts::of_id("2"), Duration::from_secs(3600));
    assert!(intake::at(&desk).clear_out().unwrap().is_empty());
    let third = world.stream("shop", &[3; 9000]);
    match world.offer(&desk, &third) {
        Err(HandoverError::Full { reason }) => assert!(reason.contains("budget"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(world.path(&first).is_dir() && world.path(&second).is_dir());
    world.end(lease, 0);
    assert_eq!(intake::at(&desk).clear_out().unwrap(), vec![first.key()]);
    world.offer(&desk, &third).unwrap();
}

/// A small file system in memory; unmounted when dropped.
struct SmallMount(tempfile::TempDir);

impl SmallMount {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let arguments = ["-t", "tmpfs", "-o", "size=2m", "tmpfs"];
        let output = Command::new("mount").args(arguments).arg(directory.path()).output();
        let is_mounted = output.is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("not tested: this process may not mount a tmpfs");
        }
        is_mounted.then(|| Self(directory))
    }
}

impl Drop for SmallMount {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(self.0.path()).status().unwrap().success());
    }
}

#[test]
fn a_disk_that_is_full_while_staging_leaves_the_directory_as_it_was() {
    let Some(small) = SmallMount::new() else { return };
    let world = World::new(Layout::Plain);
    let directory = small.0.path().join("nbu");
    let world = World { rules: Rules { directory, ..world.rules.clone() }, ..world };
    let desk = world.desk();
    let first = world.offer(&desk, &world.stream("shop", &[1; 100_000])).unwrap();
    let before = contents(&world.rules.directory);
    let error = world.offer(&desk, &world.stream("shop", &[2; 3 << 20])).unwrap_err();
    assert!(error.is_full() && error.to_string().contains("free"), "{error}");
    // One that passes the look at the room, and meets somebody else's bytes on the way.
    let address = world.stream("shop", &outlast_testing::pseudo_random(1, 700_000));
    let sealed = outlast_drop::SealedDrop::open(&world.share, &address).unwrap();
    let copied = intake::copy(&desk, &sealed, &|| false).unwrap();
    let ballast = small.0.path().join("ballast");
    fill(&ballast);
    let error =
        intake::offer(&desk, &world.share, copied, &crate::support::NoKey, false).unwrap_err();
    assert!(error.is_full(), "{error}");
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(contents(&world.rules.directory), before);
    assert_eq!(intake::at(&desk).staged_bytes(), 0);
    world.offer(&desk, &address).unwrap();
    assert!(world.path(&first).is_dir());
}

fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
}

#[test]
fn a_directory_that_is_a_link_or_has_another_agent_is_refused_in_words() {
    let world = World::new(Layout::Plain);
    let desk = world.desk();
    let again = Desk::open(world.rules.clone(), Environment::system()).map(drop).unwrap_err();
    assert!(again.to_string().contains("another agent"), "{again}");
    let link = world.directory.path().join("link");
    std::os::unix::fs::symlink(&world.rules.directory, &link).unwrap();
    let rules = Rules { directory: link, ..world.rules.clone() };
    let error = Desk::open(rules, Environment::system()).map(drop).unwrap_err();
    assert!(error.to_string().contains("real directory"), "{error}");
    assert_eq!(intake::at(&desk).ledger().states(&world.rules).len(), 0);
}
