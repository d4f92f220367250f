//! `outlast audit …`: whether a vault's audit log is whole, and what it says.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::{Args, Subcommand};
use outlast_fs::durable;
use outlast_types::{Timestamp, WorkloadName};
use outlast_vault::{AuditGap, AuditHead, AuditSelection, AuditVerdict, MonthVerdict};
use outlast_wire::CA_FILE;
use outlast_wire::head_receipt::{HeadReceipt, SignedHead};
use serde_json::json;

use super::vault_access::VaultAccess;
use crate::exit::Code;
use crate::home::Home;
use crate::output::{Output, not_written, plain};

/// The longest receipt, and the longest list of authorities.
const RECEIPT_BYTES_MAX: u64 = 64 << 10;
const CA_BYTES_MAX: u64 = 1 << 20;

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
        /// A receipt that `outlast audit head` printed and somebody kept elsewhere
        #[arg(long, value_name = "FILE", conflicts_with = "head")]
        receipt: Option<PathBuf>,
        /// The authorities whose vault signed the receipt, in PEM: `ca.pem` of any identity
        #[arg(long, value_name = "FILE", requires = "receipt")]
        ca: Option<PathBuf>,
        /// Only the entries of this month, such as 2026-11, and whether its frozen report is what they say
        #[arg(long, value_name = "YYYY-MM", conflicts_with_all = ["head", "receipt"])]
        month: Option<String>,
    },
    /// Print a receipt of the newest entry, signed by the vault, to be kept elsewhere
    #[command(
        after_help = "The receipt names the newest entry's number and hash, and so speaks for all before it. Keep some of them
where nobody who can write to the vault can: `outlast audit verify --receipt` finds a log that was cut off or
written anew since.

Examples:
  outlast audit head --vault https://vault.example:8443/ --identity ./id --json > 2026-11-26.head
  outlast audit verify /var/lib/outlast/vault --receipt 2026-11-26.head --ca ./id/ca.pem"
    )]
    Head {
        #[command(flatten)]
        vault: VaultAccess,
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
    /// The authorities of an `up`.
    fn authority(&self) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| Home::new(dir).identity("operator").join(CA_FILE))
    }

    fn vault(&self) -> PathBuf {
        let of_up = self.dir.as_ref().map(|dir| Home::new(dir).vault());
        of_up.or_else(|| self.vault_dir.clone()).unwrap_or_default()
    }
}

/// Prints the newest entry as the vault signs it.
fn head(vault: &VaultAccess, output: &Output) -> Result<Code> {
    let client = vault.client()?;
    let signed = output.patiently(client.location(), || client.audit_head())?;
    // What a vault of another authority says is no receipt for whoever asks.
    let receipt = signed.verify(&vault.ca_pem()?)?;
    if output.is_json() {
        output.json(&signed)?;
    } else {
        let HeadReceipt { vault, number, hash, at, .. } = receipt;
        output.line(format_args!("newest entry of vault {vault} at {at}: {number}:{hash}"))?;
        output.remark("With --json it is a signed receipt, to be kept elsewhere.");
    }
    Ok(Code::Done)
}

/// A receipt that somebody kept, whose signature is right.
fn read_receipt(file: &Path, ca: Option<&Path>, output: &Output) -> Result<HeadReceipt> {
    let cannot = || format!("cannot read {}", file.display());
    let text = durable::read_bounded(file, RECEIPT_BYTES_MAX).with_context(cannot)?;
    let signed: SignedHead = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no receipt of an audit log's head", file.display()))?;
    let receipt = match ca {
        Some(ca) => {
            let pem = durable::read_bounded(ca, CA_BYTES_MAX);
            let pem = pem.with_context(|| format!("cannot read {}", ca.display()))?;
            signed.verify(&String::from_utf8_lossy(&pem))
        }
        None => {
            output.remark(
                "No --ca was given: the receipt is whole, and nobody vouches that it is the vault's.",
            );
            signed.read()
        }
    };
    receipt.with_context(|| format!("{} proves nothing", file.display()))
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
        Command::Head { vault } => head(&vault, output),
        Command::Verify { place, head, receipt, ca, month: None } => {
            let ca = ca.or_else(|| place.authority());
            let receipt = receipt.map(|file| read_receipt(&file, ca.as_deref(), output));
            let kept = receipt.transpose()?;
            let of_receipt = |it: &HeadReceipt| parse_head(&format!("{}:{}", it.number, it.hash));
            let known =
                head.map_or_else(|| kept.as_ref().map(of_receipt).transpose(), |it| Ok(Some(it)))?;
            let verdict = outlast_vault::verify_audit(&place.vault(), known)?;
            tell(&verdict, output)?;
            if let Some(HeadReceipt { vault, number, at, .. }) =
                kept.filter(|_| verdict.faults.is_empty())
            {
                output.remark(format_args!(
                    "It contains entry {number}, which vault {vault} signed as its newest at {at}."
                ));
            }
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
