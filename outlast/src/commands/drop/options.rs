//! What every kind of drop can be asked for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use outlast_drop::WriterOptions;
use outlast_drop::schedule::{InvalidSchedule, Schedule};
use outlast_fs::durable;
use outlast_types::{WorkloadName, human};
use outlast_wire::sealed_key::BoxPublicKey;

use super::priority::PriorityArgs;
use super::supervised::SupervisedArgs;
use crate::commands::inputs::InputArgs;
use crate::dump::PATIENCE;
use crate::exit::Usage;
use crate::log::LogArgs;
use crate::signals::Grace;

/// The options of every kind of drop. `share` and `workload` are required, and options here only for the
/// parser's sake: a subcommand takes its own.
#[derive(Debug, clap::Args)]
pub(super) struct DropOptions {
    /// The share's directory
    #[arg(long, value_name = "DIR", env = "OUTLAST_SHARE", required = true)]
    share: Option<PathBuf>,
    /// The workload that this is a backup of
    #[arg(long, value_name = "NAME", required = true)]
    workload: Option<WorkloadName>,
    /// This instance's id [default: the host name]
    #[arg(long, value_name = "ID")]
    pub(super) instance: Option<String>,
    /// The release that this instance runs
    #[arg(long)]
    pub(super) release: Option<String>,
    /// The colour of this instance in a blue/green release
    #[arg(long, value_name = "COLOR")]
    pub(super) color: Option<String>,
    /// The last drop of this instance before it is terminated
    #[arg(long = "final")]
    pub(super) is_final: bool,
    /// How long the drop may go on to finish after SIGTERM, SIGINT or SIGHUP, before it is given up;
    /// with --final, how long it may take in all
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration)]
    deadline: Option<Duration>,
    /// Compression of what lies on the share: a zstd level from 1 to 19, or `off`
    #[arg(long, value_name = "LEVEL", default_value = "1", value_parser = compression)]
    compress: Compression,
    /// Size of the segments in which the data is written
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = segment_bytes)]
    segment_size: u64,
    /// Encrypt the content so that only the agent can read it, and not who else may see the share: with
    /// this public key, or the one in this file, of `outlast share key`
    #[arg(long, value_name = "KEY|FILE", value_parser = sealed_to)]
    pub(super) seal_to: Option<BoxPublicKey>,
    /// Write at most so much to the share in a second, on average, such as 20MiB
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub(super) limit_rate: Option<u64>,
    #[command(flatten)]
    pub(super) priority: PriorityArgs,
    /// Leave it if another instance has sealed a drop of this workload in the same window, such as
    /// 24h, or is at it; windows are counted from 1970-01-01 UTC, with --every from each due time
    #[arg(long, value_name = "WINDOW", value_parser = window)]
    pub(super) once_per: Option<Duration>,
    #[command(flatten)]
    pub(super) schedule: ScheduleArgs,
    #[command(flatten)]
    pub(super) input: InputArgs,
}

/// Going on for ever, for hosts without a scheduler.
#[derive(Debug, clap::Args)]
pub(super) struct ScheduleArgs {
    /// Go on running, and drop so often: a part of a day such as 15m or 6h, or days such as 24h
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration)]
    #[arg(conflicts_with = "is_final")]
    every: Option<Duration>,
    /// The time of day from which --every is counted [default: 00:00]
    #[arg(long, value_name = "HH:MM", requires = "every")]
    at: Option<String>,
    /// Begin up to so much later, at random
    #[arg(long, value_name = "DURATION", requires = "every", value_parser = human::parse_duration)]
    jitter: Option<Duration>,
    /// The time zone of --at, such as Europe/Berlin or UTC [default: the host's]
    #[arg(long, value_name = "ZONE", requires = "every")]
    timezone: Option<String>,
    /// Keep the state in this file, as JSON, for a probe or for people
    #[arg(long, value_name = "FILE", requires = "every")]
    pub(super) status_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) supervised: SupervisedArgs,
    #[command(flatten)]
    pub(super) log: LogArgs,
}

impl ScheduleArgs {
    /// Whether this goes on running, and nobody sits before it.
    pub(super) fn is_kept(&self) -> bool {
        self.every.is_some()
    }

    /// The schedule that is asked for, if one is.
    pub(super) fn schedule(&self) -> Result<Option<Schedule>> {
        let Some(every) = self.every else { return Ok(None) };
        let (at, zone) = (self.at.as_deref(), self.timezone.as_deref());
        let schedule = Schedule::new(every, at, self.jitter.unwrap_or_default(), zone);
        schedule.map(Some).map_err(|error| {
            let hint = match error {
                InvalidSchedule::Zone { .. } => {
                    " (names of zones come from the host's tzdata, which small container images lack)"
                }
                _ => "",
            };
            Usage(format!("{error}{hint}")).into()
        })
    }
}

impl DropOptions {
    pub(super) fn share(&self) -> Result<&PathBuf> {
        self.share.as_ref().ok_or_else(|| Usage("name the share by --share".to_owned()).into())
    }

    pub(super) fn workload(&self) -> Result<&WorkloadName> {
        let missing = || Usage("name the workload by --workload".to_owned()).into();
        self.workload.as_ref().ok_or_else(missing)
    }

    /// How long the end may take that a signal asks for.
    pub(super) fn grace(&self) -> Grace {
        let given = self.deadline;
        let (finish, deadline) = if self.is_final { (None, given) } else { (given, None) };
        Grace { finish: finish.unwrap_or_default(), deadline, tidy: PATIENCE }
    }

    /// How the drop is written.
    pub(super) fn writer(&self) -> WriterOptions {
        WriterOptions {
            segment_bytes: self.segment_size,
            compression: self.compress.0,
            ..WriterOptions::default()
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Compression(Option<i32>);

fn compression(text: &str) -> Result<Compression, String> {
    match text {
        "off" => Ok(Compression(None)),
        _ => match text.parse() {
            Ok(level @ 1..=19) => Ok(Compression(Some(level))),
            _ => Err("a level from 1 to 19, or off".to_owned()),
        },
    }
}

fn sealed_to(text: &str) -> Result<BoxPublicKey, String> {
    const FILE_BYTES_MAX: u64 = 4096;
    if let Ok(key) = BoxPublicKey::try_from(text.to_owned()) {
        return Ok(key);
    }
    let words = durable::read_bounded(Path::new(text), FILE_BYTES_MAX)
        .map_err(|error| format!("it is no public key, and no file with one: {error}"))?;
    let words = String::from_utf8_lossy(&words);
    BoxPublicKey::try_from(words.trim().to_owned())
        .map_err(|_| "what is in that file is no public key".to_owned())
}

fn rate(text: &str) -> Result<u64, String> {
    let bytes = human::parse_bytes(text.strip_suffix("/s").unwrap_or(text));
    match bytes {
        Ok(0) => Err("a rate is more than nothing".to_owned()),
        bytes => bytes.map_err(|error| error.to_string()),
    }
}

fn window(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_secs(60);
    match human::parse_duration(text) {
        Ok(window) if window >= LEAST => Ok(window),
        Ok(_) => Err("a window is at least a minute long".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn segment_bytes(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 1 << 20;
    match human::parse_bytes(text) {
        Ok(bytes) if bytes >= LEAST => Ok(bytes),
        Ok(_) => Err("segments have at least 1 MiB".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
