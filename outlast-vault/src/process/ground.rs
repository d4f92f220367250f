//! Where drills are done: space on this host, and a sandbox for what a backup may contain.
//!
//! The vault reads and decrypts; what comes of it lies in a directory of its own below `scratch`, which is
//! gone when the drill is over, and is swept at a start if that was killed. Loading it is left to a script in
//! a sandbox, which sees nothing else.

mod recipe;
mod sandbox;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_drop::sanity::Examiner;
use outlast_fs::durable;
use outlast_promise::DrillLevel;
use outlast_repo::read;
use outlast_repo::restore::{self, Options};
use outlast_types::{ContentKind, Environment, Owner, Silent, Verdict, hex, human};

use self::recipe::Recipe;
use self::sandbox::{End, Limits, Place, USER, Word};
use crate::core::drills::{Failure, Ground, Outcome, Phase, Task};

const PREFIX: &str = "drill-";
const MODE: u32 = 0o711;
/// So much of a file system stays free for everybody else, as a part of it and at most.
const LEFT_FREE_PART: u64 = 20;
const LEFT_FREE_MAX: u64 = 16 << 30;

/// What a system says that has no room, and the files of the recipes in which it may stand.
const NO_SPACE: &str = "No space left on device";
const SAID_IN: [&str; 3] = ["server.log", "errors", "out"];
const SAID_BYTES_MAX: u64 = 16 << 20;

/// What this host, and the user that this process runs as, let drills load backups in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillGround {
    /// How what is loaded is kept from all else.
    pub isolation: &'static str,
    /// Why nothing can be loaded, so that drills read and load nothing; `None` if they can.
    pub unable: Option<String>,
}

/// Looks whether drills can load backups here, as a vault that runs as this user does before each.
pub fn drill_ground() -> DrillGround {
    let is_root = rustix::process::geteuid().is_root();
    DrillGround { isolation: sandbox::isolation(is_root), unable: sandbox::unable(is_root) }
}

/// Space for drills on this host.
pub(crate) struct HostGround {
    scratch: PathBuf,
    time_max: Duration,
    environment: Environment,
    is_root: bool,
}

impl HostGround {
    /// Sweeps what a vault that was killed left there.
    pub(crate) fn open(scratch: &Path, time_max: Duration, environment: &Environment) -> Self {
        let ground = Self {
            scratch: scratch.to_owned(),
            time_max,
            environment: environment.clone(),
            is_root: rustix::process::geteuid().is_root(),
        };
        let left = fs::read_dir(scratch).into_iter().flatten().flatten();
        for entry in left.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
            remove(&entry.path());
        }
        ground
    }

    /// Bytes that a drill may use.
    fn room(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.scratch)?;
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        Ok(free.saturating_sub((total / LEFT_FREE_PART).min(LEFT_FREE_MAX)))
    }

    /// A new directory, and what is to be in it.
    fn place(&self) -> io::Result<Place> {
        let mut name = [0; 8];
        self.environment.random.fill(&mut name);
        let root = self.scratch.join(format!("{PREFIX}{}", hex::encode(&name)));
        durable::create_directories(&root, MODE)?;
        let place = Place { root };
        durable::create_directories(&place.work(), 0o700)?;
        durable::create_directories(&place.etc(), 0o755)?;
        fs::set_permissions(place.etc(), fs::Permissions::from_mode(0o755))?;
        Ok(place)
    }

    fn try_load(
        &self,
        task: &Task<'_>,
        place: &Place,
        outcome: &mut Outcome,
    ) -> Result<(), NotLoaded> {
        let restore = Phases { environment: &self.environment };
        let bytes = restore.time(outcome, "restore", || bring_back(task, place))?;
        outcome.counts.extend(bytes);
        let recipe = self.recipe(task, place)?;
        outcome.recipe = recipe.as_str().to_owned();
        let Some(script) = recipe.script() else { return Ok(()) };
        outcome.isolation = Some(sandbox::isolation(self.is_root).to_owned());
        self.furnish(task, place, &script).map_err(of_host("start"))?;
        let ran = sandbox::run(
            place,
            &task.rule.command,
            self.is_root,
            &Limits {
                timer: &*self.environment.timer,
                stop: task.stop,
                time_max: self.time_max,
                has_room: &|| self.room().is_ok_and(|room| room > 0),
            },
        );
        self.judge(ran.map_err(of_host("start"))?, outcome)
    }

    fn recipe(&self, task: &Task<'_>, place: &Place) -> Result<Recipe, Failure> {
        if !task.rule.command.is_empty() {
            return Ok(Recipe::Command);
        }
        if let Some(named) = task.rule.recipe.as_deref().and_then(Recipe::named) {
            return Ok(named);
        }
        let found = Recipe::of(&place.data()).map_err(of_host("restore"))?;
        // What is packed is known to who looked into it when it came.
        Ok(match task.kind {
            ContentKind::PgDump | ContentKind::PgDumpAll | ContentKind::PgDumpCustom => {
                Recipe::PostgreSql
            }
            ContentKind::MysqlDump | ContentKind::MariadbDump => Recipe::MariaDb,
            ContentKind::Sqlite => Recipe::Sqlite,
            _ => found,
        })
    }

    /// Puts what the script needs beside the data, and gives both to the user that it runs as.
    fn furnish(&self, task: &Task<'_>, place: &Place, script: &str) -> io::Result<()> {
        let etc = place.etc();
        let put =
            |name: &str, text: &str| durable::replace(&etc.join(name), text.as_bytes(), 0o644);
        put("run.sh", script)?;
        put("passwd", &format!("drill:x:{USER}:{USER}::/drill/space:/bin/sh\n"))?;
        put("group", &format!("drill:x:{USER}:\n"))?;
        if let Some(check) = &task.rule.check {
            put("check.sql", &format!("{check}\n"))?;
        }
        if self.is_root {
            give(&place.data())?;
            lchown(place.work(), Some(USER), Some(USER))?;
        }
        Ok(())
    }

    /// What the script said, as phases, counts, and how it ended.
    fn judge(&self, ran: sandbox::Ran, outcome: &mut Outcome) -> Result<(), NotLoaded> {
        let mut phase = ("start".to_owned(), Duration::ZERO);
        let (mut said, mut is_done) = (None, false);
        let close = |outcome: &mut Outcome, phase: &(String, Duration), at: Duration| {
            let took = at.saturating_sub(phase.1);
            outcome.phases.push(Phase::new(&phase.0, took, 0));
        };
        let mut last = Duration::ZERO;
        for (at, word) in ran.words {
            last = at;
            match word {
                // Making the sandbox is a part of the start.
                Word::Phase(name) if name == phase.0 => {}
                Word::Phase(name) => {
                    close(outcome, &phase, at);
                    phase = (name, at);
                }
                Word::Count(name, number) => drop(outcome.counts.insert(name, number)),
                Word::Fail(why) => said = Some(why),
                Word::Done => is_done = true,
            }
        }
        close(outcome, &phase, last);
        let is_full = ran.end == End::Full;
        let failed = |why: String, owner| {
            let failure = Failure { phase: phase.0.clone(), why, owner };
            Err(NotLoaded { failure, is_full })
        };
        // A server that does not start is nobody's dump.
        let whose = if phase.0 == "start" { Owner::Platform } else { Owner::App };
        match (ran.end, said) {
            (End::Status(0), None) if is_done => Ok(()),
            (End::Status(_), Some(why)) => failed(why, whose),
            (End::Status(status), None) => {
                failed(format!("it ended with {status} before its end: {}", ran.rest), whose)
            }
            (End::TooLong, _) => {
                let most = human::duration(self.time_max);
                failed(format!("it took longer than {most}, and was ended"), Owner::Platform)
            }
            (End::Full, _) => failed(
                format!("it would have filled {}, and was ended", self.scratch.display()),
                Owner::Platform,
            ),
            (End::Stopped, _) => failed("the vault ended".to_owned(), Owner::Platform),
        }
    }
}

impl Ground for HostGround {
    fn lowered(&self, task: &Task<'_>) -> Option<String> {
        let made = durable::create_directories(&self.scratch, MODE);
        let room = made.and_then(|()| self.room());
        let needed = task.size.saturating_mul(task.factor_percent).div_ceil(100);
        match room {
            Ok(room) if room >= needed => {}
            Ok(room) => {
                return Some(format!(
                    "{} has room for {}, and to load it takes {}",
                    self.scratch.display(),
                    human::bytes(room),
                    human::bytes(needed)
                ));
            }
            Err(error) => return Some(format!("{}: {error}", self.scratch.display())),
        }
        // Files are loaded by nobody.
        let is_files = task.rule.recipe.as_deref() == Some(Recipe::Files.as_str());
        (!is_files).then(|| sandbox::unable(self.is_root)).flatten()
    }

    fn stream(&self, task: &Task<'_>) -> Outcome {
        let mut outcome = Outcome::new(DrillLevel::Stream);
        let phases = Phases { environment: &self.environment };
        let read = phases.time(&mut outcome, "read", || read_through(task));
        match read {
            Ok(counts) => outcome.counts = counts,
            Err(failure) => outcome.failure = Some(failure),
        }
        outcome
    }

    fn load(&self, task: &Task<'_>) -> Outcome {
        let mut outcome = Outcome::new(DrillLevel::Load);
        let place = match self.place() {
            Ok(place) => place,
            Err(error) => {
                outcome.failure = Some(of_host("restore")(error));
                return outcome;
            }
        };
        let not_loaded = self.try_load(task, &place, &mut outcome).err();
        // Whoever finds no room, or is ended for that, may have given back what it took before anybody looks.
        let was_full = not_loaded.as_ref().is_some_and(|not_loaded| not_loaded.is_full);
        outcome.failure = not_loaded.map(|not_loaded| not_loaded.failure);
        outcome.scratch_bytes = used(&place.root);
        let is_full = was_full
            || self.room().is_ok_and(|room| room == 0)
            || outcome.failure.as_ref().is_some_and(|failure| failure.why.contains(NO_SPACE))
            || says_full(&place);
        remove(&place.root);
        if outcome.failure.is_none() || !is_full || task.stop.is_requested() {
            return outcome;
        }
        // That there is no room here says nothing of the backup, and something can still be said of it.
        let lowered = format!(
            "{} was full when {} of it were taken to load it",
            self.scratch.display(),
            human::bytes(outcome.scratch_bytes)
        );
        tracing::warn!(reason = lowered, "a drill is read and not loaded");
        Outcome { lowered: Some(lowered), ..self.stream(task) }
    }
}

/// Why nothing could be said of the backup by loading it.
struct NotLoaded {
    failure: Failure,
    /// It was ended before it filled the disk.
    is_full: bool,
}

impl From<Failure> for NotLoaded {
    fn from(failure: Failure) -> Self {
        Self { failure, is_full: false }
    }
}

struct Phases<'a> {
    environment: &'a Environment,
}

impl Phases<'_> {
    /// Does something that is a phase by itself, of which `bytes` are counted.
    fn time(
        &self,
        outcome: &mut Outcome,
        name: &str,
        work: impl FnOnce() -> Result<BTreeMap<String, u64>, Failure>,
    ) -> Result<BTreeMap<String, u64>, Failure> {
        let began = self.environment.timer.elapsed();
        let result = work();
        let took = self.environment.timer.elapsed().saturating_sub(began);
        let bytes = result.as_ref().ok().and_then(|counts| counts.get("bytes").copied());
        outcome.phases.push(Phase::new(name, took, bytes.unwrap_or(0)));
        result
    }
}

/// Restores the snapshot, and reads again what was written.
fn bring_back(task: &Task<'_>, place: &Place) -> Result<BTreeMap<String, u64>, Failure> {
    let options = Options { verify: true, ..Options::default() };
    let failed = |why: String| Failure { phase: "restore".to_owned(), why, owner: Owner::Platform };
    let summary = restore::restore(task.repository, task.tree, &place.data(), &options, &Silent)
        .map_err(|error| failed(error.to_string()))?;
    if let Some(problem) = summary.problems.first() {
        let more = summary.problems.len() - 1;
        return Err(failed(format!("{problem}; and {more} more")));
    }
    let bytes = summary.bytes;
    Ok(BTreeMap::from([("files".to_owned(), summary.files), ("bytes".to_owned(), bytes)]))
}

/// Reads every byte of the snapshot, and parses it as far as its kind is known.
fn read_through(task: &Task<'_>) -> Result<BTreeMap<String, u64>, Failure> {
    let failed = |why: String, owner| Failure { phase: "read".to_owned(), why, owner };
    let (mut files, mut bytes) = (Vec::new(), 0);
    let mut problem = None;
    let walked = read::ls(task.repository, task.tree, |found| match found {
        Ok(found) if found.node.kind == outlast_format::tree::NodeKind::File => {
            files.push(found.path);
        }
        Ok(_) => {}
        Err(error) => drop(problem.get_or_insert(error.to_string())),
    });
    walked.map_err(|error| failed(error.to_string(), Owner::Platform))?;
    if let Some(problem) = problem {
        return Err(failed(problem, Owner::Platform));
    }
    for path in &files {
        let mut sink = Parsing(Examiner::default());
        bytes += read::cat(task.repository, task.tree, path, &mut sink, &Silent)
            .map_err(|error| failed(error.to_string(), Owner::Platform))?;
        let sanity = sink.0.finish();
        if files.len() == 1 && sanity.verdict == Verdict::Broken {
            return Err(failed(
                format!("it is no whole {}: {}", sanity.kind, sanity.why()),
                Owner::App,
            ));
        }
    }
    let count = files.len() as u64;
    Ok(BTreeMap::from([("files".to_owned(), count), ("bytes".to_owned(), bytes)]))
}

/// Looks at what it is given, and keeps nothing of it.
struct Parsing(Examiner);

impl Write for Parsing {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.feed(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a server said at its end that it found no room.
fn says_full(place: &Place) -> bool {
    SAID_IN.iter().any(|name| {
        let file = place.work().join(name);
        // Strangers' code wrote there, and is gone: what it left may lead elsewhere, or be waited at for ever.
        let is_file = fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file());
        let content = is_file.then(|| durable::read_bounded(&file, SAID_BYTES_MAX));
        content.is_some_and(|it| {
            it.is_ok_and(|text| String::from_utf8_lossy(&text).contains(NO_SPACE))
        })
    })
}

fn of_host(phase: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure { phase: phase.to_owned(), why: error.to_string(), owner: Owner::Platform }
}

/// Everything below a directory that is there, without following links.
fn walk(
    root: &Path,
    visit: &mut dyn FnMut(&Path, &fs::Metadata) -> io::Result<()>,
) -> io::Result<()> {
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path)?;
        visit(&path, &metadata)?;
        if metadata.is_dir() {
            for entry in fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        }
    }
    Ok(())
}

/// Gives all of a directory to the user of drills.
fn give(root: &Path) -> io::Result<()> {
    walk(root, &mut |path, _| lchown(path, Some(USER), Some(USER)))
}

/// How much space all of it takes.
fn used(root: &Path) -> u64 {
    let mut bytes = 0_u64;
    // What cannot be looked at is not counted: the next drill reserves a little less.
    let _partly = walk(root, &mut |_, metadata| {
        bytes = bytes.saturating_add(metadata.blocks().saturating_mul(512));
        Ok(())
    });
    bytes
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "cannot remove what a drill left");
    }
}

#[cfg(test)]
mod tests;
