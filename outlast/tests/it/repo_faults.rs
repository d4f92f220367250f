//! What happens to repositories between two commands, and that each has a way out: stock restic agrees
//! with all of them in the end.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use outlast_testing::pseudo_random;

use crate::disks::Tmpfs;
use crate::harness::{
    PASSWORD, document, fail, outlast, repo, restic, restored, run, scratch, succeed,
};

/// A repository with a snapshot of one file.
struct World {
    directory: tempfile::TempDir,
    repository: PathBuf,
}

impl World {
    fn new() -> Self {
        let directory = scratch();
        let repository = directory.path().join("repo");
        Self::in_repository(directory, repository)
    }

    fn in_repository(directory: tempfile::TempDir, repository: PathBuf) -> Self {
        let world = Self { directory, repository };
        fs::create_dir(world.tree()).unwrap();
        succeed(&mut repo("init", &world.repository));
        world.fill(1, 3_000_000);
        world.back_up();
        world
    }

    fn tree(&self) -> PathBuf {
        self.directory.path().join("tree")
    }

    fn fill(&self, seed: u64, length: usize) {
        let content = pseudo_random(seed, length);
        File::create(self.tree().join("file")).unwrap().write_all(&content).unwrap();
    }

    fn back_up(&self) -> String {
        let saved = document(repo("backup", &self.repository).arg(self.tree()).arg("--json"));
        saved["snapshot"].as_str().unwrap().to_owned()
    }

    fn repair(&self) -> Command {
        let mut command = outlast();
        command.args(["repo", "repair", "index", "-r"]).arg(&self.repository);
        command.env("OUTLAST_PASSWORD", PASSWORD);
        command
    }

    #[track_caller]
    fn assert_restores(&self) {
        let target = self.directory.path().join("target");
        let _ = fs::remove_dir_all(&target);
        succeed(repo("restore", &self.repository).args(["latest", "--target"]).arg(&target));
        let found = fs::read(restored(&target, &self.tree()).join("file")).unwrap();
        assert!(found == fs::read(self.tree().join("file")).unwrap());
    }

    #[track_caller]
    fn assert_restic_agrees(&self) {
        let words = succeed(restic(&self.repository).args(["check", "--read-data"]));
        assert!(words.contains("no errors were found"), "{words}");
    }

    /// The largest pack, which holds the content.
    fn pack(&self) -> PathBuf {
        let directories = fs::read_dir(self.repository.join("data")).unwrap();
        let packs = directories.flat_map(|d| fs::read_dir(d.unwrap().path()).unwrap());
        let packs = packs.map(|pack| pack.unwrap().path());
        packs.max_by_key(|pack| pack.metadata().unwrap().len()).unwrap()
    }
}

#[test]
fn a_backup_of_what_lay_in_a_pack_that_was_cut_off_can_be_restored() {
    for half in [false, true] {
        let world = World::new();
        let first = document(repo("snapshots", &world.repository).arg("--json"));
        let first = first[0]["id"].as_str().unwrap().to_owned();
        let pack = File::options().write(true).open(world.pack()).unwrap();
        let length = if half { pack.metadata().unwrap().len() / 2 } else { 0 };
        pack.set_len(length).unwrap();
        let told = run(repo("backup", &world.repository).arg(world.tree()));
        let words = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.success() && words.contains("cut off"), "{words}");
        world.assert_restores();
        // And what was cut off goes when nobody needs it.
        succeed(repo("forget", &world.repository).args([&first, "--prune", "--grace", "0"]));
        world.assert_restores();
        world.assert_restic_agrees();
    }
}

#[test]
fn a_byte_too_many_costs_nothing_and_is_gone_after_a_prune() {
    let world = World::new();
    File::options().append(true).open(world.pack()).unwrap().write_all(b"x").unwrap();
    world.assert_restores();
    let told = run(&mut world.repair());
    let words = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && words.contains("stay listed"), "{words}");
    world.assert_restores();
    succeed(repo("prune", &world.repository).args(["--grace", "0"]));
    world.assert_restores();
    world.assert_restic_agrees();
}

#[test]
fn a_torn_lock_of_last_week_stops_nobody_and_unlock_takes_it_away() {
    let world = World::new();
    let lock = world.repository.join("locks").join("0".repeat(64));
    File::create(&lock).unwrap();
    let words =
        fail(repo("prune", &world.repository).args(["--grace", "0", "--max-unused", "0%"]), 4);
    assert!(words.contains("unlock") && words.contains("0000"), "{words}");
    let kept = document(repo("unlock", &world.repository).arg("--json"));
    assert_eq!(kept["kept"].as_array().unwrap().len(), 1, "{kept}");
    let week = Duration::from_secs(7 * 24 * 3600);
    File::open(&lock).unwrap().set_modified(SystemTime::now() - week).unwrap();
    succeed(repo("prune", &world.repository).args(["--grace", "0"]));
    succeed(&mut world.repair());
    assert!(lock.exists(), "who did not make it leaves it");
    assert!(succeed(&mut repo("unlock", &world.repository)).contains("1 lock removed"));
    assert!(!lock.exists());
    File::create(&lock).unwrap();
    succeed(repo("unlock", &world.repository).arg("--remove-all"));
    world.assert_restic_agrees();
}

#[test]
fn a_repository_without_its_empty_directories_is_used_as_before() {
    let world = World::new();
    let removed = empty_directories(&world.repository);
    assert!(removed.iter().any(|directory| directory.ends_with("locks")), "{removed:?}");
    removed.iter().for_each(|directory| fs::remove_dir(directory).unwrap());
    world.assert_restores();
    world.fill(2, 100_000);
    world.back_up();
    world.assert_restores();
    succeed(repo("prune", &world.repository).args(["--grace", "0"]));
    succeed(&mut repo("unlock", &world.repository));
    world.assert_restic_agrees();
}

fn empty_directories(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            if fs::read_dir(&entry).unwrap().next().is_none() {
                found.push(entry);
            } else {
                found.extend(empty_directories(&entry));
            }
        }
    }
    found
}

#[test]
fn a_disk_without_a_free_byte_can_be_pruned() {
    let directory = scratch();
    let mount = directory.path().join("disk");
    let Some(disk) = Tmpfs::mount(&mount, "size=12m") else { return };
    let world = World::in_repository(directory, mount.join("repo"));
    let first = document(repo("snapshots", &world.repository).arg("--json"));
    let first = first[0]["id"].as_str().unwrap().to_owned();
    world.fill(3, 3_000_000);
    world.back_up();
    succeed(repo("forget", &world.repository).arg(&first));
    let mut filler = File::create(mount.join("filler")).unwrap();
    while filler.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    let pruned = document(repo("prune", &world.repository).args(["--grace", "0", "--json"]));
    assert!(pruned["room_packs"].as_u64().unwrap() > 0, "{pruned}");
    assert!(pruned["freed_bytes"].as_u64().unwrap() > 2_900_000, "{pruned}");
    world.assert_restores();
    world.assert_restic_agrees();
    // Before the directory that it is mounted in.
    drop(disk);
}
