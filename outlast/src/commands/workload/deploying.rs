//! `outlast workload deploying`: what a pipeline may say before it releases.

use std::time::Duration;

use anyhow::Result;
use outlast_types::{WorkloadName, human};
use outlast_wire::api::DeployAnnouncement;

use crate::commands::vault_access::VaultAccess;
use crate::output::{Output, whole_seconds};

pub(super) const HELP: &str = "\
It need not be said: releases are seen from the drops themselves. It moves no promise. The page for a first
drop that is late waits as long as the class's `deploy_grace` allows, and not beyond the end given here.

Example:
  outlast workload deploying shop-db --for 30m --dir ./outlast-data";

/// What `workload deploying` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workload's name, as `outlast workload list` shows it
    workload: WorkloadName,
    /// When it is over at the latest, such as 30m; at most 24h
    #[arg(long = "for", value_name = "DURATION", value_parser = human::parse_duration)]
    duration: Option<Duration>,
    /// What is released, for those who read it later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    vault: VaultAccess,
}

pub(super) fn run(arguments: &Args, output: &Output) -> Result<()> {
    let Args { workload, duration, reason, vault } = arguments;
    let announcement = DeployAnnouncement {
        for_seconds: duration.map(|duration| duration.as_secs()),
        reason: reason.clone(),
    };
    let announced = vault.client()?.announce_deploy(workload, &announcement)?;
    if output.is_json() {
        return output.json(&announced);
    }
    let grace = human::duration(Duration::from_secs(announced.grace_seconds));
    let end =
        announced.until.map_or_else(String::new, |at| format!(", until {}", whole_seconds(at)));
    output.line(format_args!(
        "a release of {} begins: the page for its first drop waits for {grace} at most{end}",
        announced.workload
    ))
}
