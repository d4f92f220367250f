//! A vault in memory, and bills as an agent writes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outlast_catalog::Catalog;
use outlast_civil::Zone;
use outlast_format::snapshot::Snapshot;
use outlast_fs::FileTime;
use outlast_promise::Settings;
use outlast_repo::backup::{self, Input, Options, Outcome, StreamInput};
use outlast_repo::lock::Holder;
use outlast_types::{
    Clock as _, ContentHash, DropId, Environment, ShareId, Silent, SystemClock, SystemRandom,
    WorkloadName,
};
use outlast_wire::Peer;
use outlast_wire::api::{BILL_VERSION, Base64, BilledName, BilledObject, Shipment};
use outlast_wire::names::Names;
use outlast_wire::{CertificateAuthority, Identity, Role, ca};

use super::audit::{self, AuditAction, AuditSelection};
use super::drills::{DrillPolicy, Ground};
use super::error::VaultError;
use super::limits::LimitPolicy;
use super::opening::Parts;
use super::policy::{Policy, SanityPolicy};
use super::retention::RetentionPolicy;
use super::scrubs::ScrubPolicy;
use super::storage::memory::MemoryStorage;
use super::vault::{NewPolicy, OpenIssuer, PolicyFile, Process, TakePolicy, Vault};

impl Vault {
    /// Hands in a bill of which all is here: the text of the receipt.
    pub(crate) fn publish<'a>(
        &self,
        shipment: &Shipment,
        agent: impl Into<audit::Asker<'a>>,
    ) -> Result<String, VaultError> {
        let answer = self.hand_in(shipment, agent)?;
        Ok(answer.receipt.unwrap_or_else(|| panic!("it waits: {:?}", answer.pending)))
    }
}

/// No policy is written anywhere.
struct NoFile;

impl PolicyFile for NoFile {
    fn apply(
        &self,
        _name: &str,
        _text: &str,
        _take: &mut TakePolicy<'_>,
    ) -> Result<Vec<String>, VaultError> {
        Err(VaultError::BadPolicy { reason: "there is no file".to_owned() })
    }

    fn judge(&self, _name: &str, _text: &str) -> Result<Vec<String>, VaultError> {
        Err(VaultError::BadPolicy { reason: "there is no file".to_owned() })
    }
}

/// The agent that ships.
pub(crate) const AGENT: &str = "road-1";

/// What a vault is made of, and outlives it.
pub(crate) struct World {
    /// The catalog is a file, whatever else is memory.
    pub(crate) directory: tempfile::TempDir,
    pub(crate) storage: Arc<MemoryStorage>,
    pub(crate) limits: LimitPolicy,
    pub(crate) sanity: SanityPolicy,
    pub(crate) fetch: BTreeMap<WorkloadName, Duration>,
    pub(crate) retention: RetentionPolicy,
    pub(crate) environment: Environment,
    pub(crate) scrub: ScrubPolicy,
    pub(crate) drills: DrillPolicy,
    pub(crate) ground: Option<Arc<dyn Ground>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        identity(directory.path(), Role::Vault, "main")
            .save(&directory.path().join("identity"))
            .unwrap();
        let (limits, sanity) = (LimitPolicy::default(), SanityPolicy::default());
        let (fetch, retention) = (BTreeMap::new(), RetentionPolicy::default());
        Self {
            directory,
            storage: Arc::default(),
            limits,
            sanity,
            fetch,
            retention,
            environment: Environment::system(),
            scrub: ScrubPolicy::default(),
            drills: DrillPolicy::default(),
            ground: None,
        }
    }

    /// Opens the vault, as a start does.
    pub(crate) fn open(&self) -> Arc<Vault> {
        let path = self.directory.path();
        let ca = path.join("ca");
        let issuer: OpenIssuer = Arc::new(move || CertificateAuthority::open(&ca));
        let parts = Parts {
            storage: Arc::clone(&self.storage) as _,
            catalog: Catalog::open(&path.join("catalog.sqlite")).unwrap(),
            identity: Identity::load(&path.join("identity")).unwrap().into(),
            issuer: Some(issuer),
            names: Names::default(),
            policy: NewPolicy {
                settings: Settings::default(),
                limits: self.limits.clone(),
                policy: Policy::new(BTreeMap::new(), self.sanity.clone())
                    .letting_fetch(self.fetch.clone())
                    .keeping(self.retention.clone()),
                drills: self.drills.clone(),
            },
            policy_file: Arc::new(NoFile),
            scrub: self.scrub,
            ground: self.ground.clone(),
            zone: Zone::utc(),
            process: Process { holder: holder(), lives: |_| true },
            environment: self.environment.clone(),
            routes: Vec::new(),
        };
        Arc::new(Vault::open(parts).unwrap())
    }

    /// How many entries of this action are in the audit log.
    pub(crate) fn entries(&self, action: &AuditAction) -> usize {
        let part = format!("\"action\":\"{action}\"");
        let mut count = 0;
        let mut take = |line: &[u8]| {
            count += usize::from(String::from_utf8_lossy(line).contains(&part));
            Ok(())
        };
        audit::export(&*self.storage, &AuditSelection::default(), &mut take).unwrap();
        count
    }
}

fn holder() -> Holder {
    let (hostname, username) = ("here".to_owned(), "vault".to_owned());
    Holder { hostname, username, pid: 1, uid: 0, gid: 0 }
}

/// A new identity that the vault in `directory` believes.
pub(crate) fn identity(directory: &Path, role: Role, name: &str) -> Identity {
    let ca = directory.join("ca");
    let authority = CertificateAuthority::open_or_create(&ca, &SystemClock, &SystemRandom).unwrap();
    let peer = Peer::new(role, name).unwrap();
    let request = ca::Request::new(peer, Duration::from_secs(3600));
    authority.issue(&request, &SystemClock, &SystemRandom).unwrap()
}

pub(crate) fn agent() -> Peer {
    Peer::new(Role::Agent, AGENT).unwrap()
}

pub(crate) fn shop() -> WorkloadName {
    WorkloadName::new("shop-db").unwrap()
}

/// Brings `content` into the workload's repository, as an agent does; nothing is published.
pub(crate) fn upload(vault: &Vault, workload: &WorkloadName, content: &[u8]) -> Outcome {
    let repository = vault.open_or_make(&agent(), workload).unwrap();
    let opened = repository.opened_afresh().unwrap();
    let input = Input::Stream(StreamInput {
        name: b"shop.sql".to_vec(),
        mode: 0o644,
        modified: FileTime { seconds: 1_790_000_000, nanos: 0 },
        reader: Box::new(content),
    });
    let options = Options::new(SystemClock.now());
    backup::backup(&opened, input, &options, &SystemClock, &SystemRandom, &Silent).unwrap()
}

/// The bill of what was uploaded, for a new drop.
pub(crate) fn bill(vault: &Vault, workload: &WorkloadName, outcome: &Outcome) -> Shipment {
    let drop = DropId::new(&SystemClock, &SystemRandom);
    let honest = Snapshot {
        hostname: workload.to_string(),
        username: AGENT.to_owned(),
        tags: vec![format!("drop:{drop}")],
        ..outcome.snapshot.clone()
    };
    let repository = vault.repositories.get(workload).unwrap();
    let opened = repository.opened().unwrap();
    let document = honest.serialize().unwrap();
    let (snapshot_id, sealed) = opened.seal_unpacked("snapshot", &document, &SystemRandom).unwrap();
    let object = |name, size: &u64| BilledObject { name, size: *size };
    let packs = outcome.packs.iter().map(|(id, size)| object(BilledName::Data(*id), size));
    let indexes = outcome.indexes.iter().map(|(id, size)| object(BilledName::Index(*id), size));
    Shipment {
        version: BILL_VERSION,
        share: ShareId::new(&SystemRandom),
        workload: workload.clone(),
        day: drop.claimed_time().day(),
        drop,
        seal: ContentHash([9; 32]),
        size: 7,
        tree: honest.tree,
        snapshot_id,
        snapshot: Base64(sealed.to_vec()),
        objects: packs.chain(indexes).collect(),
        claims: serde_json::json!({"instance": "blue-1"}),
        packs: None,
        sanity: None,
        sanity_rule: None,
        first_seen: None,
        other: Default::default(),
        called: None,
    }
}
