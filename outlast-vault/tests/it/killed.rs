//! kill -9 of a vault that is a process of its own, while bills of lading come in.

use std::collections::BTreeMap;
use std::env;
use std::fs::{File, read_to_string};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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

/// Not a test by itself: the process that the test below starts and kills.
#[test]
fn as_a_process_of_its_own() {
    let (Some(config), Some(ready)) = (env::var_os(CONFIG), env::var_os(READY)) else { return };
    let config = VaultConfig::load(Path::new(&config)).unwrap();
    let vault = outlast_vault::start(config, Environment::system()).unwrap();
    let ready = PathBuf::from(ready);
    outlast_fs::durable::publish_new(&ready, vault.url().as_bytes(), 0o644).unwrap();
    // Longer than the test takes; it ends by kill -9.
    std::thread::sleep(Duration::from_secs(120));
}

struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(world: &World, round: usize) -> Self {
        let config = world.path().join("vault.toml");
        if !config.exists() {
            let text = format!(
                "[vault]\ndir = {:?}\nlisten = \"127.0.0.1:0\"\nidentity = {:?}\n",
                world.config.dir, world.config.identity
            );
            File::create(&config).unwrap().write_all(text.as_bytes()).unwrap();
        }
        let ready = world.path().join(format!("ready.{round}"));
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "killed::as_a_process_of_its_own", "--nocapture"])
            .env(CONFIG, config)
            .env(READY, &ready)
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

    fn kill(mut self) {
        // SIGKILL on Unix.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn killed_at_any_moment_every_drop_is_one_snapshot_with_one_receipt() {
    let world = World::new();
    let mut receipts: BTreeMap<String, String> = BTreeMap::new();
    let mut bills: Vec<Shipment> = Vec::new();
    for round in 0..6_u64 {
        let process = Process::start(&world, usize::try_from(round).unwrap());
        let agent = process.agent(&world);
        // What was answered before a kill is answered in the same words after it.
        for bill in &bills {
            let receipt = agent.client.ship(bill).unwrap().receipt;
            let before = receipts.insert(bill.drop.to_string(), receipt.clone());
            assert!(before.is_none_or(|before| before == receipt), "{} changed", bill.drop);
        }
        let fresh: Vec<Shipment> = (0..4)
            .map(|number| {
                let content = format!("round {round} drop {number}").repeat(1000);
                agent.bill(&shop(), &agent.upload(&shop(), content.as_bytes()))
            })
            .collect();
        std::thread::scope(|scope| {
            let ship = |bill: &Shipment| {
                let receipt = agent.client.ship(bill).ok()?.receipt;
                Some((bill.drop.to_string(), receipt))
            };
            let shippers: Vec<_> =
                fresh.iter().map(|bill| scope.spawn(move || ship(bill))).collect();
            // Another moment of the work in each round.
            std::thread::sleep(Duration::from_millis(round * 9));
            process.kill();
            receipts.extend(shippers.into_iter().filter_map(|shipper| shipper.join().unwrap()));
        });
        bills.extend(fresh);
    }
    let vault = world.start();
    let agent = world.agent(&vault);
    for bill in &bills {
        agent.client.ship(bill).unwrap();
    }
    assert_eq!(world.snapshot_files(&shop()).len(), bills.len());
    let listed = world.client(&vault, Role::Reader).snapshots(Some(&shop())).unwrap();
    assert_eq!(listed.len(), bills.len());
    is_clean(&world, &shop());
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
