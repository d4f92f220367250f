//! A share, an agent's desk, and a vault with one backup.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use outlast_drop::fetch::Wanted;
use outlast_format::config::Version;
use outlast_format::crypto::Key;
use outlast_fs::FileTime;
use outlast_repo::backup::{self, Input, Options, StreamInput};
use outlast_repo::{Credential, Repository, restore};
use outlast_store::{Kind as ObjectKind, MemoryStore, Object, Store, StoreError};
use outlast_testing::ManualTime;
use outlast_types::{Clock as _, ProblemCode, Silent, SystemClock, SystemRandom, Timestamp};
use outlast_wire::client::FetchCallError;
use outlast_wire::fetching::{BackupAnswer, Decided, GrantedBackup};
use outlast_wire::receipts::Authority;
use outlast_wire::ticket::Ticket;
use outlast_wire::{CallError, CertificateAuthority, Identity, Peer, Role, ca};

use super::super::*;
use crate::answers::{AskedBy, Asking, Seen};
use crate::upstream::UpstreamError;

pub(super) fn shop() -> WorkloadName {
    WorkloadName::new("shop-db").unwrap()
}

pub(super) fn blog() -> WorkloadName {
    WorkloadName::new("blog").unwrap()
}

/// A store that counts what is read of packs, and stops giving after a while.
pub(super) struct Counting {
    pub(super) inner: MemoryStore,
    pub(super) read: AtomicU64,
    pub(super) left: AtomicU64,
}

impl Store for Counting {
    fn location(&self) -> String {
        "the vault".to_owned()
    }
    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        self.inner.create(object, content)
    }
    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.inner.read(object)
    }
    fn read_range(&self, object: &Object, at: u64, length: usize) -> Result<Bytes, StoreError> {
        let bytes = length as u64;
        let left = self.left.load(Ordering::SeqCst);
        if left < bytes {
            let (object, location) = (*object, self.location());
            let source = io::ErrorKind::ConnectionReset.into();
            return Err(StoreError::Io { verb: "read", object, location, source });
        }
        self.left.fetch_sub(bytes, Ordering::SeqCst);
        self.read.fetch_add(bytes, Ordering::SeqCst);
        self.inner.read_range(object, at, length)
    }
    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.inner.size(object)
    }
    fn list(&self, kind: ObjectKind) -> Result<Vec<(Object, u64)>, StoreError> {
        self.inner.list(kind)
    }
    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.inner.remove(object)
    }
}

/// What the vault says.
#[derive(Clone)]
pub(super) enum Policy {
    Grants,
    Says(Decision),
    IsAway,
}

/// A vault with one backup of each workload.
pub(super) struct Vault {
    pub(super) store: Arc<Counting>,
    pub(super) key: Key,
    pub(super) backup: GrantedBackup,
    pub(super) identity: Identity,
    pub(super) agent: Identity,
    pub(super) policy: Mutex<Policy>,
    pub(super) asked: Mutex<Vec<Question>>,
    pub(super) opened: AtomicUsize,
}

impl Vault {
    pub(super) fn asked(&self) -> MutexGuard<'_, Vec<Question>> {
        self.asked.lock().unwrap()
    }

    pub(super) fn says(&self, policy: Policy) {
        *self.policy.lock().unwrap() = policy;
    }
}

impl Grants for Vault {
    fn ask(&self, question: &Question) -> Result<(Decided, BackupAnswer), FetchCallError> {
        let decision = match self.policy.lock().unwrap().clone() {
            Policy::IsAway => {
                let location = "https://vault/".to_owned();
                let source = io::ErrorKind::ConnectionRefused.into();
                return Err(CallError::Unreachable { location, source }.into());
            }
            Policy::Says(decision) => decision,
            Policy::Grants => {
                // Each workload's is another snapshot.
                let snapshot = match question.workload == shop() {
                    true => self.backup.snapshot,
                    false => "0b".repeat(32).parse().unwrap(),
                };
                Decision::Granted(GrantedBackup { snapshot, ..self.backup.clone() })
            }
        };
        self.asked().push(question.clone());
        let is_granted = matches!(decision, Decision::Granted(_));
        let decided = Decided {
            share: question.share,
            workload: question.workload.clone(),
            wanted: question.wanted,
            requests: question.requests.clone(),
            at: SystemClock.now(),
            decision,
        };
        let tree = outlast_types::BlobId([1; 32]);
        let (agent, now) = (self.agent.certified(), SystemClock.now());
        let ticket = Ticket::to_read(agent, &question.workload, tree, now);
        let ticket = is_granted.then(|| ticket.sign(&self.identity).unwrap());
        let decision = decided.sign(&self.identity).unwrap();
        Ok((decided, BackupAnswer { decision, ticket }))
    }

    fn open(
        &self,
        _: &WorkloadName,
        _: &Statement,
        _: &Shutdown,
    ) -> Result<Repository, UpstreamError> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let store: Arc<dyn Store> = self.store.clone();
        Ok(Repository::open(store, Credential::Key(self.key.clone()))?)
    }
}

pub(super) struct World {
    pub(super) directory: tempfile::TempDir,
    pub(super) share: Share,
    pub(super) vault: Arc<Vault>,
    pub(super) content: Vec<u8>,
    pub(super) time: ManualTime,
    pub(super) rules: FetchRules,
    pub(super) environment: Environment,
}

pub(super) fn content(bytes: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

pub(super) fn issue(authority: &CertificateAuthority, role: Role) -> Identity {
    let request = ca::Request::new(Peer::new(role, "it").unwrap(), Duration::from_secs(3600));
    authority.issue(&request, &SystemClock, &SystemRandom).unwrap()
}

impl World {
    pub(super) fn new(bytes: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let authority =
            CertificateAuthority::create(&path("ca"), &SystemClock, &SystemRandom).unwrap();
        let share = Share::init(&path("share"), &SystemClock, &SystemRandom).unwrap();
        for workload in [shop(), blog()] {
            fs::create_dir_all(share.workload_directory(&workload)).unwrap();
        }
        let content = content(bytes);
        let store = Arc::new(Counting {
            inner: MemoryStore::new(),
            read: AtomicU64::new(0),
            left: AtomicU64::new(u64::MAX),
        });
        let key = Key::generate(&SystemRandom);
        let repository =
            Repository::keyed(store.clone(), key.clone(), Version::V2, &SystemRandom).unwrap();
        let input = Input::Stream(StreamInput {
            name: b"shop.sql".to_vec(),
            mode: 0o644,
            modified: FileTime { seconds: 1, nanos: 0 },
            reader: Box::new(&content[..]),
        });
        let options = Options::new(Timestamp::EPOCH);
        let made =
            backup::backup(&repository, input, &options, &SystemClock, &SystemRandom, &Silent);
        let backup = GrantedBackup {
            drop: "01a2066b-8649-78cb-a8bc-a5af0e952507".parse().unwrap(),
            snapshot: "0a".repeat(32).parse().unwrap(),
            tree: made.unwrap().snapshot.tree,
            size: bytes as u64,
            received: Timestamp::EPOCH,
            counts: true,
        };
        store.read.store(0, Ordering::SeqCst);
        let vault = Arc::new(Vault {
            store,
            key,
            backup,
            identity: issue(&authority, Role::Vault),
            agent: issue(&authority, Role::Agent),
            policy: Mutex::new(Policy::Grants),
            asked: Mutex::default(),
            opened: AtomicUsize::new(0),
        });
        let time = ManualTime::hurrying(SystemClock.now());
        let environment = time.environment();
        let rules = FetchRules { asked_by: AskedBy::Anyone, ..FetchRules::default() };
        Self { directory, share, vault, content, time, rules, environment }
    }

    pub(super) fn authority(&self) -> Authority {
        Authority::of(&self.vault.agent)
    }

    pub(super) fn desk(&self) -> (Desk, Arc<Hatch>) {
        let hatch = Arc::new(Hatch::default());
        hatch.serve(Some(self.share.clone()), false);
        let state = self.directory.path().join("state");
        let desk = Desk::new(DeskParts {
            rules: self.rules.clone(),
            vault: self.vault.clone(),
            hatch: Arc::clone(&hatch),
            identity: self.agent_identity(),
            environment: self.environment.clone(),
            directory: state.join("answers"),
            scratch: state.join("cache"),
        });
        (desk, hatch)
    }

    pub(super) fn agent_identity(&self) -> IdentityHandle {
        let path = self.directory.path().join("agent-identity");
        if !path.exists() {
            self.vault.agent.save(&path).unwrap();
        }
        Identity::load(&path).unwrap().into()
    }

    pub(super) fn ask<'a>(
        &'a self,
        workload: &'a WorkloadName,
        authority: &'a Authority,
    ) -> Asking<'a> {
        let wanted = Wanted::Newest;
        Asking::begin(&self.share, workload, wanted, None, authority, &self.environment).unwrap()
    }

    /// The content as an instance gets it.
    pub(super) fn fetched(&self, asking: &Asking<'_>, name: &str) -> Vec<u8> {
        let Seen::Whole(ready) = asking.look().unwrap() else { panic!("it is not whole") };
        let into = self.directory.path().join(name);
        let options = restore::Options::default();
        let summary =
            restore::restore(&ready.repository, ready.backup.tree, &into, &options, &Silent);
        assert!(summary.unwrap().problems.is_empty());
        fs::read(into.join("shop.sql")).unwrap()
    }

    pub(super) fn answers(&self, workload: &WorkloadName) -> Vec<String> {
        let place = Place::find_answers(&self.share, workload).unwrap();
        place.map(|place| place.list(1000).unwrap().answers).unwrap_or_default()
    }
}

/// Passes until nothing is read any more.
pub(super) fn settle(desk: &mut Desk) {
    desk.pass();
    while let Some(reading) = &desk.reading {
        while !reading.has_ended() {
            std::thread::yield_now();
        }
        desk.pass();
    }
}

pub(super) fn codes(hatch: &Hatch) -> Vec<ProblemCode> {
    hatch.problems().iter().map(|problem| problem.met.code()).collect()
}
