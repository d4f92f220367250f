//! `outlast promise …`: what policy means, tried out without a vault, and applied at one.

mod apply;
mod check;
mod future;
mod request;
mod scenario;
mod simulate;

pub(crate) use request::in_words as request_in_words;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use outlast_civil::Zone;
use outlast_promise::{Keep, Kept, Point, Rule, judge};
use outlast_types::Timestamp;
use serde_json::json;

use super::vault_access::{MaybeVault, VaultAccess};
use crate::exit::{Code, Usage};
use crate::output::{Output, counted, table};

/// Try out what is promised, without a vault, and apply it
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:
  outlast promise retention --keep last=5,daily=7,within=30d --times times.txt")]
pub(crate) enum Command {
    /// What a policy would change for which workload, before it is applied
    ///
    /// The file is a vault's configuration. It is judged; then what it promises of each workload that the
    /// vault knows is compared with what holds now, and what its rules of retention would let go is counted.
    /// Nothing is changed: `outlast promise apply`, or SIGHUP, lets the vault take it over.
    #[command(
        after_help = "Exit codes: 0 if nothing that is kept would go; 4 if snapshots would; 2 if the file cannot be used.

Examples:
  outlast promise check vault.toml
  outlast promise check vault.toml --dir ./outlast-data
  outlast promise check vault.toml --vault https://vault.example:8443/ --identity ./id --json"
    )]
    Check {
        /// The configuration of a vault
        file: PathBuf,
        #[command(flatten)]
        vault: MaybeVault,
    },
    /// Let a policy hold at a running vault, and after its next start
    ///
    /// Its sections of promises, classes, workloads, content and keeping take the place of those in the file by
    /// which the vault goes. One with a flaw, or that says more than a policy, changes nothing: the policy of
    /// before holds. It takes an operator who is granted all workloads, and is in the audit log.
    #[command(after_help = "Look at it first: outlast promise check FILE --dir DIR

Example:
  outlast promise apply policy.toml --reason \"change 4711\" --dir ./outlast-data")]
    Apply {
        /// A file with the sections of policy
        file: PathBuf,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Ask for what in a policy takes two operators: pages that wait for more than 24 h
    ///
    /// Maintenance windows of a section that let pages wait for more than 24 hours without a break are refused
    /// unless one operator asked for them and another, with a certificate of its own, agreed. Each section of the
    /// file that has some, and for which nobody agreed yet, is asked for.
    #[command(
        after_help = "Then another operator: outlast approve policy:1 --reason TEXT, and the policy can be applied.

Example:
  outlast promise request policy.toml --reason \"move to the new hall\" --dir ./outlast-data"
    )]
    Request {
        /// A file with the sections of policy
        file: PathBuf,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Which of these recovery points would be kept, and by which rules
    #[command(
        after_help = "RULES are one or more of last=N, hourly=N, daily=N, weekly=N, monthly=N, yearly=N, within=SPAN,
within-hourly=SPAN and so on to within-yearly=SPAN, with commas between them. N is a number or
unlimited. A SPAN is such as 30d, 1y6m or 36h, counted back from the newest recovery point. They mean
what they mean in restic.

Examples:
  outlast promise retention --keep last=5,daily=7,within=30d --times times.txt
  outlast promise retention --keep daily=30,monthly=12,yearly=7 --zone Europe/Berlin --times times.txt --json"
    )]
    Retention {
        /// The rules, such as last=5,daily=7,within=30d
        #[arg(long, value_name = "RULES")]
        keep: Keep,
        /// A file of times, one a line, such as 2026-01-31T04:00:00Z
        #[arg(long, value_name = "FILE")]
        times: PathBuf,
        /// The time zone in which days, weeks, months and years begin
        #[arg(long, value_name = "ZONE", default_value_t)]
        zone: Zone,
    },
    Simulate(simulate::Args),
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Code> {
    match command {
        Command::Retention { keep, times, zone } => retention(keep, times, zone, output)?,
        Command::Apply { file, reason, vault } => {
            apply::run(file, reason.as_deref(), vault, output)?;
        }
        Command::Request { file, reason, vault } => request::run(file, reason, vault, output)?,
        Command::Check { file, vault } => return check::run(file, vault.access(), output),
        Command::Simulate(arguments) => return simulate::run(arguments, output),
    }
    Ok(Code::Done)
}

fn retention(keep: &Keep, file: &Path, zone: &Zone, output: &Output) -> Result<()> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let times = parse_times(file, &text)?;
    let points: Vec<Point> = times.iter().map(|(_, at)| Point::at(*at)).collect();
    let judged = judge(&points, keep, zone);
    if output.is_json() {
        let each = times.iter().zip(&judged).map(|((time, _), kept)| {
            let rules: Vec<&str> = kept.rules.iter().map(|rule| rule.as_str()).collect();
            json!({ "time": time, "kept": kept.is_kept(), "rules": rules })
        });
        return output.json(&each.collect::<Vec<_>>());
    }
    let rows: Vec<Vec<String>> =
        times.iter().zip(&judged).map(|((time, _), kept)| row(time, kept)).collect();
    table(output, &["TIME", "KEPT", "RULES"], &rows)?;
    let stay = judged.iter().filter(|kept| kept.is_kept()).count();
    let all = counted(u64::try_from(judged.len())?, "recovery point");
    output.remark(format_args!("{stay} of {all} would be kept by {keep}, with days of {zone}"));
    Ok(())
}

fn row(time: &str, kept: &Kept) -> Vec<String> {
    let rules: Vec<&str> = kept.rules.iter().copied().map(Rule::as_str).collect();
    let word = if kept.is_kept() { "yes" } else { "no" };
    vec![time.to_owned(), word.to_owned(), rules.join(", ")]
}

/// The times of a file, as they are written and as they are meant. Empty lines mean nothing.
fn parse_times<'a>(file: &Path, text: &'a str) -> Result<Vec<(&'a str, Timestamp)>> {
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    let time = |(number, line): (usize, &'a str)| match line.parse() {
        Ok(at) => Ok((line, at)),
        Err(error) => {
            Err(Usage(format!("{}, line {}: {error}", file.display(), number + 1)).into())
        }
    };
    lines.map(time).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_time_is_named_with_its_number() {
        let parse = |text| parse_times(Path::new("times.txt"), text);
        let text = "2026-01-31T04:00:00Z\r\n\n 2026-01-31T05:00:00+01:00 \n";
        let times = parse(text).unwrap();
        assert_eq!(times.len(), 2);
        assert_eq!((times[1].0, times[0].1), ("2026-01-31T05:00:00+01:00", times[1].1));
        let error = parse("2026-01-31T04:00:00Z\n\nyesterday\n").unwrap_err();
        assert!(error.is::<Usage>());
        assert!(error.to_string().starts_with("times.txt, line 3: \"yesterday\""), "{error}");
    }
}
