//! `outlast fetch --from`: a backup out of a hand-over's directory that a product brought back.

use std::path::Path;

use anyhow::Result;
use outlast_drop::fetch::FetchOptions;
use outlast_handover::age::Identities;
use outlast_handover::restore::{choose, restore};
use outlast_types::{DropId, WorkloadName, human};
use serde_json::json;

use crate::exit::Code;
use crate::output::{Output, counted};
use crate::snapshots::{deviations, tell_deviations};

/// What is wanted of it.
pub(super) struct Wish<'a> {
    pub(super) from: &'a Path,
    pub(super) workload: &'a WorkloadName,
    pub(super) drop: Option<DropId>,
    pub(super) into: &'a Path,
    pub(super) options: FetchOptions,
    /// The file with the secret keys, where it was encrypted.
    pub(super) age_identity: Option<&'a Path>,
}

pub(super) fn fetch(wish: &Wish<'_>, output: &Output) -> Result<Code> {
    let Wish { from, workload, into, .. } = *wish;
    let keys = wish.age_identity.map(Identities::read).transpose()?;
    let progress = output.progress();
    let found = choose(from, workload, wish.drop, &progress)?;
    let summary = restore(&found, into, wish.options, keys.as_ref(), &progress)?;
    progress.finish();
    let drop = found.manifest.drop;
    if output.is_json() {
        output.json(&json!({
            "drop": drop.to_string(),
            "workload": workload.as_str(),
            "from": "handover",
            "path": found.path.display().to_string(),
            "into": into.display().to_string(),
            "files": summary.files,
            "bytes": summary.bytes,
            "problems": summary.problems,
            "withheld": deviations(&summary.withheld),
            "copied": deviations(&summary.copied),
        }))?;
    } else {
        for problem in &summary.problems {
            output.warn(problem);
        }
        output.line(format_args!(
            "fetched drop {drop} of {workload} into {}: {}, {}",
            into.display(),
            counted(summary.files, "file"),
            human::bytes(summary.bytes)
        ))?;
        output.remark(format_args!("it lay in {}", found.path.display()));
        tell_deviations(&summary.withheld, &summary.copied, output);
    }
    Ok(if summary.problems.is_empty() { Code::Done } else { Code::Failed })
}
