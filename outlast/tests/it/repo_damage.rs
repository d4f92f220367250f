//! Damaged repositories through the command line: noticed, named, and the rest restored.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use outlast_testing::pseudo_random;
use serde_json::Value;

use crate::harness::{PASSWORD, document, fail, outlast, repo, restored, run, scratch, succeed};

/// Two snapshots, one of each file, in a repository of a few packs.
struct World {
    directory: tempfile::TempDir,
    repository: PathBuf,
    /// From the older and the newer snapshot; the second has both.
    files: [PathBuf; 2],
    snapshots: Vec<String>,
}

impl World {
    fn new() -> Self {
        let directory = scratch();
        let repository = directory.path().join("repo");
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let files = [tree.join("older"), tree.join("newer")];
        succeed(&mut repo("init", &repository));
        let mut snapshots = Vec::new();
        for (file, (seed, length)) in files.iter().zip([(1, 3_000_000), (2, 5_000_000)]) {
            File::create(file).unwrap().write_all(&pseudo_random(seed, length)).unwrap();
            let saved = document(repo("backup", &repository).arg(&tree).arg("--json"));
            snapshots.push(saved["snapshot"].as_str().unwrap().to_owned());
        }
        Self { directory, repository, files, snapshots }
    }

    /// The objects of a kind, largest first.
    fn objects(&self, kind: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut waiting = vec![self.repository.join(kind)];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { waiting.push(path) } else { found.push(path) }
            }
        }
        found.sort_by_key(|path| Reverse(path.metadata().unwrap().len()));
        found
    }

    fn restore(&self, snapshot: &str) -> (Command, PathBuf) {
        let target = self.directory.path().join("target");
        let _ = fs::remove_dir_all(&target);
        let mut command = repo("restore", &self.repository);
        command.args([snapshot, "--target"]).arg(&target);
        (command, target)
    }

    fn is_restored(&self, target: &Path, file: usize) -> bool {
        let (original, copy) = (&self.files[file], restored(target, &self.files[file]));
        fs::read(copy).is_ok_and(|copy| copy == fs::read(original).unwrap())
    }
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn truncate(path: &Path) {
    let file = writable(path);
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn flip_a_bit(path: &Path) {
    let file = writable(path);
    let at = file.metadata().unwrap().len() / 3;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

fn writable(path: &Path) -> File {
    // Objects are made read-only.
    succeed(Command::new("chmod").arg("u+w").arg(path));
    File::options().read(true).write(true).open(path).unwrap()
}

/// The name of an object, as messages show at least the beginning of it.
fn short_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap()[..8].to_owned()
}

#[test]
fn a_damaged_or_missing_pack_is_named_and_all_other_files_are_restored() {
    for (damage, does) in
        [("removed", remove as fn(&Path)), ("truncated", truncate), ("flipped", flip_a_bit)]
    {
        let world = World::new();
        // The newer file is larger, and so is its pack.
        let pack = world.objects("data").remove(0);
        does(&pack);
        let mut check = repo("check", &world.repository);
        let output = run(check.args(["--read-data", "--json"]));
        assert_eq!(output.status.code(), Some(1), "{damage}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["clean"], false, "{damage}");
        assert!(report["problems"].to_string().contains(&short_name(&pack)), "{damage}: {report}");

        let (mut restore, target) = world.restore("latest");
        let words = fail(&mut restore, 1);
        assert!(words.contains("newer"), "{damage}: it names the file: {words}");
        assert!(world.is_restored(&target, 0), "{damage}: the other file comes back");
        assert!(!world.is_restored(&target, 1), "{damage}: what is lost is not passed off");
        let output = run(world.restore("latest").0.arg("--json"));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(told["problems"].to_string().contains("newer"), "{damage}: {told}");
        let (mut older, target) = world.restore(&world.snapshots[0]);
        succeed(&mut older);
        assert!(world.is_restored(&target, 0), "{damage}: the other snapshot is whole");
        let mut cat = repo("cat", &world.repository);
        let words = fail(cat.arg("latest").arg(&world.files[1]), 1);
        assert!(words.contains("newer"), "{damage}: {words}");
    }
}

#[test]
fn a_damaged_index_is_named_and_nothing_false_is_restored() {
    for (damage, does) in [("truncated", truncate as fn(&Path)), ("flipped", flip_a_bit)] {
        let world = World::new();
        for index in world.objects("index") {
            does(&index);
            let words = fail(repo("check", &world.repository).arg("--read-data"), 1);
            assert!(words.contains(&short_name(&index)), "{damage}: {words}");
        }
        let (mut restore, target) = world.restore("latest");
        assert_eq!(run(restore.arg("--no-cache")).status.code(), Some(1), "{damage}");
        assert!(!world.is_restored(&target, 1), "{damage}");
        // This host read the index files when they were whole.
        let (mut restore, target) = world.restore("latest");
        succeed(&mut restore);
        assert!(world.is_restored(&target, 1), "{damage}");
    }
}

#[test]
fn a_damaged_snapshot_is_named_and_the_older_one_restored_with_a_warning() {
    for (damage, does) in [("truncated", truncate as fn(&Path)), ("flipped", flip_a_bit)] {
        let world = World::new();
        let [older, newer] = [&world.snapshots[0], &world.snapshots[1]];
        does(&world.repository.join("snapshots").join(newer));
        let output = run(&mut repo("snapshots", &world.repository));
        assert_eq!(output.status.code(), Some(1), "{damage}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(&older[..8]), "{damage}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&newer[..8]), "{damage}");

        let (mut restore, target) = world.restore("latest");
        let words = fail(&mut restore, 1);
        assert!(words.contains(&newer[..8]) && words.contains("may be newer"), "{damage}: {words}");
        assert!(world.is_restored(&target, 0) && !world.is_restored(&target, 1), "{damage}");
        let output = run(world.restore("latest").0.arg("--json"));
        let told = String::from_utf8(output.stderr).unwrap();
        let warning: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
        assert!(warning["warning"]["message"].as_str().unwrap().contains(&newer[..8]), "{told}");
        // Who names the one that is wanted has no reason to worry.
        let (mut restore, target) = world.restore(older);
        succeed(&mut restore);
        assert!(world.is_restored(&target, 0), "{damage}");
        let words = fail(&mut world.restore(newer).0, 1);
        assert!(words.contains(&newer[..8]), "{damage}: {words}");
        fail(&mut repo("check", &world.repository), 1);
    }
}

fn repair_command(world: &World) -> Command {
    let mut command = outlast();
    command.args(["repo", "repair", "index", "-r"]).arg(&world.repository);
    command.env("OUTLAST_PASSWORD", PASSWORD);
    command
}

#[test]
fn check_says_how_a_damaged_index_is_repaired_and_that_brings_everything_back() {
    let world = World::new();
    let indexes = world.objects("index");
    flip_a_bit(&indexes[0]);
    fs::remove_file(&indexes[1]).unwrap();
    let words = fail(&mut repo("check", &world.repository), 1);
    assert!(words.contains("outlast repo repair index"), "{words}");
    let foretold = document(repair_command(&world).args(["--dry-run", "--json"]));
    let done = document(repair_command(&world).arg("--json"));
    assert_eq!(foretold["packs_listed"], done["packs_listed"]);
    assert_eq!(done["indexes_removed"].as_array().unwrap().len(), 1, "{done}");
    let clean = document(repo("check", &world.repository).args(["--read-data", "--json"]));
    assert_eq!(clean["clean"], true, "{clean}");
    let words = succeed(&mut repair_command(&world));
    assert!(words.contains("nothing is to be done"), "{words}");
    let (mut restore, target) = world.restore("latest");
    succeed(&mut restore);
    assert!(world.is_restored(&target, 0) && world.is_restored(&target, 1));
}
