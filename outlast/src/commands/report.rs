//! `outlast report`: the continuity report of a month.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use clap::Args;

use super::vault_access::VaultAccess;
use crate::exit::Code;
use crate::output::{Output, not_written, plain};

/// Print the continuity report of a month: points met and missed, drills, decisions
#[derive(Debug, Args)]
#[command(
    after_help = "A month that is over is frozen: its report is the same for ever, to the byte, and follows from its
own entries of the audit log, as `outlast audit verify --month` checks. That of the present month is provisional.

Exit codes: 0 the report is final; 3 the month is not over.

Examples:
  outlast report --month 2026-11 --html --dir ./outlast-data > 2026-11.html
  outlast report --month 2026-11 --csv --vault https://vault.example:8443/ --identity ./id
  outlast report --month 2026-11 --json --dir ./outlast-data"
)]
pub(crate) struct Report {
    /// The month, in the time zone of the vault's policy
    #[arg(long, value_name = "YYYY-MM")]
    month: String,
    /// As a page that prints well
    #[arg(long, conflicts_with = "csv")]
    html: bool,
    /// As a table with a line for each workload, for charging back
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    vault: VaultAccess,
}

pub(crate) fn run(report: &Report, output: &Output) -> Result<Code> {
    let format = match (report.html, report.csv) {
        (true, _) => "html",
        (_, true) => "csv",
        (false, false) => "json",
    };
    let client = report.vault.client()?;
    let month = output.patiently(client.location(), || client.report_of(&report.month, format))?;
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    let text = month.document;
    let written = match io::stdout().is_terminal() {
        true => text.lines().try_for_each(|line| writeln!(stdout, "{}", plain(line))),
        false => stdout.write_all(text.as_bytes()),
    };
    written.and_then(|()| stdout.flush()).map_err(|error| not_written(&error))?;
    Ok(if month.frozen { Code::Done } else { Code::Incomplete })
}
