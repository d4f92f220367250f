//! `outlast vault import`: what a media server put on a disk that travels comes to the vault.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outlast_wire::CallError;
use outlast_wire::api::ErrorCode;
use outlast_wire::client::{Pace, Part, Sent};
use serde_json::json;

use crate::commands::vault_access::VaultAccess;
use crate::exit::Code;
use crate::output::{Output, counted};

/// For one object.
const DEADLINE: Duration = Duration::from_secs(600);
/// The longest that is read, in bytes: the vault takes no longer one.
const OBJECT_BYTES_MAX: u64 = 160 << 20;

/// Take in what `outlast media export` put on a disk
///
/// Each object is sent to the vault, which judges it as it judges what comes over the line: what is on the
/// disk is believed by nobody. Broken off, the same command goes on. The agent hands in its bill by itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outlast vault import /mnt/disk --vault https://vault.example:8443/ --identity ./operator")]
pub(crate) struct ImportArgs {
    /// The directory that `outlast media export` wrote
    #[arg(value_name = "DIR")]
    from: PathBuf,
    #[command(flatten)]
    vault: VaultAccess,
}

/// Nothing waits for its turn here.
struct AtOnce;

impl Pace for AtOnce {
    fn turn(&self, _bytes: u64) -> Result<(), Duration> {
        Ok(())
    }
}

#[derive(Default)]
struct Imported {
    taken: u64,
    there: u64,
    refused: u64,
    /// Indexes whose packs are not on this disk, and not at the vault.
    early: u64,
}

pub(super) fn import(arguments: &ImportArgs, output: &Output) -> Result<Code> {
    let client = arguments.vault.client()?;
    let seeds = outlast_media::seeds(&arguments.from)?;
    if seeds.is_empty() {
        bail!(
            "{} holds nothing that `outlast media export` wrote: name the directory that was given to it",
            arguments.from.display()
        );
    }
    let pace: Arc<dyn Pace> = Arc::new(AtOnce);
    let mut imported = Imported::default();
    for seed in seeds {
        let shown = seed.path.display();
        let size = fs::metadata(&seed.path).with_context(|| format!("cannot read {shown}"))?.len();
        if size > OBJECT_BYTES_MAX {
            output.warn(&format!("{shown} is too large for an object, and is left out"));
            imported.refused += 1;
            continue;
        }
        let content = fs::read(&seed.path).with_context(|| format!("cannot read {shown}"))?;
        let total = content.len() as u64;
        let part = Part { object: seed.object, offset: 0, total, content: content.into() };
        match client.forward(&seed.workload, None, seed.drop, part, &pace, DEADLINE) {
            Ok(Sent::Exists) => imported.there += 1,
            Ok(Sent::Stored) => imported.taken += 1,
            // All of it went in one.
            Ok(Sent::Partly { .. }) => bail!("the vault took a part of {shown} only"),
            Err(error) if error.code() == Some(&ErrorCode::PackMissing) => imported.early += 1,
            Err(error @ CallError::Refused { .. }) if is_of_this_object(&error) => {
                output.warn(&format!("{} of {} is not taken: {error}", seed.object, seed.workload));
                imported.refused += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let Imported { taken, there, refused, early } = imported;
    if output.is_json() {
        output.json(&json!({
            "taken": taken, "there_already": there, "refused": refused, "packs_missing": early,
        }))?;
    } else {
        output.line(format_args!(
            "the vault took {}; {there} were there already",
            counted(taken, "object")
        ))?;
        if early > 0 {
            output.line(format_args!(
                "{} wait for packs that are not on this disk: they come from the media server",
                counted(early, "index")
            ))?;
        }
    }
    Ok(if refused > 0 { Code::Incomplete } else { Code::Done })
}

/// Whether others may be taken all the same.
fn is_of_this_object(error: &CallError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::Unacceptable
                | ErrorCode::WrongHash
                | ErrorCode::TooLarge
                | ErrorCode::UnknownWorkload
                | ErrorCode::NotGranted
        )
    )
}
