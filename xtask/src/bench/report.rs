//! Figures of many rounds as a table for people, JSON for programs, and a picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::cases::{Case, Figures, mib};
use super::data::Input;
use super::goals;
use super::machine;
use super::plot;
use super::tools::Tool;

/// What was measured.
#[derive(Debug)]
pub(super) struct Results {
    /// In the order of cases and programs.
    rounds: BTreeMap<(Case, &'static str), Vec<Figures>>,
    /// What `zstd --patch-from` makes of the next day's dump, where that was asked.
    patch_bytes: Option<u64>,
}

/// The middle one of many rounds, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub(super) wall: f64,
    pub(super) cpu: f64,
    pub(super) cpu_least: f64,
    pub(super) cpu_most: f64,
    pub(super) rss_bytes: u64,
    pub(super) stored_bytes: u64,
    pub(super) shipped_bytes: u64,
}

impl Results {
    pub(super) fn new(patch_bytes: Option<u64>) -> Self {
        Self { rounds: BTreeMap::new(), patch_bytes }
    }

    pub(super) fn add(&mut self, case: Case, tool: &Tool, figures: Figures) {
        self.rounds.entry((case, tool.name())).or_default().push(figures);
    }

    pub(super) fn summary(&self, case: Case, tool: &'static str) -> Option<Summary> {
        summarize(self.rounds.get(&(case, tool))?)
    }

    /// The tables: what everything cost, how that compares, and which goals that meets.
    pub(super) fn markdown(&self, tools: &[Tool], input: &Input) -> String {
        let rounds = self.rounds.values().map(Vec::len).max().unwrap_or(0);
        let next_bytes = std::fs::metadata(&input.next).map_or(0, |metadata| metadata.len());
        format!(
            "Machine: {}.\\\nInput: {}.\\\nMedian of rounds ({rounds}), memory and bytes of the largest. \
             CPU is user and system time, with the least and the most. *Stored* is the size of the \
             repository afterwards, *shipped* what the case wrote into it.\n\n{}{}{}",
            machine::describe(),
            input.description,
            self.costs(tools),
            self.parts(tools),
            goals::markdown(self, next_bytes, self.patch_bytes),
        )
    }

    /// What each program needed for each case.
    fn costs(&self, tools: &[Tool]) -> String {
        let mut text = String::from(
            "## Costs\n\n| case | program | wall s | CPU s | peak RSS MiB | stored MiB | shipped MiB |\n\
             |---|---|---:|---:|---:|---:|---:|\n",
        );
        for case in Case::ALL {
            let mut title = case.title();
            for tool in tools {
                let Some(summary) = self.summary(case, tool.name()) else { continue };
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
    fn parts(&self, tools: &[Tool]) -> String {
        let mut text = String::from(
            "\n## Outlast as a part of the others\n\n\
             | case | against | CPU | wall | peak RSS | stored | shipped |\n\
             |---|---|---:|---:|---:|---:|---:|\n",
        );
        for case in Case::ALL {
            let Some(ours) = self.summary(case, "outlast") else { continue };
            let mut title = case.title();
            for peer in tools.iter().filter(|tool| !tool.is_measured()) {
                let Some(theirs) = self.summary(case, peer.name()) else { continue };
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
    fn json(&self, tools: &[Tool], input: &Input) -> String {
        let entries = self.rounds.iter().flat_map(|((case, tool), rounds)| {
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
        let versions: Vec<_> = tools
            .iter()
            .map(|tool| format!("\"{}\":\"{}\"", tool.name(), tool.version()))
            .collect();
        format!(
            "{{\"machine\":\"{}\",\"input\":\"{}\",\"patch_bytes\":{},\"programs\":{{{}}},\n\"runs\":[\n{}\n]}}\n",
            machine::describe(),
            input.description,
            self.patch_bytes.map_or("null".to_owned(), |bytes| bytes.to_string()),
            versions.join(","),
            entries.collect::<Vec<_>>().join(",\n")
        )
    }

    /// Writes `bench.md`, `bench.json` and `bench.svg` into `directory`.
    pub(super) fn write(&self, directory: &Path, tools: &[Tool], input: &Input) -> Result<()> {
        std::fs::create_dir_all(directory).context("cannot make the directory for results")?;
        let files = [
            ("bench.md", self.markdown(tools, input)),
            ("bench.json", self.json(tools, input)),
            ("bench.svg", plot::svg(self, tools)),
        ];
        for (name, content) in files {
            let path = directory.join(name);
            File::create(&path)
                .and_then(|mut file| file.write_all(content.as_bytes()))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// How large a part one number of bytes is of another; a dash where that is next to nothing.
fn part(ours: u64, theirs: u64) -> String {
    if theirs < 1 << 20 { "–".to_owned() } else { format!("{:.3}", mib(ours) / mib(theirs)) }
}

fn summarize(rounds: &[Figures]) -> Option<Summary> {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        Some((*values.first()?, *values.get(values.len() / 2)?, *values.last()?))
    };
    let (cpu_least, cpu, cpu_most) =
        middle(rounds.iter().map(|figures| figures.cost.cpu_seconds).collect())?;
    let (_, wall, _) = middle(rounds.iter().map(|figures| figures.cost.wall_seconds).collect())?;
    Some(Summary {
        wall,
        cpu,
        cpu_least,
        cpu_most,
        rss_bytes: rounds.iter().map(|figures| figures.cost.peak_rss_bytes).max()?,
        stored_bytes: rounds.iter().map(|figures| figures.stored_bytes).max()?,
        shipped_bytes: rounds.iter().map(|figures| figures.shipped_bytes).max()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::measure::Cost;
    use super::*;

    #[test]
    fn a_summary_is_the_middle_round_with_the_largest_memory() {
        let figures = |cpu_seconds, peak_rss_bytes| Figures {
            cost: Cost { wall_seconds: cpu_seconds * 2.0, cpu_seconds, peak_rss_bytes },
            stored_bytes: 7,
            shipped_bytes: 5,
        };
        let summary = summarize(&[figures(3.0, 10), figures(1.0, 30), figures(2.0, 20)]).unwrap();
        assert_eq!((summary.cpu_least, summary.cpu, summary.cpu_most), (1.0, 2.0, 3.0));
        assert_eq!((summary.wall, summary.rss_bytes, summary.stored_bytes), (4.0, 30, 7));
        assert_eq!(summarize(&[]), None);
    }

    #[test]
    fn parts_of_nothing_are_not_told() {
        assert_eq!(part(1 << 20, 4 << 20), "0.250");
        assert_eq!(part(300, 500), "–");
    }
}
