//! `outlast promise simulate`: a year in a minute, against the ledger that a vault runs.

use std::path::PathBuf;

use anyhow::Result;
use outlast_promise::simulate::{Counts, Outcome, PageSent, Scenario, shrink, simulate};
use outlast_types::{Timestamp, human};
use serde_json::{Value, json};

use super::{future, scenario};
use crate::exit::{Code, Usage};
use crate::output::{Output, counted, table, whole_seconds};

/// Pages that are shown without being asked for.
const PAGES_SHOWN_MAX: usize = 50;
/// Plays that a scenario may take to become smaller.
const SHRINKING_PLAYS: usize = 2_000;

/// Play a year of releases, crashes and outages, and see who would be paged
///
/// The rules that a vault runs are driven through everything that happens, and what they say is compared
/// with who had to be paged by the definitions. The same seed plays the same year.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outlast promise simulate --workloads 1000 --days 365 --seed 7
  outlast promise simulate --scenario line-down.toml --json
  outlast promise simulate --keep daily=30,monthly=12,yearly=7 --days 3650 --svg kept.svg

Exit codes: 0 everybody was paged who had to be, and nobody else; 1 not so; 2 the scenario is not right.")]
pub(crate) struct Args {
    /// A file that says what happens
    #[arg(long, value_name = "FILE", conflicts_with_all = ["workloads", "days", "seed"])]
    scenario: Option<PathBuf>,
    /// How many workloads
    #[arg(long, value_name = "N", default_value_t = 1000)]
    workloads: u32,
    /// How many days
    #[arg(long, value_name = "N", default_value_t = 365)]
    days: u32,
    /// What comes by chance follows from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Show every page
    #[arg(long)]
    pages: bool,
    /// If somebody was paged wrongly, print the smallest scenario found in which that is so
    #[arg(long)]
    shrink: bool,
    #[command(flatten)]
    future: future::FutureArgs,
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    if let Some(keep) = arguments.future.keep() {
        arguments.future.run(keep, arguments.days, output)?;
        return Ok(Code::Done);
    }
    let scenario = match &arguments.scenario {
        Some(file) => scenario::read(file)?,
        None => Scenario::of_everything(arguments.workloads, arguments.days, arguments.seed),
    };
    let played = || simulate(&scenario).map_err(|error| Usage(error.to_string()));
    let outcome = output.patiently("the year to pass", played)?;
    let smaller = (arguments.shrink && !outcome.is_right())
        .then(|| scenario::write(&shrink(&scenario, SHRINKING_PLAYS)));
    let wants_pages = arguments.pages || arguments.scenario.is_some();
    if output.is_json() {
        output.json(&document(&outcome, wants_pages, smaller.as_deref())?)?;
    } else {
        show(&outcome, arguments.pages, wants_pages, output)?;
        smaller.iter().try_for_each(|smaller| {
            output.gap()?;
            smaller.lines().try_for_each(|line| output.line(line))
        })?;
    }
    Ok(if outcome.is_right() { Code::Done } else { Code::Failed })
}

fn document(outcome: &Outcome, wants_pages: bool, smaller: Option<&str>) -> Result<Value> {
    let mut document = serde_json::to_value(&outcome.counts)?;
    let fault = |fault: &outlast_promise::simulate::Fault| {
        json!({
            "kind": fault.kind.as_str(), "incident": fault.key.to_string(), "at": fault.at,
            "second": fault.second, "text": fault.text,
        })
    };
    document["faults"] = outcome.faults.iter().map(fault).collect();
    if wants_pages {
        document["pages"] = outcome.pages.iter().map(page_document).collect();
    }
    if let Some(smaller) = smaller {
        document["scenario"] = smaller.into();
    }
    Ok(document)
}

fn page_document(page: &PageSent) -> Value {
    json!({
        "at": page.at, "incident": page.key.to_string(), "code": page.code, "team": page.team,
        "cause": page.sentence, "seconds": page.resolved.map(|resolved| resolved - page.opened),
    })
}

fn show(outcome: &Outcome, wants_all: bool, wants_pages: bool, output: &Output) -> Result<()> {
    let counts = &outcome.counts;
    let Counts { seed, workloads, days, happenings, instances, instances_vanished, .. } = counts;
    output.line(format_args!(
        "{} for {}, seed {seed}: {happenings} things happened; {instances_vanished} of {instances} \
         instances vanished; {}",
        counted(*workloads, "workload"),
        counted(*days, "day"),
        counted(counts.drops, "drop"),
    ))?;
    output.line(format_args!(
        "pages: {} expected, {} more where either is right, {} sent, {} false, {} missed, {} not resolved in time; \
         the slowest came after {} s",
        counts.pages_expected,
        counts.pages_allowed,
        counts.pages_sent,
        counts.pages_false,
        counts.pages_missed,
        counts.pages_unresolved,
        counts.worst_delay_seconds
    ))?;
    if !counts.causes.is_empty() {
        output.gap()?;
        let rows = counts.causes.iter().map(|(code, count)| vec![code.clone(), count.to_string()]);
        table(output, &["CAUSE", "PAGES"], &rows.collect::<Vec<_>>())?;
    }
    if wants_pages && !outcome.pages.is_empty() {
        output.gap()?;
        let most = if wants_all { usize::MAX } else { PAGES_SHOWN_MAX };
        let rows: Vec<Vec<String>> = outcome.pages.iter().take(most).map(row).collect();
        table(output, &["PAGED", "LASTED", "FOR", "INCIDENT", "CAUSE"], &rows)?;
        if outcome.pages.len() > most {
            output
                .remark(format_args!("and {} more; --pages shows all", outcome.pages.len() - most));
        }
    }
    if !outcome.faults.is_empty() {
        output.gap()?;
        outcome.faults.iter().try_for_each(|fault| output.line(fault))?;
        output.remark("--shrink prints the smallest scenario found in which that is so");
    }
    Ok(())
}

fn row(page: &PageSent) -> Vec<String> {
    let lasted = page.resolved.map(|resolved| resolved.saturating_sub(page.opened));
    let lasted = lasted.map(|seconds| human::duration(std::time::Duration::from_secs(seconds)));
    let at: Timestamp = page.at;
    vec![
        whole_seconds(at),
        lasted.unwrap_or_else(|| "on".to_owned()),
        page.team.clone(),
        page.key.to_string(),
        page.sentence.clone(),
    ]
}
