//! A running vault: its threads, and how they end.

mod alerting;
mod awaited;
mod config;
mod directory;
mod error;
mod ground;
mod here;
mod hold;
mod kit;
mod policy_file;
mod recover;
mod state_tree;
mod workers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use outlast_catalog::{Catalog, CatalogError};
use outlast_fs::{DirectoryLock, durable};
use outlast_types::Environment;
use outlast_wire::outside::{Couriers, Telling};
use outlast_wire::server::Gate;
use outlast_wire::{CertificateAuthority, IdentityHandle, Roads, Role, rest, server, tls};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use self::directory::{DirectoryStorage, IDENTITY, existing, lock_directory};
use self::ground::HostGround;
use self::hold::Hold;
use self::policy_file::{PolicyOf, policy_of};
use self::workers::{Work, Workers};
use crate::core::audit::{self, AuditAction, AuditHead, AuditSelection, AuditVerdict, Event};
use crate::core::error::VaultError;
use crate::core::months::{self, MonthVerdict};
use crate::core::opening::Parts;
use crate::core::recovery::{self, Rebuilt};
use crate::core::upkeep;
use crate::core::vault::{OpenIssuer, Vault};
use crate::doors::turns::{self, Turns};
use crate::doors::{api, hearing, metrics, rest::Host};

pub use self::awaited::{Awaited, awaited_since};
pub use self::config::{ConfigFile, NewConfig, VaultConfig, listen_address};
pub use self::error::StartError;
pub use self::ground::{DrillGround, drill_ground};
pub use self::kit::{Kit, KitError, KitOrder, KitSummary, MadeKitOutcome, make_kit};
pub use self::recover::{IDENTITY_PLACE, RecoverError, Recovered, Recovery, recover};

/// Threads that move bytes; the work is done on others.
const RUNTIME_THREADS: usize = 2;
/// How long calls that still run may take to end at shutdown, and then jobs.
const RUNTIME_DRAIN: Duration = Duration::from_secs(10);

/// A running vault.
pub struct VaultHandle {
    address: SocketAddr,
    /// As it was taken over last: by which it begins again.
    config: Arc<Mutex<VaultConfig>>,
    environment: Environment,
    /// `None` if it could not begin again.
    serving: Mutex<Option<Serving>>,
}

/// A vault at work on its directory.
struct Serving {
    address: SocketAddr,
    vault: Arc<Vault>,
    running: Option<Running>,
    /// Held until the end: two vaults on one directory would publish one drop twice.
    _lock: DirectoryLock,
    /// The same for repositories, which may lie elsewhere.
    hold: Hold,
}

struct Running {
    runtime: Runtime,
    stop_serving: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<()>,
    workers: Workers,
    couriers: Couriers,
    /// Closed when metrics are to be served on this host no more.
    _metrics: Option<oneshot::Sender<()>>,
}

/// Starts a vault and returns when it serves. Its work goes on in threads of its own until
/// [`VaultHandle::shutdown`].
pub fn start(config: VaultConfig, environment: Environment) -> Result<VaultHandle, StartError> {
    let config = Arc::new(Mutex::new(config));
    let serving = serve(&config, environment.clone())?;
    let address = serving.address;
    // Whoever knows where it is finds it there when it begins again.
    config.lock().unwrap_or_else(PoisonError::into_inner).listen = address;
    Ok(VaultHandle { address, config, environment, serving: Mutex::new(Some(serving)) })
}

fn serve(known: &Arc<Mutex<VaultConfig>>, environment: Environment) -> Result<Serving, StartError> {
    let config = &known.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let listen = config.listen;
    let (vault, lock, hold) = open(config, PolicyOf::new(known), environment)?;
    let vault = Arc::new(vault);
    let tls = tls::server_configs(&vault.identity)
        .map_err(|source| StartError::Tls { directory: config.identity.clone(), source })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("vault-io")
        .enable_all()
        .build()
        .map_err(StartError::io("start the threads of", &config.dir))?;
    let cannot = |source| StartError::Listen { address: listen, source };
    let listener = runtime.block_on(TcpListener::bind(listen)).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let router = rest::router(Arc::new(Host(Arc::clone(&vault))))
        .merge(api::router(Arc::clone(&vault)))
        .merge(metrics::router(Arc::clone(&vault)))
        .layer(from_fn_with_state(Arc::clone(&vault), hearing::note))
        .layer(from_fn_with_state(Arc::new(Turns::new(&vault)), turns::in_turn))
        .layer(from_fn_with_state(Arc::clone(&vault), metrics::count));
    let plain = match config.metrics_listen {
        Some(at) => Some(serve_metrics(&runtime, &vault, at)?),
        None => None,
    };
    let gate = Gate::new(vault.trust.clone(), hearing::turned_away(Arc::clone(&vault)));
    let (stop_serving, stopped) = oneshot::channel();
    let serving = runtime.spawn(server::serve(
        listener,
        tls,
        gate,
        router,
        server::Limits::default(),
        // The sender is gone only with the handle: that means the same.
        async { drop(stopped.await) },
    ));
    alerting::announce(&config.routes);
    let jobs = upkeep::jobs(every(config));
    let couriers = couriers_of(&vault, config);
    let carrying = couriers.clone();
    let carry: Work = Box::new(move |stop| carrying.keep_carrying(stop));
    let workers = Workers::start(&vault, jobs, [("alerts".to_owned(), carry)])
        .map_err(StartError::io("start a thread of", &config.dir))?;
    tracing::info!(%address, dir = %config.dir.display(), "the vault serves");
    let running = Running { runtime, stop_serving, serving, workers, couriers, _metrics: plain };
    Ok(Serving { address, vault, running: Some(running), _lock: lock, hold })
}

/// What carries alerts.
fn couriers_of(vault: &Arc<Vault>, config: &VaultConfig) -> Couriers {
    let name = vault.identity.get().peer().name().to_owned();
    let roads = Roads::through(config.proxies.clone());
    let telling = Arc::clone(&vault.alerts) as Arc<dyn Telling>;
    Couriers::new(telling, &name, &vault.environment, roads, &config.routes)
}

fn every(config: &VaultConfig) -> upkeep::Every {
    upkeep::Every {
        look_after: config.look_after,
        save_state: config.save_state,
        scrub: config.scrub.look_every(),
        drill: config.drills.look_every(),
    }
}

/// Serves metrics on an address of this host until what comes back is dropped.
fn serve_metrics(
    runtime: &Runtime,
    vault: &Arc<Vault>,
    at: SocketAddr,
) -> Result<oneshot::Sender<()>, StartError> {
    let cannot = |source| StartError::Listen { address: at, source };
    let listener = runtime.block_on(TcpListener::bind(at)).map_err(cannot)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let router = metrics::open_router(Arc::clone(vault));
    tracing::info!(address = %listener.local_addr().map_err(cannot)?, "metrics are served");
    // The sender is gone only with the handle.
    runtime.spawn(server::serve_plain(listener, router, async { drop(stopped.await) }));
    Ok(stop)
}

/// Rebuilds the catalog's snapshots, of a vault that does not run, from repositories and arrival
/// records (I6). Incidents and the promise ledger are kept if the catalog can still be read; else
/// the ledger begins anew from what the repositories hold.
pub fn rebuild(config: &VaultConfig, environment: &Environment) -> Result<Rebuilt, StartError> {
    let _lock = lock_directory(&config.dir)?;
    let storage = DirectoryStorage::open(&config.dir);
    let storage = storage.map_err(StartError::io("create the folders of", &config.dir))?;
    storage.hold()?;
    let catalog = open_catalog(&config.dir)?;
    Ok(recovery::rebuild(&(Arc::new(storage) as _), &catalog, environment)?)
}

/// Looks at the whole audit log in a vault's directory, whether a vault runs on it or not. `known` is
/// what somebody wrote down of it elsewhere.
pub fn verify_audit(dir: &Path, known: Option<AuditHead>) -> Result<AuditVerdict, StartError> {
    Ok(audit::verify(&existing(dir)?, known).map_err(VaultError::from)?)
}

/// Looks at the entries of one month in the audit log of a vault's directory, and whether its frozen report is
/// what they say; `None` if the log tells of no such month by itself.
pub fn verify_month(dir: &Path, month: &str) -> Result<Option<MonthVerdict>, StartError> {
    Ok(months::verify(&existing(dir)?, month).map_err(VaultError::from)?)
}

/// Hands out the lines of the audit log in a vault's directory, as they are.
pub fn export_audit(
    dir: &Path,
    asked: &AuditSelection,
    take: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<(), StartError> {
    Ok(audit::export(&existing(dir)?, asked, take).map_err(VaultError::from)?)
}

/// Opens the vault in a directory, which is locked.
fn open(
    config: &VaultConfig,
    policy_file: PolicyOf,
    environment: Environment,
) -> Result<(Vault, DirectoryLock, Hold), StartError> {
    let identity = IdentityHandle::open_by(&config.identity, &environment, config.names.clone())?;
    if identity.get().peer().role() != Role::Vault {
        let peer = identity.get().peer().to_string();
        return Err(StartError::WrongRole { directory: config.identity.clone(), peer });
    }
    if let Some(directory) = &config.issuer {
        // A mistake is told now, and not when somebody asks for a certificate.
        CertificateAuthority::open(directory)?;
    }
    let lock = lock_directory(&config.dir)?;
    recover::require_whole(&config.dir)?;
    let storage = DirectoryStorage::open(&config.dir);
    let storage = storage.map_err(StartError::io("create the folders of", &config.dir))?;
    let hold = storage.hold()?;
    storage.make_durable()?;
    let storage = storage.saving(IDENTITY, &config.identity);
    let storage = config.save_too.iter().fold(storage, |it, (name, place)| it.saving(name, place));
    let scratch = config.scratch.clone().unwrap_or_else(|| config.dir.join("scratch"));
    let ground = Arc::new(HostGround::open(&scratch, config.drill_time_max, &environment));
    if config.drills.wants_loads()
        && let Some(reason) = drill_ground().unable
    {
        tracing::warn!(
            reason,
            "policy wants backups loaded in drills, and none can be here: they are read; docs/drills.md says what it takes"
        );
    }
    let parts = Parts {
        storage: Arc::new(storage),
        catalog: open_catalog(&config.dir)?,
        identity,
        issuer: config.issuer.clone().map(|directory| {
            Arc::new(move || CertificateAuthority::open(&directory)) as OpenIssuer
        }),
        names: config.names.clone(),
        policy: policy_of(config),
        policy_file: Arc::new(policy_file),
        scrub: config.scrub,
        ground: Some(ground),
        zone: config.zone.clone(),
        process: here::process(),
        environment,
        routes: config.routes.iter().map(|config| config.route.clone()).collect(),
    };
    Ok((Vault::open(parts)?, lock, hold))
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

    /// Misses none of the media servers that it knows, unless they speak again: whoever runs this vault
    /// does without.
    pub fn dismiss_media_servers(&self) {
        if let Some(serving) = &*self.serving() {
            serving.vault.spools.dismiss_all();
        }
    }

    /// Ends and begins anew where an operator gave a workload another name: nothing may be at work while
    /// its repository moves. Callers are turned away for a moment, and come again.
    pub fn begin_again_if_due(&self) {
        let mut serving = self.serving();
        if !serving.as_ref().is_some_and(|serving| serving.vault.begins_again()) {
            return;
        }
        tracing::warn!("the vault ends and begins anew, to give a workload its new name");
        drop(serving.take());
        match serve(&self.config, self.environment.clone()) {
            Ok(begun) => *serving = Some(begun),
            Err(error) => tracing::error!(%error, "the vault cannot begin anew"),
        }
    }

    fn serving(&self) -> MutexGuard<'_, Option<Serving>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a configuration says of promises, content, keeping, agents and routes, while this vault
    /// is at work; the rest of it takes effect after a restart.
    pub fn adopt(&self, config: &VaultConfig) -> Result<(), StartError> {
        if let Some(serving) = &*self.serving() {
            let event = Event::by_vault(AuditAction::PolicyAdopted);
            serving.vault.take_policy(event, policy_of(config))?;
            let routes = config.routes.iter().map(|config| config.route.clone()).collect();
            serving.vault.alerts.reroute(routes)?;
            if let Some(running) = &serving.running {
                alerting::announce(&config.routes);
                running.couriers.set(&config.routes);
            }
        }
        let mut known = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        *known = VaultConfig { listen: known.listen, ..config.clone() };
        Ok(())
    }

    /// What is wrong, if a part of it has ended by itself.
    pub fn fault(&self) -> Option<&'static str> {
        let serving = self.serving();
        let Some(serving) = &*serving else { return Some("the vault could not begin anew") };
        let running = serving.running.as_ref()?;
        if running.serving.is_finished() {
            Some("the vault's server has ended")
        } else if running.workers.has_lost_one() {
            Some("a job of the vault has ended")
        } else {
            None
        }
    }

    /// Ends: takes no more connections, lets requests under way end, commits.
    pub fn shutdown(self) {
        drop(self.serving().take());
    }
}

impl Serving {
    fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        // Whoever is gone already needs no telling.
        let _ = running.stop_serving.send(());
        if let Err(error) = running.runtime.block_on(running.serving) {
            tracing::error!(%error, "the server ended badly");
        }
        running.runtime.shutdown_timeout(RUNTIME_DRAIN);
        for job in running.workers.end(RUNTIME_DRAIN) {
            tracing::error!(
                job,
                "does not end, as on a disk that does not answer; ending all the same"
            );
        }
        if let Err(error) = self.vault.note_kits() {
            tracing::error!(%error, "cannot tell the audit log of recovery kits");
        }
        if let Err(error) = self.vault.audit.flush(true) {
            tracing::error!(%error, "cannot write the audit log");
        }
        if let Err(error) = self.vault.limits.write() {
            tracing::error!(%error, "cannot write what agents used");
        }
        match self.vault.save_own_state_at_end() {
            Ok(said) => tracing::debug!("the vault's own state: {said}"),
            // The next start saves it.
            Err(error) => tracing::warn!(%error, "the vault's own state is not saved to the end"),
        }
        if let Err(error) = self.vault.promises.close() {
            tracing::error!(%error, "cannot commit the promise ledger");
        }
        tracing::info!(address = %self.address, "the vault ended");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop();
        // A job that hangs must not keep the next vault from them.
        self.hold.release();
    }
}

/// Opens the catalog; one that is damaged is removed, to be filled again.
fn open_catalog(dir: &Path) -> Result<Catalog, StartError> {
    let path = dir.join("catalog.sqlite");
    match Catalog::open(&path) {
        Err(error @ CatalogError::Damaged { .. }) => {
            tracing::error!(%error, "rebuilding the catalog; past incidents are in the log only");
            for suffix in ["", "-wal", "-shm"] {
                let file = PathBuf::from(format!("{}{suffix}", path.display()));
                match durable::remove_file(&file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(StartError::io("remove", file)(error));
                    }
                    _ => {}
                }
            }
            Ok(Catalog::open(&path)?)
        }
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests;
