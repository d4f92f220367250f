//! `outlast media`: the media server, and what its operators ask of one that is at work on this host.

mod told;

use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use outlast_media::{Ask, MediaHandle, Mode, ask};
use outlast_types::{Clock as _, Environment, SystemClock, human};
use outlast_wire::Roads;
use outlast_wire::api::MediaState;
use outlast_wire::outside::{Lookout, Watcher};
use serde_json::json;

use super::roles::{PATIENCE, ReadyFile, Reload, attend_hearing, help};
use crate::exit::Code;
use crate::log::{Log, LogArgs};
use crate::notify::Service;
use crate::output::{Output, counted};
use crate::proxies::proxies;
use crate::settings::table::MEDIA;
use crate::settings::{Document, MediaSettings};
use crate::signals::Signals;

/// The keys that a media server takes over without a restart.
const TAKES: [&str; 9] = [
    "media.room",
    "media.workload_room",
    "media.cache",
    "line.rate",
    "line.calendar",
    "line.zone",
    "line.restores",
    "media.vault_silence",
    "route.*",
];
/// Where packages put the file.
const CONFIG: &str = "/etc/outlast/media.toml";
/// How often it is looked whether a spool is empty.
const LOOK: Duration = Duration::from_secs(1);

/// For how long a vault expects a media server in maintenance to be silent.
const WORK_MAX: Duration = Duration::from_secs(24 * 3600);

/// Run the media server: take what agents ship, and forward it to the vault
#[derive(Debug, clap::Args)]
#[command(after_help = media_help())]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct MediaArgs {
    #[command(subcommand)]
    command: Option<Command>,
    /// The role's configuration, in TOML
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Write this file, as JSON, when the media server serves; it is gone when it does not
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

impl MediaArgs {
    /// Whether the role itself is to run.
    pub(crate) fn is_the_role(&self) -> bool {
        self.command.is_none()
    }
}

/// What is asked of a media server that is at work on this host.
#[derive(Debug, Subcommand)]
enum Command {
    Status(StatusArgs),
    Drain(DrainArgs),
    Maintenance(MaintenanceArgs),
    Take(TakeArgs),
    Export(ExportArgs),
}

/// How the media server on this host is doing
///
/// What waits, how long, how fast it goes, and what keeps it. To be run as the user of the media server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outlast media status
  outlast media status --config ./media.toml --json")]
struct StatusArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, clap::Args)]
struct PlaceArgs {
    /// The role's configuration
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
}

/// Take nothing new, and forward what waits, so that the host may go
///
/// Agents are told to come later, or go to another media server of the same name. With `--wait` the command
/// ends when nothing waits any more, and says so; without, it exits with 3 while something does. `outlast media
/// take` ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outlast media drain --wait && systemctl disable --now outlast-media")]
struct DrainArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Wait until nothing waits any more
    #[arg(long)]
    wait: bool,
}

/// Take nothing for a while, in which silence is no incident
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outlast media maintenance --for 2h --reason \"a larger disk\"")]
struct MaintenanceArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// For how long, 24h at most; then it takes again by itself
    #[arg(long = "for", value_name = "DURATION", value_parser = length_of_work)]
    length: Duration,
    /// Why, for whoever reads it
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
}

/// Take again what agents bring, after a drain or maintenance
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outlast media take")]
struct TakeArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// Copy what waits in the spool to a disk that travels
///
/// What a first backup brings may take weeks over a narrow line. The copies are encrypted as all of it is;
/// `outlast vault import DIR` takes them in, and verifies each. What waits is forwarded all the same: close
/// the line in the calendar meanwhile, and open it when the disk was imported; the vault is asked
/// what it lacks before anything is sent.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outlast media export /mnt/disk
  outlast vault import /mnt/disk --vault https://vault.example:8443/ --identity ./operator")]
struct ExportArgs {
    /// Where to; what is there already is not copied again
    #[arg(value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

/// How long a media server may be worked on.
fn length_of_work(text: &str) -> Result<Duration, String> {
    let length = human::parse_duration(text).map_err(|error| error.to_string())?;
    match (Duration::from_secs(1)..=WORK_MAX).contains(&length) {
        true => Ok(length),
        false => {
            Err("a vault misses a media server after a day: use 1s to 24h, and for longer work \
                      drain it"
                .to_owned())
        }
    }
}

fn media_help() -> String {
    help(
        &MEDIA,
        "OUTLAST_LINE_RATE=20Mbit/s",
        "SIGTERM and SIGINT end it in order, within 25 seconds in any case, and a second one at once: what waits is in the
spool. SIGHUP reads the file again, and takes over what the keys say that it takes over. In a container, the file
after --ready-file is what a readiness probe looks for.

Examples:
  outlast media --config /etc/outlast/media.toml
  outlast media status
  outlast media drain --wait",
    )
}

pub(crate) fn run(arguments: &MediaArgs, output: &Output) -> Result<Code> {
    match &arguments.command {
        None => serve(arguments),
        Some(Command::Status(arguments)) => {
            let status = ask(&directory(&arguments.place)?, &Ask::Status)?;
            told::status(&status, output)?;
            Ok(Code::Done)
        }
        Some(Command::Drain(arguments)) => drain(arguments, output),
        Some(Command::Maintenance(arguments)) => {
            let until = SystemClock.now().saturating_add(arguments.length);
            let mode = Mode::Maintenance { until, reason: arguments.reason.clone() };
            set(&arguments.place, mode, output)
        }
        Some(Command::Take(arguments)) => set(&arguments.place, Mode::Taking, output),
        Some(Command::Export(arguments)) => export(arguments, output),
    }
}

fn serve(arguments: &MediaArgs) -> Result<Code> {
    let (signals, hangups) = Signals::catch_but_hangups(PATIENCE)?;
    let _log = Log::start(&arguments.log);
    let mut ready = ReadyFile::new(arguments.ready_file.as_deref())?;
    let path = arguments.config.as_deref().context("name the configuration by --config")?;
    let mut reload = Reload::of(&MEDIA, path, &TAKES)?;
    let settings = media_settings(path)?;
    let environment = Environment::system();
    let mut service = Service::of_environment(std::slice::from_ref(&environment.pulse));
    let media = outlast_media::start(settings.config.clone(), environment.clone())?;
    let lookout = lookout(&settings, &media, &environment)?;
    ready.write(&json!({ "url": media.url(), "process": process::id() }))?;
    let again = || {
        reload.again(media_settings, |new| {
            media.set_limits(new.config.limits);
            lookout.set(&new.lookout);
        });
    };
    let blind = || lookout.has_ended().then_some("what watches over the vault has ended");
    let fault = || media.fault().or_else(blind);
    attend_hearing(&signals, Some((&hangups, again)), &mut service, fault)?;
    drop(ready);
    drop(lookout);
    media.shutdown();
    Ok(Code::Done)
}

/// The configuration in the file at `path`.
fn media_settings(path: &Path) -> Result<MediaSettings> {
    let mut settings: MediaSettings = Document::read(path)?.with_environment()?;
    settings.config.proxies = proxies()?;
    Ok(settings)
}

/// What watches over the vault.
fn lookout(
    settings: &MediaSettings,
    media: &MediaHandle,
    environment: &Environment,
) -> Result<Lookout> {
    let config = &settings.config;
    let watcher = Watcher {
        name: &media.name(),
        vault: &config.upstream,
        means: "what agents bring is taken as long as there is room, and waits here until the vault is back",
        directory: &config.dir,
        heard: media.vault_heard(),
    };
    let roads = Roads::through(config.proxies.clone());
    Lookout::start(&watcher, &settings.lookout, environment, roads)
        .context("cannot start the threads that watch over the vault")
}

fn directory(place: &PlaceArgs) -> Result<PathBuf> {
    Ok(media_settings(&place.config)?.config.dir)
}

fn set(place: &PlaceArgs, mode: Mode, output: &Output) -> Result<Code> {
    let status = ask(&directory(place)?, &Ask::Set { mode })?;
    told::state(&status, output)?;
    Ok(Code::Done)
}

fn drain(arguments: &DrainArgs, output: &Output) -> Result<Code> {
    let directory = directory(&arguments.place)?;
    let mut status = ask(&directory, &Ask::Set { mode: Mode::Draining })?;
    let timer = Environment::system().timer;
    let stop = outlast_types::Interrupt::default();
    while arguments.wait && status.report.state == MediaState::Draining {
        timer.pause(LOOK, &stop);
        status = ask(&directory, &Ask::Status)?;
    }
    told::state(&status, output)?;
    match status.report.state {
        MediaState::Drained => Ok(Code::Done),
        MediaState::Draining => Ok(Code::Incomplete),
        MediaState::Taking | MediaState::Maintenance => {
            bail!("somebody told the media server to do something else meanwhile")
        }
    }
}

fn export(arguments: &ExportArgs, output: &Output) -> Result<Code> {
    let spool = outlast_media::spool_of(&directory(&arguments.place)?);
    let exported = outlast_media::export(&spool, &arguments.to)?;
    if output.is_json() {
        output.json(&json!({
            "copied": exported.copied,
            "bytes": exported.bytes,
            "there_already": exported.there,
            "damaged": exported.damaged,
        }))?;
    } else {
        output.line(format_args!(
            "copied {} ({}); {} were there already",
            counted(exported.copied, "object"),
            human::bytes(exported.bytes),
            exported.there
        ))?;
    }
    if exported.damaged > 0 {
        output.warn(&format!(
            "{} are damaged in the spool, and were left out",
            counted(exported.damaged, "object")
        ));
        return Ok(Code::Incomplete);
    }
    Ok(Code::Done)
}
