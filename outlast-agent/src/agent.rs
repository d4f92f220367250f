//! The agent and its loop.
//!
//! A pass watches, decides, applies and ships; what came of it is posted on the [`Board`], from where
//! the reporter takes it. What is to be done about a drop is an
//! [`Action`], wherever that was decided, and [`Agent::apply`] is the one place where actions
//! change the share and what is remembered of it.

mod adopting;
mod apply;
mod changes;
mod entrusting;
mod handing;
mod holdings;
mod hygiene;
mod keeper;
mod pass;
mod shipping;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use outlast_drop::SignedReceipt;
use outlast_drop::files::Meter;
use outlast_repo::backup::{Engine, Tuning};
use outlast_types::{Environment, WorkloadName};
use outlast_wire::client::Credentials;
use outlast_wire::identity::IdentityError;
use outlast_wire::news_watch::NewsWatch;
use outlast_wire::receipts::Authority;
use outlast_wire::renewal::Renewal;
use outlast_wire::{AddressError, ApiClient, IdentityHandle, Roads, Role};

use crate::adopter::Adopter;
use crate::answers::AskedBy;
use crate::answers::desk::{Desk, DeskParts};
use crate::answers::grants::OfVault;
use crate::answers::hatch::Hatch;
use crate::board::{Board, PassNews, Seen};
use crate::config::Changes;
use crate::handover::Handovers;
use crate::hauls::PLACES_MIN;
use crate::line::Line;
use crate::notices::Notices;
use crate::pace::Pace;
use crate::queue::Queue;
use crate::report::PassReport;
use crate::reporter::Reporter;
use crate::seal_keys::{SealKeys, SealKeysError};
use crate::shipper::Shipper;
use crate::sources::OwnSources;
use crate::state::{self, StateDirectory, StateError};
use crate::statement::Scribe;
use crate::sweep::Sweep;
use crate::tier::Tier;
use crate::tracker::ProblemTracker;
use crate::upstream::{Upstream, Vault};
use crate::watcher::Watcher;
use crate::{AgentConfig, Shutdown};

use keeper::Keeper;

/// The shortest first pause after a failure, however often the share is polled.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// How often it is looked whether a drop has come a hop further, while there is nothing else to do.
const LOOK: Duration = Duration::from_millis(250);

/// The shortest rest before it is asked for drops that wait at media servers.
const REST_MIN: Duration = Duration::from_secs(10);

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{identity} is not an agent: give it a certificate of the role agent")]
    WrongRole { identity: String },
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    SealKeys(#[from] SealKeysError),
}

/// The agent. Everything that it remembers beyond the share may be lost at any moment.
pub struct Agent {
    config: AgentConfig,
    changes: Changes,
    environment: Environment,
    authority: Authority,
    scribe: Arc<Scribe>,
    watcher: Watcher,
    line: Arc<Line>,
    shipper: Shipper,
    queue: Queue,
    tracker: ProblemTracker,
    board: Arc<Board>,
    /// On its own thread while the agent runs.
    reporter: Option<Reporter>,
    notices: Notices,
    adopter: Adopter,
    sweep: Sweep,
    pace: Arc<Pace>,
    /// Receipts that the share would not take, to be written later.
    unwritten: Vec<SignedReceipt>,
    /// What attends to its identity while the agent runs.
    keeper: Option<Keeper>,
    /// What it backs up itself.
    sources: Arc<OwnSources>,
    /// What answers instances, on its own thread while the agent runs, and what it has to do with passes.
    desk: Option<Desk>,
    hatch: Arc<Hatch>,
    handovers: Arc<Handovers>,
    /// How many were revoked when the vault was last asked what it holds.
    asked_under: usize,
}

impl Agent {
    /// Starts an agent of the vault that the configuration names. Neither the share nor the vault
    /// need be there.
    pub fn start(config: AgentConfig, environment: Environment) -> Result<Self, AgentError> {
        let names = config.names.clone();
        let identity = IdentityHandle::open_by(&config.identity, &environment, names)?;
        let roads = Roads::through(config.proxies.clone());
        let vault = Vault::over(&roads, &config.upstream, identity.clone(), environment.clone())?
            .keeping_answers_in(&state::keys_in(&config.state));
        let client = ApiClient::over(&config.upstream, Credentials::Handle(&identity), &roads)?;
        let renewal = Renewal::new(&identity, &environment);
        let news = NewsWatch::new(&identity, &environment);
        let asking = client.beside();
        let (rules, state_path) = (config.fetch.clone(), config.state.clone());
        let (heard, known) = (environment.clone(), identity.clone());
        let agent = Self::with_upstream(config, environment, identity, Box::new(vault))?;
        let vault = OfVault { client: asking, identity: known.clone(), environment: heard.clone() };
        let parts = DeskParts {
            rules,
            vault: Arc::new(vault),
            hatch: Arc::clone(&agent.hatch),
            identity: known,
            environment: heard,
            directory: state::answers_in(&state_path),
            scratch: state::cache_in(&state_path),
        };
        let desk = (parts.rules.asked_by != AskedBy::Nobody).then(|| Desk::new(parts));
        let news = news.telling(&agent.vault_heard());
        Ok(Self { keeper: Some(Keeper { renewal, news, client }), desk, ..agent })
    }

    /// Starts an agent of any upstream. Its identity is attended to by others.
    pub fn with_upstream(
        config: AgentConfig,
        environment: Environment,
        identity: IdentityHandle,
        upstream: Box<dyn Upstream>,
    ) -> Result<Self, AgentError> {
        let current = identity.get();
        if current.peer().role() != Role::Agent {
            return Err(AgentError::WrongRole { identity: current.peer().to_string() });
        }
        let state = Arc::new(StateDirectory::open(&config.state)?);
        let clock = Arc::clone(&environment.clock);
        if let Some(trouble) = current.validity().trouble(clock.now()) {
            // It may be the clock that is wrong, and soon be right.
            tracing::error!("the certificate in {} {trouble}", config.identity.display());
        }
        let authority = Authority::following(&identity);
        let watcher = Watcher::new(
            config.share.clone(),
            config.grace,
            &environment,
            authority.clone(),
            Arc::clone(&state),
            config.scan,
        )?;
        let board = Arc::new(Board::default());
        board.serves(watcher.served());
        let keys = config.seal_key.as_deref().map_or(Ok(SealKeys::default()), SealKeys::read)?;
        let keys = Arc::new(keys);
        let handovers = Handovers::new(&config.handover, &state, &environment, &authority, &keys);
        let handovers = Arc::new(handovers);
        let (told, known, world) = (Arc::clone(&board), identity.clone(), environment.clone());
        let (own, handed, textfile) = (&state, &handovers, config.textfile.clone());
        let reporter = Reporter::new(told, known, world, own, handed, config.report, textfile);
        let pause = config.poll.max(PAUSE_MIN);
        let pace = Arc::new(Pace::new(Arc::clone(&environment.timer)));
        let engine = Engine::shared(config.loads_at_once.max(PLACES_MIN), &Tuning::default());
        let (known, world) = (identity.clone(), environment.clone());
        let tier = Tier::new(upstream, known, world, state, Arc::clone(&pace), keys, engine);
        let line = Arc::new(Line::new(Box::new(tier), environment.clone(), pause));
        let scribe = Arc::new(Scribe { identity, clock });
        let (quick, places, world) = (config.quick, config.loads_at_once, environment.clone());
        let shipper = Shipper::new(Arc::clone(&scribe), world, pause, quick, places);
        Ok(Self {
            line,
            shipper,
            queue: Queue::resumed(&config.state),
            tracker: ProblemTracker::default(),
            board,
            notices: Notices::default(),
            adopter: Adopter::new(&config.adopt, &environment, authority.clone()),
            pace,
            sweep: Sweep::new(config.receipts_keep),
            reporter: Some(reporter),
            unwritten: Vec::new(),
            keeper: None,
            sources: Arc::default(),
            desk: None,
            hatch: Arc::default(),
            handovers,
            asked_under: 0,
            changes: Changes::default(),
            config,
            environment,
            authority,
            scribe,
            watcher,
        })
    }

    /// Lets `meter` hear of every call to the share that is made to look at it, and to change it.
    pub fn measure(&mut self, meter: Meter) {
        self.watcher.measure(meter);
    }

    /// Lets the vault hear of `sources`, which somebody beside the agent drops.
    pub fn answer_for(&mut self, sources: Arc<OwnSources>) {
        self.sources = sources;
    }

    /// Passes over the share until `shutdown` is requested.
    pub fn run(&mut self, shutdown: &Shutdown) {
        // Nobody else has it while no load is under way.
        if let Some(line) = Arc::get_mut(&mut self.line) {
            line.heed(shutdown);
        }
        let keeping = self.keeper.take().map(|keeper| keeper.start(shutdown)).unwrap_or_default();
        tracing::info!(
            share = %self.config.share.display(),
            upstream = %self.config.upstream,
            agent = %self.scribe.identity.get().peer(),
            "the agent watches the share"
        );
        let mut reporter = self.reporter.take();
        let mut desk = self.desk.take();
        let poll = self.config.poll;
        let handing = self.handovers.start(shutdown);
        let line = Arc::clone(&self.line);
        thread::scope(|scope| {
            let report = thread::Builder::new().name("report".to_owned());
            let telling = report.spawn_scoped(scope, || {
                if let Some(reporter) = &mut reporter {
                    reporter.run(&line, shutdown);
                }
            });
            let telling = match telling {
                Ok(telling) => telling,
                Err(error) => {
                    return tracing::error!("no thread can be started to report: {error}");
                }
            };
            let answer = thread::Builder::new().name("desk".to_owned());
            let answering = answer.spawn_scoped(scope, || {
                if let Some(desk) = &mut desk {
                    desk.run(poll, shutdown);
                }
            });
            if let Err(error) = answering {
                tracing::error!("no thread can be started to answer instances: {error}");
            }
            // An agent whose reporter broke would work in silence.
            while !shutdown.is_requested() && !telling.is_finished() {
                let report = self.work(shutdown);
                self.environment.pulse.rest();
                if !shutdown.is_requested() {
                    self.handovers.look_after(&handing);
                }
                if !report.more && self.rest(report.share.is_some(), shutdown) {
                    break;
                }
            }
            self.shipper.close();
        });
        (self.reporter, self.desk) = (reporter, desk);
        if shutdown.is_requested() {
            self.handovers.end(handing);
        }
        // If it was not asked to end, nothing here waits for it: the process ends.
        for (what, thread) in keeping {
            if shutdown.is_requested() && thread.join().is_err() {
                tracing::error!("the thread \"{what}\" had ended badly");
            }
        }
        tracing::info!("the agent has stopped");
    }

    /// Pauses until the next pass, or until a load has ended, if the share is there for what follows;
    /// whether the end was asked for.
    fn rest(&self, is_share_there: bool, shutdown: &Shutdown) -> bool {
        let mut left = self.config.poll;
        let moves = self.handovers.moves();
        // What was held until it was copied goes on at once.
        let has_copied = || self.handovers.moves() != moves && self.queue.oldest().is_some();
        let has_more = || is_share_there && (self.shipper.hauls().has_news() || has_copied());
        let is_watched = self.shipper.hauls().count() > 0
            || self.shipper.in_transit().0 > 0
            || !self.handovers.is_empty();
        while !left.is_zero() && !has_more() {
            let rested = self.config.poll.saturating_sub(left);
            if is_share_there && rested >= REST_MIN && self.shipper.has_due() {
                break;
            }
            let pause = if is_watched { left.min(LOOK) } else { left };
            if self.environment.timer.pause(pause, shutdown) {
                return true;
            }
            left -= pause;
        }
        shutdown.is_requested()
    }

    /// Hears once whom to believe, which an agent that runs does each minute by itself.
    pub fn hear_news(&mut self) {
        if let Some(Keeper { news, client, .. }) = &mut self.keeper {
            news.attend(client);
        }
    }

    /// Answers once what instances ask, which an agent that runs does all the time; whether somebody
    /// waits.
    pub fn answer(&mut self) -> bool {
        self.desk.as_mut().is_some_and(Desk::pass)
    }

    /// Looks over the share once, does what is to be done, and reports.
    pub fn pass(&mut self, shutdown: &Shutdown) -> PassReport {
        let report = self.work(shutdown);
        // The last pass must end soon; the next agent tells the rest.
        if let Some(reporter) = self.reporter.as_mut().filter(|_| !shutdown.is_requested()) {
            reporter.tell(&self.line);
        }
        report
    }

    /// Looks over the share once, does what is to be done, and posts what came of it.
    fn work(&mut self, shutdown: &Shutdown) -> PassReport {
        self.environment.pulse.beat();
        self.take_changes();
        let revocations = self.scribe.identity.revocations().entries().len();
        if revocations != self.asked_under {
            // What is known of drops may rest on the word of somebody who is revoked since.
            self.asked_under = revocations;
            self.line.ask_again();
        }
        let mut report = PassReport::new(self.environment.clock.now());
        let mut seen = BTreeMap::new();
        self.board.begin_pass(report.started, self.elapsed());
        let me = self.scribe.identity.get().peer().to_string();
        match self.watcher.open_share(&me, self.elapsed()) {
            Ok(None) => {
                self.hatch.serve(None, false);
                self.handovers.serve(None);
            }
            Ok(Some(share)) => {
                report.share = Some(share.id());
                self.line.speak_of(share.id());
                self.handovers.serve(Some(&share));
                self.hatch.serve(Some(share.clone()), self.has_drops_to_ship());
                seen = self.look_over(&share, &mut report, shutdown);
                self.hatch.serve(Some(share), self.has_drops_to_ship());
                report.problems.extend(self.hatch.problems());
            }
            Err(problem) => {
                self.hatch.serve(None, false);
                self.handovers.serve(None);
                report.problems.push(problem);
            }
        }
        self.sources.declare(&mut seen);
        report.finished = self.environment.clock.now();
        self.post(&report, seen);
        report
    }

    /// Whether drops are shipped, or wait for that: they come before what instances ask.
    fn has_drops_to_ship(&self) -> bool {
        self.shipper.hauls().count() > 0 || self.queue.oldest().is_some()
    }

    /// Posts what came of a pass.
    fn post(&mut self, report: &PassReport, seen: BTreeMap<WorkloadName, Seen>) {
        let told = self.tracker.observe(&report.problems, report.finished, self.config.patience);
        for problem in &told.fresh {
            tracing::warn!("{problem}");
        }
        let long_loads = self.shipper.hauls().count();
        let retries = self.shipper.failures();
        let (calls, rate) = (self.watcher.calls(), self.pace.rate());
        let (in_transit, held_by) = self.shipper.in_transit();
        self.board.count(|figures| {
            figures.drops_vaulted += report.vaulted.len() as u64;
            figures.drops_rejected += report.rejected.len() as u64;
            figures.drops_abandoned += report.abandoned.len() as u64;
            figures.drops_released += report.released.len() as u64;
            figures.problems = report.problems.len() as u64;
            (figures.long_loads, figures.retries) = (long_loads, retries);
            (figures.drops_in_transit, figures.held_by) = (in_transit, held_by);
            figures.share_calls = calls;
            figures.share_bytes_per_second = rate;
        });
        // Those of the own sources are told at once: whoever noticed them has tried for long enough.
        let sources = self.sources.problems();
        let problems = told.lasting.iter().chain(&sources);
        let news = PassNews {
            started: report.started,
            finished: report.finished,
            is_share_usable: report.is_share_usable,
            tenure: report.share.and_then(|_| self.watcher.tenure()),
            problems: problems.map(|problem| problem.told()).collect(),
            seen,
        };
        self.queue.remember();
        self.board.end_pass(self.watcher.served(), news, self.queue.oldest(), self.elapsed());
    }

    /// The pass under way has come a step further.
    fn moved(&self) {
        self.environment.pulse.beat();
        self.board.moved(self.elapsed());
    }

    fn elapsed(&self) -> Duration {
        self.environment.timer.elapsed()
    }
}
