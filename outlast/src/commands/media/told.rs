//! How a media server is doing, in words.

use anyhow::Result;
use outlast_civil::Rate;
use outlast_media::{MediaStatus, word_of};
use outlast_types::human;
use std::time::Duration;

use crate::output::{Output, counted, table, whole_seconds};

/// Workloads that are shown one by one.
const ROWS_MAX: usize = 20;

/// All that it says.
pub(super) fn status(status: &MediaStatus, output: &Output) -> Result<()> {
    if output.is_json() {
        return output.json(status);
    }
    let report = &status.report;
    output.line(format_args!(
        "media server {} (outlast {}), spool {}",
        status.name, status.version, report.spool
    ))?;
    output.line(words(status))?;
    output.line(format_args!(
        "{} ({} of {})",
        waiting(report.objects),
        human::bytes(report.bytes),
        human::bytes(report.room)
    ))?;
    let went = match report.line_rate {
        0 => "nothing".to_owned(),
        rate => Rate::PerSecond(rate).to_string(),
    };
    let allowed = match report.line_allowed {
        None => "no limit now".to_owned(),
        Some(0) => "closed now".to_owned(),
        Some(rate) => format!("{} allowed now", Rate::PerSecond(rate)),
    };
    let empty = match report.empty_in_seconds {
        Some(0) => "nothing waits".to_owned(),
        Some(seconds) => format!("at this rate it is empty in {}", seconds_of(seconds)),
        None => "it does not get emptier".to_owned(),
    };
    output.line(format_args!("the line: {went} in the last minute, {allowed}; {empty}"))?;
    for problem in &report.problems {
        output.line(format_args!("problem: {problem}"))?;
    }
    if report.rows.is_empty() {
        return Ok(());
    }
    output.gap()?;
    let row = |row: &outlast_wire::api::MediaRow| {
        let oldest = seconds_of(row.oldest_seconds);
        vec![row.workload.to_string(), row.objects.to_string(), human::bytes(row.bytes), oldest]
    };
    let rows: Vec<Vec<String>> = report.rows.iter().take(ROWS_MAX).map(row).collect();
    table(output, &["WORKLOAD", "OBJECTS", "BYTES", "OLDEST"], &rows)?;
    if report.rows.len() > ROWS_MAX {
        output.line(format_args!(
            "and {} more",
            counted((report.rows.len() - ROWS_MAX) as u64, "workload")
        ))?;
    }
    Ok(())
}

/// What it does with what comes.
pub(super) fn state(status: &MediaStatus, output: &Output) -> Result<()> {
    if output.is_json() {
        return output.json(status);
    }
    output.line(words(status))
}

fn words(status: &MediaStatus) -> String {
    use outlast_wire::api::MediaState;
    let waits = waiting(status.report.objects);
    match (status.report.state, &status.maintenance) {
        (MediaState::Taking, _) => "it takes what comes".to_owned(),
        (MediaState::Draining, _) => format!("it takes nothing new; {waits}"),
        (MediaState::Drained, _) => "it takes nothing, holds nothing, and may go".to_owned(),
        (MediaState::Maintenance, Some(it)) => {
            format!("it takes nothing until {}: {}", whole_seconds(it.until), it.reason)
        }
        (state, None) => word_of(state).to_owned(),
    }
}

fn waiting(objects: u64) -> String {
    format!("{} {}", counted(objects, "object"), if objects == 1 { "waits" } else { "wait" })
}

fn seconds_of(seconds: u64) -> String {
    human::duration(Duration::from_secs(seconds))
}
