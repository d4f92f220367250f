use bytes::Bytes;
use outlast_format::LockId;
use outlast_format::key_file::KdfParams;
use outlast_store::Kind;
use outlast_store::memory::MemoryStore;
use outlast_types::{SystemRandom, Timestamp};

use super::*;

fn maker() -> Maker {
    Maker { hostname: "host".into(), username: "user".into(), created: Timestamp::EPOCH }
}

pub(crate) fn init(store: &Arc<MemoryStore>) -> Result<Repository, RepoError> {
    Repository::init(store.clone(), "secret", Version::V2, &maker(), &SystemRandom)
}

#[test]
fn a_new_repository_opens_with_its_password_and_with_its_key() {
    let store = Arc::new(MemoryStore::new());
    let made = init(&store).unwrap();
    let by_password = Repository::open(store.clone(), Credential::Password(b"secret")).unwrap();
    assert_eq!(by_password.config(), made.config());
    assert_eq!(by_password.key().to_bytes(), made.key().to_bytes());
    Repository::open(store, Credential::Key(made.key().clone())).unwrap();
}

#[test]
fn every_added_password_opens_it() {
    let store = Arc::new(MemoryStore::new());
    init(&store).unwrap().add_key("second", &maker(), &SystemRandom).unwrap();
    for password in ["secret", "second"] {
        Repository::open(store.clone(), Credential::Password(password.as_bytes())).unwrap();
    }
}

#[test]
fn what_does_not_open_says_why() {
    let store = Arc::new(MemoryStore::new());
    let open = |credential| Repository::open(store.clone(), credential).unwrap_err();
    assert!(matches!(open(Credential::Password(b"x")), RepoError::NotARepository { .. }));
    init(&store).unwrap();
    let error = open(Credential::Password(b"wrong"));
    assert!(matches!(error, RepoError::WrongPassword { keys: 1, .. }), "{error}");
    let error = open(Credential::Key(Key::generate(&SystemRandom)));
    assert!(matches!(error, RepoError::WrongKey { .. }), "{error}");
}

#[test]
fn a_second_init_changes_nothing() {
    let store = Arc::new(MemoryStore::new());
    init(&store).unwrap();
    let before = store.list(Kind::Key).unwrap().len();
    let error = init(&store).unwrap_err();
    assert!(matches!(error, RepoError::AlreadyInitialised { .. }), "{error}");
    assert_eq!(store.list(Kind::Key).unwrap().len(), before);
}

#[test]
fn a_repository_that_lost_its_config_is_not_taken_for_an_empty_place() {
    for kind in [Kind::Key, Kind::Snapshot, Kind::Index, Kind::Data] {
        let store = Arc::new(MemoryStore::new());
        let object = Object::new(kind, [7; 32]);
        store.create(&object, Bytes::from_static(b"of an older time")).unwrap();
        let error = init(&store).err().unwrap();
        assert!(matches!(error, RepoError::NotEmpty { found, .. } if found == object), "{error}");
        assert_eq!(store.list(Kind::Key).unwrap().len(), usize::from(kind == Kind::Key));
        assert_eq!(store.list(Kind::Config).unwrap(), []);
    }
    // What nobody needs to read old data is in nobody's way.
    let store = Arc::new(MemoryStore::new());
    store.create(&Object::Lock(LockId([7; 32])), Bytes::from_static(b"lock")).unwrap();
    init(&store).unwrap();
}

#[test]
fn an_unpacked_object_that_was_changed_is_named() {
    let store = Arc::new(MemoryStore::new());
    let repository = init(&store).unwrap();
    let (name, sealed) = repository.seal_unpacked("index", b"{}", &SystemRandom).unwrap();
    let object = Object::Index(name);
    store.create(&object, sealed.clone()).unwrap();
    assert_eq!(repository.read_unpacked(&object).unwrap(), b"{}");
    let mut damaged = sealed.to_vec();
    damaged[20] ^= 1;
    store.overwrite(&object, damaged.into());
    let error = repository.read_unpacked(&object).unwrap_err();
    assert!(error.to_string().contains(&name.to_string()), "{error}");
    // A damaged index is a problem with a name, not the end of everything.
    let index = repository.index().unwrap();
    assert_eq!(index.problems().len(), 1);
    assert!(index.packs().is_empty());
}

#[test]
fn of_two_key_files_for_one_password_the_cheap_one_is_tried_first() {
    let store = Arc::new(MemoryStore::new());
    let made = init(&store).unwrap();
    for _ in 0..2 {
        made.add_key(NewPassword::Random(b"secret"), &maker(), &SystemRandom).unwrap();
    }
    let opened = Repository::open(store.clone(), Credential::Password(b"secret")).unwrap();
    assert!(!opened.key_file().unwrap().is_dearer_than(KdfParams::NONE));
    // Without them, and with something that is none, it opens as before.
    for (object, _) in store.list(Kind::Key).unwrap() {
        let bytes = store.read(&object).unwrap();
        if !KeyFile::parse(&bytes).unwrap().is_dearer_than(KdfParams::NONE) {
            store.overwrite(&object, Bytes::new());
        }
    }
    let opened = Repository::open(store, Credential::Password(b"secret")).unwrap();
    assert!(opened.key_file().unwrap().is_dearer_than(KdfParams::NONE));
}
