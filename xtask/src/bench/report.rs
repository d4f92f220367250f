//! Figures of many rounds as a table for people, JSON for programs, and a picture.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::case::Case;
use super::data::Input;
use super::measure::mib;
use super::results::{Results, Summary};
use super::tools::Tool;
use super::{goals, machine, plot};

/// The tables: what everything cost, how that compares, and which goals that meets.
pub(super) fn markdown(results: &Results, tools: &[Tool], input: &Input) -> String {
    let rounds = results.rounds.values().map(Vec::len).max().unwrap_or(0);
    let next_bytes = std::fs::metadata(&input.next).map_or(0, |metadata| metadata.len());
    format!(
        "Machine: {}.\\\nInput: {}.\\\nMedian of rounds ({rounds}), memory and bytes of the largest. \
         CPU is user and system time, with the least and the most. *Stored* is the size of the \
         repository afterwards, *shipped* what the case wrote into it.\n\n{}{}{}",
        machine::describe(),
        input.description,
        costs(results, tools),
        parts(results, tools),
        goals::markdown(results, next_bytes, results.patch_bytes),
    )
}

/// What each program needed for each case.
fn costs(results: &Results, tools: &[Tool]) -> String {
    let mut text = String::from(
        "## Costs\n\n| case | program | wall s | CPU s | peak RSS MiB | stored MiB | shipped MiB |\n\
         |---|---|---:|---:|---:|---:|---:|\n",
    );
    for case in Case::ALL {
        let mut title = case.title();
        for tool in tools {
            let Some(summary) = results.summary(case, tool.name()) else { continue };
            let Summary { wall, cpu, cpu_least, cpu_most, .. } = summary;
            // Writing into a string does not fail.
            let _ = writeln!(
                text,
                "| {title} | {} | {wall:.2} | {cpu:.2} ({cpu_least:.2}–{cpu_most:.2}) | {:.0} | \
                 {:.1} | {:.1} |",
                tool.version(),
                mib(summary.rss_bytes),
                mib(summary.stored_bytes),
                mib(summary.shipped_bytes),
            );
            // Told once.
            title = "";
        }
    }
    text
}

/// What Outlast needed as a part of what each peer needed.
fn parts(results: &Results, tools: &[Tool]) -> String {
    let mut text = String::from(
        "\n## Outlast as a part of the others\n\n\
         | case | against | CPU | wall | peak RSS | stored | shipped |\n\
         |---|---|---:|---:|---:|---:|---:|\n",
    );
    for case in Case::ALL {
        let Some(ours) = results.summary(case, "outlast") else { continue };
        let mut title = case.title();
        for peer in tools.iter().filter(|tool| !tool.is_measured()) {
            let Some(theirs) = results.summary(case, peer.name()) else { continue };
            let _ = writeln!(
                text,
                "| {title} | {} | {:.2} | {:.2} | {:.2} | {} | {} |",
                peer.name(),
                ours.cpu / theirs.cpu,
                ours.wall / theirs.wall,
                mib(ours.rss_bytes) / mib(theirs.rss_bytes),
                part(ours.stored_bytes, theirs.stored_bytes),
                part(ours.shipped_bytes, theirs.shipped_bytes),
            );
            title = "";
        }
    }
    text
}

/// Every figure of every round.
fn json(results: &Results, tools: &[Tool], input: &Input) -> String {
    let entries = results.rounds.iter().flat_map(|((case, tool), rounds)| {
        rounds.iter().enumerate().map(move |(round, figures)| {
            format!(
                "{{\"case\":\"{}\",\"program\":\"{tool}\",\"round\":{round},\
                 \"wall_seconds\":{:.3},\"cpu_seconds\":{:.3},\"peak_rss_bytes\":{},\
                 \"stored_bytes\":{},\"shipped_bytes\":{}}}",
                case.name(),
                figures.cost.wall_seconds,
                figures.cost.cpu_seconds,
                figures.cost.peak_rss_bytes,
                figures.stored_bytes,
                figures.shipped_bytes
            )
        })
    });
    let versions: Vec<_> =
        tools.iter().map(|tool| format!("\"{}\":\"{}\"", tool.name(), tool.version())).collect();
    format!(
        "{{\"machine\":\"{}\",\"input\":\"{}\",\"patch_bytes\":{},\"programs\":{{{}}},\n\"runs\":[\n{}\n]}}\n",
        machine::describe(),
        input.description,
        results.patch_bytes.map_or("null".to_owned(), |bytes| bytes.to_string()),
        versions.join(","),
        entries.collect::<Vec<_>>().join(",\n")
    )
}

/// Writes `bench.md`, `bench.json` and `bench.svg` into `directory`.
pub(super) fn write(
    results: &Results,
    directory: &Path,
    tools: &[Tool],
    input: &Input,
) -> Result<()> {
    std::fs::create_dir_all(directory).context("cannot make the directory for results")?;
    let files = [
        ("bench.md", markdown(results, tools, input)),
        ("bench.json", json(results, tools, input)),
        ("bench.svg", plot::svg(results, tools)),
    ];
    for (name, content) in files {
        let path = directory.join(name);
        File::create(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// How large a part one number of bytes is of another; a dash where that is next to nothing.
fn part(ours: u64, theirs: u64) -> String {
    if theirs < 1 << 20 { "–".to_owned() } else { format!("{:.3}", mib(ours) / mib(theirs)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_nothing_are_not_told() {
        assert_eq!(part(1 << 20, 4 << 20), "0.250");
        assert_eq!(part(300, 500), "–");
    }
}
