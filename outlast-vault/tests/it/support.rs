//! A vault in a directory of its own, with identities for everybody.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outlast_format::crypto::Key;
use outlast_format::snapshot::Snapshot;
use outlast_fs::{FileTime, durable};
use outlast_promise::Promise;
use outlast_repo::backup::{self, Input, Options, Outcome, StreamInput};
use outlast_repo::{Credential, RepoError, Repository};
use outlast_testing::ManualTime;
use outlast_types::{
    ContentHash, DropId, Environment, ShareId, Silent, SystemClock, SystemRandom, WorkloadName,
};
use outlast_vault::{VaultConfig, VaultHandle};
use outlast_wire::Peer;
use outlast_wire::api::{
    AgentReport, BILL_VERSION, Base64, BilledName, BilledObject, Pass, Shipment, Vaulted,
    WorkloadReport,
};
use outlast_wire::grants::WorkloadPattern;
use outlast_wire::{
    ApiClient, CallError, CertificateAuthority, Grants, Identity, Role, Speaker, ca, ticket,
};

pub(crate) struct World {
    directory: tempfile::TempDir,
    authority: CertificateAuthority,
    pub(crate) config: VaultConfig,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca");
        let authority = CertificateAuthority::create(&path, &SystemClock, &SystemRandom).unwrap();
        let identity = directory.path().join("vault-identity");
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = VaultConfig::new(&directory.path().join("vault"), listen, &identity);
        let world = Self { directory, authority, config };
        world.identity(Role::Vault, "main").save(&identity).unwrap();
        world
    }

    /// Promises of `rpo`, and agents that may be silent for `deadline`.
    pub(crate) fn hurried(rpo: Duration, deadline: Duration) -> Self {
        let mut world = Self::new();
        world.config.policy = Promise::new(rpo, "team-shop").unwrap().into();
        world.config.agent_deadline = deadline;
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn identity(&self, role: Role, name: &str) -> Identity {
        self.identity_for(role, name, Duration::from_secs(3600))
    }

    /// An identity that is valid for `lifetime` from now.
    pub(crate) fn identity_for(&self, role: Role, name: &str, lifetime: Duration) -> Identity {
        self.identity_granted(role, name, lifetime, Grants::all())
    }

    /// An identity that may touch the workloads that a pattern means.
    pub(crate) fn identity_of(&self, role: Role, name: &str, pattern: &str) -> Identity {
        self.identity_granted(role, name, Duration::from_secs(3600), grants(&[pattern]))
    }

    fn identity_granted(
        &self,
        role: Role,
        name: &str,
        lifetime: Duration,
        grants: Grants,
    ) -> Identity {
        let hosts = match role {
            Role::Vault | Role::Media => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            _ => Vec::new(),
        };
        let peer = Peer::new(role, name).unwrap();
        self.issue(&ca::Request { hosts, grants, ..ca::Request::new(peer, lifetime) })
    }

    pub(crate) fn issue(&self, request: &ca::Request) -> Identity {
        self.authority.issue(request, &SystemClock, &SystemRandom).unwrap()
    }

    pub(crate) fn start(&self) -> VaultHandle {
        outlast_vault::start(self.config.clone(), Environment::system()).unwrap()
    }

    /// A vault whose clock goes when the test says so.
    pub(crate) fn start_at(&self, time: &ManualTime) -> VaultHandle {
        let clock = Arc::new(time.clone());
        let environment = Environment { clock, ..Environment::system() };
        outlast_vault::start(self.config.clone(), environment).unwrap()
    }

    pub(crate) fn client(&self, vault: &VaultHandle, role: Role) -> ApiClient {
        ApiClient::new(&vault.url(), &self.identity(role, "road-1")).unwrap()
    }

    pub(crate) fn agent(&self, vault: &VaultHandle) -> Agent {
        self.agent_at(&vault.url())
    }

    pub(crate) fn agent_at(&self, url: &str) -> Agent {
        Agent::new(url, self.identity(Role::Agent, "road-1"))
    }

    pub(crate) fn repository_directory(&self, workload: &WorkloadName) -> PathBuf {
        self.config.dir.join("repos").join(workload.as_str())
    }

    pub(crate) fn snapshot_files(&self, workload: &WorkloadName) -> Vec<PathBuf> {
        let directory = self.repository_directory(workload).join("snapshots");
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
        // What a killed writer left half-done is no snapshot.
        let whole = entries.filter(|entry| !durable::is_temporary(&entry.file_name()));
        whole.map(|entry| entry.path()).collect()
    }
}

pub(crate) fn grants(patterns: &[&str]) -> Grants {
    let patterns = patterns.iter().map(|pattern| WorkloadPattern::new(pattern).unwrap());
    Grants::of(patterns).unwrap()
}

pub(crate) fn speaker(identity: &Identity) -> Speaker<'_> {
    Speaker { identity, clock: &SystemClock }
}

pub(crate) fn shop() -> WorkloadName {
    WorkloadName::new("shop-db").unwrap()
}

/// What an agent does, without a share.
pub(crate) struct Agent {
    pub(crate) identity: Identity,
    pub(crate) client: ApiClient,
    pub(crate) share: ShareId,
}

impl Agent {
    pub(crate) fn new(url: &str, identity: Identity) -> Self {
        let client = ApiClient::new(url, &identity).unwrap();
        Self { identity, client, share: ShareId::new(&SystemRandom) }
    }

    pub(crate) fn speaker(&self) -> Speaker<'_> {
        speaker(&self.identity)
    }

    /// Hands in a bill, signed.
    pub(crate) fn hand_in(&self, bill: &Shipment) -> Result<Vaulted, CallError> {
        self.client.ship(bill, &self.identity)
    }

    /// Asks for the repository and opens it over the wire.
    pub(crate) fn open(&self, workload: &WorkloadName) -> Repository {
        let mut opened = self.client.open_workload(workload, self.speaker()).unwrap();
        if let Some(ticket) = &opened.ticket {
            opened.store.show_ticket(&ticket::header_text(ticket).unwrap());
        }
        let key = Key::from_bytes(&opened.key);
        Repository::open(Arc::new(opened.store), Credential::Key(key)).unwrap()
    }

    /// Brings `content` into the repository; nothing is published.
    pub(crate) fn upload(&self, workload: &WorkloadName, content: &[u8]) -> Outcome {
        self.upload_to(&self.open(workload), content)
    }

    /// The same, into a repository that is open.
    pub(crate) fn upload_to(&self, repository: &Repository, content: &[u8]) -> Outcome {
        self.try_upload_to(repository, content).unwrap()
    }

    /// The same, which may fail.
    pub(crate) fn try_upload_to(
        &self,
        repository: &Repository,
        content: &[u8],
    ) -> Result<Outcome, RepoError> {
        let input = Input::Stream(StreamInput {
            name: b"shop.sql".to_vec(),
            mode: 0o644,
            modified: FileTime { seconds: 1_790_000_000, nanos: 0 },
            reader: Box::new(content),
        });
        let options = Options::new(outlast_types::Clock::now(&SystemClock));
        backup::backup(repository, input, &options, &SystemClock, &SystemRandom, &Silent)
    }

    /// The bill of lading of what was uploaded, for a new drop.
    pub(crate) fn bill(&self, workload: &WorkloadName, outcome: &Outcome) -> Shipment {
        self.bill_of(workload, outcome, DropId::new(&SystemClock, &SystemRandom))
    }

    /// The bill of lading of what was uploaded for `drop`. Its snapshot says of itself what the
    /// vault expects.
    pub(crate) fn bill_of(
        &self,
        workload: &WorkloadName,
        outcome: &Outcome,
        drop: DropId,
    ) -> Shipment {
        let honest = Snapshot {
            hostname: workload.to_string(),
            username: self.identity.peer().name().to_owned(),
            tags: vec![format!("drop:{drop}")],
            ..outcome.snapshot.clone()
        };
        self.bill_with(workload, outcome, drop, &honest)
    }

    /// The same with any `snapshot`.
    pub(crate) fn bill_with(
        &self,
        workload: &WorkloadName,
        outcome: &Outcome,
        drop: DropId,
        snapshot: &Snapshot,
    ) -> Shipment {
        let document = snapshot.serialize().unwrap();
        let repository = self.open(workload);
        let (snapshot_id, sealed) =
            repository.seal_unpacked("snapshot", &document, &SystemRandom).unwrap();
        let object = |name, size: &u64| BilledObject { name, size: *size };
        let packs = outcome.packs.iter().map(|(id, size)| object(BilledName::Data(*id), size));
        let indexes = outcome.indexes.iter().map(|(id, size)| object(BilledName::Index(*id), size));
        Shipment {
            version: BILL_VERSION,
            share: self.share,
            workload: workload.clone(),
            day: drop.claimed_time().day(),
            drop,
            seal: ContentHash([9; 32]),
            size: 7,
            tree: snapshot.tree,
            snapshot_id,
            snapshot: Base64(sealed.to_vec()),
            objects: packs.chain(indexes).collect(),
            claims: serde_json::json!({"instance": "blue-1", "time": "1999-01-01T00:00:00Z"}),
            packs: None,
            sanity: None,
            sanity_rule: None,
            first_seen: None,
            other: Default::default(),
            called: None,
        }
    }

    /// One whole drop, vaulted.
    pub(crate) fn ship(&self, workload: &WorkloadName, content: &[u8]) -> Shipment {
        let bill = self.bill(workload, &self.upload(workload, content));
        self.hand_in(&bill).unwrap();
        bill
    }

    pub(crate) fn report(&self, workloads: Vec<WorkloadReport>, problems: Vec<String>) {
        self.client.report(&self.report_of(workloads, problems), self.speaker()).unwrap();
    }

    /// What a pass over the share saw.
    pub(crate) fn report_of(
        &self,
        workloads: Vec<WorkloadReport>,
        problems: Vec<String>,
    ) -> AgentReport {
        let now = outlast_types::Clock::now(&SystemClock);
        let pass = Pass { started: now, finished: now };
        AgentReport {
            share: self.share,
            pass,
            part: 1,
            parts: 1,
            workloads,
            problems,
            details: Vec::new(),
            share_usable: None,
            tenure: None,
            figures: None,
            handovers: Vec::new(),
            other: Default::default(),
        }
    }
}

/// Waits until `ready` gives something, at most 30 seconds.
pub(crate) fn eventually<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        std::thread::sleep(Duration::from_millis(50));
    }
}
