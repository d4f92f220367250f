//! The client's side of a job: its scripts, and the data that it sends.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::catalogue::{Image, Stored};
use super::order::{Fault, Order};

const LOOK: Duration = Duration::from_millis(5);
/// Files of a directory that are listed.
const FILES_MAX: usize = 1_000_000;

/// What a job's scripts are told.
pub(super) struct Told<'a> {
    pub(super) order: &'a Order,
    pub(super) backup: &'a str,
    pub(super) began: i64,
    pub(super) stream: u32,
}

/// A client, for one stream of a job.
pub(super) struct Client<'a> {
    pub(super) programs: &'a Path,
    pub(super) name: &'a str,
    pub(super) script_timeout: Duration,
    pub(super) between: &'a mut Option<Box<dyn FnMut() + Send>>,
    /// When the backup began that this one goes on from.
    pub(super) since: i64,
}

/// How a stream ended, and what of it is stored.
pub(super) struct Ended {
    pub(super) status: i32,
    pub(super) log: Vec<String>,
    pub(super) image: Option<Image>,
}

impl Client<'_> {
    /// One stream of a job, to its end.
    pub(super) fn run(&mut self, told: &Told<'_>) -> io::Result<Ended> {
        let (mut log, mut image) = (Vec::new(), None);
        let status = self.work(told, &mut log, &mut image)?;
        Ok(Ended { status, log, image })
    }

    fn work(
        &mut self,
        told: &Told<'_>,
        log: &mut Vec<String>,
        image: &mut Option<Image>,
    ) -> io::Result<i32> {
        let order = told.order;
        if let Fault::Before(status) = order.fault {
            return Ok(status);
        }
        match self.script("bpstart_notify", told, None, log)? {
            Some(Script::Exit(0)) | None => {}
            Some(Script::Exit(_)) => return Ok(73),
            Some(Script::TimeOut) => return Ok(74),
        }
        let listed = list(&order.directory, log)?;
        let listed = of_stream(listed, &order.directory, told.stream, order.streams);
        if let Some(between) = self.between {
            between();
        }
        let changed = listed.iter().filter(|(_, modified)| *modified > self.since);
        let (files, mut client_status) = match send(changed.map(|it| &it.0), &order.fault, log) {
            Sent::All(files) => (files, 0),
            Sent::Partly(files) => (files, 1),
            Sent::Ended(status) => return Ok(status),
        };
        if !order.directory.exists() {
            client_status = 71;
        }
        // All is sent; whether it is stored, nobody knows yet.
        let ended = self.script("bpend_notify", told, Some(client_status), log)?;
        if let Fault::Server(status) = order.fault {
            return Ok(status);
        }
        if !matches!(client_status, 0 | 1) {
            return Ok(client_status);
        }
        *image = Some(Image {
            backed_up: told.began,
            policy: order.policy.clone(),
            schedule: order.schedule.clone(),
            kind: order.kind,
            is_synthetic: false,
            files,
            seen: listed.into_iter().map(|(path, _)| path).collect(),
        });
        // Whatever else it ends with changes nothing.
        Ok(if matches!(ended, Some(Script::TimeOut)) { 75 } else { client_status })
    }

    /// Runs the most special of a script's variants, in the foreground; `None` if there is none that may be run.
    fn script(
        &self,
        name: &str,
        told: &Told<'_>,
        status: Option<i32>,
        log: &mut Vec<String>,
    ) -> io::Result<Option<Script>> {
        let Order { policy, schedule, kind, streams, .. } = told.order;
        let names =
            [format!("{name}.{policy}.{schedule}"), format!("{name}.{policy}"), name.to_owned()];
        let is_one = |path: &PathBuf| {
            let is_runnable = |mode: u32| mode & 0o111 != 0;
            path.metadata().is_ok_and(|it| it.is_file() && is_runnable(it.permissions().mode()))
        };
        let mut paths = names.iter().map(|name| self.programs.join(name));
        let Some(path) = paths.find(is_one) else { return Ok(None) };
        let mut command = Command::new(&path);
        command.args([self.name, policy, schedule, kind.word()]);
        command.args(status.map(|status| status.to_string()));
        command.env("BACKUPID", told.backup).env("UNIXBACKUPTIME", told.began.to_string());
        if *streams > 1 {
            command.env("STREAM_NUMBER", told.stream.to_string());
            command.env("STREAM_COUNT", streams.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let end = Instant::now() + self.script_timeout;
        while child.try_wait()?.is_none() {
            if Instant::now() >= end {
                child.kill()?;
                child.wait()?;
                log.push(format!("{} took too long", path.display()));
                return Ok(Some(Script::TimeOut));
            }
            std::thread::sleep(LOOK);
        }
        let output = child.wait_with_output()?;
        let said = [output.stdout, output.stderr].concat();
        log.extend(String::from_utf8_lossy(&said).lines().map(|line| format!("{name}: {line}")));
        Ok(Some(Script::Exit(output.status.code().unwrap_or(-1))))
    }
}

/// How a script ended.
enum Script {
    Exit(i32),
    TimeOut,
}

/// What was sent of the chosen files.
enum Sent {
    All(BTreeMap<PathBuf, Stored>),
    Partly(BTreeMap<PathBuf, Stored>),
    /// The job was ended.
    Ended(i32),
}

fn send<'a>(
    chosen: impl Iterator<Item = &'a PathBuf>,
    fault: &Fault,
    log: &mut Vec<String>,
) -> Sent {
    let (mut sent, mut are_all) = (BTreeMap::new(), true);
    for (count, path) in chosen.enumerate() {
        if let Fault::Middle(after, status) = fault
            && count >= *after
        {
            log.push(format!("ended after {count} files"));
            return Sent::Ended(*status);
        }
        match read(path, fault) {
            Ok(file) => drop(sent.insert(path.clone(), file)),
            Err(error) => {
                log.push(format!("{}: {error}", path.display()));
                are_all = false;
            }
        }
    }
    if are_all { Sent::All(sent) } else { Sent::Partly(sent) }
}

/// The plain files below a directory, with the second in which each was changed.
fn list(directory: &Path, log: &mut Vec<String>) -> io::Result<Vec<(PathBuf, i64)>> {
    let (mut found, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                log.push(format!("{}: {error}", directory.display()));
                continue;
            }
        };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() && found.len() < FILES_MAX {
                found.push((entry.path(), entry.metadata()?.mtime()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What a stream has of it: each of the entries at the top goes to one.
fn of_stream(
    listed: Vec<(PathBuf, i64)>,
    directory: &Path,
    stream: u32,
    streams: u32,
) -> Vec<(PathBuf, i64)> {
    let top = |path: &Path| -> Option<OsString> {
        let within = path.strip_prefix(directory).ok()?;
        Some(within.components().next()?.as_os_str().to_owned())
    };
    let tops: BTreeSet<OsString> = listed.iter().filter_map(|(path, _)| top(path)).collect();
    let number = |path: &Path| {
        let position = tops.iter().position(|it| Some(it) == top(path).as_ref()).unwrap_or(0);
        u32::try_from(position).unwrap_or(0) % streams.max(1) + 1
    };
    listed.into_iter().filter(|(path, _)| number(path) == stream).collect()
}

/// Opens a file by its path and reads it whole; one that changes meanwhile cannot be read.
fn read(path: &Path, fault: &Fault) -> io::Result<Stored> {
    if let Fault::Unreadable(words) = fault
        && path.to_string_lossy().contains(words.as_str())
    {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    let before = path.metadata()?;
    let content = std::fs::read(path)?;
    let after = path.metadata()?;
    if before.mtime() != after.mtime() || before.len() != after.len() {
        return Err(io::Error::other("it changed while it was read"));
    }
    Ok(Stored { content, modified: before.mtime(), mode: before.mode() })
}
