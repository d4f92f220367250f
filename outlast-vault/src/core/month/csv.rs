//! A month as CSV: a line for each workload, for those who charge back.

use super::MonthReport;
use super::charge::Charge;
use super::handed::Handed;

pub(crate) fn of(report: &MonthReport) -> String {
    let mut text = String::from(
        "month,owner,workload,points,suspect,missed,longest_gap_seconds,drills_good,drills_failed,\
         rto_milliseconds,scrub_problems,restores,snapshots_at_begin,logical_bytes,line_bytes",
    );
    // What came later stands behind what was there.
    if report.counted().0 {
        text.push_str(",stored_bytes,share_bytes,days_counted,listings");
    }
    if report.tells_handed() {
        text.push_str(",safe,vaulted,confirmed,withdrawn,missed_explained");
    }
    text.push_str("\r\n");
    let or_none = |number: Option<u64>| number.map_or_else(String::new, |it| it.to_string());
    // By owner, then workload.
    for owner in report.owners() {
        for workload in report.workloads.iter().filter(|workload| workload.owner == owner) {
            let cells = [
                report.month.clone(),
                workload.owner.clone(),
                workload.workload.to_string(),
                workload.points.to_string(),
                workload.suspect.to_string(),
                workload.missed.to_string(),
                or_none(workload.longest_gap_seconds),
                workload.drills_good.to_string(),
                workload.drills_failed.to_string(),
                or_none(workload.rto_milliseconds),
                workload.scrub_problems.to_string(),
                workload
                    .charge
                    .as_ref()
                    .map_or(workload.restores.len() as u64, |it| it.restores)
                    .to_string(),
                workload.snapshots_at_begin.to_string(),
                workload.logical_bytes.to_string(),
                workload.line_bytes.to_string(),
            ];
            let charge = workload.charge.as_ref().map(|charge| {
                let Charge { stored_bytes, share_bytes, days_counted, listings, .. } = charge;
                let counts = [days_counted, listings].map(u64::to_string);
                [*stored_bytes, *share_bytes].map(or_none).into_iter().chain(counts)
            });
            let handed = workload.handed.as_ref().map(|handed| {
                let Handed { safe, vaulted, confirmed, withdrawn, explained, .. } = handed;
                let counts = [vaulted, confirmed, withdrawn, explained].map(u64::to_string);
                [safe.to_string()].into_iter().chain(counts)
            });
            let cells = cells.into_iter().chain(charge.into_iter().flatten());
            let cells = cells.chain(handed.into_iter().flatten());
            let cells: Vec<String> = cells.map(|cell| quoted(&cell)).collect();
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
    }
    text
}

/// A cell, which no spreadsheet takes for a formula.
pub(super) fn quoted(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if is_formula { format!("'{cell}") } else { cell.to_owned() };
    match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    }
}
