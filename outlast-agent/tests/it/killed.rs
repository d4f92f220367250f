//! An agent process that is killed with SIGKILL, again and again.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use outlast_agent::{Agent, AgentConfig, Shutdown};
use outlast_drop::ReceiptState;
use outlast_fs::fault::DIE_AT;
use outlast_repo::check;
use outlast_testing::pseudo_random;
use outlast_types::{Environment, Silent};

use crate::support::{World, good_pass};

/// Says where the agent of a child process finds its world: share, state, upstream, identity.
const PLACES: &str = "OUTLAST_TEST_AGENT_PLACES";
const SIGKILL: i32 = 9;
/// Fewer strikes than these cannot have met all that an agent does.
const STRIKES_MIN: u32 = 8;

/// The agent of a child process.
fn agent(places: &str) -> Agent {
    let places: Vec<_> = places.split('\n').collect();
    let [share, state, upstream, identity] = <[&str; 4]>::try_from(places).unwrap();
    let config = AgentConfig {
        poll: Duration::from_millis(20),
        ..AgentConfig::new(Path::new(share), Path::new(state), upstream, Path::new(identity))
    };
    Agent::start(config, Environment::system()).unwrap()
}

/// Runs `test` as a process of its own, with an agent on this world, which dies at `step`.
fn start(world: &World, test: &str, step: Option<u32>) -> Child {
    let config = world.config();
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let places =
        [text(&config.share), text(&config.state), config.upstream, text(&config.identity)];
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("killed::{test}")]).stdout(Stdio::null());
    command.env(PLACES, places.join("\n"));
    command.envs(step.map(|step| (DIE_AT, step.to_string())));
    command.spawn().unwrap()
}

fn kill(mut agent: Child) {
    agent.kill().unwrap();
    agent.wait().unwrap();
}

fn packs(world: &World) -> Vec<u64> {
    let Ok(directories) = fs::read_dir(world.path("vault/repos/shop-db/data")) else {
        return Vec::new();
    };
    let files = directories.flat_map(|entry| fs::read_dir(entry.unwrap().path()).unwrap());
    files
        // A pack that is being received has a temporary name, and may be gone in a moment.
        .filter_map(|file| file.unwrap().metadata().ok())
        .map(|metadata| metadata.len())
        .collect()
}

#[test]
fn whenever_an_agent_is_killed_every_drop_is_vaulted_once_in_the_end() {
    if let Ok(places) = std::env::var(PLACES) {
        good_pass(&mut agent(&places));
        return;
    }
    let world = World::new();
    let drops: Vec<_> = (0..8).map(|n| world.dump("shop-db", &pseudo_random(n, 700_000))).collect();
    // Each agent gets a bit further than the one before, from its start to its last receipt.
    let mut strikes = 0;
    loop {
        let test = "whenever_an_agent_is_killed_every_drop_is_vaulted_once_in_the_end";
        let status = start(&world, test, Some(1 + strikes * 4)).wait().unwrap();
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(SIGKILL), "strike {strikes}: {status}");
        strikes += 1;
    }
    assert!(strikes >= STRIKES_MIN, "only {strikes} struck");
    good_pass(&mut world.agent());
    let repository = world.repository("shop-db");
    let options = check::Options { read_data: true, ..check::Options::default() };
    let report = check::check(&repository, &options, &Silent).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(world.snapshots("shop-db"), drops.len());
    for drop in &drops {
        assert!(world.has(drop, ReceiptState::Vaulted), "{drop}");
    }
    assert_eq!(drops.iter().filter(|drop| world.data_is_on_the_share(drop)).count(), 2);
    assert!(world.incidents().is_empty());
}

#[test]
fn what_was_uploaded_before_a_kill_is_not_uploaded_again() {
    const UPLOADS: usize = 3;
    if let Ok(places) = std::env::var(PLACES) {
        return agent(&places).run(&Shutdown::default());
    }
    let world = World::new();
    let drop = world.dump("shop-db", &pseudo_random(99, 80 << 20));
    let agent = start(&world, "what_was_uploaded_before_a_kill_is_not_uploaded_again", None);
    let deadline = Instant::now() + Duration::from_secs(120);
    while packs(&world).iter().filter(|size| **size > 8 << 20).count() <= UPLOADS {
        assert!(Instant::now() < deadline, "no packs came in time");
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(agent);
    assert!(!world.has(&drop, ReceiptState::Vaulted), "it was killed too late");
    good_pass(&mut world.agent());
    let repository = world.repository("shop-db");
    let report = check::check(&repository, &check::Options::default(), &Silent).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    // Only what was in flight may be there twice.
    assert!(report.leftovers.len() <= UPLOADS, "{} packs in vain", report.leftovers.len());
    let stored: u64 = packs(&world).iter().sum();
    let in_vain = (report.leftovers.len() as u64) * (18 << 20);
    assert!(stored < (82 << 20) + in_vain, "{stored} bytes, {in_vain} of them in vain");
}
