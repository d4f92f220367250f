//! `outlast incident …`: what is wrong, whose it is, and since when.

use anyhow::Result;
use clap::Subcommand;
use outlast_types::WorkloadName;
use outlast_wire::api::IncidentView;

use super::vault_access::VaultAccess;
use crate::exit::{Advised, Code};
use crate::output::{Output, table, whole_seconds};

/// Show incidents: what is wrong, whose it is, and since when
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  outlast incident list --dir ./outlast-data
  outlast incident show recovery-point/shop-db --dir ./outlast-data")]
pub(crate) enum Command {
    /// The incidents that are open, or all of them, newest first
    #[command(after_help = "Examples:
  outlast incident list --dir ./outlast-data
  outlast incident list --all --workload shop-db --vault https://vault.example:8443/ --identity ./id --json")]
    List {
        /// Those that are resolved, too
        #[arg(long)]
        all: bool,
        /// Only those about this workload
        #[arg(long, value_name = "WORKLOAD")]
        workload: Option<WorkloadName>,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// All incidents with one key, newest first
    #[command(after_help = "Example:
  outlast incident show recovery-point/shop-db --dir ./outlast-data --json")]
    Show {
        /// What the incident is about, as `outlast incident list` shows it
        key: String,
        #[command(flatten)]
        vault: VaultAccess,
    },
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Code> {
    let vault = match command {
        Command::List { vault, .. } | Command::Show { vault, .. } => vault,
    };
    let client = vault.client()?;
    let mut incidents = output.patiently(client.location(), || client.incidents())?;
    match command {
        Command::List { all, workload, .. } => {
            incidents.retain(|incident| {
                (*all || incident.resolved.is_none())
                    && (workload.is_none() || incident.workload == *workload)
            });
            if output.is_json() {
                output.json(&incidents)?;
            } else {
                list(&incidents, *all, output)?;
            }
        }
        Command::Show { key, .. } => {
            incidents.retain(|incident| incident.key == *key);
            if incidents.is_empty() {
                let message = format!("there is no incident {key}");
                let hint = "`outlast incident list --all` names those that there are.".to_owned();
                return Err(Advised { message, hint }.into());
            }
            if output.is_json() {
                output.json(&incidents)?;
            } else {
                incidents.iter().try_for_each(|incident| show(incident, output))?;
            }
        }
    }
    Ok(Code::Done)
}

fn list(incidents: &[IncidentView], all: bool, output: &Output) -> Result<()> {
    if incidents.is_empty() {
        return output.line(if all { "no incident" } else { "no open incident" });
    }
    let row = |incident: &IncidentView| {
        let mut cells = vec![whole_seconds(incident.opened)];
        if all {
            cells.push(incident.resolved.map_or("open".to_owned(), whole_seconds));
        }
        cells.extend([addressee(incident), incident.key.clone(), incident.cause.clone()]);
        cells
    };
    let rows: Vec<Vec<String>> = incidents.iter().map(row).collect();
    match all {
        true => table(output, &["SINCE", "RESOLVED", "FOR", "INCIDENT", "CAUSE"], &rows),
        false => table(output, &["SINCE", "FOR", "INCIDENT", "CAUSE"], &rows),
    }
}

fn show(incident: &IncidentView, output: &Output) -> Result<()> {
    output.line(&incident.key)?;
    let state = match incident.resolved {
        Some(resolved) => format!("resolved {}", whole_seconds(resolved)),
        None => "open".to_owned(),
    };
    output.line(format_args!("  since {}, {state}", whole_seconds(incident.opened)))?;
    output.line(format_args!("  for {}", addressee(incident)))?;
    if let Some(code) = &incident.code {
        output.line(format_args!("  code {code}"))?;
    }
    output.line(format_args!("  {}", incident.cause))
}

/// Who is asked: `team-shop (app)`, or `the platform team`.
pub(super) fn addressee(incident: &IncidentView) -> String {
    match &incident.team {
        Some(team) if *team != incident.owner => format!("{team} ({})", incident.owner),
        _ => format!("the {} team", incident.owner),
    }
}
