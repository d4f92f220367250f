//! kill -9 of the agent at every step of staging, appearing, hearing of jobs and removing.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use outlast_drop::{Content, ScanMemory, Share, scan};
use outlast_fs::fault::DIE_AT;
use outlast_handover::{Layout, State, intake, verify};
use outlast_types::{Clock, Silent, SystemClock};

use crate::support::{World, contents};

const WORLD_VARIABLE: &str = "OUTLAST_TEST_HAND_OVER";
const LAYOUT_VARIABLE: &str = "OUTLAST_TEST_LAYOUT";
const SIGKILL: i32 = 9;

/// The agent that is killed: it hands over what lies on the share, hears of a job, and lets go what may go.
fn work(path: &OsStr) {
    let path = Path::new(path);
    let share = Share::open(&path.join("share")).unwrap();
    let layout = std::env::var(LAYOUT_VARIABLE).unwrap().parse().unwrap();
    let world = World::quick(layout);
    let mut world = World { share, ..world };
    world.rules.directory = path.join("nbu");
    let desk = world.desk();
    let seen = scan(&world.share, &mut ScanMemory::default(), SystemClock.now()).unwrap();
    let mut addresses: Vec<_> =
        seen.workloads[0].sightings.iter().map(|sighting| sighting.address.clone()).collect();
    addresses.sort_by_key(|address| address.drop);
    for address in addresses {
        let key =
            outlast_handover::DropKey { workload: address.workload.clone(), drop: address.drop };
        if !intake::at(&desk).ledger().knows(&key) {
            world.offer(&desk, &address).unwrap();
        }
    }
    intake::at(&desk).is_rebuilt();
    intake::at(&desk).show(None).unwrap();
    world.run_job(&desk, "1");
    intake::at(&desk).clear_out().unwrap();
    intake::at(&desk).show(None).unwrap();
}

#[test]
fn an_agent_killed_at_any_step_goes_on_and_the_directory_is_right_at_every_instant() {
    let itself =
        "killed::an_agent_killed_at_any_step_goes_on_and_the_directory_is_right_at_every_instant";
    strike_at_every_step(itself, Layout::Drop, 60);
}

#[test]
fn the_same_holds_of_content_that_is_built_anew() {
    let itself = "killed::the_same_holds_of_content_that_is_built_anew";
    strike_at_every_step(itself, Layout::Plain, 60);
}

#[test]
fn the_same_holds_of_trees_as_files() {
    strike_at_every_step("killed::the_same_holds_of_trees_as_files", Layout::Unpacked, 60);
}

/// Kills the work of the test `itself` before each of its steps, of which there are at least so many.
fn strike_at_every_step(itself: &str, layout: Layout, least: usize) {
    if let Some(path) = std::env::var_os(WORLD_VARIABLE) {
        return work(&path);
    }
    let world = World::quick(layout);
    let root = world.directory.path();
    if layout == Layout::Drop {
        world.stream("shop", b"the first");
        world.stream("shop", b"the second");
    } else {
        let tar = crate::layouts::tar_of_a_tree(root);
        world.drop("shop", Content::Tree, &tar, Some(3));
        world.drop("shop", Content::Tree, &tar, None);
    }
    let run = |step: Option<usize>, at: &Path| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", itself]).env(WORLD_VARIABLE, at).stdout(Stdio::null());
        command.env(LAYOUT_VARIABLE, layout.to_string());
        if let Some(step) = step {
            command.env(DIE_AT, format!("{step} {}", at.join("nbu").display()));
        }
        command.status().unwrap()
    };
    let mut strikes = 0;
    loop {
        let round = root.join(format!("round-{strikes}"));
        std::fs::create_dir(&round).unwrap();
        let copied =
            Command::new("cp").arg("-r").arg(root.join("share")).arg(&round).status().unwrap();
        assert!(copied.success());
        let status = run(Some(strikes + 1), &round);
        check(&round.join("nbu"), strikes);
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(SIGKILL), "strike {strikes}: {status}");
        // The next one ends what was broken off.
        assert!(run(None, &round).success(), "after strike {strikes}");
        check(&round.join("nbu"), strikes);
        end(&round, layout, strikes);
        std::fs::remove_dir_all(&round).unwrap();
        strikes += 1;
    }
    assert!(strikes > least, "{strikes} strikes");
}

/// Whatever is in the directory is whole.
fn check(directory: &Path, strike: usize) {
    if !directory.exists() {
        return;
    }
    let search = verify::search(directory).unwrap();
    assert!(search.unreadable.is_empty(), "strike {strike}: {:?}", search.unreadable);
    for found in &search.drops {
        let findings = verify::verify(found, &Silent).unwrap();
        assert!(findings.is_well(), "strike {strike}: {findings:?}");
    }
    let known = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        path.parent() == Some(directory) && (name == "README.txt" || name.starts_with("outlast-"))
    };
    for (path, _) in contents(directory) {
        let is_of_a_drop = search.drops.iter().any(|found| path.starts_with(&found.path));
        assert!(is_of_a_drop || known(&path), "strike {strike}: {}", path.display());
    }
}

/// In the end, one drop has gone and the other is confirmed, and nothing else is anywhere.
fn end(round: &Path, layout: Layout, strike: usize) {
    let mut world = World::quick(layout);
    world.rules.directory = round.join("nbu");
    let desk = world.desk();
    let desk = intake::at(&desk);
    let states: Vec<State> =
        desk.ledger().states(&world.rules).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, [State::Confirmed], "strike {strike}");
    for place in [world.place().staging(), world.place().trash(), world.place().inbox()] {
        let left: Vec<_> =
            std::fs::read_dir(&place).unwrap().flatten().map(|it| it.path()).collect();
        let left: Vec<_> = left
            .iter()
            .filter(|it| !outlast_fs::durable::is_temporary(it.file_name().unwrap()))
            .collect();
        assert!(left.is_empty(), "strike {strike}: {left:?}");
    }
}
