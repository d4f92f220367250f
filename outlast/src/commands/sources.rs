//! What an agent backs up itself: a process of this program for each `[[source]]`, which keeps its schedule and
//! drops to the agent's share, and is started again when it ends.
//!
//! The processes end with the agent, however it ends: each watches its standard input, whose other end is here.
//! What keeps one from its work goes to the agent, which tells the vault.

mod environment;
mod worker;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outlast_agent::{OwnSources, SHARE_NOTE, Shutdown};
use outlast_drop::{Opening, Share, ShareError};
use outlast_types::{SystemClock, SystemRandom, SystemTimer, Timer};
use outlast_wire::api::Declared;

use super::drop::{Status, judge_words, status_file};
use crate::log::LogArgs;
use crate::settings::{AgentSettings, Document, SourceSetting};
use worker::{Worker, sources_in};

pub(crate) use worker::directory_of;

/// How often it is looked how the sources are.
const LOOK: Duration = Duration::from_millis(500);
/// Nobody but the agent's user has anything to do there.
const PRIVATE_MODE: u32 = 0o700;

/// How the sources are whose drops go to the share at `share`, by name, if that is the own one of an agent: it lies
/// in the agent's state, beside what is kept of them.
pub(crate) fn beside(share: &Path) -> Vec<Status> {
    let Some(state) = share.parent() else { return Vec::new() };
    let directories = std::fs::read_dir(sources_in(state)).into_iter().flatten().flatten();
    let statuses = directories.filter_map(|it| Status::read(&status_file(&it.path())));
    let mut statuses: Vec<Status> = statuses.collect();
    statuses.sort_by(|one, other| one.workload.cmp(&other.workload));
    statuses
}

/// The settings of an agent, all of which were judged, the words of its sources included.
pub(crate) fn settings_of(document: &Document) -> Result<AgentSettings> {
    let settings: AgentSettings = document.with_environment()?;
    let judge = |source: &'_ SourceSetting| {
        let words = source.command_line(vec!["--share=/".into()]);
        judge_words(&words).err()
    };
    let sources = settings.sources.all.iter();
    let found = sources.filter_map(|source| Some((source, judge(source)?))).collect();
    document.refuse(found)?;
    Ok(settings)
}

/// The sources at work, on a thread of their own.
pub(crate) struct Sources {
    shutdown: Shutdown,
    thread: JoinHandle<()>,
}

impl Sources {
    /// Starts all sources, if there are any; what the agent is to know of them goes into the other half. The
    /// agent is there already, so that its state is its own.
    pub(crate) fn start(
        settings: &AgentSettings,
        log: &LogArgs,
    ) -> Result<Option<(Self, Arc<OwnSources>)>> {
        let AgentSettings { config, sources, .. } = settings;
        if sources.all.is_empty() {
            return Ok(None);
        }
        if sources.is_share_private {
            prepare_share(&config.share, &config.state)?;
        }
        let own = sources.all.iter().map(|source| {
            let rpo_seconds = source.rpo.map(|rpo| rpo.as_secs());
            (source.workload.clone(), Declared { rpo_seconds, owner: source.owner.clone() })
        });
        let own = Arc::new(OwnSources::new(own));
        let mut workers = Vec::new();
        for source in &sources.all {
            let directory = directory_of(&config.state, &source.workload);
            let how = vec![
                named("--share=", &config.share),
                named("--supervised=", &directory),
                format!("--at-once={}", sources.at_once).into(),
                log.word().into(),
            ];
            let worker = Worker::new(source, how, directory);
            // As it was before this start: what was wrong is until it is not.
            own.note(worker.workload(), worker.failing());
            workers.push(worker);
        }
        let (shutdown, told) = (Shutdown::default(), Arc::clone(&own));
        let heard = shutdown.clone();
        let thread = thread::Builder::new()
            .name("sources".to_owned())
            .spawn(move || attend(workers, &told, &heard))
            .context("cannot start the thread of the sources")?;
        Ok(Some((Self { shutdown, thread }, own)))
    }

    /// What is wrong, if nobody attends to them any more.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        self.thread.is_finished().then_some("nobody attends to the sources")
    }

    /// Asks them to stop. They are waited for by [`stop`](Self::stop).
    pub(crate) fn ask_to_stop(&self) {
        self.shutdown.request();
    }

    /// Waits for their end, which is bounded.
    pub(crate) fn stop(self) -> Result<()> {
        self.ask_to_stop();
        self.thread.join().map_err(|_| anyhow::anyhow!("the sources ended in a panic; see the log"))
    }
}

fn named(option: &str, path: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(path);
    word
}

/// Makes the share that is the agent's own, if it never was there. One that is gone while the agent remembers it
/// is not made anew: what was on it may be elsewhere.
fn prepare_share(share: &Path, state: &Path) -> Result<()> {
    match Share::open(share) {
        Ok(_) => return Ok(()),
        Err(ShareError::NotADirectory { .. } | ShareError::NotAShare { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let note = state.join(SHARE_NOTE);
    if note.try_exists().with_context(|| format!("cannot look at {}", note.display()))? {
        bail!(
            "the share of the sources, {}, is gone, and may hold what is in no vault: put it back; if it is lost, \
             remove {}, and a new one is made",
            share.display(),
            note.display()
        );
    }
    let opening = Opening { mode: Some(PRIVATE_MODE), ..Opening::default() };
    let made = Share::init_for(share, opening, &SystemClock, &SystemRandom)?;
    tracing::info!(share = %made.id(), path = %share.display(), "made a share for the sources");
    Ok(())
}

/// Keeps all of them at work until `shutdown` is requested; then lets them end.
fn attend(mut workers: Vec<Worker>, own: &OwnSources, shutdown: &Shutdown) {
    let timer = SystemTimer::new();
    while !shutdown.is_requested() {
        for worker in &mut workers {
            worker.attend(timer.elapsed(), &SystemRandom);
            own.note(worker.workload(), worker.failing());
        }
        timer.pause(LOOK, shutdown);
    }
    worker::end_all(&mut workers, &timer);
}
