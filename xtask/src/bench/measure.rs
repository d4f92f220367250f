//! One process from start to end: what it cost; and files before and after: what it wrote.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

/// GNU time, which asks the kernel what a process and its children used.
pub(super) const TIME: &str = "/usr/bin/time";

/// What a run cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) wall_seconds: f64,
    /// User and system.
    pub(super) cpu_seconds: f64,
    pub(super) peak_rss_bytes: u64,
}

impl Cost {
    /// This run, and then another one.
    pub(super) fn then(self, next: Self) -> Self {
        Self {
            wall_seconds: self.wall_seconds + next.wall_seconds,
            cpu_seconds: self.cpu_seconds + next.cpu_seconds,
            peak_rss_bytes: self.peak_rss_bytes.max(next.peak_rss_bytes),
        }
    }
}

/// Runs a command with its variables in its directory, and measures it. Its output is dropped; if it
/// fails, its words are the error. `scratch` is an absolute path.
pub(super) fn run(command: &Command, scratch: &Path) -> Result<Cost> {
    let figures = scratch.join("time");
    let program = command.get_program();
    let mut timed = Command::new(TIME);
    timed
        .args(["--quiet", "-f", "%e %U %S %M", "-o"])
        .arg(&figures)
        .arg(program)
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(directory) = command.get_current_dir() {
        timed.current_dir(directory);
    }
    let output = timed.output().with_context(|| format!("cannot start {TIME}"))?;
    if !output.status.success() {
        let words = command.get_args().map(|word| word.to_string_lossy()).collect::<Vec<_>>();
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} {} failed: {said}", program.display(), words.join(" "));
    }
    let text = std::fs::read_to_string(&figures).context("cannot read what time measured")?;
    parse(&text).with_context(|| format!("time said {text:?}"))
}

fn parse(text: &str) -> Option<Cost> {
    let mut words = text.split_whitespace();
    let mut number = || words.next()?.parse::<f64>().ok();
    let (wall_seconds, user, system) = (number()?, number()?, number()?);
    let peak_rss_bytes = words.next()?.parse::<u64>().ok()? * 1024;
    Some(Cost { wall_seconds, cpu_seconds: user + system, peak_rss_bytes })
}

/// All files below a directory, by their path from there.
#[derive(Debug)]
pub(super) struct Files(BTreeMap<PathBuf, State>);

/// Another one means that the file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    inode: u64,
    bytes: u64,
    modified: SystemTime,
}

impl Files {
    pub(super) fn below(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut directories = vec![root.to_owned()];
        while let Some(directory) = directories.pop() {
            let entries = std::fs::read_dir(&directory)
                .with_context(|| format!("cannot list {}", directory.display()))?;
            for entry in entries {
                let entry = entry?;
                let metadata = entry.metadata()?;
                if metadata.is_dir() {
                    directories.push(entry.path());
                    continue;
                }
                let path = entry.path().strip_prefix(root).context("a path below")?.to_owned();
                let (inode, bytes) = (metadata.ino(), metadata.len());
                files.insert(path, State { inode, bytes, modified: metadata.modified()? });
            }
        }
        Ok(Self(files))
    }

    /// What they take, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.values().map(|state| state.bytes).sum()
    }

    /// The bytes of those that are new since `before`, or were written again, and that `counts`.
    pub(super) fn written_since(&self, before: &Self, counts: impl Fn(&Path) -> bool) -> u64 {
        let written =
            |(path, state): &(&PathBuf, &State)| counts(path) && before.0.get(*path) != Some(state);
        self.0.iter().filter(written).map(|(_, state)| state.bytes).sum()
    }

    /// Their names, in the order in which they were written.
    pub(super) fn oldest_first(&self) -> Vec<String> {
        let mut files: Vec<_> = self.0.iter().collect();
        files.sort_by_key(|(_, state)| state.modified);
        files.into_iter().map(|(path, _)| path.to_string_lossy().into_owned()).collect()
    }
}

/// In MiB, for people.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_figures_of_time_are_read() {
        let cost = parse("1.50 1.25 0.50 2048\n").unwrap();
        assert_eq!(cost.wall_seconds, 1.5);
        assert_eq!(cost.cpu_seconds, 1.75);
        assert_eq!(cost.peak_rss_bytes, 2 << 20);
        assert_eq!(parse("1.50 x"), None);
    }

    #[test]
    fn two_commands_take_the_time_of_both_and_the_memory_of_the_larger() {
        let one = Cost { wall_seconds: 1.0, cpu_seconds: 2.0, peak_rss_bytes: 30 };
        let two = Cost { wall_seconds: 0.5, cpu_seconds: 0.25, peak_rss_bytes: 20 };
        let both = Cost { wall_seconds: 1.5, cpu_seconds: 2.25, peak_rss_bytes: 30 };
        assert_eq!(one.then(two), both);
    }

    fn files(list: &[(&str, u64, u64, u64)]) -> Files {
        let state = |inode, bytes, second| {
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            State { inode, bytes, modified }
        };
        Files(list.iter().map(|&(path, i, b, s)| (path.into(), state(i, b, s))).collect())
    }

    #[test]
    fn shipped_is_what_was_written_even_where_the_repository_shrank() {
        let before = files(&[("data/1", 1, 100, 10), ("data/2", 2, 200, 10), ("index", 3, 7, 10)]);
        let after = files(&[("data/2", 2, 200, 10), ("data/3", 4, 40, 20), ("index", 3, 7, 20)]);
        assert_eq!((before.bytes(), after.bytes()), (307, 247));
        assert_eq!(after.written_since(&before, |_| true), 47);
        assert_eq!(after.written_since(&before, |path| path.starts_with("data")), 40);
        assert_eq!(after.oldest_first(), ["data/2", "data/3", "index"]);
    }
}
