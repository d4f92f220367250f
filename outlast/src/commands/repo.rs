//! `outlast repo …`: the engine alone, on a path or a `rest:` address; restic's words.

mod access;
mod backup;
mod check;
mod password;
mod prune;
mod repair;
mod unlock;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;
use outlast_format::config::Version;
use outlast_repo::{Maker, Repository, restore};
use outlast_types::{Clock, SystemClock, SystemRandom, human};
use serde_json::json;

use crate::exit::Code;
use crate::output::{Output, counted};
use crate::snapshots;
use access::Access;
pub(super) use access::retrying;

/// The engine alone: restic repositories on a path or rest: address
#[derive(Debug, Subcommand)]
#[command(
    after_help = "The password never comes from the command line, which every user of the host can
read, but from --password-file or --password-command; else from OUTLAST_PASSWORD_FILE,
OUTLAST_PASSWORD_COMMAND or OUTLAST_PASSWORD; else from RESTIC_PASSWORD_FILE,
RESTIC_PASSWORD_COMMAND or RESTIC_PASSWORD. What a file or a command gives is read as stock restic
reads it: without a byte order mark and white space around it.

Examples:
  export OUTLAST_PASSWORD=…
  outlast repo init -r /srv/repo
  outlast repo backup -r /srv/repo /etc /home
  outlast repo restore -r /srv/repo latest --target ./restored
  outlast repo check -r rest:https://vault.example:8443/repo/shop-db/ --identity ./id --read-data"
)]
pub(crate) enum Command {
    /// Make a new repository
    #[command(after_help = "Examples:
  outlast repo init -r /srv/repo --password-file ~/.repo-password
  OUTLAST_PASSWORD=… outlast repo init -r rest:http://backup.example:8000/shop-db/")]
    Init {
        #[command(flatten)]
        access: Access,
        /// Repository format version, 1 or 2
        #[arg(long, value_name = "VERSION", default_value = "2", value_parser = ["1", "2"])]
        repository_version: String,
    },
    Backup(backup::Args),
    /// Restore a snapshot into a directory
    #[command(
        after_help = "What cannot be restored is named, the rest is restored, and the exit code is 1. What would \
give rights on this host is withheld, counted and named; see --privileged.

Examples:
  outlast repo restore -r /srv/repo latest --target ./restored
  outlast repo restore -r /srv/repo 4f0b12ac --target ./restored --include /etc/hosts --verify
  outlast repo restore -r /srv/repo latest --target ./restored --resume"
    )]
    Restore {
        #[command(flatten)]
        access: Access,
        /// `latest`, a snapshot's id, or the beginning of one
        snapshot: String,
        /// Where to; made if missing, refused if not empty without --overwrite or --resume
        #[arg(long, value_name = "DIR")]
        target: PathBuf,
        #[command(flatten)]
        how: RestoreHow,
    },
    /// List snapshots
    #[command(after_help = "Examples:
  outlast repo snapshots -r /srv/repo
  outlast repo snapshots -r /srv/repo --json")]
    Snapshots {
        #[command(flatten)]
        access: Access,
    },
    /// List the entries of a snapshot
    #[command(
        after_help = "A name that is not printable text is shown in the quotes in which a shell takes it, as in \
$'/srv/caf\\xe9'. With --json, `path` is the path as it is; one that is not UTF-8 is quoted so, and has its bytes in \
`path_base64`.

Examples:
  outlast repo ls -r /srv/repo latest
  outlast repo ls -r /srv/repo 4f0b12ac /etc --json"
    )]
    Ls {
        #[command(flatten)]
        access: Access,
        /// `latest`, a snapshot's id, or the beginning of one
        snapshot: String,
        /// Only this path and what is below it
        path: Option<OsString>,
    },
    /// Print a file of a snapshot
    #[command(after_help = "Example:
  outlast repo cat -r /srv/repo latest /etc/hosts")]
    Cat {
        #[command(flatten)]
        access: Access,
        /// `latest`, a snapshot's id, or the beginning of one
        snapshot: String,
        /// The file's path in the snapshot, as `ls` shows it
        path: OsString,
    },
    Check(check::Args),
    Forget(prune::ForgetArgs),
    Prune(prune::PruneArgs),
    Repair(repair::Args),
    Unlock(unlock::Args),
    /// Count what the repository holds
    #[command(after_help = "Example:
  outlast repo stats -r /srv/repo --json")]
    Stats {
        #[command(flatten)]
        access: Access,
    },
}

/// Whether what gives rights is made.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Rights {
    /// Make also what gives rights on this host: setuid and setgid files, devices, capabilities, and
    /// other attributes that only root can set (security.*, trusted.*, system.*). For backups whose
    /// writers are trusted as much as whoever runs this; without it, that is left out and named
    #[arg(long)]
    pub(crate) privileged: bool,
}

/// How a restore treats its target.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RestoreHow {
    /// Write into a directory that is not empty; entries of the same name are replaced
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Go on with a restore that was interrupted: what the directory has already is compared, and
    /// only what differs or is missing is fetched; it replaces what has its name
    #[arg(long)]
    pub(crate) resume: bool,
    /// Read every file again after it was written, and compare
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) rights: Rights,
    /// Restore only this path and what is below it (may be repeated)
    #[arg(long, value_name = "PATH")]
    pub(crate) include: Vec<OsString>,
}

impl RestoreHow {
    pub(crate) fn options(&self) -> Result<restore::Options> {
        // The whole snapshot is what an empty list stands for.
        let include = self.include.iter().map(snapshots::path_in);
        let include: Option<Vec<_>> = include.collect::<Result<_>>()?;
        Ok(restore::Options {
            overwrite: self.overwrite,
            resume: self.resume,
            verify: self.verify,
            privileged: self.rights.privileged,
            subpath: None,
            include: include.unwrap_or_default(),
        })
    }
}

pub(crate) fn run(command: Command, output: &Output) -> Result<Code> {
    match command {
        Command::Init { access, repository_version } => init(&access, &repository_version, output),
        Command::Backup(arguments) => backup::run(&arguments, output),
        Command::Restore { access, snapshot, target, how } => {
            let repository = access.open(output)?;
            let resolved = snapshots::resolve(&repository, &snapshot)?;
            snapshots::restore(&repository, &resolved, &target, &how.options()?, output)
        }
        Command::Snapshots { access } => snapshots::list(&access.open(output)?, None, output),
        Command::Ls { access, snapshot, path } => {
            let repository = access.open(output)?;
            let resolved = snapshots::resolve(&repository, &snapshot)?;
            let below = path.as_deref().map(snapshots::path_in).transpose()?.flatten();
            snapshots::ls(&repository, &resolved, below.as_ref(), output)
        }
        Command::Cat { access, snapshot, path } => {
            let repository = access.open(output)?;
            let resolved = snapshots::resolve(&repository, &snapshot)?;
            snapshots::cat(&repository, &resolved, &path, output)
        }
        Command::Check(arguments) => check::run(&arguments, output),
        Command::Forget(arguments) => prune::run_forget(&arguments, output),
        Command::Prune(arguments) => prune::run_prune(&arguments, output),
        Command::Repair(arguments) => repair::run(&arguments, output),
        Command::Unlock(arguments) => unlock::run(&arguments, output),
        Command::Stats { access } => stats(&access.open(output)?, output),
    }
}

fn init(access: &Access, version: &str, output: &Output) -> Result<Code> {
    // Before anything is made: without address and password there will be no repository.
    access.address()?;
    let password = access.password()?;
    let store = access.create_store(output)?;
    let version = if version == "1" { Version::V1 } else { Version::V2 };
    let maker = Maker {
        hostname: access::host_name(),
        username: access::user_name(),
        created: SystemClock.now(),
    };
    let repository = Repository::init(store, password.as_slice(), version, &maker, &SystemRandom)?;
    let id = repository.config().id.to_string();
    if output.is_json() {
        output.json(&json!({ "id": id, "repository": repository.location() }))?;
    } else {
        output.line(format_args!("made repository {} in {}", &id[..8], repository.location()))?;
        output.remark("Keep its password: without it, nothing in the repository can be read.");
    }
    Ok(Code::Done)
}

fn stats(repository: &Repository, output: &Output) -> Result<Code> {
    let blobs = repository.index()?.count_blobs()?;
    let store = repository.store();
    let packs = store.list(outlast_store::Kind::Data).context("cannot list the packs")?;
    let snapshots =
        store.list(outlast_store::Kind::Snapshot).context("cannot list the snapshots")?;
    let stored: u64 = packs.iter().map(|(_, bytes)| bytes).sum();
    if output.is_json() {
        output.json(&json!({
            "snapshots": snapshots.len(),
            "packs": packs.len(),
            "blobs": blobs,
            "stored_bytes": stored,
        }))?;
    } else {
        output.line(format_args!(
            "{}, {} in {}, {} stored",
            counted(snapshots.len() as u64, "snapshot"),
            counted(blobs, "blob"),
            counted(packs.len() as u64, "pack"),
            human::bytes(stored)
        ))?;
    }
    Ok(Code::Done)
}
