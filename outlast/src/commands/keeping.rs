//! What keeps snapshots, in words; and orders about them.

use anyhow::Result;
use outlast_types::{WorkloadName, human};
use outlast_wire::ApiClient;
use outlast_wire::api::{HoldView, KeepingDone, KeepingOrder, KeepingView, KeptView, RequestView};

use crate::exit::Code;
use crate::output::{Output, counted, table, whole_seconds};

/// So many letters of a snapshot's id are shown.
const SHORT: usize = 8;

/// Gives an order about a workload's snapshots, and tells what came of it.
pub(super) fn order(
    client: &ApiClient,
    workload: &WorkloadName,
    order: &KeepingOrder,
    output: &Output,
) -> Result<Code> {
    let done = output.patiently(client.location(), || client.order_keeping(workload, order))?;
    if output.is_json() {
        output.json(&done)?;
        return Ok(Code::Done);
    }
    let KeepingDone { hold, released, snapshots, request } = &done;
    if let Some(hold) = hold {
        output.line(format_args!("held {workload}: hold {hold}"))?;
    }
    if let Some(released) = released {
        output.line(format_args!("released {} of {workload}", counted(*released, "hold")))?;
    }
    let word = match order {
        KeepingOrder::Forget { .. } => "forgotten, and gone in seven days",
        _ => "shown again",
    };
    for snapshot in snapshots {
        output.line(format_args!("{snapshot} of {workload}: {word}"))?;
    }
    if let Some(request) = request {
        let word = match order {
            KeepingOrder::Withdraw { .. } => "withdrawn: ",
            _ => "",
        };
        output.line(format_args!("{word}{}", in_words(request)))?;
        if request.approved_by.is_none() && word.is_empty() {
            output.remark(format_args!(
                "another operator agrees by `outlast approve {}/{}`",
                request.workload, request.request
            ));
        }
    }
    Ok(Code::Done)
}

/// A request as one line: `shop-db/3: forget 2 snapshots; asked for by …`.
pub(super) fn in_words(request: &RequestView) -> String {
    let RequestView { workload, what, by, reason, .. } = request;
    let mut line = format!("{workload}/{}: {what}", request.request);
    if !request.snapshots.is_empty() {
        let count = u64::try_from(request.snapshots.len()).unwrap_or(u64::MAX);
        line.push_str(&format!(" {}", counted(count, "snapshot")));
    }
    if let Some(keep) = &request.keep {
        line.push_str(&format!(" to {keep}"));
    }
    line.push_str(&format!("; {by} asked for it {}: {reason}", whole_seconds(request.at)));
    match (&request.approved_by, request.due) {
        (Some(by), Some(due)) => {
            line.push_str(&format!("; {by} agreed, and it is done {}", whole_seconds(due)));
        }
        _ => line.push_str("; another operator must agree"),
    }
    line
}

/// Tells what keeps each snapshot, the oldest first.
pub(super) fn show(kept: &KeepingView, output: &Output) -> Result<Code> {
    if output.is_json() {
        output.json(kept)?;
        return Ok(Code::Done);
    }
    let rows: Vec<Vec<String>> = kept.snapshots.iter().rev().map(row).collect();
    table(output, &["SNAPSHOT", "RECOVERY POINT", "RECEIVED", "SIZE", "KEPT BY"], &rows)?;
    output.gap()?;
    let rules = kept.keep.as_deref().unwrap_or("no rules, so nothing is ever forgotten");
    let class = kept.class.as_ref().map(|class| format!(" of class {class}")).unwrap_or_default();
    output.line(format_args!("by {rules}{class}, with days of {}", kept.zone))?;
    output.line(format_args!(
        "{} of {} may go: {}",
        counted(kept.going, "snapshot"),
        kept.snapshots.len(),
        human::bytes(kept.going_bytes)
    ))?;
    for HoldView { hold, reason, person, by, at, until, snapshots } in &kept.holds {
        let until = until.map(|at| format!(" until {}", whole_seconds(at))).unwrap_or_default();
        let what = match snapshots.len() {
            0 => "all".to_owned(),
            count => counted(u64::try_from(count)?, "snapshot"),
        };
        let since = whole_seconds(*at);
        output.line(format_args!(
            "hold {hold} of {what} since {since}{until}, for {person}, by {by}: {reason}"
        ))?;
    }
    kept.requests.iter().try_for_each(|request| output.line(in_words(request)))?;
    Ok(Code::Done)
}

fn row(kept: &KeptView) -> Vec<String> {
    let rules = match (&kept.goes_at, kept.rules.is_empty()) {
        (Some(goes), _) => format!("nothing: forgotten, gone {}", whole_seconds(*goes)),
        (None, true) => "nothing: may go".to_owned(),
        (None, false) => kept.rules.join(", "),
    };
    let suspect = if kept.counts { "" } else { " (suspect)" };
    vec![
        kept.snapshot.to_string().chars().take(SHORT).collect(),
        whole_seconds(kept.recovery_point),
        whole_seconds(kept.received),
        human::bytes(kept.content_bytes),
        format!("{rules}{suspect}"),
    ]
}
