//! A month as one page that prints well: no script, nothing from elsewhere, everything escaped.

use std::fmt::Write as _;

use outlast_types::human;
use std::time::Duration;

use super::handed::Handed;
use super::{Deed, IncidentMonth, MonthReport, WorkloadMonth};

const STYLE: &str = "body{font:11pt/1.4 sans-serif;margin:2em;color:#111}h1{font-size:18pt}h2{font-size:13pt;\
margin:1.6em 0 .3em}table{border-collapse:collapse;width:100%;margin:.5em 0}th,td{border-bottom:1px solid #bbb;\
padding:.2em .5em;text-align:left;vertical-align:top}td.n,th.n{text-align:right}.bad{font-weight:bold}\
code{font-size:9pt;word-break:break-all}@media print{body{margin:0}section{break-inside:avoid}\
thead{display:table-header-group}}";

pub(crate) fn of(report: &MonthReport) -> String {
    let mut page = String::new();
    let month = escaped(&report.month);
    // Writing to a String cannot fail.
    let _ = writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Continuity report {month}\
         </title><style>{STYLE}</style></head><body>\n<h1>Continuity report {month}</h1>"
    );
    let totals = &report.totals;
    let _ = writeln!(
        page,
        "<p>{} workloads; {} recovery points; <span class=\"{}\">{} promises missed</span>; {} drills good, {} \
         failed. Time zone {}. {}</p>",
        totals.workloads,
        totals.points,
        if totals.missed > 0 { "bad" } else { "ok" },
        totals.missed,
        totals.drills_good,
        totals.drills_failed,
        escaped(&report.zone),
        match report.complete {
            true => "The month is over, and this report is final.",
            false => "The month is not over: this report is provisional.",
        }
    );
    overview(&mut page, report);
    for workload in &report.workloads {
        section(&mut page, workload);
    }
    if !report.platform_incidents.is_empty() {
        page.push_str("<section><h2>Incidents of the platform</h2>\n");
        incidents(&mut page, &report.platform_incidents);
        page.push_str("</section>\n");
    }
    let chain = &report.chain;
    let _ = writeln!(
        page,
        "<h2>Where this comes from</h2>\n<p>Entries {} to {} of the audit log ({}), of which each has the hash of \
         the one before. The last: <code>{}:{}</code>. {}</p>\n</body></html>",
        chain.first,
        chain.last,
        chain.entries,
        chain.last,
        escaped(&chain.hash),
        match chain.broken_at.len() {
            0 => "They follow each other without a gap.".to_owned(),
            count =>
                format!("<span class=\"bad\">{count} of them do not follow the one before.</span>"),
        }
    );
    page
}

fn overview(page: &mut String, report: &MonthReport) {
    page.push_str(
        "<table><thead><tr><th>Workload</th><th>Owner</th><th class=\"n\">Points</th><th class=\"n\">Missed</th>\
         <th>Longest gap</th><th class=\"n\">Drills</th><th>Measured RTO</th><th class=\"n\">Logical</th>\
         <th class=\"n\">Line</th></tr></thead><tbody>\n",
    );
    for workload in &report.workloads {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n {}\">{}</td><td>{}</td>\
             <td class=\"n\">{} / {}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escaped(workload.workload.as_str()),
            escaped(&workload.owner),
            workload.points,
            if workload.missed > 0 { "bad" } else { "" },
            workload.missed,
            workload.longest_gap_seconds.map_or_else(|| "–".to_owned(), seconds),
            workload.drills_good,
            workload.drills_good + workload.drills_failed,
            workload.rto_milliseconds.map_or_else(|| "–".to_owned(), milliseconds),
            human::bytes(workload.logical_bytes),
            human::bytes(workload.line_bytes),
        );
    }
    page.push_str("</tbody></table>\n");
}

fn section(page: &mut String, workload: &WorkloadMonth) {
    let _ = write!(page, "<section><h2>{}</h2>\n<p>", escaped(workload.workload.as_str()));
    for promise in &workload.promises {
        let since = promise.since.map_or_else(String::new, |at| format!(" since {at}"));
        let _ = write!(page, "Promised{since}: {}. ", escaped(&promise.is));
    }
    let _ = write!(page, "{} points, {} drops that are none.", workload.points, workload.suspect);
    if let (Some(gap), Some(from)) = (workload.longest_gap_seconds, workload.longest_gap_from) {
        let _ = write!(page, " Longest gap {} from {from}.", seconds(gap));
    }
    page.push_str("</p>\n");
    for hold in &workload.holds_at_begin {
        let _ = writeln!(page, "<p>On hold when the month began: {}.</p>", escaped(hold));
    }
    if let Some(renamed) = &workload.renamed {
        let (to, at) = (escaped(renamed.to.as_str()), renamed.at);
        let _ = writeln!(page, "<p>Called {to} since {at}: see there.</p>");
    }
    custody(page, workload);
    incidents(page, &workload.incidents);
    if !workload.drills.is_empty() {
        page.push_str(
            "<table><thead><tr><th>Drill</th><th>Snapshot</th><th>Level</th><th>Result</th><th>RTO</th><th>Why\
             </th></tr></thead><tbody>\n",
        );
        for drill in &workload.drills {
            let _ = writeln!(
                page,
                "<tr><td>{}</td><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                drill.at,
                escaped(drill.snapshot.get(..8).unwrap_or(&drill.snapshot)),
                escaped(&drill.level),
                escaped(&drill.state),
                drill.rto_milliseconds.map_or_else(|| "–".to_owned(), milliseconds),
                escaped(drill.why.as_deref().unwrap_or("")),
            );
        }
        page.push_str("</tbody></table>\n");
    }
    match (&workload.charge, &workload.listings) {
        (Some(charge), Some(listings)) => {
            let bytes = |it: Option<u64>| it.map_or_else(|| "not counted".to_owned(), human::bytes);
            let _ = writeln!(
                page,
                "<p>Stored: {}. On shares: {}. Means of {} days.</p>",
                bytes(charge.stored_bytes),
                bytes(charge.share_bytes),
                charge.days_counted
            );
            deeds(page, "Opened to restore", &workload.restores);
            deeds(page, "Opened to look", listings);
        }
        _ => deeds(page, "Opened for reading", &workload.restores),
    }
    if let Some(handed) = workload.handed.as_ref().filter(|it| it.is_worth_telling()) {
        confirmations(page, handed);
    }
    deeds(page, "Decided and done", &workload.deeds);
    page.push_str("</section>\n");
}

fn custody(page: &mut String, workload: &WorkloadMonth) {
    let Some(brought) = workload.brought_by.as_ref().filter(|it| !it.is_empty()) else { return };
    let each: Vec<String> =
        brought.iter().map(|(who, count)| format!("{} ({count})", escaped(who))).collect();
    let _ = writeln!(page, "<p>Handed in, and signed for by the vault: {}.</p>", each.join(", "));
}

fn incidents(page: &mut String, incidents: &[IncidentMonth]) {
    if incidents.is_empty() {
        return;
    }
    page.push_str(
        "<table><thead><tr><th>Incident</th><th>Opened</th><th>Resolved</th><th>Why</th></tr></thead><tbody>\n",
    );
    for incident in incidents {
        let _ = writeln!(
            page,
            "<tr><td>{} {}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            incident.incident,
            escaped(&incident.key),
            incident.opened,
            incident.resolved.map_or_else(|| "open".to_owned(), |at| at.to_string()),
            escaped(&incident.cause),
        );
    }
    page.push_str("</tbody></table>\n");
}

fn deeds(page: &mut String, title: &str, deeds: &[Deed]) {
    if deeds.is_empty() {
        return;
    }
    let _ = writeln!(
        page,
        "<table><thead><tr><th>{title}</th><th>Who</th><th>What</th><th>Details</th></tr></thead><tbody>"
    );
    for deed in deeds {
        let details: Vec<String> =
            deed.details.iter().map(|(name, text)| format!("{name}: {text}")).collect();
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{} {}</td><td>{}</td></tr>",
            deed.at,
            escaped(&deed.actor),
            escaped(&deed.action),
            escaped(deed.object.as_deref().unwrap_or("")),
            escaped(&details.join("; ")),
        );
    }
    page.push_str("</tbody></table>\n");
}

/// What backup products have of it, and on whose word.
fn confirmations(page: &mut String, handed: &Handed) {
    let Handed { safe, vaulted, confirmed, withdrawn, explained, .. } = handed;
    let _ = writeln!(
        page,
        "<p>What counts as safe: {}. Drops that the vault took in: {vaulted}; that a backup product confirmed: \
         {confirmed}; that it has no more: {withdrawn}. Promises missed for which others answer: {explained}.</p>",
        safe
    );
    if handed.confirmations.is_empty() {
        return;
    }
    page.push_str(
        "<table><thead><tr><th>Confirmed</th><th>Drop, and its moment</th><th>Hand-over</th><th>Job</th>\
         <th>Says</th><th>Evidence</th><th>Remarks</th></tr></thead><tbody>\n",
    );
    for told in &handed.confirmations {
        let or_empty = |text: &Option<String>| escaped(text.as_deref().unwrap_or_default());
        let product = told.product.as_deref().map_or_else(String::new, |it| format!(", {it}"));
        let remarks = told.suspect.iter().map(|why| format!("counts for nothing: {why}"));
        let gone = told.withdrawn.map(|at| {
            format!("gone since {at}: {}", told.reason.as_deref().unwrap_or("nobody says why"))
        });
        let remarks: Vec<String> = remarks.chain(gone).collect();
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td><code>{}</code> {}</td><td>{}</td><td>{}</td><td>{}</td><td><code>{}</code></td>\
             <td>{}</td></tr>",
            told.at,
            escaped(&told.drop),
            told.recovery_point.map_or_else(String::new, |at| at.to_string()),
            escaped(&format!("{} of {}{product}", told.handover, told.agent)),
            or_empty(&told.job),
            or_empty(&told.by),
            or_empty(&told.evidence),
            escaped(&remarks.join("; ")),
        );
    }
    page.push_str("</tbody></table>\n");
}

fn seconds(count: u64) -> String {
    human::duration(Duration::from_secs(count))
}

fn milliseconds(count: u64) -> String {
    human::duration(Duration::from_millis(count))
}

/// Text in which nothing is markup.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other if other.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}
