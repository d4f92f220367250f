//! `outlast drill`: whether backups come back, and how long that takes.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use outlast_types::{Interrupt, SystemTimer, Timer as _, WorkloadName, human};
use outlast_wire::api::{DrillOrder, DrillView};

use super::vault_access::VaultAccess;
use crate::exit::Code;
use crate::output::{Output, counted, table, whole_seconds};

/// Bring backups back, to know that they can be, and how long that takes
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  outlast drill run shop-db --dir ./outlast-data
  outlast drill list --dir ./outlast-data
  outlast drill show shop-db --dir ./outlast-data --json")]
pub(crate) enum Command {
    /// Bring a backup back now, and wait for the answer
    #[command(
        after_help = "The vault restores the snapshot to scratch space, loads it into a throw-away server inside of a
sandbox without network, counts what is in it, and asks the check query of policy. Level `stream` reads,
verifies and parses every byte, and loads nothing.

Exit codes: 0 it came back; 1 it did not; 3 it was read and not loaded, for want of room or of a sandbox.

Examples:
  outlast drill run shop-db --dir ./outlast-data
  outlast drill run shop-db --snapshot 4f1c --level stream --dir ./outlast-data --json"
    )]
    Run(Run),
    /// The newest drill of each workload, with the time that a restore takes
    #[command(after_help = "Examples:
  outlast drill list --dir ./outlast-data
  outlast drill list --vault https://vault.example:8443/ --identity ./id --json")]
    List {
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// All drills of a workload, the newest first, with each phase of the newest
    #[command(after_help = "Examples:
  outlast drill show shop-db --dir ./outlast-data")]
    Show {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        #[command(flatten)]
        vault: VaultAccess,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    workload: WorkloadName,
    /// The snapshot, or the beginning of its id; else the one that policy picks, the newest good one
    #[arg(long, value_name = "ID")]
    snapshot: Option<String>,
    /// How far to go; else as policy says
    #[arg(long, value_enum, value_name = "LEVEL")]
    level: Option<Level>,
    /// Do not wait for the end
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    vault: VaultAccess,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    /// Read, verify and parse every byte
    Stream,
    /// Restore, load and ask
    Load,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Load => "load",
        }
    }
}

pub(crate) fn run(command: Command, output: &Output) -> Result<Code> {
    match command {
        Command::Run(run) => carry_out(&run, output),
        Command::List { vault } => {
            let client = vault.client()?;
            let drills = output.patiently(client.location(), || client.drills(None))?;
            if output.is_json() {
                output.json(&drills)?;
            } else {
                let titles = ["WORKLOAD", "STATE", "LEVEL", "SNAPSHOT", "BEGAN", "RTO", "FOUND"];
                table(output, &titles, &drills.iter().map(row).collect::<Vec<_>>())?;
            }
            Ok(Code::Done)
        }
        Command::Show { workload, vault } => {
            let client = vault.client()?;
            let drills = output.patiently(client.location(), || client.drills(Some(&workload)))?;
            if output.is_json() {
                output.json(&drills)?;
                return Ok(Code::Done);
            }
            if let Some(newest) = drills.first() {
                tell(newest, output)?;
                output.line("")?;
            }
            let titles = ["WORKLOAD", "STATE", "LEVEL", "SNAPSHOT", "BEGAN", "RTO", "FOUND"];
            table(output, &titles, &drills.iter().map(row).collect::<Vec<_>>())?;
            if let Some(trend) = trend(&drills) {
                output.line(trend)?;
            }
            Ok(Code::Done)
        }
    }
}

fn carry_out(run: &Run, output: &Output) -> Result<Code> {
    let client = run.vault.client()?;
    let level = run.level.map(|level| level.as_str().to_owned());
    let order = DrillOrder { snapshot: run.snapshot.clone(), level };
    let mut drill = client.run_drill(&run.workload, &order)?;
    let timer = SystemTimer::new();
    while !run.no_wait && drill.ended.is_none() {
        timer.pause(Duration::from_millis(500), &Interrupt::default());
        let all = output.patiently(client.location(), || client.drills(Some(&run.workload)))?;
        let Some(now) = all.into_iter().find(|known| known.number == drill.number) else {
            bail!("the vault knows nothing of drill {} any more", drill.number);
        };
        drill = now;
        if drill.state == "aborted" {
            break;
        }
    }
    if output.is_json() {
        output.json(&drill)?;
    } else {
        tell(&drill, output)?;
    }
    Ok(match drill.state.as_str() {
        "good" if drill.lowered.is_some() => Code::Incomplete,
        "good" => Code::Done,
        _ if run.no_wait => Code::Done,
        _ => Code::Failed,
    })
}

/// `1 table`, `40 rows`.
fn in_words((name, count): (&String, &u64)) -> String {
    match name.strip_suffix('s') {
        Some(one) => counted(*count, one),
        None => format!("{count} {name}"),
    }
}

fn row(drill: &DrillView) -> Vec<String> {
    let dash = || "-".to_owned();
    let found: Vec<String> = drill.counts.iter().map(in_words).collect();
    vec![
        drill.workload.to_string(),
        drill.state.clone(),
        drill.level.clone(),
        format!("{:.8}", drill.snapshot),
        whole_seconds(drill.began),
        drill.rto_milliseconds.map_or_else(dash, milliseconds),
        if found.is_empty() { dash() } else { found.join(", ") },
    ]
}

fn milliseconds(count: u64) -> String {
    human::duration(Duration::from_millis(count))
}

fn tell(drill: &DrillView, output: &Output) -> Result<()> {
    let DrillView { workload, number, snapshot, state, level, recipe, .. } = drill;
    output.line(format_args!(
        "drill {number} of {workload}: snapshot {snapshot:.8}, level {level}, recipe {recipe}: {state}"
    ))?;
    if state == "aborted" {
        output.line("  broken off when the vault ended: it says nothing of the backup")?;
    }
    if let Some(lowered) = &drill.lowered {
        output.line(format_args!("  read and verified, not loaded: {lowered}"))?;
    }
    if let Some(isolation) = &drill.isolation {
        output.line(format_args!("  in {isolation}"))?;
    }
    for phase in &drill.phases {
        let bytes = match phase.bytes {
            0 => String::new(),
            bytes => format!(", {}", human::bytes(bytes)),
        };
        output.line(format_args!(
            "  {:8} {}{bytes}",
            phase.name,
            milliseconds(phase.milliseconds)
        ))?;
    }
    for found in &drill.counts {
        output.line(format_args!("  {}", in_words(found)))?;
    }
    if let (Some(phase), Some(why)) = (&drill.failed_in, &drill.why) {
        output.line(format_args!("  failed in the phase {phase}: {why}"))?;
    }
    match drill.rto_milliseconds {
        Some(rto) => output.line(format_args!("  it took {} to bring it back", milliseconds(rto))),
        None => Ok(()),
    }
}

/// How the time that a restore takes has changed.
fn trend(drills: &[DrillView]) -> Option<String> {
    let mut measured = drills.iter().filter_map(|drill| drill.rto_milliseconds);
    let newest = measured.next()?;
    let oldest = measured.next_back()?;
    Some(format!(
        "bringing it back takes {}; the first of these drills took {}",
        milliseconds(newest),
        milliseconds(oldest)
    ))
}
