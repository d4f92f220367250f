//! A running media server: its threads, and how they end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::middleware::from_fn;
use outlast_fs::durable;
use outlast_types::{Environment, Interrupt, Pulse};
use outlast_wire::api::{MediaReport, MediaReported, ShipmentName};
use outlast_wire::news_watch::NewsWatch;
use outlast_wire::renewal::Renewal;
use outlast_wire::server::{self, Gate, Limits, budget::Bounds};
use outlast_wire::{IdentityHandle, Role, rest, tls};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::config::{MediaConfig, MediaLimits};
use crate::control::{self, Control};
use crate::doors::{api, metrics, objects::Objects, order};
use crate::error::MediaError;
use crate::media::Media;
use crate::release::is_older;
use crate::status::MediaStatus;
use crate::words::Shipment;

/// Threads that move bytes; the work is done on others.
const RUNTIME_THREADS: usize = 2;
/// How long calls that still run may take to end at shutdown.
const RUNTIME_DRAIN: Duration = Duration::from_secs(8);
/// How often the vault hears how the spool is doing, and how much later at most.
const REPORT_EVERY: Duration = Duration::from_secs(30);
const REPORT_SPREAD: Duration = Duration::from_secs(10);
/// How often what agents said is handed in, if the vault has not heard it.
const WORDS_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked whether all answer.
const BEAT: Duration = Duration::from_secs(1);
/// How often it is looked what is over.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// Connections: fifty agents, each with several workloads, and operators.
const CONNECTIONS: Bounds = Bounds { total: 512, each: 48, kept: 16 };

/// A running media server.
pub struct MediaHandle {
    address: SocketAddr,
    media: Arc<Media>,
    directory: PathBuf,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    stop_serving: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<()>,
    stop: Interrupt,
    threads: Vec<JoinHandle<()>>,
    /// Closed when metrics are to be served on this host no more.
    _metrics: Option<oneshot::Sender<()>>,
}

/// Starts a media server and returns when it serves. Its work goes on in threads of its own until
/// [`MediaHandle::shutdown`].
pub fn start(config: MediaConfig, environment: Environment) -> Result<MediaHandle, MediaError> {
    let directory = config.dir.clone();
    durable::create_directories(&directory, 0o700).map_err(MediaError::io("make", &directory))?;
    let identity = IdentityHandle::open_by(&config.identity, &environment, config.names.clone())?;
    if identity.get().peer().role() != Role::Media {
        let peer = identity.get().peer().to_string();
        return Err(MediaError::WrongRole { directory: config.identity, peer });
    }
    let tls = tls::server_configs(&identity)
        .map_err(|source| MediaError::Tls { directory: config.identity.clone(), source })?;
    let media = Arc::new(Media::open(&config, identity, environment)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("media-io")
        .enable_all()
        .build()
        .map_err(MediaError::io("start the threads of", &directory))?;
    let listen = |at: SocketAddr| {
        let cannot = move |source| MediaError::Listen { address: at, source };
        let listener = runtime.block_on(TcpListener::bind(at)).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok::<_, MediaError>((listener, address))
    };
    let (listener, address) = listen(config.listen)?;
    let plain = match config.metrics_listen {
        None => None,
        Some(at) => {
            let (listener, address) = listen(at)?;
            let (stop, stopped) = oneshot::channel::<()>();
            let router = metrics::open_router(Arc::clone(&media));
            tracing::info!(%address, "metrics are served");
            // The sender is gone only with the handle.
            runtime.spawn(server::serve_plain(listener, router, async { drop(stopped.await) }));
            Some(stop)
        }
    };
    let control = Control::listen(&directory)?;
    let router = rest::router(Arc::new(Objects(Arc::clone(&media))))
        .merge(api::router(Arc::clone(&media)))
        .merge(metrics::router(Arc::clone(&media)))
        .layer(from_fn(order::judge));
    let gate = Gate::new(media.trust.clone(), |turned_away| {
        tracing::info!(who = turned_away.who, code = %turned_away.code, turned_away.reason, "turned away");
    });
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    let (stop_serving, stopped) = oneshot::channel::<()>();
    let serving = runtime
        .spawn(server::serve(listener, tls, gate, router, limits, async { drop(stopped.await) }));
    let stop = Interrupt::default();
    let threads = threads(&media, control, config.streams, &stop)
        .map_err(MediaError::io("start a thread of", &directory))?;
    tracing::info!(%address, dir = %directory.display(), spool = %media.spool.id(), "the media server serves");
    let running = Running { runtime, stop_serving, serving, stop, threads, _metrics: plain };
    Ok(MediaHandle { address, media, directory, running: Some(running) })
}

type Work = Box<dyn FnOnce(&Media, &Interrupt) + Send>;

fn threads(
    media: &Arc<Media>,
    control: Control,
    streams: usize,
    stop: &Interrupt,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let mut work: Vec<(&str, Work)> = vec![
        ("report", Box::new(keep_reporting)),
        ("words", Box::new(keep_telling)),
        ("tidy", Box::new(keep_tidy)),
        ("pulse", Box::new(keep_beating)),
        (
            "news",
            Box::new(|media, stop| {
                let watch = NewsWatch::new(&media.identity, &media.environment);
                let mut watch = watch.telling(&media.vault_heard);
                watch.keep_watching(&heeding(media, stop), stop);
            }),
        ),
        (
            "renewal",
            Box::new(|media, stop| {
                let mut renewal = Renewal::new(&media.identity, &media.environment);
                renewal.keep_doing(&heeding(media, stop), stop);
            }),
        ),
        ("control", Box::new(move |media, stop| control.keep_answering(media, stop))),
    ];
    for _ in 0..streams.max(1) {
        work.push(("forward", Box::new(|media, stop| media.keep_forwarding(stop))));
    }
    let mut threads = Vec::new();
    for (name, work) in work {
        let (media, stop) = (Arc::clone(media), stop.clone());
        let thread = std::thread::Builder::new().name(name.to_owned());
        threads.push(thread.spawn(move || work(&media, &stop))?);
    }
    Ok(threads)
}

/// A client of the vault whose calls end with the media server.
fn heeding(media: &Media, stop: &Interrupt) -> outlast_wire::ApiClient {
    let mut client = media.link.client().beside();
    client.heed(stop);
    client
}

/// Tells the vault how the spool is doing, again and again, and at once when its state is another.
fn keep_reporting(media: &Media, stop: &Interrupt) {
    let client = heeding(media, stop);
    let mut is_behind = None;
    loop {
        let state = media.state();
        let (asked, at) = (media.to_be_named(), media.now());
        let name =
            |(workload, drop): &Shipment| ShipmentName { workload: workload.clone(), drop: *drop };
        let shipments = asked.iter().map(name).collect();
        let reported = client.report_spool(&MediaReport { shipments, ..media.report() });
        if media.link.note(&reported).is_none() {
            match reported {
                Ok(reported) => {
                    media.vault_heard.beat();
                    judge_version(&reported, &mut is_behind);
                    let ended = |it: &&Shipment| reported.ended.contains(&name(it));
                    asked.iter().filter(ended).for_each(|shipment| media.ended(shipment, at));
                }
                Err(error) => {
                    tracing::warn!(%error, "the vault does not hear how the spool is doing")
                }
            }
        }
        let mut byte = [0];
        media.environment.random.fill(&mut byte);
        let mut left = REPORT_EVERY + REPORT_SPREAD * u32::from(byte[0]) / 255;
        while !left.is_zero() && media.state() == state {
            let pause = left.min(WORDS_EVERY);
            if media.environment.timer.pause(pause, stop) {
                return;
            }
            left -= pause;
        }
        if stop.is_requested() {
            return;
        }
    }
}

/// Says once if the vault is of an older release: upgrades go from the vault to the agents.
fn judge_version(reported: &MediaReported, said: &mut Option<String>) {
    let ours = env!("CARGO_PKG_VERSION");
    if is_older(&reported.version, ours) && said.as_ref() != Some(&reported.version) {
        tracing::error!(
            vault = reported.version,
            media = ours,
            "the vault is of an older release than this media server: upgrade the vault first, then media \
             servers, then agents"
        );
        *said = Some(reported.version.clone());
    }
}

fn keep_telling(media: &Media, stop: &Interrupt) {
    loop {
        media.hand_in_words();
        if media.environment.timer.pause(WORDS_EVERY, stop) {
            return;
        }
    }
}

/// Tells whoever watches that the spool and the queue answer.
fn keep_beating(media: &Media, stop: &Interrupt) {
    loop {
        // Whatever holds their locks for good is what a watchdog is for.
        media.spool.usage();
        media.queue.problems(media.environment.timer.elapsed());
        media.environment.pulse.beat();
        if media.environment.timer.pause(BEAT, stop) {
            return;
        }
    }
}

fn keep_tidy(media: &Media, stop: &Interrupt) {
    loop {
        media.tidy();
        if media.environment.timer.pause(TIDY_EVERY, stop) {
            return;
        }
    }
}

impl MediaHandle {
    /// Where it listens, with the port it was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address for clients on this host: `https://127.0.0.1:8444/`.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        format!("https://{address}/")
    }

    /// How it is doing.
    pub fn status(&self) -> MediaStatus {
        self.media.status()
    }

    /// As whom it speaks: `media/eu-1`.
    pub fn name(&self) -> String {
        format!("{}/{}", Role::Media, self.media.name())
    }

    /// Beaten whenever the vault was heard.
    pub fn vault_heard(&self) -> Pulse {
        self.media.vault_heard.clone()
    }

    /// What may change while it is at work, from now on.
    pub fn set_limits(&self, limits: MediaLimits) {
        self.media.set_limits(limits);
    }

    /// What is wrong, if a part of it has ended by itself.
    pub fn fault(&self) -> Option<&'static str> {
        let running = self.running.as_ref()?;
        if running.serving.is_finished() {
            Some("the media server's doors have closed")
        } else if running.threads.iter().any(JoinHandle::is_finished) {
            Some("a thread of the media server has ended")
        } else if !self.media.spool.is_in_place() {
            // The next start has a new one, and agents send again what waited.
            Some("the media server's spool was taken away")
        } else {
            None
        }
    }

    /// Ends: takes no more connections, lets requests under way end.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.stop.request();
        self.media.restores.stop();
        self.media.queue.wake_all();
        control::wake(&self.directory);
        // Whoever is gone already needs no telling.
        let _ = running.stop_serving.send(());
        if let Err(error) = running.runtime.block_on(running.serving) {
            tracing::error!(%error, "the server ended badly");
        }
        running.runtime.shutdown_timeout(RUNTIME_DRAIN);
        for thread in running.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the media server ended badly");
            }
        }
        tracing::info!(address = %self.address, "the media server ended");
    }
}

impl Drop for MediaHandle {
    fn drop(&mut self) {
        self.stop();
    }
}
