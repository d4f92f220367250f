//! Locks over the wire: what is taken for one, and who removes it.

use std::fs;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use outlast_format::lock::{Holder, Lock};
use outlast_format::{LockId, Sha256Id};
use outlast_fs::durable;
use outlast_repo::Repository;
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_types::{Clock, SystemClock, SystemRandom, Timestamp};
use outlast_vault::VaultHandle;
use outlast_wire::{RestStore, Role};

use crate::support::{World, shop};

fn door(world: &World, vault: &VaultHandle, role: Role, name: &str) -> RestStore {
    let address = format!("rest:{}repo/shop-db/", vault.url());
    RestStore::open(&address, Some(&world.identity(role, name))).unwrap()
}

fn lock(repository: &Repository, time: Timestamp) -> (Object, Bytes) {
    let holder =
        Holder { hostname: "ghost".to_owned(), username: "x".to_owned(), pid: 1, uid: 0, gid: 0 };
    let document = Lock { time, exclusive: true, holder }.serialize().unwrap();
    let (name, sealed) = repository.seal_unpacked("lock", &document, &SystemRandom).unwrap();
    (Object::Lock(name), sealed)
}

#[test]
fn a_lock_is_removed_by_its_maker_alone_until_it_is_stale() {
    let world = World::new();
    let vault = world.start();
    let repository = world.agent(&vault).open(&shop());
    let maker = door(&world, &vault, Role::Agent, "road-1");
    let (object, content) = lock(&repository, SystemClock.now());
    maker.create(&object, content).unwrap();
    for (role, name) in
        [(Role::Agent, "road-2"), (Role::Reader, "road-1"), (Role::Operator, "anna")]
    {
        let error = door(&world, &vault, role, name).remove(&object).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{role} {name}: {error}");
        assert!(error.to_string().contains("when it is stale"), "{error}");
    }
    maker.remove(&object).unwrap();
    assert_eq!(maker.list(Kind::Lock).unwrap(), []);
    let gone = maker.remove(&object).unwrap_err();
    assert!(matches!(gone, StoreError::NotFound { .. }), "{gone}");

    // The maker keeps its right when the vault is started anew.
    let (object, content) = lock(&repository, SystemClock.now());
    maker.create(&object, content).unwrap();
    vault.shutdown();
    let vault = world.start();
    door(&world, &vault, Role::Agent, "road-1").remove(&object).unwrap();

    // One whose maker is unknown or gone goes when it is old by the vault's time, whatever it says.
    let (object, content) = lock(&repository, SystemClock.now());
    let path = world.repository_directory(&shop()).join(object.to_string());
    durable::create_new(&path, &content, 0o600).unwrap();
    let reader = door(&world, &vault, Role::Reader, "bob");
    assert!(matches!(reader.remove(&object), Err(StoreError::Refused { .. })));
    let old = SystemTime::now() - Duration::from_secs(31 * 60);
    fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    reader.remove(&object).unwrap();
}

#[test]
fn what_is_no_lock_or_would_never_grow_stale_is_not_taken() {
    let world = World::new();
    let vault = world.start();
    let repository = world.agent(&vault).open(&shop());
    let door = door(&world, &vault, Role::Reader, "bob");
    let (_, whole) = lock(&repository, SystemClock.now());
    let torn = whole.slice(..whole.len() / 2);
    let other = Bytes::from(repository.key().seal(b"{}", &SystemRandom));
    for content in [Bytes::new(), torn, other, Bytes::from_static(b"junk")] {
        let object = Object::Lock(LockId::of(&content));
        let error = door.create(&object, content).unwrap_err();
        assert!(error.to_string().contains("is not taken"), "{error}");
    }
    let (object, content) = lock(&repository, "2099-01-01T00:00:00Z".parse().unwrap());
    let error = door.create(&object, content).unwrap_err();
    assert!(error.to_string().contains("ahead of the vault's clock"), "{error}");
    assert_eq!(door.list(Kind::Lock).unwrap(), []);
}
