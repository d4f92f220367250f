//! The report of placing, beside the entries themselves.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::PlaceError;
use crate::entry::EntryPath;

/// Problems that are kept; more of them are only counted.
const PROBLEMS_MAX: usize = 1000;
/// Kinds of deviations that are told apart. Names of attributes come from outside, and may be any.
const KINDS_MAX: usize = 32;
/// Entries that a deviation lists by name.
const LISTED_MAX: usize = 10;

/// A thing that could not be placed, or was placed otherwise than it is described.
#[derive(Debug, Default)]
pub struct Report {
    /// Failures that did not stop the work: attributes that the file system or the lack of
    /// rights refused.
    pub problems: Vec<PlaceError>,
    /// Things that would give rights on this host, and were therefore not made.
    pub withheld: Vec<Deviation>,
    /// Further names of files that are copies, because the file system takes no more links.
    pub copied: Vec<Deviation>,
}

/// Something that was left different on purpose, and of which entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// Its kind: `device node`, `attribute security.capability`.
    pub what: String,
    pub count: u64,
    /// The first entries, at most ten.
    pub first: Vec<EntryPath>,
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.what)?;
        for (number, path) in self.first.iter().enumerate() {
            write!(f, "{}/{path}", if number > 0 { ", " } else { "" })?;
        }
        match self.count.saturating_sub(self.first.len() as u64) {
            0 => f.write_str(")"),
            more => write!(f, " and {more} more)"),
        }
    }
}

/// Gathers a report from all threads.
#[derive(Clone, Default)]
pub(super) struct Remarks(Arc<Mutex<Gathered>>);

#[derive(Default)]
struct Gathered {
    report: Report,
    /// Problems that were only counted.
    more: u64,
}

impl Remarks {
    pub(super) fn problem(&self, problem: PlaceError) {
        let mut gathered = self.lock();
        if gathered.report.problems.len() < PROBLEMS_MAX {
            gathered.report.problems.push(problem);
        } else {
            gathered.more += 1;
        }
    }

    pub(super) fn withheld(&self, what: &str, path: &EntryPath) {
        note(&mut self.lock().report.withheld, what, path);
    }

    pub(super) fn copied(&self, what: &str, path: &EntryPath) {
        note(&mut self.lock().report.copied, what, path);
    }

    pub(super) fn take(&self) -> Report {
        let Gathered { mut report, more } = std::mem::take(&mut *self.lock());
        if more > 0 {
            report.problems.push(PlaceError::More { count: more });
        }
        report
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(list: &mut Vec<Deviation>, what: &str, path: &EntryPath) {
    let what = match list.iter().any(|known| known.what == what) || list.len() < KINDS_MAX {
        true => what,
        false => "further attributes",
    };
    let position = list.iter().position(|known| known.what == what).unwrap_or_else(|| {
        list.push(Deviation { what: what.to_owned(), count: 0, first: Vec::new() });
        list.len() - 1
    });
    let deviation = &mut list[position];
    deviation.count += 1;
    if deviation.first.len() < LISTED_MAX {
        deviation.first.push(path.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_counted_and_named_within_bounds() {
        let remarks = Remarks::default();
        let path = |number: u32| EntryPath::parse(format!("d/{number}").as_bytes()).unwrap();
        (0..12).for_each(|number| remarks.withheld("device node", &path(number)));
        (0..100).for_each(|number| remarks.withheld(&format!("attribute {number}"), &path(0)));
        let report = remarks.take();
        assert_eq!(report.withheld.len(), KINDS_MAX + 1);
        assert_eq!(report.withheld.iter().map(|kind| kind.count).sum::<u64>(), 112);
        let shown = report.withheld[0].to_string();
        assert!(shown.starts_with("device node (/d/0, /d/1, "), "{shown}");
        assert!(shown.ends_with(" and 2 more)"), "{shown}");
    }
}
