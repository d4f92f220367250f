//! `outlast adopt check`: what the rules of an agent.toml find on its share, and what the agent would do with it.
//!
//! It looks once, so it cannot tell what has settled: that takes two looks. And it changes nothing.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use outlast_agent::AgentConfig;
use outlast_drop::adopt::{self, Found, Judged, Round, Rule, StepLimits, TroubleKind};
use outlast_drop::{Share, Verifier};
use outlast_types::{Clock, DropId, SystemClock, Timestamp, WorkloadName, human};
use outlast_wire::receipts::Authority;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::exit::Code;
use crate::output::{Output, counted, table, whole_seconds};
use crate::paths;
use crate::settings::Document;

/// Files that are judged at a time.
const JUDGED: usize = 500;

/// See which files on the share an agent adopts
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  outlast adopt check --config /etc/outlast/agent.toml
  outlast adopt check --config ./agent.toml --json")]
pub(crate) enum Command {
    Check(CheckArgs),
}

/// Tell what the rules of an agent.toml find, and what becomes of it
#[derive(Debug, Args)]
#[command(
    after_help = "It looks once. A file that is \"to be taken\" is taken by the agent when it has looked twice, apart
by the rule's settle time, and found it unchanged. One that is \"taken\" is in the drop that is named.

Examples:
  outlast adopt check --config /etc/outlast/agent.toml
  outlast adopt check --config /etc/outlast/agent.toml --waiting      # only what is not taken yet
  OUTLAST_AGENT_SHARE=/mnt/efs outlast adopt check --config ./agent.toml --json"
)]
pub(crate) struct CheckArgs {
    /// The agent's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only files that are not taken
    #[arg(long)]
    waiting: bool,
    /// The most files of each rule that are told
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    limit: usize,
}

/// What was found out about all rules.
#[derive(Debug, Serialize)]
struct Report {
    share: PathBuf,
    rules: Vec<RuleReport>,
}

#[derive(Debug, Serialize)]
struct RuleReport {
    glob: String,
    settle_seconds: u64,
    /// How many files are in each state.
    counts: BTreeMap<&'static str, usize>,
    files: Vec<FileReport>,
    /// How many there are beside those.
    more: usize,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FileReport {
    /// From the root of the share, for people.
    #[serde(skip)]
    path: String,
    /// The same, for programs.
    #[serde(flatten)]
    place: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<WorkloadName>,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Timestamp>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    drop: Option<DropId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Code> {
    match command {
        Command::Check(arguments) => check(arguments, output),
    }
}

fn check(arguments: &CheckArgs, output: &Output) -> Result<Code> {
    let config: AgentConfig = Document::read(&arguments.config)?.with_environment()?;
    let share = Share::open(&config.share)?;
    // Without it, what receipts say is what somebody claims; that is enough to look at.
    let authority = Authority::load(&config.identity.join("ca.pem")).ok();
    let looker = Looker {
        share: &share,
        config: &config,
        verifier: authority.as_ref().map(|authority| authority as &dyn Verifier),
        now: SystemClock.now(),
    };
    let mut rules = Vec::new();
    for index in 0..config.adopt.len() {
        let mut report = looker.look(index)?;
        if arguments.waiting {
            report.files.retain(|file| file.state != TAKEN);
        }
        report.more = report.files.len().saturating_sub(arguments.limit);
        report.files.truncate(arguments.limit);
        rules.push(report);
    }
    let report = Report { share: share.path().to_owned(), rules };
    if output.is_json() {
        output.json(&report)?;
    } else {
        show(&report, output)?;
    }
    Ok(Code::Done)
}

const TAKEN: &str = "taken";
const TO_BE_TAKEN: &str = "to be taken";
const NOT_TAKEN: &str = "not taken";
const LEFT_ALONE: &str = "left alone";

struct Looker<'a> {
    share: &'a Share,
    config: &'a AgentConfig,
    verifier: Option<&'a dyn Verifier>,
    now: Timestamp,
}

impl Looker<'_> {
    fn look(&self, index: usize) -> Result<RuleReport> {
        let rule = Arc::new(self.config.adopt[index].clone());
        let all = StepLimits { files: usize::MAX, directories: usize::MAX };
        let step = Round::new(&rule).step(self.share, all, &HashSet::new());
        let (mut files, mut batches) = (Vec::new(), BTreeMap::<WorkloadName, Vec<Found>>::new());
        for found in step.found {
            match self.without_looking(index, &rule, &found) {
                Some((state, why)) => files.push(file(&found, state, None, Some(why))),
                None => {
                    if let Ok(workload) = found.workload.clone() {
                        batches.entry(workload).or_default().push(found);
                    }
                }
            }
        }
        for (workload, found) in batches {
            let limits = self.config.limits_of(&workload);
            for batch in found.chunks(JUDGED) {
                let judged = adopt::judge(self.share, &workload, batch, &limits, self.verifier)
                    .with_context(|| format!("cannot tell what was taken of {workload}"))?;
                let judged = batch.iter().zip(judged.judged);
                files.extend(judged.map(|(found, judged)| self.report(&rule, found, judged)));
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let mut counts = BTreeMap::new();
        files.iter().for_each(|file| *counts.entry(file.state).or_default() += 1);
        let problem = |trouble: &adopt::Trouble| {
            let path = self.share.path().join(trouble.directory.join("/"));
            let what = match trouble.kind {
                TroubleKind::Later => "cannot be looked at now",
                TroubleKind::Denied => "may not be looked at",
                TroubleKind::Crowded => "is too crowded",
            };
            format!("{} {what}: {}", path.display(), trouble.reason)
        };
        Ok(RuleReport {
            glob: rule.glob().text().to_owned(),
            settle_seconds: rule.settle.as_secs(),
            counts,
            files,
            more: 0,
            problems: step.troubles.iter().map(problem).collect(),
        })
    }

    /// What becomes of files of which that is known without a look at them.
    fn without_looking(
        &self,
        index: usize,
        rule: &Rule,
        found: &Found,
    ) -> Option<(&'static str, String)> {
        let earlier = &self.config.adopt[..index];
        if let Some(first) = earlier.iter().find(|earlier| earlier.meant(&found.path).is_some()) {
            let glob = first.glob().text();
            return Some((LEFT_ALONE, format!("an earlier rule has it: {glob}")));
        }
        if let Err(reason) = &found.workload {
            return Some((NOT_TAKEN, reason.clone()));
        }
        let age = changed(found).map(|at| self.now.since(at));
        if let Some((age, max)) = age.zip(rule.max_age)
            && age > max
        {
            let max = human::duration(max);
            return Some((LEFT_ALONE, format!("it is older than {max} (max_age)")));
        }
        let missing = found.missing.as_ref()?;
        Some((NOT_TAKEN, format!("{} is not there", outlast_fs::entry::show(missing))))
    }

    fn report(&self, rule: &Rule, found: &Found, judged: Judged) -> FileReport {
        match judged {
            Judged::Taken(address) => file(found, TAKEN, Some(address.drop), None),
            Judged::Free(_) => {
                let age = changed(found).map_or(Duration::ZERO, |at| self.now.since(at));
                let why = (age < rule.settle).then(|| {
                    let settle = human::duration(rule.settle);
                    format!(
                        "it changed {} ago, and is believed after {settle}",
                        human::duration(age)
                    )
                });
                file(found, TO_BE_TAKEN, None, why)
            }
            Judged::Changed => file(found, NOT_TAKEN, None, Some("it changes just now".to_owned())),
            Judged::Refused(reason) | Judged::Later(reason) => {
                file(found, NOT_TAKEN, None, Some(reason))
            }
        }
    }
}

/// When the newest of files that belong together was changed, by the file server's clock.
fn changed(found: &Found) -> Option<Timestamp> {
    found.members.iter().filter_map(|member| member.facts.modified_at()).max()
}

fn file(
    found: &Found,
    state: &'static str,
    drop: Option<DropId>,
    why: Option<String>,
) -> FileReport {
    let mut place = Map::new();
    paths::insert(&mut place, "path", &found.path.to_bytes());
    FileReport {
        path: found.path.to_string(),
        place,
        workload: found.workload.as_ref().ok().cloned(),
        bytes: found.bytes(),
        changed: changed(found),
        state,
        drop,
        why,
    }
}

fn show(report: &Report, output: &Output) -> Result<()> {
    for (index, rule) in report.rules.iter().enumerate() {
        if index > 0 {
            output.gap()?;
        }
        let settle = human::duration(Duration::from_secs(rule.settle_seconds));
        output.line(format_args!("[[adopt]] {} (settle {settle})", rule.glob))?;
        let rows: Vec<_> = rule.files.iter().map(row).collect();
        table(output, &["FILE", "WORKLOAD", "SIZE", "CHANGED", "STATE", "DROP OR REASON"], &rows)?;
        if rule.more > 0 {
            output.line(format_args!(
                "and {} more; --limit shows them",
                counted(rule.more as u64, "file")
            ))?;
        }
        if rule.counts.is_empty() {
            output.remark("the rule finds no file");
        } else {
            let counts: Vec<_> =
                rule.counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
            output.line(format_args!("in all: {}", counts.join(", ")))?;
        }
        for problem in &rule.problems {
            output.line(format_args!("problem: {problem}"))?;
        }
    }
    if report.rules.is_empty() {
        output.remark("the configuration has no rule [[adopt]]");
    }
    Ok(())
}

fn row(file: &FileReport) -> Vec<String> {
    let dash = || "-".to_owned();
    vec![
        file.path.clone(),
        file.workload.as_ref().map_or_else(dash, ToString::to_string),
        human::bytes(file.bytes),
        file.changed.map_or_else(dash, whole_seconds),
        file.state.to_owned(),
        match (&file.drop, &file.why) {
            (Some(drop), _) => drop.to_string(),
            (None, Some(why)) => why.clone(),
            (None, None) => dash(),
        },
    ]
}
