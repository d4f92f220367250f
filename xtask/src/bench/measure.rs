//! One process from start to end: what it cost.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// Runs `program` with exactly these variables added to its environment, and measures it. Its
/// output is dropped; if it fails, its words are the error.
pub(super) fn run(
    program: &Path,
    arguments: &[&OsStr],
    variables: &[(&str, &OsStr)],
    scratch: &Path,
) -> Result<Cost> {
    let figures = scratch.join("time");
    let output = Command::new(TIME)
        .args(["--quiet", "-f", "%e %U %S %M", "-o"])
        .arg(&figures)
        .arg(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        let words = arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>();
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

/// Bytes of all files below a directory.
pub(super) fn stored(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = std::fs::read_dir(&directory)
            .with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                directories.push(entry.path());
            } else {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_time_are_read() {
        let cost = parse("1.50 1.25 0.50 2048\n").unwrap();
        assert_eq!(cost.wall_seconds, 1.5);
        assert_eq!(cost.cpu_seconds, 1.75);
        assert_eq!(cost.peak_rss_bytes, 2 << 20);
        assert_eq!(parse("1.50 x"), None);
    }
}
