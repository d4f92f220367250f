//! `outlast repo unlock`: locks whose holders died.

use anyhow::Result;
use outlast_repo::lock::{self, FoundLock, Here, Unlocked};
use outlast_types::SystemClock;
use serde_json::{Value, json};

use super::access::{Access, holder, lives};
use crate::exit::Code;
use crate::output::{Output, counted};

/// Remove locks that somebody left who died
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A lock is removed if it is older than half an hour by the time of the repository's \
disk, whether it can be read or not, or if it is of a process of this host that is dead. Whoever lives \
writes his lock anew every few minutes.

Examples:
  outlast repo unlock -r /srv/repo
  outlast repo unlock -r /srv/repo --remove-all     # when surely nobody works on it"
)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    /// Remove all locks, also of those who may be at work
    #[arg(long)]
    remove_all: bool,
}

pub(super) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let repository = arguments.access.open(output)?;
    let here = Here { holder: holder(), lives: &lives };
    let unlocked = lock::unlock(&repository, arguments.remove_all, &here, &SystemClock)?;
    let Unlocked { removed, kept } = &unlocked;
    if output.is_json() {
        let list = |locks: &[FoundLock]| locks.iter().map(document).collect::<Vec<_>>();
        output.json(&json!({ "removed": list(removed), "kept": list(kept) }))?;
        return Ok(Code::Done);
    }
    output.line(format_args!("{} removed", counted(removed.len() as u64, "lock")))?;
    for found in kept {
        output.remark(format_args!("still locked {found}"));
    }
    Ok(Code::Done)
}

fn document(found: &FoundLock) -> Value {
    let lock = found.lock.as_ref();
    json!({
        "lock": found.object.to_string(),
        "hostname": lock.map(|lock| &lock.holder.hostname),
        "pid": lock.map(|lock| lock.holder.pid),
        "since": lock.map(|lock| lock.time),
        "exclusive": lock.map(|lock| lock.exclusive),
        "age_seconds": found.age.map(|age| age.as_secs()),
    })
}
