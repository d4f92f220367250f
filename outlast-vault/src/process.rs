//! A running vault: its threads, and how they end.

use outlast_types::{Environment, Interrupt};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use outlast_wire::{rest, server, tls};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::core::vault::Vault;
use crate::doors::rest::Host;
use crate::doors::{api, hearing};
use crate::{VaultConfig, VaultError};

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
    promises: Repeated,
    repositories: Repeated,
}

/// Something that is done again and again on a thread of its own.
struct Repeated {
    stop: Interrupt,
    /// Closed when the thread has let go of the vault.
    ended: mpsc::Receiver<()>,
    thread: JoinHandle<()>,
}

pub(crate) fn start(
    config: VaultConfig,
    environment: Environment,
) -> Result<VaultHandle, VaultError> {
    let listen = config.listen;
    let vault = Arc::new(Vault::open(config, environment)?);
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
    let router = rest::router(Arc::new(Host(Arc::clone(&vault))))
        .merge(api::router(Arc::clone(&vault)))
        .layer(from_fn_with_state(Arc::clone(&vault), hearing::note));
    let (stop_serving, stopped) = oneshot::channel();
    let serving = runtime.spawn(server::serve(
        listener,
        tls,
        router,
        server::Limits::default(),
        // The sender is gone only with the handle: that means the same.
        async { drop(stopped.await) },
    ));
    let promises = Repeated::start("vault-promises", TICK, &vault, |vault| vault.promises.tick())?;
    // Not on the thread of the promises: a disk that hangs must not keep us from telling of it.
    let look_after = Vault::look_after_repositories;
    let pause = vault.config.look_after;
    let repositories = Repeated::start("vault-repositories", pause, &vault, look_after)?;
    tracing::info!(%address, dir = %vault.config.dir.display(), "the vault serves");
    let running = Running { runtime, stop_serving, serving, promises, repositories };
    Ok(VaultHandle { address, vault, running: Some(running) })
}

impl Repeated {
    fn start(
        name: &'static str,
        pause: Duration,
        vault: &Arc<Vault>,
        work: impl Fn(&Vault) -> Result<(), VaultError> + Send + 'static,
    ) -> Result<Self, VaultError> {
        let stop = Interrupt::default();
        let stopped = stop.clone();
        let (ending, ended) = mpsc::channel();
        let watched = Arc::clone(vault);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                repeat(name, pause, &watched, work, &stopped);
                drop(watched);
                drop::<mpsc::Sender<()>>(ending);
            })
            .map_err(VaultError::io("start a thread of", &vault.config.dir))?;
        Ok(Self { stop, ended, thread })
    }

    fn end(self) {
        self.stop.request();
        if self.ended.recv_timeout(RUNTIME_DRAIN) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("a disk of the vault does not answer; ending all the same");
        } else if self.thread.join().is_err() {
            tracing::error!("a thread of the vault ended badly");
        }
    }
}

/// What cannot be done is an error every time: nobody must believe that promises and repositories
/// are watched when they are not. For the same reason nothing ends the loop early.
fn repeat(
    name: &str,
    pause: Duration,
    vault: &Vault,
    work: impl Fn(&Vault) -> Result<(), VaultError>,
    stopped: &Interrupt,
) {
    while !vault.environment.timer.pause(pause, stopped) {
        // A panic rolls the catalog back and leaves the ledger at facts that are true.
        match catch_unwind(AssertUnwindSafe(|| work(vault))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(name, %error, "cannot keep watch"),
            Err(_) => tracing::error!(name, "keeping watch failed badly; trying on"),
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

    /// What is wrong, if a part of it has ended by itself.
    pub fn fault(&self) -> Option<&'static str> {
        let running = self.running.as_ref()?;
        if running.serving.is_finished() {
            Some("the vault's server has ended")
        } else if running.promises.thread.is_finished() {
            Some("the vault's watch over promises has ended")
        } else if running.repositories.thread.is_finished() {
            Some("the vault's watch over repositories has ended")
        } else {
            None
        }
    }

    /// Ends: takes no more connections, lets requests under way end, commits.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        // Whoever is gone already needs no telling.
        let _ = running.stop_serving.send(());
        if let Err(error) = running.runtime.block_on(running.serving) {
            tracing::error!(%error, "the server ended badly");
        }
        running.runtime.shutdown_timeout(RUNTIME_DRAIN);
        running.repositories.end();
        running.promises.end();
        if let Err(error) = self.vault.promises.close() {
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
