//! `outlast handover import`: drops that a product brought back become drops on a share again, from where an agent takes them
//! to a vault: the vault is gone, the tape is not.

use std::path::PathBuf;

use anyhow::Result;
use outlast_drop::{BroughtBack, Claims, Content, DropWriter, Share, WriterOptions, recent};
use outlast_handover::age::Identities;
use outlast_handover::manifest::ContentKind;
use outlast_handover::pour;
use outlast_handover::verify::{Found, search, verify};
use outlast_types::{Clock, DropId, Monitor, SystemClock, SystemRandom, WorkloadName, human};
use serde_json::{Value, json};

use crate::exit::Code;
use crate::output::{Output, counted};

/// Put what a product brought back onto a share, for a vault that has lost it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each drop is compared with its manifest, and becomes a drop of its workload on the share, from which the agent takes it
to the vault as any other. It is a new one, which says of itself which it was and whence it comes; so the vault takes it
for suspect: it is kept by the rules as if it counted, can be restored by its id, and renews no promise, since nobody
could tell how old it is. What is not whole is left out. Said again, what the share has by now is left out, too.

Exit codes: 0 all are on the share; 1 one could not be written; 2 the command line is wrong; 3 some are not whole, or
none lies there.

Examples:
  outlast handover import /restore/srv/handover --share /mnt/efs
  outlast handover import /restore --share ./share --workload shop-db"
)]
pub(crate) struct ImportArgs {
    /// What the product brought back
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The share's directory
    #[arg(long, value_name = "DIR", env = "OUTLAST_SHARE")]
    share: PathBuf,
    /// The secret keys that read what the hand-over was encrypted to, as age-keygen writes them
    #[arg(long, value_name = "FILE")]
    age_identity: Option<PathBuf>,
    /// Only the drops of this workload
    #[arg(long, value_name = "NAME")]
    workload: Option<WorkloadName>,
    /// Only this drop
    #[arg(long, value_name = "ID")]
    drop: Option<DropId>,
}

pub(super) fn run(arguments: &ImportArgs, output: &Output) -> Result<Code> {
    let share = Share::open(&arguments.share)?;
    let keys = arguments.age_identity.as_deref().map(Identities::read).transpose()?;
    let found = search(&arguments.directory)?;
    for (path, why) in &found.unreadable {
        output.warn(&format!("{} is left out: {why}", path.display()));
    }
    let drops = found.drops.iter().filter(|it| {
        arguments.workload.as_ref().is_none_or(|name| *name == it.manifest.workload)
            && arguments.drop.is_none_or(|drop| drop == it.manifest.drop)
    });
    let (mut imported, mut left_out, mut there) = (Vec::<Value>::new(), found.unreadable.len(), 0);
    let progress = output.progress();
    for found in drops {
        let of = format!("{} of {}", found.manifest.drop, found.manifest.workload);
        progress.begin(&of, Some(found.manifest.size));
        let findings = verify(found, &progress)?;
        if !findings.is_well() {
            let count = findings.missing.len() + findings.changed.len();
            let count = counted(count as u64, "file");
            output.warn(&format!("{of} is left out: {count} missing or changed"));
            left_out += 1;
            continue;
        }
        // Before anything of it is on the share.
        if let Err(error) = pour::check(found, keys.as_ref()) {
            output.warn(&format!("{of} is left out: {error}"));
            left_out += 1;
            continue;
        }
        match import(&share, found, keys.as_ref())? {
            None => there += 1,
            Some(drop) => imported.push(json!({
                "workload": found.manifest.workload,
                "was": found.manifest.drop,
                "drop": drop,
                "bytes": found.manifest.size,
            })),
        }
    }
    progress.finish();
    let nothing = imported.is_empty() && there == 0;
    let code = if left_out > 0 || nothing { Code::Incomplete } else { Code::Done };
    if output.is_json() {
        output.json(&json!({
            "share": share.path(), "imported": imported, "there_already": there, "left_out": left_out,
        }))?;
        return Ok(code);
    }
    show(&imported, output)?;
    let count = counted(imported.len() as u64, "drop");
    output.line(format_args!(
        "{count} put onto the share, {there} there already, {left_out} left out"
    ))?;
    Ok(code)
}

fn show(imported: &[Value], output: &Output) -> Result<()> {
    for drop in imported {
        let bytes = human::bytes(drop["bytes"].as_u64().unwrap_or_default());
        let text = |key: &str| drop[key].as_str().unwrap_or_default();
        let (workload, was, drop) = (text("workload"), text("was"), text("drop"));
        output.line(format_args!("{workload}: {was} is {drop} now, {bytes}"))?;
    }
    Ok(())
}

/// The id of the new drop; `None` if the share has it.
fn import(share: &Share, found: &Found, keys: Option<&Identities>) -> Result<Option<DropId>> {
    let manifest = &found.manifest;
    let (clock, random) = (SystemClock, SystemRandom);
    let there = recent::brought_back(share, &manifest.workload, clock.now())?;
    if there.contains(&manifest.drop) {
        return Ok(None);
    }
    let content = match (manifest.kind, &manifest.name) {
        (ContentKind::Stream, Some(name)) => Content::stream(name)?,
        (ContentKind::Stream, None) => Content::stream("content")?,
        (ContentKind::Tree, _) => Content::Tree,
    };
    let claims = Claims {
        brought_back: Some(BroughtBack {
            handover: manifest.handover.clone(),
            drop: manifest.drop,
            share: manifest.share,
            sealed: manifest.sealed,
        }),
        ..Claims::default()
    };
    let options = WriterOptions { compression: Some(3), ..WriterOptions::default() };
    let mut writer =
        DropWriter::create(share, &manifest.workload, content, claims, options, &clock, &random)?;
    let drop = writer.drop_id();
    match pour::pour(found, keys, &mut writer) {
        Ok(()) => {
            writer.seal(&clock)?;
            Ok(Some(drop))
        }
        Err(error) => {
            // What was begun says that it came to nothing; why, is told.
            let _ = writer.fail(None);
            Err(error.into())
        }
    }
}
