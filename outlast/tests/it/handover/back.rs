//! Back again: what a product restored somewhere is verified, read out, and put onto a share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use outlast_drop::{DropAddress, SealedDrop, Share};
use outlast_handover::Layout;
use outlast_types::{DropId, SystemClock, SystemRandom, WorkloadName};

use super::desk::World;
use crate::harness::{Up, document, fail, outlast, run, succeed, wait_until};

/// What a product does: the files somewhere else, with times of its own.
fn brought_back(world: &World) -> PathBuf {
    let to = world.directory.path().join("restore/deep");
    fs::create_dir_all(&to).unwrap();
    succeed(Command::new("cp").arg("-r").arg(world.product()).arg(&to));
    world.directory.path().join("restore")
}

fn verify(directory: &Path) -> Command {
    let mut command = outlast();
    command.args(["handover", "verify"]).arg(directory);
    command
}

/// A tree with times, a mode and a link.
fn tree(world: &World) -> PathBuf {
    let tree = world.directory.path().join("tree");
    fs::create_dir_all(tree.join("etc")).unwrap();
    fs::write(tree.join("etc/app.conf"), "port = 1\n").unwrap();
    succeed(
        Command::new("touch").args(["-d", "2020-02-02T02:02:02Z"]).arg(tree.join("etc/app.conf")),
    );
    succeed(Command::new("chmod").arg("0600").arg(tree.join("etc/app.conf")));
    succeed(Command::new("ln").args(["-s", "app.conf"]).arg(tree.join("etc/link")));
    tree
}

/// The listing of a tree with what must come back.
fn listing(directory: &Path) -> String {
    let mut find = Command::new("find");
    find.arg(directory).args(["-not", "-type", "d", "-printf", "%P %m %T@ %s %l\n"]);
    let mut lines: Vec<String> = succeed(&mut find).lines().map(str::to_owned).collect();
    lines.sort();
    lines.join("\n")
}

#[test]
fn what_is_missing_or_changed_after_a_restore_is_named_and_what_is_whole_is_said() {
    let world = World::new(Layout::Plain);
    let first = world.offer("shop", &[&world.file("shop.sql", 50_000)]);
    let second = world.offer("crm", &[&world.file("crm.sql", 60_000)]);
    let directory = brought_back(&world);
    assert!(succeed(&mut verify(&directory)).contains("2 of 2 drops whole"));
    let there = |path: &str| directory.join("deep/it's nbu").join(path);
    // A drop that the list names did not come back.
    fs::rename(there(&second.path), directory.join("elsewhere")).unwrap();
    fs::remove_dir_all(directory.join("elsewhere")).unwrap();
    let output = run(&mut verify(&directory));
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains(&second.path));
    // That one was not asked for.
    succeed(verify(&directory).args(["--workload=shop"]));
    let file = there(&first.path).join("shop.tar");
    let content = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let told = run(verify(&directory).args(["--json", "--workload=shop"]));
    assert_eq!(told.status.code(), Some(3));
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["drops"][0]["missing"][0], "shop.tar");
    let mut changed = content.clone();
    changed[7] ^= 1;
    fs::write(&file, &changed).unwrap();
    assert_eq!(run(verify(&directory).arg("--workload=shop")).status.code(), Some(1));
    let mut fetch = outlast();
    fetch.args(["fetch", "--workload=shop", "--from"]).arg(&directory).arg("--into");
    let into = world.directory.path().join("refused");
    assert!(fail(fetch.arg(&into), 3).contains("missing or changed"));
    assert_eq!(run(&mut verify(&world.directory.path().join("tmp-none"))).status.code(), Some(1));
    let empty = world.directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(run(&mut verify(&empty)).status.code(), Some(3));
}

#[test]
fn fetch_from_what_was_restored_gives_content_times_and_modes_back_in_every_layout() {
    for layout in [Layout::Drop, Layout::Plain, Layout::Unpacked] {
        let world = World::new(layout);
        let dump = world.file("shop.sql", 70_000);
        world.offer("shop", &[&dump]);
        let tree = tree(&world);
        let offer = world.offer("files", &[&tree]);
        let directory = brought_back(&world);
        let fetch = |workload: &str, into: &Path| {
            let mut command = outlast();
            command.args(["fetch", "--json", "--workload", workload, "--from"]).arg(&directory);
            document(command.arg("--into").arg(into))
        };
        let into = world.directory.path().join("into");
        let told = fetch("files", &into);
        assert_eq!(
            (&told["from"], &told["drop"]),
            (&"handover".into(), &offer.drop.to_string().into())
        );
        let restored = crate::harness::restored(&into, &tree);
        assert_eq!(listing(&restored), listing(&tree), "{layout}");
        let into = world.directory.path().join("into-dump");
        fetch("shop", &into);
        let restored = crate::harness::restored(&into, &dump);
        assert_eq!(fs::read(restored).unwrap(), fs::read(&dump).unwrap(), "{layout}");
        let mut other = outlast();
        other.args(["fetch", "--workload=nobody", "--from"]).arg(&directory).args(["--into", "x"]);
        assert!(fail(&mut other, 3).contains("no drop of nobody"));
    }
}

#[test]
fn i4_what_is_imported_says_what_it_was_and_the_same_is_not_imported_twice() {
    for layout in [Layout::Drop, Layout::Plain, Layout::Unpacked] {
        let world = World::new(layout);
        let tree = tree(&world);
        let offer = world.offer("files", &[&tree]);
        world.offer("shop", &[&world.file("shop.sql", 70_000)]);
        let directory = brought_back(&world);
        let path = world.directory.path().join("new-share");
        let share = Share::init(&path, &SystemClock, &SystemRandom).unwrap();
        let import = || {
            let mut command = outlast();
            command.args(["handover", "import", "--json", "--share"]).arg(&path).arg(&directory);
            document(&mut command)
        };
        let told = import();
        let imported = told["imported"].as_array().unwrap();
        assert_eq!(imported.len(), 2);
        let of_tree = imported.iter().find(|it| it["workload"] == "files").unwrap();
        assert_eq!(of_tree["was"], offer.drop.to_string());
        let drop: DropId = of_tree["drop"].as_str().unwrap().parse().unwrap();
        let workload = WorkloadName::new("files").unwrap();
        let address = DropAddress { workload, day: drop.claimed_time().day(), drop };
        let sealed = SealedDrop::open(&share, &address).unwrap();
        let was = sealed.seal().claims.brought_back.clone().unwrap();
        assert_eq!((was.drop, was.handover.as_str()), (offer.drop, "nbu"));
        // The same content, on the new share.
        let into = world.directory.path().join("into");
        let mut fetch = outlast();
        fetch.args(["fetch", "--workload=files", "--drop", &drop.to_string(), "--share"]);
        succeed(fetch.arg(&path).arg("--into").arg(&into));
        let restored = crate::harness::restored(&into, &tree);
        assert_eq!(listing(&restored), listing(&tree), "{layout}");
        let again = import();
        assert_eq!(
            (again["imported"].as_array().unwrap().len(), &again["there_already"]),
            (0, &2.into())
        );
    }
}

#[test]
fn i4_what_is_imported_is_in_the_vault_and_makes_no_workload_look_fresh() {
    let world = World::new(Layout::Plain);
    let dump = world.file("shop.sql", 70_000);
    world.offer("shop", &[&dump]);
    let directory = brought_back(&world);
    // The vault is gone, and so is the share: both are new.
    let up = Up::start(&world.directory.path().join("up"));
    let mut import = outlast();
    import.args(["handover", "import", "--json", "--share"]).arg(&up.share).arg(&directory);
    let imported = document(&mut import);
    let drop = imported["imported"][0]["drop"].as_str().unwrap().to_owned();
    wait_until("the vault holds it", || up.receipt("shop", &drop, "vaulted").exists());
    let listed = document(&mut up.ask(&["workload", "list", "--json"]));
    assert_eq!(listed["workloads"][0]["state"], "never-seen", "{listed}");
    let snapshots = succeed(&mut up.ask(&["snapshots", "shop"]));
    assert!(
        snapshots.contains("suspect") && snapshots.contains("brought back from nbu"),
        "{snapshots}"
    );
    let into = world.directory.path().join("out");
    succeed(up.ask(&["restore", "shop", "--into"]).arg(&into));
    let restored = crate::harness::restored(&into, &dump);
    assert_eq!(fs::read(restored).unwrap(), fs::read(&dump).unwrap());
}
