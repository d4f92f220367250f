//! `outlast scrub`: whether all data that the vault holds was read and verified.

use anyhow::Result;
use clap::Subcommand;
use outlast_types::{WorkloadName, human};
use outlast_wire::api::ScrubView;

use super::vault_access::VaultAccess;
use crate::exit::Code;
use crate::output::{Output, table, whole_seconds};

/// See whether all data that the vault holds was read and verified
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  outlast scrub status --dir ./outlast-data
  outlast scrub status shop-db --vault https://vault.example:8443/ --identity ./id --json")]
pub(crate) enum Command {
    /// When the data of each workload was read last, and what is damaged of it
    #[command(
        after_help = "The vault reads all data of each repository within `period` of the section [scrub] of its
configuration, a part at a time, no faster than `rate`, and goes on after a restart where it was.

Exit codes: 0 nothing is damaged or overdue; 1 something is.

Examples:
  outlast scrub status --dir ./outlast-data
  outlast scrub status shop-db --dir ./outlast-data --json"
    )]
    Status {
        /// Only this workload, with all that is known to be damaged
        workload: Option<WorkloadName>,
        #[command(flatten)]
        vault: VaultAccess,
    },
}

pub(crate) fn run(command: Command, output: &Output) -> Result<Code> {
    let Command::Status { workload, vault } = command;
    let client = vault.client()?;
    let mut all = output.patiently(client.location(), || client.scrubs())?;
    all.retain(|view| workload.as_ref().is_none_or(|workload| view.workload == *workload));
    if output.is_json() {
        output.json(&all)?;
    } else {
        let titles = ["WORKLOAD", "STATE", "READ LAST", "READ", "NEXT", "DAMAGED", "SNAPSHOTS HIT"];
        table(output, &titles, &all.iter().map(row).collect::<Vec<_>>())?;
        for view in all.iter().filter(|view| view.problems > 0) {
            tell_damage(view, workload.is_some(), output)?;
        }
    }
    let is_well = all.iter().all(|view| !["damaged", "overdue"].contains(&view.state.as_str()));
    Ok(if is_well { Code::Done } else { Code::Failed })
}

fn row(view: &ScrubView) -> Vec<String> {
    let dash = || "-".to_owned();
    let read = match (view.parts_read, view.ended) {
        (Some(read), _) => format!("{read} of {} parts", view.parts),
        (None, Some(_)) => human::bytes(view.bytes),
        (None, None) => dash(),
    };
    vec![
        view.workload.to_string(),
        view.state.clone(),
        view.ended.map_or_else(dash, whole_seconds),
        read,
        whole_seconds(view.due),
        view.problems.to_string(),
        view.snapshots_hit.len().to_string(),
    ]
}

fn tell_damage(view: &ScrubView, is_all: bool, output: &Output) -> Result<()> {
    const NAMED_MAX: usize = 3;
    output.line(format_args!("{}:", view.workload))?;
    let most = if is_all { usize::MAX } else { NAMED_MAX };
    for problem in view.problems_named.iter().take(most) {
        output.line(format_args!("  {problem}"))?;
    }
    let named = view.problems_named.len().min(most) as u64;
    if let more @ 1.. = view.problems.saturating_sub(named) {
        output.line(format_args!("  and {more} more"))?;
    }
    for snapshot in view.snapshots_hit.iter().take(most) {
        output.line(format_args!("  snapshot {snapshot:.8} cannot be restored whole"))?;
    }
    Ok(())
}
