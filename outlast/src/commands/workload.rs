//! `outlast workload …`: what is protected, and whether its promises are kept.

use anyhow::Result;
use clap::Subcommand;
use outlast_types::{WorkloadName, human};
use outlast_wire::api::{IncidentView, WorkloadView};
use serde_json::json;

use super::vault_access::VaultAccess;
use crate::exit::Code;
use crate::output::{Output, table};
use crate::reading::whole_seconds;

/// Tell which workloads there are and whether their promises are kept
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  outlast workload list --dir ./outlast-data
  outlast workload show shop-db --dir ./outlast-data --json")]
pub(crate) enum Command {
    /// All workloads, and all incidents
    #[command(after_help = "Examples:
  outlast workload list --dir ./outlast-data
  outlast workload list --vault https://vault.example:8443/ --identity ./id --json")]
    List {
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// One workload and its incidents
    #[command(after_help = "Example:
  outlast workload show shop-db --dir ./outlast-data --json")]
    Show {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        #[command(flatten)]
        vault: VaultAccess,
    },
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Code> {
    let (workloads, incidents) = match command {
        Command::List { vault } => {
            let client = vault.client()?;
            (client.workloads()?, client.incidents()?)
        }
        Command::Show { workload, vault } => {
            let client = vault.client()?;
            let mut incidents = client.incidents()?;
            incidents.retain(|incident| incident.workload.as_ref() == Some(workload));
            (vec![client.workload(workload)?], incidents)
        }
    };
    if output.is_json() {
        output.json(&json!({ "workloads": workloads, "incidents": incidents }))?;
    } else {
        tell(&workloads, &incidents, output)?;
    }
    Ok(Code::Done)
}

fn tell(workloads: &[WorkloadView], incidents: &[IncidentView], output: &Output) -> Result<()> {
    let rows: Vec<Vec<String>> = workloads.iter().map(row).collect();
    table(output, &["WORKLOAD", "STATE", "LAST VAULTED", "RPO", "SNAPSHOTS", "OWNER"], &rows)?;
    let (open, resolved): (Vec<_>, Vec<_>) =
        incidents.iter().partition(|incident| incident.resolved.is_none());
    output.line(match open.len() {
        0 => "\nno open incident".to_owned(),
        1 => "\n1 open incident:".to_owned(),
        count => format!("\n{count} open incidents:"),
    })?;
    for incident in open {
        output.line(format_args!(
            "  since {}, for the {} team: {}",
            whole_seconds(incident.opened),
            incident.owner,
            incident.cause
        ))?;
    }
    if !resolved.is_empty() {
        output.line(format_args!("{} resolved by themselves", resolved.len()))?;
    }
    Ok(())
}

fn row(workload: &WorkloadView) -> Vec<String> {
    let dash = || "-".to_owned();
    let rpo = workload.rpo_seconds.map(std::time::Duration::from_secs);
    vec![
        workload.name.to_string(),
        workload.state.clone(),
        workload.last_vaulted.map_or_else(dash, whole_seconds),
        rpo.map_or_else(dash, human::duration),
        workload.snapshots.to_string(),
        workload.owner.clone().unwrap_or_else(dash),
    ]
}
