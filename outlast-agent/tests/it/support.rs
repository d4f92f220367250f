//! A share, an authority, a vault and agents, in one temporary directory.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use outlast_agent::{Agent, AgentConfig, PassReport, Shutdown, Upstream};
use outlast_drop::{
    Claims, Content, DropAddress, DropWriter, ReceiptState, Share, SignedReceipt, WriterOptions,
    receipt,
};
use outlast_repo::{Repository, read, restore};
use outlast_testing::ManualTime;
use outlast_testing::hostile::{Hostile, Mounted};
use outlast_types::{
    Clock, Environment, Silent, SystemClock, SystemRandom, Timestamp, WorkloadName,
};
use outlast_vault::{VaultConfig, VaultHandle};
use outlast_wire::Peer;
use outlast_wire::api::{Holder, IncidentView, RevokeOrder};
use outlast_wire::{
    ApiClient, CertificateAuthority, Identity, IdentityHandle, Role, ca, signature,
};

/// The vault's clock: it goes on by itself, and as far ahead as the agent's was set. A vault takes no
/// drop from an agent whose clock is far from its own.
struct VaultClock {
    agent: ManualTime,
    began: Timestamp,
}

impl Clock for VaultClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().saturating_add(self.agent.now().since(self.began))
    }
}

fn vault_environment(agent: &ManualTime, began: Timestamp) -> Environment {
    let clock = Arc::new(VaultClock { agent: agent.clone(), began });
    Environment { clock, ..Environment::system() }
}

pub(crate) struct World {
    /// Mounts below the directory, which go before it.
    pub(crate) mounts: Vec<Mounted>,
    directory: tempfile::TempDir,
    authority: CertificateAuthority,
    pub(crate) share: Share,
    pub(crate) clock: ManualTime,
    /// What the agent's clock showed at first.
    began: Timestamp,
    pub(crate) vault: VaultHandle,
    vault_config: VaultConfig,
    pub(crate) keep: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(tempfile::tempdir().unwrap(), Vec::new())
    }

    /// A world whose share is on a hostile file system: mounted once for the agent (at the share's
    /// path), and once for writers, at `writers`. `None`, with a note, where there is no FUSE.
    pub(crate) fn on(server: &Hostile) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mount = |name: &str| server.mount(&directory.path().join(name)).unwrap();
        let mounts = vec![mount("share")?, mount("writers")?];
        Some(Self::with(directory, mounts))
    }

    fn with(directory: tempfile::TempDir, mounts: Vec<Mounted>) -> Self {
        let path = |name: &str| directory.path().join(name);
        let authority =
            CertificateAuthority::create(&path("ca"), &SystemClock, &SystemRandom).unwrap();
        issue(&authority, Role::Vault, "main").save(&path("vault-identity")).unwrap();
        issue(&authority, Role::Agent, "eu-1").save(&path("agent-identity")).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = VaultConfig::new(&path("vault"), listen, &path("vault-identity"));
        let began = SystemClock.now();
        let clock = ManualTime::hurrying(began);
        let vault = outlast_vault::start(config.clone(), vault_environment(&clock, began)).unwrap();
        // A vault that is started again is found at the same address.
        let vault_config = VaultConfig { listen: vault.address(), ..config };
        let share = Share::init(&path("share"), &SystemClock, &SystemRandom).unwrap();
        let keep = 2;
        Self { mounts, directory, authority, share, clock, began, vault, vault_config, keep }
    }

    /// Stops the vault, does `meanwhile`, and starts it again.
    pub(crate) fn without_vault(mut self, meanwhile: impl FnOnce(&Share)) -> Self {
        self.vault.shutdown();
        meanwhile(&self.share);
        self.vault = outlast_vault::start(
            self.vault_config.clone(),
            vault_environment(&self.clock, self.began),
        )
        .unwrap();
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn identity(&self, role: Role) -> Identity {
        issue(&self.authority, role, "other")
    }

    pub(crate) fn config(&self) -> AgentConfig {
        AgentConfig {
            grace: Duration::from_secs(60),
            keep: self.keep,
            ..AgentConfig::new(
                self.share.path(),
                &self.path("state"),
                &self.vault.url(),
                &self.path("agent-identity"),
            )
        }
    }

    pub(crate) fn environment(&self) -> Environment {
        self.clock.environment()
    }

    /// An agent, new or started again.
    pub(crate) fn agent(&self) -> Agent {
        Agent::start(self.config(), self.environment()).unwrap()
    }

    /// An agent with another configuration than usual.
    pub(crate) fn agent_with(&self, change: impl FnOnce(&mut AgentConfig)) -> Agent {
        let mut config = self.config();
        change(&mut config);
        Agent::start(config, self.environment()).unwrap()
    }

    /// An agent whose way to the vault is `wrapped`.
    pub(crate) fn agent_over(
        &self,
        wrap: impl FnOnce(outlast_agent::Vault) -> Box<dyn Upstream>,
    ) -> Agent {
        self.agent_over_with(|_| (), wrap)
    }

    /// The same, with another configuration than usual.
    pub(crate) fn agent_over_with(
        &self,
        change: impl FnOnce(&mut AgentConfig),
        wrap: impl FnOnce(outlast_agent::Vault) -> Box<dyn Upstream>,
    ) -> Agent {
        let identity = IdentityHandle::from(Identity::load(&self.path("agent-identity")).unwrap());
        let url = self.vault.url();
        let vault = outlast_agent::Vault::new(&url, identity.clone(), self.environment()).unwrap();
        let mut config = self.config();
        change(&mut config);
        Agent::with_upstream(config, self.environment(), identity, wrap(vault)).unwrap()
    }

    /// A writer at work, with small segments.
    pub(crate) fn writer(&self, workload: &str, content: Content) -> DropWriter {
        let claims = Claims { instance: Some("blue-1".to_owned()), ..Claims::default() };
        let options = WriterOptions { segment_bytes: 100_000, ..WriterOptions::default() };
        let workload = name(workload);
        let share = &self.share;
        DropWriter::create(share, &workload, content, claims, options, &SystemClock, &SystemRandom)
            .unwrap()
    }

    /// A sealed drop of one stream.
    pub(crate) fn dump(&self, workload: &str, content: &[u8]) -> DropAddress {
        let mut writer = self.writer(workload, Content::stream("dump.sql").unwrap());
        writer.write_all(content).unwrap();
        let address = writer.address().clone();
        writer.seal(&SystemClock).unwrap();
        address
    }

    pub(crate) fn has(&self, address: &DropAddress, state: ReceiptState) -> bool {
        self.receipt(address, state).is_some()
    }

    pub(crate) fn receipt(
        &self,
        address: &DropAddress,
        state: ReceiptState,
    ) -> Option<SignedReceipt> {
        receipt::read(&self.share, &address.workload, address.drop, state).unwrap()
    }

    /// Who signed a receipt, by our authority's word.
    pub(crate) fn signer(&self, signed: &SignedReceipt) -> Peer {
        let ca_pem = self.authority.ca_pem();
        signed.verify(|pem, bytes, proof| signature::verify(pem, ca_pem, bytes, proof)).unwrap()
    }

    pub(crate) fn data_is_on_the_share(&self, address: &DropAddress) -> bool {
        self.share.drop_directory(address).join("0001.seg").exists()
    }

    /// Overwrites or makes a file in a drop, as somebody with access to the share can.
    pub(crate) fn tamper(&self, address: &DropAddress, file: &str, content: &[u8]) {
        let path = self.share.drop_directory(address).join(file);
        File::create(path).unwrap().write_all(content).unwrap();
    }

    /// Revokes all certificates of a vault's name, by the vault's word.
    pub(crate) fn revoke_vault(&self, name: &str) {
        let holder = Some(Holder { role: Role::Vault, name: name.to_owned() });
        let order = RevokeOrder { holder, certificate: None, reason: None };
        self.api().revoke(&order).unwrap();
    }

    fn operator(&self) -> Identity {
        issue(&self.authority, Role::Operator, "ops")
    }

    pub(crate) fn api(&self) -> ApiClient {
        ApiClient::new(&self.vault.url(), &self.operator()).unwrap()
    }

    /// Incidents that are open at the vault.
    pub(crate) fn incidents(&self) -> Vec<IncidentView> {
        let mut incidents = self.api().incidents().unwrap();
        incidents.retain(|incident| incident.resolved.is_none());
        incidents
    }

    /// The workload's repository as an operator opens it.
    pub(crate) fn repository(&self, workload: &str) -> Repository {
        let operator = self.operator().into();
        let url = self.vault.url();
        let vault = outlast_agent::Vault::new(&url, operator, self.environment()).unwrap();
        vault.open(&name(workload), &Shutdown::default()).unwrap()
    }

    pub(crate) fn snapshots(&self, workload: &str) -> usize {
        read::snapshots(&self.repository(workload)).unwrap().list.len()
    }

    /// Restores the newest snapshot of a workload.
    pub(crate) fn restore(&self, workload: &str) -> PathBuf {
        let repository = self.repository(workload);
        let newest = read::resolve(&repository, "latest").unwrap();
        let target = self.path("restored").join(newest.id.to_string());
        let options = restore::Options { verify: true, privileged: true, ..Default::default() };
        let summary =
            restore::restore(&repository, newest.snapshot.tree, &target, &options, &Silent)
                .unwrap();
        assert!(summary.problems.is_empty(), "{:?}", summary.problems);
        target
    }
}

pub(crate) fn name(workload: &str) -> WorkloadName {
    WorkloadName::new(workload).unwrap()
}

fn issue(authority: &CertificateAuthority, role: Role, name: &str) -> Identity {
    let hosts = match role {
        Role::Vault | Role::Media => vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
        _ => Vec::new(),
    };
    let peer = Peer::new(role, name).unwrap();
    // Long enough for tests that move the clocks by hours: its end is told when a third is left.
    let request =
        ca::Request { hosts, ..ca::Request::new(peer, Duration::from_secs(30 * 24 * 3600)) };
    authority.issue(&request, &SystemClock, &SystemRandom).unwrap()
}

pub(crate) fn pass(agent: &mut Agent) -> PassReport {
    agent.pass(&Shutdown::default())
}

/// A pass that must have nothing to complain of.
pub(crate) fn good_pass(agent: &mut Agent) -> PassReport {
    let report = pass(agent);
    assert_eq!(report.problems, []);
    report
}

pub(crate) fn files_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
