//! `outlast audit …`: whether a vault's audit log is whole, and what it says.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use outlast_types::{Timestamp, WorkloadName};
use outlast_vault::{AuditGap, AuditHead, AuditSelection, AuditVerdict, MonthVerdict};
use serde_json::json;

use crate::exit::Code;
use crate::home::Home;
use crate::output::{Output, not_written, plain};

/// Look whether a vault's audit log is whole, and hand it out
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  outlast audit verify /var/lib/outlast/vault
  outlast audit export --dir ./outlast-data --workload shop-db")]
pub(crate) enum Command {
    /// Look at every entry: is any changed, missing, or cut off?
    #[command(
        after_help = "On the vault's host, whether the vault runs or not. Each entry carries the hash of the one before,
so the newest hash speaks for all of them. Keep it where nobody who can write to the vault can: the
vault tells it to its log at each start, and this command prints it. With --head, a log that was
written anew from the beginning is found, too.

Exit codes: 0 the log is whole; 1 it is not, or cannot be read.

Examples:
  outlast audit verify /var/lib/outlast/vault
  outlast audit verify --dir ./outlast-data --json
  outlast audit verify /var/lib/outlast/vault --month 2026-11
  outlast audit verify /var/lib/outlast/vault --head 1207:9f86d081884c7d65…"
    )]
    Verify {
        #[command(flatten)]
        place: Place,
        /// An entry's number and hash, as they were printed earlier
        #[arg(long, value_name = "NUMBER:HASH", value_parser = parse_head)]
        head: Option<AuditHead>,
        /// Only the entries of this month, such as 2026-11, and whether its frozen report is what they say
        #[arg(long, value_name = "YYYY-MM", conflicts_with = "head")]
        month: Option<String>,
    },
    /// Print the entries, one JSON document on each line, as they are stored
    #[command(after_help = "Examples:
  outlast audit export /var/lib/outlast/vault > audit.jsonl
  outlast audit export --dir ./outlast-data --since 2026-11-01T00:00:00Z --workload shop-db")]
    Export {
        #[command(flatten)]
        place: Place,
        /// Only what is about this workload
        #[arg(long, value_name = "WORKLOAD")]
        workload: Option<WorkloadName>,
        /// Only what was written at this time or later
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
        /// Only what was written before this time
        #[arg(long, value_name = "TIME")]
        until: Option<Timestamp>,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Place {
    /// The vault's directory, as `dir` in its configuration
    vault_dir: Option<PathBuf>,
    /// The directory of an `outlast up` instead
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Place {
    fn vault(&self) -> PathBuf {
        let of_up = self.dir.as_ref().map(|dir| Home::new(dir).vault());
        of_up.or_else(|| self.vault_dir.clone()).unwrap_or_default()
    }
}

fn parse_head(text: &str) -> Result<AuditHead> {
    let wrong = || anyhow!("{text:?} is not a number and a hash with a colon between them");
    let (number, hash) = text.split_once(':').ok_or_else(wrong)?;
    let number = number.parse().map_err(|_| wrong())?;
    let hash = outlast_types::hex::decode_32(hash).ok_or_else(wrong)?;
    Ok(AuditHead { number, hash: outlast_types::hex::encode(&hash) })
}

pub(crate) fn run(command: Command, output: &Output) -> Result<Code> {
    match command {
        Command::Verify { place, month: Some(month), .. } => verify_month(&place, &month, output),
        Command::Verify { place, head, month: None } => {
            let verdict = outlast_vault::verify_audit(&place.vault(), head)?;
            tell(&verdict, output)?;
            Ok(if verdict.faults.is_empty() { Code::Done } else { Code::Failed })
        }
        Command::Export { place, workload, since, until } => {
            export(&place, &AuditSelection { workload, since, until })
        }
    }
}

fn tell(verdict: &AuditVerdict, output: &Output) -> Result<()> {
    let AuditVerdict { entries, first, last, head, unfinished_bytes, gaps, faults } = verdict;
    if output.is_json() {
        let faults: Vec<_> = faults
            .iter()
            .map(|fault| json!({ "kind": fault.kind(), "message": fault.to_string() }))
            .collect();
        return output.json(&json!({
            "whole": faults.is_empty(),
            "entries": entries,
            "first": first,
            "last": last,
            "head": head,
            "unfinished_bytes": unfinished_bytes,
            "gaps": gaps
                .iter()
                .map(|gap| json!({ "from": gap.from, "to": gap.to, "recovered": gap.recovered }))
                .collect::<Vec<_>>(),
            "faults": faults,
        }));
    }
    for fault in faults {
        output.line(format_args!("NOT WHOLE: {fault}"))?;
    }
    for AuditGap { from, recovered, .. } in gaps {
        output.line(format_args!(
            "brought back from a save at {recovered}: what was written from entry {from} on until then is \
             lost"
        ))?;
    }
    let entries = match entries {
        1 => "1 entry".to_owned(),
        entries => format!("{entries} entries"),
    };
    let span = match (first, last) {
        (Some(first), Some(last)) => format!(", from {first} to {last}"),
        _ => String::new(),
    };
    let verdict =
        if faults.is_empty() { "the audit log is whole" } else { "the audit log is not whole" };
    output.line(format_args!("{verdict}: {entries}{span}"))?;
    if *unfinished_bytes > 0 {
        output.line(format_args!(
            "{unfinished_bytes} bytes at its end are not a whole entry: one is being written, or its \
             writer was killed"
        ))?;
    }
    output.line(format_args!("newest entry: {}:{}", head.number, head.hash))
}

/// One month by itself.
fn verify_month(place: &Place, month: &str, output: &Output) -> Result<Code> {
    let Some(found) = outlast_vault::verify_month(&place.vault(), month)? else {
        return Err(anyhow!("the audit log tells of no month {month:?} by itself"));
    };
    let MonthVerdict { head: (number, hash), broken_at, is_as_frozen } = &found;
    let is_well = broken_at.is_empty() && *is_as_frozen != Some(false);
    if output.is_json() {
        output.json(&json!({
            "whole": broken_at.is_empty(),
            "month": month,
            "head": { "number": number, "hash": hash },
            "broken_at": broken_at,
            "report_is_as_frozen": is_as_frozen,
        }))?;
    } else {
        for number in broken_at {
            output
                .line(format_args!("NOT WHOLE: entry {number} does not follow the one before"))?;
        }
        output.line(match is_as_frozen {
            Some(true) => "the frozen report is what its entries say",
            Some(false) => "NOT AS FROZEN: the report of the month is not what its entries say",
            None => "the month has no frozen report",
        })?;
        output.line(format_args!("newest entry of the month: {number}:{hash}"))?;
    }
    Ok(if is_well { Code::Done } else { Code::Failed })
}

/// The lines as they are, so that others can verify them; on a terminal without what could move it.
fn export(place: &Place, asked: &AuditSelection) -> Result<Code> {
    let is_terminal = io::stdout().is_terminal();
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    // Nobody reads any more: that is told apart from a log that cannot be read.
    let mut failed = None;
    let mut take = |bytes: &[u8]| {
        let written = match std::str::from_utf8(bytes) {
            Ok(text) if is_terminal && text != "\n" => stdout.write_all(plain(text).as_bytes()),
            _ => stdout.write_all(bytes),
        };
        written.inspect_err(|error| failed = Some(not_written(error)))
    };
    let exported = outlast_vault::export_audit(&place.vault(), asked, &mut take);
    match (failed, exported) {
        (Some(error), _) => Err(error),
        (None, exported) => {
            exported?;
            stdout.flush().map_err(|error| not_written(&error))?;
            Ok(Code::Done)
        }
    }
}
