//! Workloads that got another name in a month: a row for each name, of which the later goes on where the earlier
//! ends, also if a name comes back. Months of the first two forms let a name that is no more be missed until their
//! end, and come out as they did.

use std::collections::{BTreeMap, BTreeSet};

use outlast_types::{Timestamp, WorkloadName};

use super::begun::{Renamed, Renaming, Renamings};
use super::{EntryJson, IncidentMonth, Outcome, Reader, WorkloadMonth};

/// What follows of the names of one workload, in the order of time: at one moment, a point before the end of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Point,
    EndOfName,
}

impl Reader {
    /// An operator gave an order, which may have been to call a workload by another name.
    pub(super) fn ordered(&mut self, entry: &EntryJson) {
        let is_rename = entry.outcome == Outcome::Done
            && entry.details.get("order").is_some_and(|order| order == "rename");
        let to = entry.details.get("to").and_then(|name| WorkloadName::new(name).ok());
        let Some((to, from)) = to.filter(|_| is_rename).zip(entry.workload.clone()) else { return };
        let Some(workload) = self.workloads.get_mut(&from) else { return };
        // Given again of a former name, it moves the date until which that is accepted.
        if workload.handed.is_none() || workload.renamed.is_some() || !workload.was_called_so() {
            return;
        }
        let at = entry.at;
        workload.renamed = Some(Renamed { to: to.clone(), at });
        if let Some(next) = self.workloads.get_mut(&to) {
            // Called so again.
            next.renamed = None;
        }
        self.renamings.note(Renaming { from, to, at });
    }

    /// Whether an incident was told of under a name that its workload had before. It is over there, too.
    pub(super) fn was_told(&mut self, name: &WorkloadName, told: &IncidentMonth) -> bool {
        let names = self.renamings.names(name);
        let mut was_told = false;
        for name in names.iter().filter(|it| *it != name) {
            let Some(workload) = self.workloads.get_mut(name) else { continue };
            let of_it = |known: &&mut IncidentMonth| known.incident == told.incident;
            for known in workload.incidents.iter_mut().filter(of_it) {
                known.resolved = told.resolved;
                was_told = true;
            }
        }
        was_told
    }
}

impl WorkloadMonth {
    /// Whether it was called so in this month at all.
    fn was_called_so(&self) -> bool {
        let brought = self.brought_by.as_ref().is_some_and(|brought| !brought.is_empty());
        !self.promises.is_empty() || brought
    }

    /// Counts what came of each, and the gaps until its end, which is that of the month or of its name.
    pub(super) fn count_all(
        workloads: &mut [Self],
        renamings: &Renamings,
        until: Option<Timestamp>,
    ) {
        for of_workload in &renamings.of_workloads {
            Self::count_names(workloads, of_workload, until);
        }
        let is_single = |it: &&mut Self| !renamings.by_name.contains_key(&it.workload);
        for workload in workloads.iter_mut().filter(is_single) {
            let points = workload.count_points(until, &BTreeSet::new());
            points.into_iter().for_each(|at| workload.point(at));
            if let Some(until) = until {
                workload.gap(until);
            }
        }
    }

    /// The same of one workload that got names: what comes under one ends the gap that began under another.
    fn count_names(workloads: &mut [Self], renamings: &[Renaming], until: Option<Timestamp>) {
        let names = renamings.iter().flat_map(|it| [&it.from, &it.to]);
        let names: BTreeSet<&WorkloadName> = names.collect();
        let mut turns: Vec<(Timestamp, Turn, usize)> = Vec::new();
        let mut last = None;
        let goes_on = still_broken(workloads, renamings);
        for name in names {
            let Some(row) = place(workloads, name) else { continue };
            let workload = &mut workloads[row];
            last = last.max(workload.last_point);
            let end = workload.renamed.as_ref().map(|renamed| renamed.at).or(until);
            let of_row = goes_on.get(name).cloned().unwrap_or_default();
            let points = workload.count_points(end, &of_row);
            turns.extend(points.into_iter().map(|at| (at, Turn::Point, row)));
        }
        for renaming in renamings {
            let row = place(workloads, &renaming.from);
            turns.extend(row.map(|row| (renaming.at, Turn::EndOfName, row)));
        }
        let present = renamings.last().and_then(|it| place(workloads, &it.to));
        turns.extend(until.zip(present).map(|(at, row)| (at, Turn::EndOfName, row)));
        turns.sort_unstable();
        for (at, turn, row) in turns {
            let workload = &mut workloads[row];
            workload.last_point = last;
            match turn {
                Turn::Point => workload.point(at),
                Turn::EndOfName => workload.gap(at),
            }
            last = workload.last_point;
        }
    }
}

/// The row of a name; they are in that order.
fn place(workloads: &[WorkloadMonth], name: &WorkloadName) -> Option<usize> {
    workloads.binary_search_by(|it| it.workload.cmp(name)).ok()
}

/// By name, the moments from which a state `broken` is told that had begun under the name before: it is one miss.
fn still_broken(
    workloads: &[WorkloadMonth],
    renamings: &[Renaming],
) -> BTreeMap<WorkloadName, BTreeSet<Timestamp>> {
    let states = |name: &WorkloadName| {
        place(workloads, name).map_or(&[][..], |row| workloads[row].states.as_slice())
    };
    let mut found: BTreeMap<WorkloadName, BTreeSet<Timestamp>> = BTreeMap::new();
    for Renaming { from, to, at } in renamings {
        let before = states(from).iter().rfind(|state| state.since <= Some(*at));
        let after = states(to).iter().find(|state| state.since > Some(*at));
        if let (Some(before), Some(after)) = (before, after)
            && before.is == "broken"
            && after.is == "broken"
        {
            found.entry(to.clone()).or_default().extend(after.since);
        }
    }
    found
}
