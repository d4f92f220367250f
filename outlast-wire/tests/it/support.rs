//! A server over a directory or memory, and identities to talk to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outlast_store::{DirectoryStore, Kind, Object, Store, Verb};
use outlast_types::{Clock, SystemClock, SystemRandom, Timestamp, WorkloadName};
use outlast_wire::grants::WorkloadPattern;
use outlast_wire::rest::{HostError, Incoming, RepositoryHost, Sender, Whole};
use outlast_wire::server::{Gate, Limits, serve};
use outlast_wire::{
    CertificateAuthority, Grants, Identity, IdentityHandle, Peer, RestStore, Role, Trust, ca, rest,
    tls,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub(crate) struct World {
    directory: tempfile::TempDir,
    authority: CertificateAuthority,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca");
        let long_ago = SystemClock.now().saturating_sub(Duration::from_secs(365 * 86_400));
        let authority =
            CertificateAuthority::create(&path, &Stopped(long_ago), &SystemRandom).unwrap();
        Self { directory, authority }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn identity(&self, role: Role) -> Identity {
        self.identity_at(role, |now| now)
    }

    /// An identity, valid for an hour, by a clock that is wrong.
    pub(crate) fn identity_at(&self, role: Role, when: fn(Timestamp) -> Timestamp) -> Identity {
        self.identity_by(role, when(SystemClock.now()))
    }

    /// The identity of a peer by another name.
    pub(crate) fn named(&self, role: Role, name: &str) -> Identity {
        self.identity_of(Peer::new(role, name).unwrap(), SystemClock.now())
    }

    /// An identity of one moment, by an authority that was there long before.
    pub(crate) fn identity_by(&self, role: Role, at: Timestamp) -> Identity {
        self.identity_of(Peer::new(role, "test").unwrap(), at)
    }

    fn identity_of(&self, peer: Peer, at: Timestamp) -> Identity {
        let role = peer.role();
        let hosts = match role {
            Role::Vault => ["localhost", "vault.test", "127.0.0.1"].map(str::to_owned).to_vec(),
            _ => Vec::new(),
        };
        let request = ca::Request { hosts, ..ca::Request::new(peer, Duration::from_secs(3600)) };
        self.authority.issue(&request, &Stopped(at), &SystemRandom).unwrap()
    }

    /// An identity that may touch the workloads that a pattern means.
    pub(crate) fn identity_granted(&self, role: Role, pattern: &str) -> Identity {
        let peer = Peer::new(role, "test").unwrap();
        let grants = Grants::of([WorkloadPattern::new(pattern).unwrap()]).unwrap();
        let request = ca::Request { grants, ..ca::Request::new(peer, Duration::from_secs(3600)) };
        self.authority.issue(&request, &SystemClock, &SystemRandom).unwrap()
    }

    /// An identity in a directory, as stock restic takes it: also one with grants in it, which restic
    /// knows nothing of.
    pub(crate) fn saved_identity(&self, role: Role) -> PathBuf {
        let path = self.path().join(role.as_str());
        let grants = ["shop-*", "crm-db"].map(|text| WorkloadPattern::new(text).unwrap());
        let peer = Peer::new(role, "test").unwrap();
        let request = ca::Request {
            grants: Grants::of(grants).unwrap(),
            ..ca::Request::new(peer, Duration::from_secs(3600))
        };
        self.authority.issue(&request, &SystemClock, &SystemRandom).unwrap().save(&path).unwrap();
        path
    }

    /// A server that keeps repositories in directories.
    pub(crate) fn server(&self) -> Server {
        let host = Host { root: self.path().join("repos"), stores: Mutex::default() };
        self.serve(host, Limits::default())
    }

    /// A server with one repository, `shop-db`, in `store`.
    pub(crate) fn server_of(&self, store: Arc<dyn Store>, limits: Limits) -> Server {
        let stores = HashMap::from([(workload(), store)]);
        self.serve(Host { root: self.path().join("repos"), stores: Mutex::new(stores) }, limits)
    }

    fn serve(&self, host: Host, limits: Limits) -> Server {
        self.serve_router(rest::router(Arc::new(host)), limits)
    }

    pub(crate) fn serve_router(&self, router: axum::Router, limits: Limits) -> Server {
        let handle = IdentityHandle::from(self.identity(Role::Vault));
        let tls = tls::server_config(&handle.get()).unwrap();
        let clock = Arc::new(SystemClock) as Arc<dyn Clock>;
        let gate = Gate::new(Trust::new(&handle, &clock), |_| ());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            runtime.block_on(serve(
                listener,
                move || Arc::clone(&tls),
                gate,
                router,
                limits,
                async {
                    stopped.await.ok();
                },
            ));
        });
        Server { address, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn store(&self, server: &Server, role: Role) -> RestStore {
        RestStore::open(&server.repository(), Some(&self.identity(role))).unwrap()
    }
}

struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/", self.address.port())
    }

    /// The address of the repository `shop-db`.
    pub(crate) fn repository(&self) -> String {
        format!("rest:https://localhost:{}/repo/shop-db/", self.address.port())
    }

    /// Tells the server to stop, without waiting.
    pub(crate) fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.begin_stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

struct Host {
    root: PathBuf,
    stores: Mutex<HashMap<WorkloadName, Arc<dyn Store>>>,
}

impl RepositoryHost for Host {
    fn store(
        &self,
        _peer: &Peer,
        workload: &WorkloadName,
        _verb: Verb,
    ) -> Result<Arc<dyn Store>, HostError> {
        let stores = self.stores.lock().unwrap();
        let store = stores.get(workload).cloned();
        store.ok_or_else(|| HostError::Unknown { workload: workload.clone() })
    }

    fn create(&self, _peer: &Peer, workload: &WorkloadName) -> Result<(), HostError> {
        let store = DirectoryStore::create_layout(&self.root.join(workload.as_str()));
        let store = store.map_err(|error| HostError::Unable {
            workload: workload.clone(),
            reason: error.to_string(),
        })?;
        self.stores.lock().unwrap().insert(workload.clone(), Arc::new(store));
        Ok(())
    }

    /// Takes whatever fits its name.
    fn receive(
        &self,
        sender: Sender<'_>,
        workload: &WorkloadName,
        object: &Object,
    ) -> Result<Box<dyn Incoming>, HostError> {
        let (store, object) = (self.store(sender.peer, workload, Verb::Create)?, *object);
        Ok(Box::new(Whole::new(move |content: Bytes| Ok(store.create(&object, content)?))))
    }

    fn remove(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        object: &Object,
    ) -> Result<(), HostError> {
        Ok(self.store(peer, workload, Verb::Remove)?.remove(object)?)
    }
}

pub(crate) fn workload() -> WorkloadName {
    WorkloadName::new("shop-db").unwrap()
}

pub(crate) fn name_of(content: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, content);
    digest.as_ref().try_into().unwrap()
}

/// An object of `kind` with content that fits its name.
pub(crate) fn sample(kind: Kind, text: &str) -> (Object, Bytes) {
    let content = Bytes::from(text.to_owned());
    (Object::new(kind, name_of(&content)), content)
}

/// Waits until `condition` holds, at most two minutes: nobody waits so long but for what never comes.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within 120 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}
