//! `outlast handover verify`: whether what a product brought back is what was handed over.

use std::path::PathBuf;

use anyhow::Result;
use outlast_handover::verify::{Findings, Found, Search, search, verify};
use outlast_types::{DropId, Monitor, WorkloadName, human};
use serde::Serialize;
use serde_json::json;

use crate::exit::Code;
use crate::output::{Output, counted};

/// Names of one drop that are told to people.
const NAMES_SHOWN: usize = 20;

/// Compare what a product brought back with the manifests, file by file
#[derive(Debug, clap::Args)]
#[command(
    after_help = "DIR is where the product restored to: on any host, below any path, with any owner, all of it or a part, or several
restores in one. Drops are found by their manifests, however deep. Each file is read and compared with its manifest; what is
missing is named, and so are drops that the newest list names and that are not there.

Exit codes: 0 all that lies there is whole; 1 something was changed or cannot be read; 2 the command line is wrong; 3
something is missing, or no drop lies there.

Examples:
  outlast handover verify /restore/srv/handover
  outlast handover verify . --workload shop-db --json"
)]
pub(crate) struct VerifyArgs {
    /// What the product brought back
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Only the drops of this workload
    #[arg(long, value_name = "NAME")]
    workload: Option<WorkloadName>,
    /// Only this drop
    #[arg(long, value_name = "ID")]
    drop: Option<DropId>,
}

#[derive(Serialize)]
struct Judged {
    workload: WorkloadName,
    drop: DropId,
    path: PathBuf,
    bytes: u64,
    files: usize,
    whole: bool,
    #[serde(flatten)]
    findings: Findings,
}

pub(super) fn run(arguments: &VerifyArgs, output: &Output) -> Result<Code> {
    let Search { drops, unreadable, missing } = search(&arguments.directory)?;
    let is_meant = |found: &Found| {
        let Found { manifest, .. } = found;
        arguments.workload.as_ref().is_none_or(|name| *name == manifest.workload)
            && arguments.drop.is_none_or(|drop| drop == manifest.drop)
    };
    let drops: Vec<Found> = drops.into_iter().filter(is_meant).collect();
    // A drop that somebody asked for says nothing of others.
    let asks_for_all = arguments.workload.is_none() && arguments.drop.is_none();
    let missing = if asks_for_all { missing } else { Vec::new() };
    let progress = output.progress();
    let bytes = drops.iter().map(|it| it.manifest.files.iter().map(|file| file.size).sum::<u64>());
    progress.begin("verify", Some(bytes.sum()));
    let mut judged = Vec::new();
    for found in &drops {
        judged.push(judge(found, verify(found, &progress)?));
    }
    progress.finish();
    let is_changed = judged.iter().any(|it| !it.findings.changed.is_empty());
    let lacks = judged.iter().any(|it| !it.findings.missing.is_empty()) || !missing.is_empty();
    let code = match (is_changed || !unreadable.is_empty(), lacks || judged.is_empty()) {
        (true, _) => Code::Failed,
        (false, true) => Code::Incomplete,
        (false, false) => Code::Done,
    };
    if output.is_json() {
        let unreadable: Vec<_> =
            unreadable.iter().map(|(path, why)| json!({ "path": path, "why": why })).collect();
        output.json(&json!({
            "directory": arguments.directory,
            "drops": judged,
            "unreadable": unreadable,
            "missing_drops": missing,
            "code": code as u8,
        }))?;
        return Ok(code);
    }
    for drop in &judged {
        show(drop, output)?;
    }
    for (path, why) in &unreadable {
        output.line(format_args!("cannot be judged  {}: {why}", path.display()))?;
    }
    for path in &missing {
        output.line(format_args!("not there         {path}, which the list names"))?;
    }
    let whole = judged.iter().filter(|it| it.whole).count();
    match judged.len() {
        0 => {
            output.line("no drop lies there: is it the directory to which the product restored?")?
        }
        all => output.line(format_args!("{whole} of {} whole", counted(all as u64, "drop")))?,
    }
    Ok(code)
}

fn judge(found: &Found, findings: Findings) -> Judged {
    let Found { path, manifest } = found;
    Judged {
        workload: manifest.workload.clone(),
        drop: manifest.drop,
        path: path.clone(),
        bytes: manifest.files.iter().map(|file| file.size).sum(),
        files: manifest.files.len(),
        whole: findings.is_well(),
        findings,
    }
}

fn show(drop: &Judged, output: &Output) -> Result<()> {
    let Judged { workload, findings, .. } = drop;
    let (files, bytes) = (counted(drop.files as u64, "file"), human::bytes(drop.bytes));
    let id = drop.drop;
    if drop.whole {
        return output.line(format_args!("whole             {workload} {id}: {files}, {bytes}"));
    }
    let (missing, changed) = (findings.missing.len(), findings.changed.len());
    output.line(format_args!(
        "not whole         {workload} {id}: of {files}, {missing} missing and {changed} changed, in {}",
        drop.path.display()
    ))?;
    let missing = findings.missing.iter().map(|name| ("missing", name));
    let changed = findings.changed.iter().map(|name| ("changed", name));
    let all: Vec<_> = missing.chain(changed).collect();
    for (what, name) in all.iter().take(NAMES_SHOWN) {
        output.line(format_args!("  {what}  {name}"))?;
    }
    if let Some(more) = all.len().checked_sub(NAMES_SHOWN).filter(|more| *more > 0) {
        output.line(format_args!("  and {more} more; --json names all"))?;
    }
    Ok(())
}
