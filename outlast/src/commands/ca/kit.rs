//! `outlast ca kit`: makes a recovery kit.

use std::path::{Path, PathBuf};

use anyhow::Result;
use outlast_types::Environment;
use outlast_vault::{KitOrder, KitSummary, MadeKitOutcome};
use serde_json::json;

use super::page;
use crate::commands::roles;
use crate::exit::Code;
use crate::home::{AUTHORITY, Home};
use crate::output::Output;
use crate::passphrase::PassphraseArgs;

/// Make a recovery kit, by which a lost vault comes back from its repositories
///
/// On the vault's host, as the vault's user; the vault may run. The kit is a small directory that the
/// passphrase opens, with Outlast or with stock restic. It holds the keys of everything: keep it where the
/// vault's disks are not, and its passphrase elsewhere. A kit does not become stale when workloads come:
/// one a year is enough, and one after each change of the authority.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --replace, kits of before open nothing any more, as soon as the vault has worked on \
its repositories; their loss is harmless then. Who has opened one may have kept what was in it.

Examples:
  outlast ca kit --dir ./outlast-data --into /media/usb/kit          # asks for the passphrase, twice
  outlast ca kit --dir ./outlast-data --passphrase-file F --into /media/usb/kit
  outlast ca kit --config /etc/outlast/vault.toml --ca ./CA --passphrase-file F --into ./kit
  systemd-ask-password -n | outlast ca kit --dir ./outlast-data --passphrase-file - --into ./kit"
)]
#[command(group = clap::ArgGroup::new("which vault").required(true))]
pub(crate) struct Args {
    /// The vault's configuration
    #[arg(long, value_name = "FILE", group = "which vault")]
    config: Option<PathBuf>,
    /// The directory of an `outlast up` on this host
    #[arg(long, value_name = "DIR", group = "which vault")]
    dir: Option<PathBuf>,
    /// The directory of the authority, as far as it is at hand; that of an `up` is found by itself
    #[arg(long, value_name = "DIR")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// The directory to make, or an empty one
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Make all kits of before worthless
    #[arg(long)]
    replace: bool,
}

pub(super) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let path = match (&arguments.config, &arguments.dir) {
        (Some(path), _) => path.clone(),
        (None, Some(dir)) => Home::new(dir).config("vault"),
        (None, None) => PathBuf::new(),
    };
    let mut config = roles::vault_config(&path)?;
    if let Some(ca) = &arguments.ca {
        config.save_too.retain(|(name, _)| name != AUTHORITY);
        config.save_too.push((AUTHORITY.to_owned(), ca.clone()));
    }
    let passphrase = arguments.passphrase.read_new()?;
    let by = whose_hands();
    let made = outlast_vault::make_kit(
        &KitOrder {
            config: &config,
            place: &arguments.into,
            passphrase: &passphrase,
            replace: arguments.replace,
            by: &by,
            page: &page::text,
        },
        &Environment::system(),
    )?;
    tell(&made, &arguments.into, arguments.replace, output)?;
    Ok(Code::Done)
}

fn tell(made: &MadeKitOutcome, place: &Path, replace: bool, output: &Output) -> Result<()> {
    let MadeKitOutcome { summary, not_yet } = made;
    let KitSummary { id, vault, repositories, head, .. } = summary;
    if output.is_json() {
        return output.json(&json!({
            "kit": id,
            "vault": vault,
            "made": summary.made,
            "generation": summary.generation,
            "head": head,
            "repositories": repositories,
            "not_yet_opened": not_yet,
            "place": place,
        }));
    }
    let count = match repositories.len() {
        1 => "1 repository".to_owned(),
        count => format!("{count} repositories"),
    };
    output.line(format_args!("made kit {id} of {vault} in {}, for {count}", place.display()))?;
    if !not_yet.is_empty() {
        output.line(format_args!(
            "{} of them do not take its passwords yet; the vault sees to it while it runs, within minutes",
            not_yet.len()
        ))?;
    }
    if replace {
        output.line("kits of before open nothing any more when the vault has seen to it")?;
    }
    output.line(format_args!(
        "print {}, and keep kit and passphrase apart",
        place.join("README.txt").display()
    ))
}

/// Whose hands made it, as far as the host tells.
fn whose_hands() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("user {} on {host}", rustix::process::getuid().as_raw())
}
