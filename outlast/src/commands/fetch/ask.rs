//! Asking for what has left the share, and waiting for it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use outlast_agent::answers::{AskError, Asking, Ready, Seen};
use outlast_drop::Share;
use outlast_drop::asking::Progress;
use outlast_drop::fetch::Wanted;
use outlast_repo::Repository;
use outlast_repo::restore::{self, Problem, Summary};
use outlast_types::{Environment, Interrupt, Monitor as _, WorkloadName, human};
use outlast_wire::fetching::GrantedBackup;
use outlast_wire::receipts::Authority;
use serde_json::json;

use crate::exit::Code;
use crate::output::{Output, counted};
use crate::snapshots::{deviations, tell_deviations};

/// How often it is looked, at first and in the end.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_LONGEST: Duration = Duration::from_secs(2);
/// How long nothing may move, if nobody says how long to wait.
const STILL_MAX: Duration = Duration::from_secs(300);
/// How often the agent is told again that somebody asks.
const RING_AGAIN: Duration = Duration::from_secs(30);

/// What is wanted, and where to.
pub(super) struct Wish<'a> {
    pub(super) workload: &'a WorkloadName,
    pub(super) wanted: Wanted,
    pub(super) into: &'a Path,
    pub(super) overwrite: bool,
    pub(super) resume: bool,
    pub(super) privileged: bool,
    /// Who asks.
    pub(super) instance: Option<String>,
    pub(super) timeout: Option<Duration>,
}

/// A request, taken back when nobody waits for it any more.
struct Waiting<'a>(Asking<'a>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.withdraw() {
            // It expires by itself.
            tracing::debug!(%error, "the request stays on the share");
        }
    }
}

/// Gets a backup by asking for it.
pub(super) fn fetch(
    share: &Share,
    wish: &Wish<'_>,
    authority: &Authority,
    output: &Output,
) -> Result<Code> {
    let environment = Environment::system();
    check_target(wish.into, wish.overwrite || wish.resume)?;
    output.remark("the share holds no such drop; asking the vault for it, through the agent");
    let instance = wish.instance.clone().or_else(host_name);
    let asking =
        Asking::begin(share, wish.workload, wish.wanted, instance, authority, &environment)?;
    let waiting = Waiting(asking);
    let ready = wait(&waiting.0, wish.timeout, &environment, output)?;
    let Ready { backup, repository } = ready;
    let repository = in_scratch(repository);
    let progress = output.progress();
    let options = restore::Options {
        overwrite: wish.overwrite,
        resume: wish.resume,
        privileged: wish.privileged,
        ..restore::Options::default()
    };
    let summary = restore::restore(&repository, backup.tree, wish.into, &options, &progress)?;
    progress.finish();
    drop(waiting);
    tell(wish, &backup, &summary, output)?;
    Ok(if summary.problems.is_empty() { Code::Done } else { Code::Failed })
}

fn tell(wish: &Wish<'_>, backup: &GrantedBackup, summary: &Summary, output: &Output) -> Result<()> {
    let workload = wish.workload;
    let problems: Vec<String> = summary.problems.iter().map(ToString::to_string).collect();
    if output.is_json() {
        output.json(&json!({
            "drop": backup.drop.to_string(),
            "workload": workload.as_str(),
            "into": wish.into.display().to_string(),
            "files": summary.files,
            "bytes": summary.bytes + summary.kept,
            "kept_bytes": summary.kept,
            "vaulted": backup.received.to_string(),
            "receipt_verified": true,
            "from": "vault",
            "snapshot": backup.snapshot.to_string(),
            "newer": [],
            "withheld": deviations(&summary.withheld),
            "copied": deviations(&summary.copied),
            "problems": problems,
        }))?;
    } else {
        output.line(format_args!(
            "fetched drop {} of {workload} into {}: {}, {}",
            backup.drop,
            wish.into.display(),
            counted(summary.files, "file"),
            human::bytes(summary.bytes + summary.kept)
        ))?;
        output.remark(format_args!(
            "the vault has held it since {} (verified), and brought it back",
            backup.received
        ));
        if !backup.counts {
            output.warn("the vault does not take it for a recovery point");
        }
        problems.iter().for_each(|problem| output.warn(problem));
        tell_deviations(&summary.withheld, &summary.copied, output);
    }
    if is_broken(summary) {
        output.warn(
            "what came is not what the vault holds: it was changed or removed on the share; nothing that is \
             not right has its own name there",
        );
    }
    Ok(())
}

/// Whether content is missing, and not only an attribute.
fn is_broken(summary: &Summary) -> bool {
    let is_content = |problem: &Problem| {
        matches!(
            problem,
            Problem::Walk(_)
                | Problem::Lost { .. }
                | Problem::Damaged { .. }
                | Problem::DamagedLink { .. }
                | Problem::Size { .. }
        )
    };
    summary.problems.iter().any(is_content)
}

/// Refuses a target before anybody waits for hours.
fn check_target(into: &Path, may_be_filled: bool) -> Result<()> {
    drop(outlast_fs::place::Target::open(into, may_be_filled)?);
    Ok(())
}

/// Keeps the index of an answer out of memory, where there is a place for that.
fn in_scratch(repository: Repository) -> Repository {
    let directory = std::env::temp_dir();
    match outlast_fs::durable::create_unnamed(&directory) {
        Ok(_) => repository.scratch_in(&directory),
        Err(_) => repository,
    }
}

fn host_name() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
}

/// Waits until all of it lies there.
fn wait(
    asking: &Asking<'_>,
    timeout: Option<Duration>,
    environment: &Environment,
    output: &Output,
) -> Result<Ready> {
    let timer = &*environment.timer;
    let began = timer.elapsed();
    let (mut moved, mut rung) = (began, began);
    let (mut pause, mut shown) = (PAUSE_FIRST, Shown::new(output));
    loop {
        let seen = asking.look()?;
        let now = timer.elapsed();
        let seen = match seen {
            Seen::Whole(ready) => return Ok(*ready),
            seen => seen,
        };
        if shown.show(&seen) {
            moved = now;
        }
        let is_over = match timeout {
            Some(timeout) => now.saturating_sub(began) >= timeout,
            None => now.saturating_sub(moved) >= STILL_MAX,
        };
        if is_over {
            return Err(AskError::NotInTime { waits: shown.waits }.into());
        }
        if now.saturating_sub(rung) >= RING_AGAIN {
            asking.ring()?;
            rung = now;
        }
        let left = timeout.map_or(pause, |timeout| (began + timeout).saturating_sub(now));
        timer.pause(pause.min(left), &Interrupt::default());
        pause = (pause + pause / 2).min(PAUSE_LONGEST);
    }
}

/// What is shown while somebody waits.
struct Shown<'a> {
    output: &'a Output,
    bar: crate::output::Progress,
    /// What was seen last.
    last: Option<(String, u64)>,
    bytes: Option<u64>,
    waits: String,
}

impl<'a> Shown<'a> {
    fn new(output: &'a Output) -> Self {
        let waits = "the agent has not replied".to_owned();
        Self { output, bar: output.progress(), last: None, bytes: None, waits }
    }

    /// Shows what was seen; whether anything has moved since the last time.
    fn show(&mut self, seen: &Seen) -> bool {
        let (words, told) = match seen {
            Seen::NoReply(told) => ("waiting for the agent's reply".to_owned(), told.as_ref()),
            Seen::Coming { backup, progress } => {
                let words = format!("granted: drop {} of {}", backup.drop, backup.received);
                (words, progress.as_ref())
            }
            Seen::Whole(_) => return true,
        };
        let reason = told.and_then(|told| told.reason.clone());
        let words = match &reason {
            Some(reason) => format!("{words}; {reason}"),
            None => words,
        };
        if let (Seen::Coming { .. }, Some(Progress { bytes, total, .. })) = (seen, told) {
            if self.bytes.is_none() {
                self.bar.begin("bringing it back", Some(*total));
            }
            self.bar.advance(bytes.saturating_sub(self.bytes.unwrap_or(0)));
            self.bytes = Some(*bytes);
        }
        let beat = told.map_or(0, |told| told.beat);
        let is_said = self.last.as_ref().is_some_and(|(last, _)| *last == words);
        let has_moved = !is_said || self.last.as_ref().is_some_and(|(_, last)| *last != beat);
        if !is_said {
            self.output.remark(&words);
        }
        self.waits = words.clone();
        self.last = Some((words, beat));
        has_moved
    }
}
