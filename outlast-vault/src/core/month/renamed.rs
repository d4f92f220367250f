//! Workloads that got another name in a month: a row for each name, of which the later goes on where the earlier
//! ends. Months of the first two forms let a name that is no more be missed until their end, and come out as they
//! did.

use std::collections::BTreeMap;

use outlast_types::{Timestamp, WorkloadName};

use super::begun::Renamed;
use super::{EntryJson, Outcome, Reader, WorkloadMonth};

impl Reader {
    /// An operator gave an order, which may have been to call a workload by another name.
    pub(super) fn ordered(&mut self, entry: &EntryJson) {
        let is_rename = entry.outcome == Outcome::Done
            && entry.details.get("order").is_some_and(|order| order == "rename");
        let to = entry.details.get("to").and_then(|name| WorkloadName::new(name).ok());
        let Some((to, at)) = to.filter(|_| is_rename).map(|to| (to, entry.at)) else { return };
        let is_first = match self.workloads.get_mut(&to) {
            None => true,
            Some(next) => {
                // Called so again.
                next.renamed = None;
                let brought = next.brought_by.as_ref();
                next.last_point.is_none() && brought.is_none_or(BTreeMap::is_empty)
            }
        };
        if let Some(workload) = self.of(entry).filter(|workload| workload.handed.is_some()) {
            workload.renamed = Some(Renamed { to, at, is_first });
        }
    }
}

impl WorkloadMonth {
    /// Counts what came of each, and the gaps until its end, which is that of the month or of its name.
    pub(super) fn count_all(workloads: &mut [Self], until: Option<Timestamp>) {
        let end = |workload: &Self| workload.renamed.as_ref().map(|renamed| renamed.at);
        // The last point of a name is where the next one begins.
        let mut order: Vec<usize> = (0..workloads.len()).collect();
        order.sort_by_key(|place| {
            end(&workloads[*place]).map_or((true, None), |at| (false, Some(at)))
        });
        for place in order {
            let workload = &mut workloads[place];
            let until = end(workload).or(until);
            workload.count_points(until);
            if let Some(until) = until {
                workload.gap(until);
            }
            let last = workload.last_point;
            let Some(to) = workload.renamed.clone().filter(|it| it.is_first).map(|it| it.to) else {
                continue;
            };
            // They are in the order of their names.
            if let Ok(next) = workloads.binary_search_by(|it| it.workload.cmp(&to)) {
                workloads[next].last_point = last;
            }
        }
    }
}
