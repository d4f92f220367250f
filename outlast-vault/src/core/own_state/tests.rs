use std::time::Duration;

use outlast_types::{Interrupt, SystemRandom};

use super::*;
use crate::core::audit::{self, AuditAction};
use crate::core::storage::{Records as _, VaultStorage as _};
use crate::core::testing::{World, agent, bill, shop, upload};

fn progress(vault: &Vault) -> Progress {
    Progress::new(&vault.environment, &Interrupt::default())
}

/// The repository in which a vault saves itself, by its newest secret.
fn saves(world: &World) -> Repository {
    let secret = kit::secrets(&*world.storage).unwrap().pop().unwrap();
    let store = world.storage.own_repository().unwrap().unwrap();
    let password = secret.password(OWN_REPOSITORY);
    Repository::open(store, Credential::Password(password.as_bytes())).unwrap()
}

fn content(repository: &Repository, path: &str) -> Vec<u8> {
    let newest = read::resolve(repository, "latest").unwrap();
    let mut content = Vec::new();
    let path = outlast_fs::EntryPath::parse(path.as_bytes()).unwrap();
    read::cat(repository, newest.snapshot.tree, &path, &mut content, &Silent).unwrap();
    content
}

#[test]
fn what_nothing_could_give_back_is_saved_when_it_changed_and_only_then() {
    let world = World::new();
    let vault = world.open();
    let shipment = bill(&vault, &shop(), &upload(&vault, &shop(), b"content"));
    vault.publish(&shipment, &agent()).unwrap();
    vault.save_own_state(&progress(&vault)).unwrap();
    let key = format!("arrivals/{}/{}.json", shop(), shipment.drop);
    let arrival = world.storage.read(&key, 1 << 20).unwrap().unwrap();
    assert_eq!(content(&saves(&world), &key), arrival);
    let password = format!("keys/{}.password", shop());
    let expected = world.storage.read(&password, 1 << 20).unwrap().unwrap();
    assert_eq!(content(&saves(&world), &password), expected);
    let months = audit::months::all(&*world.storage).unwrap();
    let segment = format!("audit/{:012}.jsonl", months[0].1[0]);
    let log = content(&saves(&world), &segment);
    assert!(String::from_utf8(log).unwrap().contains("drop_published"));

    let snapshots = || read::snapshots(&saves(&world)).unwrap().list.len();
    assert_eq!(snapshots(), 1);
    vault.save_own_state_at_end().unwrap();
    assert_eq!(snapshots(), 1, "nothing changed");
    upload(&vault, &"web".parse().unwrap(), b"x");
    vault.save_own_state_at_end().unwrap();
    assert_eq!(snapshots(), 2);
    assert_eq!(vault.save_own_state(&progress(&vault)).unwrap(), "saved not long ago");
}

#[test]
fn a_revocation_is_saved_at_once_and_one_that_met_a_save_under_way_right_after_it() {
    let world = World::new();
    let vault = world.open();
    let peer = |name| outlast_wire::Peer::new(outlast_wire::Role::Agent, name).unwrap();
    let revoke = |name| {
        let target = crate::core::authority::Target::Holder(peer(name));
        vault.revoke(&target, "operator ops", None).unwrap();
    };
    let is_saved = |name: &str| {
        let saved = content(&saves(&world), "certificates.jsonl");
        String::from_utf8(saved).unwrap().contains(name)
    };
    revoke("eu-0");
    vault.save_own_state(&progress(&vault)).unwrap();
    revoke("eu-1");
    assert!(is_saved("eu-0") && !is_saved("eu-1"));
    vault.save_own_state_at_once();
    assert!(is_saved("eu-1"), "although the state was saved a moment before");
    revoke("eu-2");
    let under_way = vault.saves.newest.lock().unwrap();
    vault.save_own_state_at_once();
    drop(under_way);
    vault.save_own_state(&progress(&vault)).unwrap();
    assert!(is_saved("eu-2"), "it was not put off");
    upload(&vault, &shop(), b"x");
    assert_eq!(vault.save_own_state(&progress(&vault)).unwrap(), "saved not long ago");
}

#[test]
fn a_save_that_is_broken_off_says_so_and_the_next_one_is_whole() {
    let world = World::new();
    let vault = world.open();
    let stop = Interrupt::default();
    stop.request();
    let stopped = Progress::new(&vault.environment, &stop);
    let error = vault.save_own_state(&stopped).unwrap_err().to_string();
    assert!(error.contains("the vault ends"), "{error}");
    vault.save_own_state(&progress(&vault)).unwrap();
    assert_eq!(read::snapshots(&saves(&world)).unwrap().list.len(), 1);
}

#[test]
fn a_new_secret_opens_every_repository_and_the_one_before_none() {
    let world = World::new();
    let vault = world.open();
    upload(&vault, &shop(), b"content");
    vault.save_own_state_at_end().unwrap();
    let before = kit::secrets(&*world.storage).unwrap().pop().unwrap();
    let opens = |secret: &KitSecret, name: &str| {
        let store: Arc<dyn Store> = match name.parse() {
            Ok(workload) => world.storage.store(&workload),
            Err(_) => world.storage.own_repository().unwrap().unwrap(),
        };
        let password = secret.password(name);
        Repository::open(store, Credential::Password(password.as_bytes())).is_ok()
    };
    let names = [shop().to_string(), OWN_REPOSITORY.to_owned()];
    assert!(names.iter().all(|name| opens(&before, name)), "also one that was just made");

    let after = KitSecret::generate(2, before.made, &SystemRandom);
    after.write(&*world.storage).unwrap();
    vault.keep_kit_keys(&progress(&vault)).unwrap();
    assert_eq!(kit::secrets(&*world.storage).unwrap().len(), 2, "the vault's own is not done");
    vault.save_own_state_at_end().unwrap();
    vault.keep_kit_keys(&progress(&vault)).unwrap();
    assert!(names.iter().all(|name| opens(&after, name) && !opens(&before, name)));
    assert_eq!(kit::secrets(&*world.storage).unwrap().len(), 1);
    assert_eq!(world.entries(&AuditAction::KeyAdded), 1);
    assert_eq!(world.entries(&AuditAction::KeyRemoved), 1);
    // Nothing is done twice.
    vault.keep_kit_keys(&progress(&vault)).unwrap();
    assert_eq!(world.entries(&AuditAction::KeyAdded), 1);
}

#[test]
fn a_repository_of_its_own_that_no_secret_opens_is_set_aside_and_begun_anew() {
    let world = World::new();
    let vault = world.open();
    vault.save_own_state_at_end().unwrap();
    kit::remove(&*world.storage, 1).unwrap();
    drop(vault);
    let vault = world.open();
    assert_eq!(world.entries(&AuditAction::KitSecretMade), 2);
    vault.save_own_state_at_end().unwrap();
    assert_eq!(read::snapshots(&saves(&world)).unwrap().list.len(), 1);
}

#[test]
fn old_saves_go_and_one_of_each_day_stays() {
    let hours = |hour: u64| Timestamp::EPOCH.saturating_add(Duration::from_secs(hour * 3600));
    let times: Vec<_> = (0..24 * 90).map(hours).collect();
    let old = excess(&times);
    let kept: Vec<usize> = (0..times.len()).filter(|place| !old.contains(place)).collect();
    // The newest, and of the 60 newest days the last save of each; some are both.
    assert!(
        kept.iter().rev().take(NEWEST_KEPT).copied().eq((0..times.len()).rev().take(NEWEST_KEPT))
    );
    let days: BTreeSet<Day> = kept.iter().map(|place| times[*place].day()).collect();
    assert_eq!(days.len(), DAYS_KEPT);
    assert_eq!(kept.len(), NEWEST_KEPT + DAYS_KEPT - 5);
    assert_eq!(kept[0] % 24, 23, "the newest of its day");
    assert!(excess(&times[..NEWEST_KEPT]).is_empty());

    let world = World::new();
    let vault = world.open();
    vault.save_own_state_at_end().unwrap();
    vault.trim_own_state(&progress(&vault)).unwrap();
    assert_eq!(read::snapshots(&saves(&world)).unwrap().list.len(), 1);
}
