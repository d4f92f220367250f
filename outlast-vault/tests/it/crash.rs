//! kill -9 between any two steps, a lost catalog, a second vault.

use outlast_types::Environment;
use std::fs::{read_to_string, remove_file};

use outlast_vault::StartError;
use outlast_wire::Role;
use outlast_wire::api::WorkloadView;

use crate::support::{World, eventually, shop};

/// As if the process had been killed: what is only in memory is gone, and so is the catalog's
/// last word.
fn lose_catalog(world: &World) {
    for suffix in ["", "-wal", "-shm"] {
        remove_file(world.config.dir.join(format!("catalog.sqlite{suffix}"))).ok();
    }
}

#[test]
fn killed_between_snapshot_and_catalog_the_bill_gets_its_one_receipt() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"content"));
    let receipt = agent.hand_in(&bill).unwrap().receipt;
    vault.shutdown();
    lose_catalog(&world);
    let vault = world.start();
    let agent = world.agent(&vault);
    assert_eq!(agent.hand_in(&bill).unwrap().receipt, receipt);
    assert_eq!(world.snapshot_files(&shop()).len(), 1);
    let listed = world.client(&vault, Role::Reader).snapshots(None).unwrap();
    assert_eq!(listed.len(), 1);
}

#[test]
fn killed_between_record_and_snapshot_the_bill_is_published_when_it_comes_again() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"content"));
    agent.hand_in(&bill).unwrap();
    vault.shutdown();
    lose_catalog(&world);
    for snapshot in world.snapshot_files(&shop()) {
        remove_file(snapshot).unwrap();
    }
    let vault = world.start();
    let agent = world.agent(&vault);
    let reader = world.client(&vault, Role::Reader);
    assert!(reader.snapshots(None).unwrap().is_empty(), "a record alone is no snapshot");
    // The agent was killed as well and seals the snapshot anew.
    let again = agent.bill_of(&shop(), &agent.upload(&shop(), b"content"), bill.drop);
    agent.hand_in(&again).unwrap();
    let listed = reader.snapshots(None).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].snapshot, again.snapshot_id);
}

#[test]
fn killed_while_a_repository_is_made_the_next_attempt_finishes_it() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    agent.open(&shop());
    let password_path = world.config.dir.join("keys/shop-db.password");
    let password = read_to_string(&password_path).unwrap();
    vault.shutdown();
    // Before the config: key files and directories are there, and it is no repository yet.
    remove_file(world.repository_directory(&shop()).join("config")).unwrap();
    let vault = world.start();
    let agent = world.agent(&vault);
    agent.ship(&shop(), b"content");
    assert_eq!(read_to_string(&password_path).unwrap(), password, "never a second password");
    vault.shutdown();
    drop(world.start());
}

/// The same but for the words that say how long ago something was; the moment itself stays.
fn steady(mut views: Vec<WorkloadView>) -> Vec<WorkloadView> {
    for told in views.iter_mut().filter_map(|view| view.told.as_mut()) {
        told.sentence.clear();
    }
    views
}

#[test]
fn a_rebuilt_catalog_equals_the_lost_one() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    for content in [b"one", b"two"] {
        agent.ship(&shop(), content);
        agent.ship(&outlast_types::WorkloadName::new("web").unwrap(), content);
    }
    let before = world.client(&vault, Role::Operator).snapshots(None).unwrap();
    let workloads = steady(world.client(&vault, Role::Operator).workloads().unwrap());
    let error = outlast_vault::rebuild(&world.config, &Environment::system()).unwrap_err();
    assert!(matches!(error, StartError::InUse { .. }), "{error}");
    vault.shutdown();

    lose_catalog(&world);
    let rebuilt = outlast_vault::rebuild(&world.config, &Environment::system()).unwrap();
    assert_eq!((rebuilt.workloads, rebuilt.snapshots), (2, 4));
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    assert_eq!(operator.snapshots(None).unwrap(), before);
    assert_eq!(steady(operator.workloads().unwrap()), workloads);
    vault.shutdown();

    // Damaged instead of lost, and nobody calls for a rebuild.
    lose_catalog(&world);
    let file = std::fs::File::create(world.config.dir.join("catalog.sqlite")).unwrap();
    std::io::Write::write_all(&mut &file, &[b'x'; 10_000]).unwrap();
    let vault = world.start();
    assert_eq!(world.client(&vault, Role::Operator).snapshots(None).unwrap(), before);
}

#[test]
fn two_vaults_never_share_a_directory() {
    let world = World::new();
    let _first = world.start();
    let error = outlast_vault::start(world.config.clone(), Environment::system()).err().unwrap();
    assert!(error.to_string().contains("another vault uses"), "{error}");
}

#[test]
fn what_a_killed_writer_left_is_swept_when_it_is_old() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    agent.ship(&shop(), b"content");
    vault.shutdown();
    let data = world.repository_directory(&shop()).join("data/00");
    std::fs::create_dir_all(&data).unwrap();
    let leftover = |name: &str, age: u64| {
        let path = data.join(name);
        let file = std::fs::File::create(&path).unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        file.set_times(std::fs::FileTimes::new().set_modified(then)).unwrap();
        path
    };
    let old = leftover(".outlast-tmp-1-1", 7200);
    let young = leftover(".outlast-tmp-1-2", 60);
    let strange = leftover("somebody-elses", 7200);
    // When it was swept last is no longer known.
    std::fs::remove_dir_all(world.config.dir.join("jobs")).ok();
    let vault = world.start();
    let operator = world.client(&vault, Role::Operator);
    let swept = eventually("the sweep", || {
        let mut jobs = operator.jobs().unwrap().into_iter();
        jobs.find(|job| job.name == "sweep-leftovers" && job.result.is_some())
    });
    assert_eq!((swept.done, swept.total, swept.error), (1, Some(1), None));
    assert!(swept.result.unwrap().starts_with("removed 1 leftover"));
    assert!(!old.exists());
    assert!(young.exists() && strange.exists());
}

#[test]
fn one_damaged_workload_does_not_keep_the_others_from_being_served() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let web = outlast_types::WorkloadName::new("web").unwrap();
    agent.ship(&shop(), b"content");
    agent.ship(&web, b"content");
    vault.shutdown();
    let arrivals = world.config.dir.join("arrivals/shop-db");
    let record = arrivals.read_dir().unwrap().next().unwrap().unwrap().path();
    let file = std::fs::File::create(&record).unwrap();
    std::io::Write::write_all(&mut &file, b"{\"version\":1").unwrap();
    let error = outlast_vault::rebuild(&world.config, &Environment::system()).unwrap_err();
    assert!(error.to_string().contains(record.to_str().unwrap()), "{error}");

    let vault = world.start();
    let agent = world.agent(&vault);
    agent.ship(&web, b"more");
    let reader = world.client(&vault, Role::Reader);
    assert_eq!(reader.snapshots(Some(&web)).unwrap().len(), 2);
    assert_eq!(reader.snapshots(Some(&shop())).unwrap().len(), 1, "what was known stays known");
}
