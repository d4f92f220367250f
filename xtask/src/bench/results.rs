//! Figures of many rounds, and what they come to.

use std::collections::BTreeMap;

use super::case::Case;
use super::measure::{Cost, mib};
use super::tools::Tool;

/// What a case showed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    pub(super) cost: Cost,
    /// The size of the repository afterwards.
    pub(super) stored_bytes: u64,
    /// What was written into the repository: files that are new, or were written again. Where it is
    /// on another host, that crossed the line, even if the repository did not grow by as much.
    pub(super) shipped_bytes: u64,
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Results {
    /// In the order of cases and programs.
    pub(super) rounds: BTreeMap<(Case, &'static str), Vec<Figures>>,
    /// What `zstd --patch-from` makes of the next day's dump, where that was asked.
    pub(super) patch_bytes: Option<u64>,
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
}

impl Figures {
    pub(super) fn line(&self, case: Case, tool: &Tool) -> String {
        let Cost { wall_seconds, cpu_seconds, peak_rss_bytes } = self.cost;
        format!(
            "{:<13} {:<8} {wall_seconds:>7.2} s wall {cpu_seconds:>7.2} s CPU {:>6.1} MiB RSS \
             {:>8.1} MiB stored {:>8.1} MiB shipped",
            case.name(),
            tool.name(),
            mib(peak_rss_bytes),
            mib(self.stored_bytes),
            mib(self.shipped_bytes),
        )
    }
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
}
