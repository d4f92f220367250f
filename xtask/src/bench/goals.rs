//! What we want to reach, and what a run showed of it. Figures for people: nothing fails when one
//! of them is missed.

use std::fmt::Write as _;
use std::io;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::case::Case;
use super::data::Input;
use super::measure::mib;
use super::results::{Results, Summary};

/// The next day's dump may take so many times what a patch of it takes.
const PATCHES: f64 = 4.0;
/// First backups keep two cores this busy.
const CORES_BUSY: f64 = 1.8;
/// A dump that is all known, in MB for each second of processor time.
const RECOGNISED_MB: f64 = 1000.0;

/// One goal, and what was reached.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Goal {
    case: Case,
    what: &'static str,
    unit: &'static str,
    bound: Bound,
    reached: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// The size of a patch from the first dump to the next day's: about the least that anything could
/// ship. `None` where zstd is not installed or cannot: its patches end at 2 GiB.
pub(super) fn patch_bytes(input: &Input) -> Result<Option<u64>> {
    let mut from = std::ffi::OsString::from("--patch-from=");
    from.push(&input.dump);
    let started = Command::new("zstd")
        .args(["-q", "-3", "--stdout"])
        .arg(from)
        .arg(&input.next)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut zstd) = started else {
        println!("zstd is not installed: no patch to compare with");
        return Ok(None);
    };
    let mut patch = zstd.stdout.take().context("read what zstd writes")?;
    let bytes = io::copy(&mut patch, &mut io::sink()).context("read what zstd writes")?;
    if !zstd.wait().context("wait for zstd")?.success() {
        println!("zstd --patch-from failed on {}: no patch to compare with", input.next.display());
        return Ok(None);
    }
    Ok(Some(bytes))
}

/// The goals whose cases were run, as a table.
pub(super) fn markdown(results: &Results, next_bytes: u64, patch_bytes: Option<u64>) -> String {
    let mut text = String::from(
        "\n## Goals\n\n| case | what | goal | reached | met |\n|---|---|---:|---:|---|\n",
    );
    for case in Case::ALL {
        let Some(ours) = results.summary(case, "outlast") else { continue };
        let restic = results.summary(case, "restic");
        let mut goals = alone(case, ours, next_bytes, patch_bytes);
        goals.extend(restic.iter().flat_map(|restic| against(case, ours, *restic)));
        for (row, goal) in goals.iter().enumerate() {
            let (sign, limit) = match goal.bound {
                Bound::AtMost(limit) => ("≤", limit),
                Bound::AtLeast(limit) => ("≥", limit),
            };
            let met = if goal.is_met() { "yes" } else { "no" };
            // Writing into a string does not fail.
            let _ = writeln!(
                text,
                "| {} | {} | {sign} {limit}{unit} | {:.2}{unit} | {met} |",
                // Told once.
                if row == 0 { case.title() } else { "" },
                goal.what,
                goal.reached,
                unit = goal.unit,
            );
        }
    }
    text
}

impl Goal {
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(limit) => self.reached <= limit,
            Bound::AtLeast(limit) => self.reached >= limit,
        }
    }
}

/// What is asked of us whatever others do.
fn alone(case: Case, ours: Summary, next_bytes: u64, patch_bytes: Option<u64>) -> Vec<Goal> {
    use Bound::{AtLeast, AtMost};
    let goal = |what, unit, bound, reached| Goal { case, what, unit, bound, reached };
    let memory = match case {
        Case::Cat | Case::Check | Case::Prune | Case::TreeCheck | Case::TreeRestore => 256.0,
        _ => 128.0,
    };
    let mut goals = vec![goal("peak RSS", " MiB", AtMost(memory), mib(ours.rss_bytes))];
    match (case, patch_bytes) {
        (Case::First, _) => {
            goals.push(goal("CPU / wall", "", AtLeast(CORES_BUSY), ours.cpu / ours.wall));
        }
        (Case::NextDay, Some(patch)) => goals.push(goal(
            "shipped, of zstd --patch-from",
            "",
            AtMost(PATCHES),
            mib(ours.shipped_bytes) / mib(patch),
        )),
        (Case::Again, _) => goals.push(goal(
            "recognised for each second of CPU",
            " MB",
            AtLeast(RECOGNISED_MB),
            mib(next_bytes) * 1.048_576 / ours.cpu,
        )),
        _ => {}
    }
    goals
}

/// What is asked of us as a part of what restic needs.
fn against(case: Case, ours: Summary, restic: Summary) -> Vec<Goal> {
    let goal =
        |what, limit, reached| Goal { case, what, unit: "", bound: Bound::AtMost(limit), reached };
    let mut goals = Vec::new();
    if let Some(limit) = case.goal() {
        goals.push(goal("CPU, of restic's", limit, ours.cpu / restic.cpu));
    }
    match case {
        Case::First => {
            let part = mib(ours.stored_bytes) / mib(restic.stored_bytes);
            goals.push(goal("stored, of restic's", 1.03, part));
        }
        Case::NextDay => {
            let part = mib(ours.shipped_bytes) / mib(restic.shipped_bytes);
            goals.push(goal("shipped, of restic's", 0.15, part));
        }
        _ => {}
    }
    if matches!(case, Case::Tree | Case::TreeAgain) {
        goals.push(goal("wall, of restic's", 1.0, ours.wall / restic.wall));
    }
    goals
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Summary = Summary {
        wall: 1.0,
        cpu: 2.0,
        cpu_least: 2.0,
        cpu_most: 2.0,
        rss_bytes: 100 << 20,
        stored_bytes: 400 << 20,
        shipped_bytes: 8 << 20,
    };

    #[test]
    fn goals_say_whether_they_are_met() {
        let restic = Summary { cpu: 20.0, shipped_bytes: 80 << 20, ..OURS };
        let against = against(Case::NextDay, OURS, restic);
        let parts: Vec<_> = against.iter().map(|goal| (goal.reached, goal.is_met())).collect();
        assert_eq!(parts, [(0.1, true), (0.1, true)]);
        let alone = alone(Case::NextDay, OURS, 1 << 30, Some(1 << 20));
        let parts: Vec<_> = alone.iter().map(|goal| (goal.reached, goal.is_met())).collect();
        assert_eq!(parts, [(100.0, true), (8.0, false)]);
    }

    #[test]
    fn what_is_recognised_is_told_in_megabytes() {
        let goals = alone(Case::Again, OURS, 4_000_000_000, None);
        let reached = goals.last().map(|goal| goal.reached).unwrap();
        assert!((reached - 2000.0).abs() < 0.001, "{reached}");
    }
}
