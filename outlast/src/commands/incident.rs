//! `outlast incident …`: what is wrong, whose it is, and since when.

use anyhow::Result;
use clap::Subcommand;
use outlast_types::WorkloadName;
use outlast_wire::api::{AckIncident, CommentIncident, IncidentAnswered, IncidentView};

use super::vault_access::VaultAccess;
use crate::exit::{Advised, Code};
use crate::output::{Output, table, whole_seconds};

/// Show incidents: what is wrong, whose it is, and since when
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  outlast incident list --dir ./outlast-data
  outlast incident show recovery-point/shop-db --dir ./outlast-data
  outlast incident ack recovery-point/shop-db --for 2h --comment 'restarting the agent' --dir ./outlast-data")]
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
    /// Say that you are at an open incident: nobody else is told of it for a while
    ///
    /// What was told together with it is acknowledged, too. When the time is over and it is still open, the next
    /// step is told.
    #[command(after_help = "Examples:
  outlast incident ack recovery-point/shop-db --dir ./outlast-data
  outlast incident ack agent/road-1 --for 2h --comment 'its host is being moved' --vault https://vault.example:8443/ --identity ./id")]
    Ack {
        /// What the incident is about, as `outlast incident list` shows it
        key: String,
        /// For how long: 1m to 72h
        #[arg(long = "for", value_name = "DURATION", default_value = "8h", value_parser = outlast_types::human::parse_duration)]
        lasts: std::time::Duration,
        /// What others should know
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Say something of an open incident, for those who look at it and for the audit log
    #[command(after_help = "Example:
  outlast incident comment agent/road-1 'the provider works on it' --dir ./outlast-data")]
    Comment {
        /// What the incident is about, as `outlast incident list` shows it
        key: String,
        /// What is to be said of it, on one line
        text: String,
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
        Command::List { vault, .. }
        | Command::Show { vault, .. }
        | Command::Ack { vault, .. }
        | Command::Comment { vault, .. } => vault,
    };
    let client = vault.client()?;
    match command {
        Command::Ack { key, lasts, comment, .. } => {
            let (key, comment) = (key.clone(), comment.clone());
            let for_seconds = Some(lasts.as_secs());
            let said = client.acknowledge(&AckIncident { key, for_seconds, comment })?;
            return answered(&said, output);
        }
        Command::Comment { key, text, .. } => {
            let (key, text) = (key.clone(), text.clone());
            return answered(&client.comment(&CommentIncident { key, text })?, output);
        }
        Command::List { .. } | Command::Show { .. } => {}
    }
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
        Command::Ack { .. } | Command::Comment { .. } => {}
    }
    Ok(Code::Done)
}

fn answered(said: &IncidentAnswered, output: &Output) -> Result<Code> {
    if output.is_json() {
        output.json(said)?;
    } else if let Some(until) = said.until {
        let until = whole_seconds(until);
        output.line(format_args!(
            "{} is yours until {until}; then the next step is told",
            said.key
        ))?;
    } else {
        output.line(format_args!("noted of {}", said.key))?;
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
        cells.extend([addressee(incident), incident.key.clone(), cause(incident)]);
        cells
    };
    let rows: Vec<Vec<String>> = incidents.iter().map(row).collect();
    match all {
        true => table(output, &["SINCE", "RESOLVED", "FOR", "INCIDENT", "CAUSE"], &rows),
        false => table(output, &["SINCE", "FOR", "INCIDENT", "CAUSE"], &rows),
    }
}

/// Its sentence, and how it stands.
fn cause(incident: &IncidentView) -> String {
    let mut words = incident.cause.clone();
    if let Some(catching_up) = &incident.catching_up {
        words.push_str(&format!("; {catching_up}"));
    }
    if let (Some(by), Some(until)) = (&incident.acknowledged_by, incident.acknowledged_until) {
        words.push_str(&format!("; {by} is at it until {}", whole_seconds(until)));
    }
    words
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
    output.line(format_args!("  {}", cause(incident)))?;
    for (route, at) in &incident.told {
        output.line(format_args!("  told by {route} {}", whole_seconds(*at)))?;
    }
    incident.comments.iter().try_for_each(|said| {
        output.line(format_args!("  {} {}: {}", whole_seconds(said.at), said.by, said.text))
    })
}

/// Who is asked: `team-shop (app)`, or `the platform team`.
pub(super) fn addressee(incident: &IncidentView) -> String {
    match &incident.team {
        Some(team) if *team != incident.owner => format!("{team} ({})", incident.owner),
        _ => format!("the {} team", incident.owner),
    }
}
