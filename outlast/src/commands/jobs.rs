//! `outlast jobs`: what the vault does by itself, and how that is doing.

use std::time::Duration;

use anyhow::Result;
use outlast_types::human;
use outlast_wire::api::JobView;

use super::vault_access::VaultAccess;
use crate::exit::Code;
use crate::output::{Output, table, whole_seconds};

/// Show what the vault does by itself, again and again, and how that is doing
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outlast jobs --dir ./outlast-data
  outlast jobs --vault https://vault.example:8443/ --identity ./id --json")]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultAccess,
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let client = arguments.vault.client()?;
    let jobs = output.patiently(client.location(), || client.jobs())?;
    if output.is_json() {
        output.json(&jobs)?;
    } else {
        let rows: Vec<Vec<String>> = jobs.iter().map(row).collect();
        table(output, &["JOB", "STATE", "EVERY", "LAST ENDED", "DONE", "RESULT"], &rows)?;
    }
    Ok(Code::Done)
}

fn row(job: &JobView) -> Vec<String> {
    let dash = || "-".to_owned();
    let state = match job.failures {
        0 => job.state.clone(),
        failures => format!("{}, {failures} failed in a row", job.state),
    };
    let done = match (job.total, job.started) {
        (Some(total), Some(_)) => format!("{} of {total}", job.done),
        _ => dash(),
    };
    vec![
        job.name.clone(),
        state,
        human::duration(Duration::from_secs(job.every_seconds)),
        job.ended.map_or_else(dash, whole_seconds),
        done,
        job.result.clone().unwrap_or_else(dash),
    ]
}
