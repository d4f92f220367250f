//! What is not there is missing, not new.

use std::fs;
use std::path::Path;
use std::time::Duration;

use outlast_types::{Environment, WorkloadName};
use outlast_vault::{StartError, VaultError, VaultHandle};
use outlast_wire::Role;
use outlast_wire::api::{IncidentView, RecreateOrder};
use outlast_wire::client::OpenError;

use crate::support::{Agent, World, eventually, shop};

fn web() -> WorkloadName {
    WorkloadName::new("web").unwrap()
}

/// The code with which opening the workload's repository is refused; `None` if it is opened.
fn refused(agent: &Agent, workload: &WorkloadName) -> Option<String> {
    match agent.client.open_workload(workload, agent.speaker()) {
        Ok(_) => None,
        Err(OpenError::Call(error)) => Some(error.code().unwrap().to_string()),
        Err(other) => panic!("{other}"),
    }
}

fn open_incidents(world: &World, vault: &VaultHandle) -> Vec<IncidentView> {
    let mut incidents = world.client(vault, Role::Reader).incidents().unwrap();
    incidents.retain(|incident| incident.resolved.is_none());
    incidents
}

fn state(world: &World, vault: &VaultHandle) -> String {
    world.client(vault, Role::Reader).workload(&shop()).unwrap().state
}

/// Removes a file or directory and remembers it, to be put back.
struct Taken<'a> {
    world: &'a World,
    from: String,
}

fn take<'a>(world: &'a World, from: &str) -> Taken<'a> {
    rename(&world.config.dir.join(from), &world.path().join("taken"));
    Taken { world, from: from.to_owned() }
}

impl Taken<'_> {
    fn put_back(self) {
        let to = self.world.config.dir.join(&self.from);
        if to.is_dir() {
            fs::remove_dir(&to).unwrap();
        }
        rename(&self.world.path().join("taken"), &to);
    }
}

#[expect(clippy::disallowed_methods, reason = "what is taken away need not survive a crash")]
fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

fn world() -> World {
    let mut world = World::new();
    world.config.look_after = Duration::from_millis(100);
    world
}

fn files_below(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files
}

#[test]
fn repositories_that_are_not_mounted_are_an_incident_and_nothing_is_made_in_their_place() {
    let world = world();
    let vault = world.start();
    world.agent(&vault).ship(&shop(), b"one");
    vault.shutdown();
    let taken = take(&world, "repos");
    fs::create_dir(world.config.dir.join("repos")).unwrap();

    let vault = world.start();
    let agent = world.agent(&vault);
    let incidents = open_incidents(&world, &vault);
    assert_eq!(incidents.len(), 1, "one cause, one page: {incidents:?}");
    assert_eq!(incidents[0].key, "repository/shop-db");
    assert_eq!(incidents[0].owner, "platform");
    assert!(incidents[0].cause.contains("mounted?"), "{}", incidents[0].cause);
    assert_eq!(state(&world, &vault), "broken", "there is no recovery point to be had");
    assert_eq!(refused(&agent, &shop()).as_deref(), Some("repository_missing"));
    // What would be made here would be hidden by the volume when it is back.
    assert_eq!(refused(&agent, &web()).as_deref(), Some("repositories_away"));
    assert_eq!(files_below(&world.config.dir.join("repos")).len(), 0);

    taken.put_back();
    eventually("the repository is found again", || {
        refused(&agent, &shop()).is_none().then_some(())
    });
    eventually("the incident resolves", || open_incidents(&world, &vault).is_empty().then_some(()));
    assert_eq!(state(&world, &vault), "fresh");
    agent.ship(&shop(), b"two");
    assert_eq!(refused(&agent, &web()), None);
    assert_eq!(world.snapshot_files(&shop()).len(), 2);
}

#[test]
fn whatever_is_gone_of_a_repository_is_refused_until_it_is_back() {
    let world = world();
    let vault = world.start();
    let agent = world.agent(&vault);
    agent.ship(&shop(), b"one");
    for (part, word) in [
        ("repos/shop-db/config", "config"),
        ("repos/shop-db/keys", "key files"),
        ("repos/shop-db/snapshots", "snapshots"),
        ("repos/shop-db/data", "data"),
        ("repos/shop-db", "nothing of it"),
        ("keys/shop-db.password", "password"),
    ] {
        let taken = take(&world, part);
        let incident = eventually("the incident", || open_incidents(&world, &vault).pop());
        assert!(incident.cause.contains(word), "{part}: {}", incident.cause);
        assert_eq!(refused(&agent, &shop()).as_deref(), Some("repository_missing"), "{part}");
        taken.put_back();
        eventually("it is whole again", || open_incidents(&world, &vault).is_empty().then_some(()));
    }
    agent.ship(&shop(), b"two");
    let keys = world.repository_directory(&shop()).join("keys").read_dir().unwrap().count();
    assert_eq!(keys, 2, "the vault's and that of kits: no key was made over old data");
}

#[test]
fn a_password_alone_remembers_a_repository_when_catalog_and_arrivals_are_lost() {
    let world = world();
    let vault = world.start();
    world.agent(&vault).ship(&shop(), b"one");
    vault.shutdown();
    rename(&world.config.dir.join("repos"), &world.path().join("repos"));
    fs::remove_dir_all(world.config.dir.join("arrivals")).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(world.config.dir.join(format!("catalog.sqlite{suffix}"))).ok();
    }
    let error = outlast_vault::rebuild(&world.config, &Environment::system()).unwrap_err();
    assert!(
        matches!(error, StartError::Vault(VaultError::Missing { .. })),
        "no rebuild without them: {error}"
    );
    let vault = world.start();
    let agent = world.agent(&vault);
    assert_eq!(refused(&agent, &shop()).as_deref(), Some("repository_missing"));
    assert_eq!(open_incidents(&world, &vault)[0].key, "repository/shop-db");
    fs::remove_dir(world.config.dir.join("repos")).unwrap();
    rename(&world.path().join("repos"), &world.config.dir.join("repos"));
    eventually("the snapshots are known again", || {
        let listed = world.client(&vault, Role::Reader).snapshots(Some(&shop())).unwrap();
        (listed.len() == 1).then_some(())
    });
}

#[test]
fn lost_arrival_records_are_written_again_from_the_catalog() {
    let world = world();
    let vault = world.start();
    let agent = world.agent(&vault);
    let bill = agent.ship(&shop(), b"one");
    let receipt = agent.hand_in(&bill).unwrap().receipt;
    let before = world.client(&vault, Role::Reader).snapshots(None).unwrap();
    vault.shutdown();
    let arrivals = world.config.dir.join("arrivals/shop-db");
    let written = fs::read(arrivals.join(format!("{}.json", bill.drop))).unwrap();
    fs::remove_dir_all(&arrivals).unwrap();

    let vault = world.start();
    assert_eq!(world.client(&vault, Role::Reader).snapshots(None).unwrap(), before);
    assert_eq!(world.agent(&vault).hand_in(&bill).unwrap().receipt, receipt);
    let again = fs::read(arrivals.join(format!("{}.json", bill.drop))).unwrap();
    assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(written).unwrap());
}

#[test]
fn a_maker_that_was_killed_is_finished_with_the_same_password() {
    let world = world();
    let vault = world.start();
    world.agent(&vault).open(&shop());
    vault.shutdown();
    // As if it had been killed just before the config.
    let password = world.config.dir.join("keys/shop-db.password");
    let before = fs::read_to_string(&password).unwrap();
    fs::remove_file(world.repository_directory(&shop()).join("config")).unwrap();
    fs::File::create(world.config.dir.join("keys/shop-db.making")).unwrap();

    let vault = world.start();
    assert!(open_incidents(&world, &vault).is_empty());
    world.agent(&vault).ship(&shop(), b"one");
    assert_eq!(fs::read_to_string(password).unwrap(), before);
    assert!(!world.config.dir.join("keys/shop-db.making").exists(), "from now on it is missing");
    let keys = world.repository_directory(&shop()).join("keys").read_dir().unwrap().count();
    assert_eq!(keys, 2, "the vault's and that of kits, and none of the maker that was killed");
}

#[test]
fn only_an_operator_begins_a_lost_repository_anew_and_it_is_kept_on_record() {
    let world = world();
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    let order = |reason: &str| RecreateOrder { reason: reason.to_owned() };
    agent.ship(&shop(), b"one");
    let code = |error: outlast_wire::CallError| error.code().unwrap().to_string();
    let whole = operator.recreate(&shop(), &order("I can")).unwrap_err();
    assert_eq!(code(whole), "nothing_missing", "good backups are not set aside");
    assert_eq!(code(operator.recreate(&web(), &order("?")).unwrap_err()), "unknown_workload");

    fs::remove_file(world.repository_directory(&shop()).join("config")).unwrap();
    eventually("the incident", || open_incidents(&world, &vault).pop());
    for role in [Role::Agent, Role::Reader] {
        let error = world.client(&vault, role).recreate(&shop(), &order("mine")).unwrap_err();
        assert_eq!(code(error), "refused", "{role}");
    }
    assert_eq!(code(operator.recreate(&shop(), &order(" \n")).unwrap_err()), "bad_order");
    let done = operator.recreate(&shop(), &order("disk 3 burned")).unwrap();
    assert_eq!((done.by.as_str(), done.snapshots_forgotten), ("operator road-1", Some(1)));
    assert!(open_incidents(&world, &vault).is_empty());
    assert_eq!(operator.snapshots(Some(&shop())).unwrap(), []);
    assert_eq!(state(&world, &vault), "never-seen");
    // Nothing of the old one is lost.
    let aside = world.config.dir.join("repos/.aside-shop-db-1");
    assert!(files_below(&aside.join("data")).len() >= 2, "{aside:?}");
    assert!(world.config.dir.join("keys/.aside-shop-db.password-1").exists());

    agent.ship(&shop(), b"two");
    assert_eq!(world.snapshot_files(&shop()).len(), 1);
    assert_eq!(state(&world, &vault), "fresh");
    vault.shutdown();
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(world.config.dir.join(format!("catalog.sqlite{suffix}"))).ok();
    }
    let vault = world.start();
    let reader = world.client(&vault, Role::Reader);
    assert_eq!(reader.orders(Some(&shop())).unwrap(), [done], "it outlives the catalog");
    assert_eq!(reader.orders(Some(&web())).unwrap(), []);
    assert_eq!(reader.snapshots(None).unwrap().len(), 1);
}
