//! kill -9 of a vault that is a process of its own, while bills of lading come in.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs::{File, read_to_string};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use outlast_fs::fault::DIE_AT;
use outlast_repo::check::{self, check};
use outlast_repo::{Credential, Repository};
use outlast_store::DirectoryStore;
use outlast_types::{Environment, Silent, WorkloadName};
use outlast_vault::VaultConfig;
use outlast_wire::Role;
use outlast_wire::api::Shipment;

use crate::support::{Agent, World, eventually, shop};

const CONFIG: &str = "OUTLAST_TEST_VAULT_CONFIG";
const READY: &str = "OUTLAST_TEST_VAULT_READY";

/// At which steps of publishing the vault is killed: of the arrival record, and of the snapshot.
/// Four drops come at once, each with about four steps of either.
const STRIKES: [&str; 8] = [
    "1 /arrivals/",
    "3 /arrivals/",
    "4 /arrivals/",
    "10 /arrivals/",
    "1 /snapshots",
    "3 /snapshots",
    "4 /snapshots",
    "10 /snapshots",
];
const SIGKILL: i32 = 9;

/// The vault that is killed: the test below, as a process of its own.
fn serve(config: &OsStr, ready: &OsStr) {
    let config = read_to_string(config).unwrap();
    let (dir, identity) = config.split_once('\n').unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = VaultConfig::new(Path::new(dir), listen, Path::new(identity));
    let vault = outlast_vault::start(config, Environment::system()).unwrap();
    let ready = PathBuf::from(ready);
    outlast_fs::durable::publish_new(&ready, vault.url().as_bytes(), 0o644).unwrap();
    // Longer than the test takes on any machine; it ends by kill -9.
    std::thread::sleep(Duration::from_secs(900));
}

struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(world: &World, round: usize, strike: &str) -> Self {
        let config = world.path().join("vault.toml");
        if !config.exists() {
            let (dir, identity) = (&world.config.dir, &world.config.identity);
            let text = format!("{}\n{}", dir.display(), identity.display());
            File::create(&config).unwrap().write_all(text.as_bytes()).unwrap();
        }
        let ready = world.path().join(format!("ready.{round}"));
        let child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "killed::killed_at_any_step_every_drop_is_one_snapshot_with_one_receipt",
            ])
            .env(CONFIG, config)
            .env(READY, &ready)
            .env(DIE_AT, strike)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = eventually("the vault's start", || {
            ready.exists().then(|| read_to_string(&ready).unwrap())
        });
        Self { child, url }
    }

    fn agent(&self, world: &World) -> Agent {
        world.agent_at(&self.url)
    }

    /// Waits for its end, which must be the strike.
    fn struck(mut self, strike: &str) {
        let status = eventually(strike, || self.child.try_wait().unwrap());
        assert_eq!(status.signal(), Some(SIGKILL), "{strike}: {status}");
    }
}

#[test]
fn killed_at_any_step_every_drop_is_one_snapshot_with_one_receipt() {
    if let (Some(config), Some(ready)) = (env::var_os(CONFIG), env::var_os(READY)) {
        return serve(&config, &ready);
    }
    let world = World::new();
    let mut receipts: BTreeMap<String, String> = BTreeMap::new();
    let mut bills: Vec<Shipment> = Vec::new();
    for (round, strike) in STRIKES.into_iter().enumerate() {
        let process = Process::start(&world, round, strike);
        let agent = process.agent(&world);
        // What was answered before a kill is answered in the same words after it.
        answers_as_before(&agent, &bills, &receipts);
        let fresh: Vec<Shipment> = (0..4)
            .map(|number| {
                let content = format!("round {round} drop {number}").repeat(1000);
                agent.bill(&shop(), &agent.upload(&shop(), content.as_bytes()))
            })
            .collect();
        std::thread::scope(|scope| {
            let ship = |bill: &Shipment| {
                let receipt = agent.hand_in(bill).ok()?.receipt;
                Some((bill.drop.to_string(), receipt))
            };
            let shippers: Vec<_> =
                fresh.iter().map(|bill| scope.spawn(move || ship(bill))).collect();
            process.struck(strike);
            receipts.extend(shippers.into_iter().filter_map(|shipper| shipper.join().unwrap()));
        });
        bills.extend(fresh);
    }
    let vault = world.start();
    let agent = world.agent(&vault);
    answers_as_before(&agent, &bills, &receipts);
    for bill in &bills {
        agent.hand_in(bill).unwrap();
    }
    assert_eq!(world.snapshot_files(&shop()).len(), bills.len());
    let listed = world.client(&vault, Role::Reader).snapshots(Some(&shop())).unwrap();
    assert_eq!(listed.len(), bills.len());
    is_clean(&world, &shop());
}

fn answers_as_before(agent: &Agent, bills: &[Shipment], receipts: &BTreeMap<String, String>) {
    for bill in bills {
        if let Some(before) = receipts.get(&bill.drop.to_string()) {
            assert_eq!(agent.hand_in(bill).unwrap().receipt, *before, "{} changed", bill.drop);
        }
    }
}

fn is_clean(world: &World, workload: &WorkloadName) {
    let password = world.config.dir.join(format!("keys/{workload}.password"));
    let password = read_to_string(password).unwrap();
    let store = DirectoryStore::open(&world.repository_directory(workload)).unwrap();
    let credential = Credential::Password(password.trim_end().as_bytes());
    let repository = Repository::open(std::sync::Arc::new(store), credential).unwrap();
    let report = check(
        &repository,
        &check::Options { read_data: true, ..check::Options::default() },
        &Silent,
    )
    .unwrap();
    assert!(report.is_clean(), "{report:?}");
}
