//! A vault, media servers before it, and an agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use outlast_civil::{Calendar, Rate};
use outlast_format::crypto::Key;
use outlast_media::{MediaConfig, MediaHandle, MediaLimits, Room};
use outlast_repo::{Credential, Repository};
use outlast_types::{Clock, Environment, SystemClock, Timestamp, WorkloadName};
use outlast_vault::VaultHandle;
use outlast_wire::api::{BillAnswer, Shipment};
use outlast_wire::names::Names;
use outlast_wire::{ApiClient, CallError, Proxies, Role, ticket};

use crate::support::{Agent, World, eventually};

const GIB: u64 = 1 << 30;

/// A vault in a directory of its own, which may be away.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) vault: Option<VaultHandle>,
    url: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let mut world = World::new();
        let vault = world.start();
        // It comes back where it was.
        world.config.listen = vault.address();
        let url = vault.url();
        Self { world, vault: Some(vault), url }
    }

    pub(crate) fn vault_leaves(&mut self) {
        self.vault.take().unwrap().shutdown();
    }

    pub(crate) fn vault_is_back(&mut self) {
        self.vault = Some(self.world.start());
    }

    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        self.world.path().join(name)
    }

    pub(crate) fn config(&self, name: &str) -> MediaConfig {
        let identity = self.directory(&format!("{name}-identity"));
        if !identity.exists() {
            self.world.identity(Role::Media, name).save(&identity).unwrap();
        }
        config_in(self.world.path(), name, self.url.clone(), limits(Rate::Unlimited))
    }

    pub(crate) fn media(&self, name: &str) -> MediaHandle {
        self.start(self.config(name))
    }

    /// One that forwards nothing until its calendar is another.
    pub(crate) fn closed(&self, name: &str) -> MediaHandle {
        self.start(MediaConfig { limits: limits(Rate::PerSecond(0)), ..self.config(name) })
    }

    pub(crate) fn start(&self, config: MediaConfig) -> MediaHandle {
        outlast_media::start(config, Environment::system()).unwrap()
    }

    /// One whose clock is ahead of all others'.
    pub(crate) fn start_ahead(&self, config: MediaConfig, ahead: Duration) -> MediaHandle {
        let environment = Environment { clock: Arc::new(Ahead(ahead)), ..Environment::system() };
        outlast_media::start(config, environment).unwrap()
    }

    pub(crate) fn snapshots(&self, workload: &WorkloadName) -> usize {
        self.world.snapshot_files(workload).len()
    }
}

/// A clock that is ahead by so much.
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().saturating_add(self.0)
    }
}

/// A media server of this name in a world's directory, where its identity is.
pub(crate) fn config_in(
    world: &Path,
    name: &str,
    upstream: String,
    limits: MediaLimits,
) -> MediaConfig {
    MediaConfig {
        dir: world.join(name),
        listen: "127.0.0.1:0".parse().unwrap(),
        metrics_listen: None,
        identity: world.join(format!("{name}-identity")),
        names: Names::default(),
        upstream,
        proxies: Proxies::default(),
        streams: 4,
        limits,
    }
}

pub(crate) fn limits(rate: Rate) -> MediaLimits {
    MediaLimits {
        room: Room { total: GIB, each: GIB },
        cache: 64 << 20,
        calendar: Calendar::always(rate),
        restores: Rate::Unlimited,
    }
}

/// Opens the repository as an agent that is asked to do so by another media server, or again.
pub(crate) fn open_at(agent: &Agent, url: &str, workload: &WorkloadName) -> Repository {
    let client = ApiClient::new(url, &agent.identity).unwrap();
    client.speak_of(agent.share);
    let mut opened = client.open_workload(workload, agent.speaker()).unwrap();
    if let Some(ticket) = &opened.ticket {
        opened.store.show_ticket(&ticket::header_text(ticket).unwrap());
    }
    let key = Key::from_bytes(&opened.key);
    Repository::open(Arc::new(opened.store), Credential::Key(key)).unwrap()
}

/// Hands in a bill until the vault has published it.
pub(crate) fn vaulted(agent: &Agent, bill: &Shipment) -> String {
    eventually("the drop is vaulted", || match hand_in(agent, bill) {
        Ok(answer) => answer.receipt,
        // Objects are still on their way.
        Err(CallError::Refused { status: 409, .. } | CallError::Unable { .. }) => None,
        Err(error) => panic!("{error}"),
    })
}

pub(crate) fn hand_in(agent: &Agent, bill: &Shipment) -> Result<BillAnswer, CallError> {
    agent.client.hand_in_bill(bill, &agent.identity)
}

/// Waits until nothing is in the spool.
pub(crate) fn emptied(media: &MediaHandle) {
    eventually("the spool is empty", || (media.status().report.objects == 0).then_some(()));
}
