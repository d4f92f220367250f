//! A running vault: its threads, and how they end.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use outlast_wire::{rest, server, tls};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::host::Host;
use crate::vault::Vault;
use crate::{Doors, VaultConfig, VaultError, api};

/// How often promises are looked at when nothing happens.
const TICK: Duration = Duration::from_secs(1);
/// Threads that move bytes; the work is done on others.
const RUNTIME_THREADS: usize = 2;
/// How long calls that still run may take to end at shutdown.
const RUNTIME_DRAIN: Duration = Duration::from_secs(10);

/// A running vault.
pub struct VaultHandle {
    address: SocketAddr,
    vault: Arc<Vault>,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    stop_serving: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<()>,
    stop_ticking: mpsc::Sender<()>,
    ticking: JoinHandle<()>,
}

pub(crate) fn start(config: VaultConfig, doors: Doors) -> Result<VaultHandle, VaultError> {
    let listen = config.listen;
    let vault = Arc::new(Vault::open(config, doors)?);
    let tls = tls::server_config(&vault.identity)
        .map_err(|source| VaultError::Tls { directory: vault.config.identity.clone(), source })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("vault-io")
        .enable_all()
        .build()
        .map_err(VaultError::io("start the threads of", &vault.config.dir))?;
    let cannot = |source| VaultError::Listen { address: listen, source };
    let listener = runtime.block_on(TcpListener::bind(listen)).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let router =
        rest::router(Arc::new(Host(Arc::clone(&vault)))).merge(api::router(Arc::clone(&vault)));
    let (stop_serving, stopped) = oneshot::channel();
    let serving = runtime.spawn(server::serve(
        listener,
        tls,
        router,
        server::Limits::default(),
        // The sender is gone only with the handle: that means the same.
        async { drop(stopped.await) },
    ));
    let (stop_ticking, ticks) = mpsc::channel();
    let watched = Arc::clone(&vault);
    let ticking = std::thread::Builder::new()
        .name("vault-promises".to_owned())
        .spawn(move || keep_watch(&watched, &ticks))
        .map_err(VaultError::io("start a thread of", &vault.config.dir))?;
    tracing::info!(%address, dir = %vault.config.dir.display(), "the vault serves");
    let running = Running { runtime, stop_serving, serving, stop_ticking, ticking };
    Ok(VaultHandle { address, vault, running: Some(running) })
}

/// The promise loop. A catalog that cannot be written is an error every time: nobody must believe
/// that promises are watched when they are not. For the same reason nothing ends the loop early.
fn keep_watch(vault: &Vault, stopped: &mpsc::Receiver<()>) {
    while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        // A panic rolls the catalog back and leaves the ledger at facts that are true.
        match catch_unwind(AssertUnwindSafe(|| vault.watch.tick())) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "cannot keep account of promises"),
            Err(_) => tracing::error!("looking at promises failed badly; trying on"),
        }
    }
}

impl VaultHandle {
    /// Where it listens, with the port it was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address for clients on this host: `https://127.0.0.1:8443/`.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        format!("https://{address}/")
    }

    /// Ends: takes no more connections, lets requests under way end, commits.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        // Whoever is gone already needs no telling.
        let _ = running.stop_serving.send(());
        let _ = running.stop_ticking.send(());
        if let Err(error) = running.runtime.block_on(running.serving) {
            tracing::error!(%error, "the server ended badly");
        }
        running.runtime.shutdown_timeout(RUNTIME_DRAIN);
        if running.ticking.join().is_err() {
            tracing::error!("the promise loop ended badly");
        }
        if let Err(error) = self.vault.watch.close() {
            tracing::error!(%error, "cannot commit the promise ledger");
        }
        tracing::info!(address = %self.address, "the vault ended");
    }
}

impl Drop for VaultHandle {
    fn drop(&mut self) {
        self.stop();
    }
}
