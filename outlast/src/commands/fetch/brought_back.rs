//! `outlast fetch --from`: a backup out of a hand-over's directory that a product brought back.

use std::path::Path;

use anyhow::Result;
use outlast_drop::fetch::FetchOptions;
use outlast_handover::age::Identities;
use outlast_handover::restore::{choose, restore};
use outlast_types::human;
use serde_json::json;

use super::Args;
use crate::exit::Code;
use crate::output::{Output, counted};
use crate::snapshots::{deviations, tell_deviations};

pub(super) fn fetch(from: &Path, arguments: &Args, output: &Output) -> Result<Code> {
    let found = choose(from, &arguments.workload, arguments.drop)?;
    let keys = arguments.age_identity.as_deref().map(Identities::read).transpose()?;
    let options = FetchOptions {
        overwrite: arguments.overwrite || arguments.resume,
        privileged: arguments.rights.privileged,
    };
    let progress = output.progress();
    let summary = restore(&found, &arguments.into, options, keys.as_ref(), &progress)?;
    progress.finish();
    let drop = found.manifest.drop;
    if output.is_json() {
        output.json(&json!({
            "drop": drop.to_string(),
            "workload": arguments.workload.as_str(),
            "from": "handover",
            "path": found.path.display().to_string(),
            "into": arguments.into.display().to_string(),
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
            "fetched drop {drop} of {} into {}: {}, {}",
            arguments.workload,
            arguments.into.display(),
            counted(summary.files, "file"),
            human::bytes(summary.bytes)
        ))?;
        output.remark(format_args!("it lay in {}", found.path.display()));
        tell_deviations(&summary.withheld, &summary.copied, output);
    }
    Ok(if summary.problems.is_empty() { Code::Done } else { Code::Failed })
}
