//! The vault watches over agents and media servers; this is how they watch over it.
//!
//! A role that has heard nothing from its vault for longer than a time tells that by routes of its own: once
//! that it is silent, and once that it is back. It has a desk like a vault's, kept in a file of the role's own
//! directory, so a restart tells nothing twice; and threads of its own, so nothing that is shipped waits for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use outlast_alert::{Desk, DeskError, Kind, News, Pending, Route};
use outlast_fs::durable;
use outlast_types::pulse::{Pulse, PulseWatch};
use outlast_types::{Environment, Interrupt, Owner, Timestamp, human};

use super::carriers::Undelivered;
use super::couriers::{Couriers, NotNoted, Telling};
use super::destination::RouteConfig;
use crate::road::Roads;

/// How often it is looked whether the vault was heard.
const LOOK: Duration = Duration::from_secs(1);
/// A role that makes no step for so long has no heartbeat.
const STALLED: Duration = Duration::from_secs(1800);
const FILE: &str = "alerts.json";
const FILE_BYTES_MAX: u64 = 1 << 20;
const FILE_MODE: u32 = 0o600;
const CODE: &str = outlast_alert::VAULT_SILENT;

/// How a role watches over its vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookoutConfig {
    /// How long nothing may be heard of the vault.
    pub after: Duration,
    pub routes: Vec<RouteConfig>,
}

/// Who watches.
pub struct Watcher<'a> {
    /// Such as `agent/eu-1`.
    pub name: &'a str,
    /// The vault's address, as it is configured.
    pub vault: &'a str,
    /// What the silence means here, as a sentence.
    pub means: &'static str,
    /// Where what was told is remembered.
    pub directory: &'a Path,
    /// Beaten whenever the vault was heard.
    pub heard: Pulse,
}

/// Watches over the vault, in threads of its own.
pub struct Lookout {
    silence: Arc<Silence>,
    couriers: Couriers,
    stop: Interrupt,
    threads: Vec<JoinHandle<()>>,
}

impl Lookout {
    /// Begins to watch.
    pub fn start(
        watcher: &Watcher<'_>,
        config: &LookoutConfig,
        environment: &Environment,
        roads: Roads,
    ) -> std::io::Result<Self> {
        let silence = Arc::new(Silence::open(watcher, config, environment));
        let telling = Arc::clone(&silence) as Arc<dyn Telling>;
        let couriers = Couriers::new(telling, watcher.name, environment, roads, &config.routes);
        let stop = Interrupt::default();
        let mut lookout = Self { silence, couriers, stop, threads: Vec::new() };
        let (silence, stop) = (Arc::clone(&lookout.silence), lookout.stop.clone());
        let thread = thread::Builder::new().name("lookout".to_owned());
        lookout.threads.push(thread.spawn(move || silence.keep_looking(&stop))?);
        let (couriers, stop) = (lookout.couriers.clone(), lookout.stop.clone());
        let thread = thread::Builder::new().name("couriers".to_owned());
        lookout.threads.push(thread.spawn(move || couriers.keep_carrying(&stop))?);
        Ok(lookout)
    }

    /// Goes on with another configuration. What was told stays told.
    pub fn set(&self, config: &LookoutConfig) {
        self.silence.set(config);
        self.couriers.set(&config.routes);
    }

    /// Whether a part of it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.stop.request();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("what watches over the vault ended badly");
            }
        }
    }
}

/// Whether the vault is silent, and what is told of it.
pub(super) struct Silence {
    vault: String,
    means: &'static str,
    /// Where it is remembered, unless what lies there is of a newer release.
    file: Option<PathBuf>,
    environment: Environment,
    state: Mutex<State>,
}

struct State {
    desk: Desk,
    after: Duration,
    heard: PulseWatch,
    /// When the vault was last heard, or the watch began, by the timer and by the clock.
    last: (Duration, Timestamp),
    is_silent: bool,
    steps: PulseWatch,
    /// When the role last made a step, by the timer.
    stepped: Duration,
}

impl Silence {
    pub(super) fn open(
        watcher: &Watcher<'_>,
        config: &LookoutConfig,
        environment: &Environment,
    ) -> Self {
        let file = watcher.directory.join(FILE);
        let content = match durable::read_bounded(&file, FILE_BYTES_MAX) {
            Ok(content) => Some(content),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::error!(%error, "{} is not read: what was told is forgotten", file.display());
                None
            }
        };
        let (now, elapsed) = (environment.clock.now(), environment.timer.elapsed());
        let (desk, may_be_kept) = desk(watcher.name, &config.routes, content.as_deref());
        let state = State {
            // What was told before a start is told.
            is_silent: !desk.pages(now).is_empty(),
            desk,
            after: config.after,
            heard: PulseWatch::new(&watcher.heard),
            last: (elapsed, now),
            steps: PulseWatch::new(&environment.pulse),
            stepped: elapsed,
        };
        Self {
            vault: watcher.vault.to_owned(),
            means: watcher.means,
            file: may_be_kept.then_some(file),
            environment: environment.clone(),
            state: Mutex::new(state),
        }
    }

    fn keep_looking(&self, stop: &Interrupt) {
        loop {
            self.look();
            if self.environment.timer.pause(LOOK, stop) {
                return;
            }
        }
    }

    /// Looks once whether the vault was heard.
    pub(super) fn look(&self) {
        let (now, elapsed) = (self.environment.clock.now(), self.environment.timer.elapsed());
        let mut state = self.state();
        let state = &mut *state;
        if state.steps.is_alive() {
            state.stepped = elapsed;
        }
        if state.heard.is_alive() {
            state.last = (elapsed, now);
            if std::mem::take(&mut state.is_silent) {
                tracing::info!(vault = self.vault, "the vault is heard again");
                state.desk.agree(Vec::new(), now);
            }
        } else if !state.is_silent && elapsed.saturating_sub(state.last.0) >= state.after {
            state.is_silent = true;
            let words = format!(
                "nothing was heard from the vault ({}) for {}: {}. Look at its host, at the service outlast-vault \
                 there, and at the line between",
                self.vault,
                human::duration(state.after),
                self.means,
            );
            tracing::error!("{words}");
            state.desk.hear(news(words, state.last.1, now), now);
        }
        state.desk.tick(now);
        self.save(&mut state.desk);
    }

    fn set(&self, config: &LookoutConfig) {
        let mut state = self.state();
        state.after = config.after;
        state.desk.reroute(routes(&config.routes));
        self.save(&mut state.desk);
    }

    fn save(&self, desk: &mut Desk) {
        let Some(file) = &self.file else { return };
        let Some(content) = desk.unsaved() else { return };
        if let Err(error) = durable::replace(file, &content, FILE_MODE) {
            // It is told twice after a restart rather than not at all.
            tracing::warn!(%error, "cannot write {}", file.display());
            desk.not_saved();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Telling for Silence {
    fn next(&self, route: &str, now: Timestamp) -> Option<Pending> {
        let state = self.state();
        let pending = state.desk.next(route, now)?;
        let stood = self.environment.timer.elapsed().saturating_sub(state.stepped);
        // A role that hangs must be noticed by whoever waits for its heartbeat.
        (pending != Pending::Beat || stood < STALLED).then_some(pending)
    }

    fn delivered(&self, route: &str, pending: &Pending, now: Timestamp) -> Result<(), NotNoted> {
        let mut state = self.state();
        state.desk.sent(route, pending, now);
        self.save(&mut state.desk);
        Ok(())
    }

    fn failed(
        &self,
        route: &str,
        pending: &Pending,
        why: &Undelivered,
        now: Timestamp,
    ) -> Result<(), NotNoted> {
        tracing::warn!(route, reason = why.reason, "an alert was not delivered");
        if why.is_final && *pending != Pending::Beat {
            tracing::error!(route, reason = why.reason, "an alert is refused for good");
            return self.delivered(route, pending, now);
        }
        Ok(())
    }
}

fn routes(configs: &[RouteConfig]) -> Vec<Route> {
    configs.iter().map(|config| config.route.clone()).collect()
}

/// The desk, and whether what it remembers may be written in the place of what was there.
fn desk(name: &str, configs: &[RouteConfig], content: Option<&[u8]>) -> (Desk, bool) {
    match Desk::open(name, routes(configs), content) {
        Ok(desk) => (desk, true),
        Err(error) => {
            tracing::error!(%error, "what was told of the vault's silence is forgotten");
            let is_damaged = matches!(error, DeskError::Damaged(_));
            (Desk::new(name, routes(configs)), is_damaged)
        }
    }
}

fn news(words: String, last: Timestamp, now: Timestamp) -> News {
    News {
        // No two silences begin in one second.
        incident: now.unix_millis().unsigned_abs(),
        key: CODE.to_owned(),
        code: CODE.to_owned(),
        owner: Owner::Platform,
        team: Owner::Platform.as_str().to_owned(),
        also: Vec::new(),
        route: None,
        workload: None,
        words,
        opened: last,
        resolved: None,
    }
}

/// Whether somebody would be told by such routes, beside those who wait for a heartbeat.
pub fn tells_somebody(routes: &[RouteConfig]) -> bool {
    routes.iter().any(|config| config.route.kind != Kind::Heartbeat)
}

#[cfg(test)]
mod tests;
