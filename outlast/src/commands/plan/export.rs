//! A plan for programs: JSON, and a table with a line for each month.

use outlast_plan::{Figure, ModePlan, Month, Part, Plan, SitePlan};
use serde_json::{Value, json};

/// The whole plan.
pub(super) fn document(plan: &Plan) -> Value {
    json!({
        "possible": true,
        "title": plan.title,
        "zone": plan.zone,
        "currency": plan.currency,
        "prices_of": plan.prices_of,
        "supposed_prices": plan.supposed,
        "total": plan.total(),
        "mean_month": plan.mean_month(),
        "months": plan.months.iter().map(month).collect::<Vec<_>>(),
        "sites": plan.sites.iter().map(site).collect::<Vec<_>>(),
        "figures": plan.figures.iter().map(figure).collect::<Vec<_>>(),
        "instead": plan.alternatives.iter().map(|it| json!({
            "key": it.key, "says": it.says, "month": it.month, "formula": it.formula, "filled": it.filled,
        })).collect::<Vec<_>>(),
    })
}

fn month(it: &Month) -> Value {
    let costs: serde_json::Map<String, Value> = Part::ALL
        .iter()
        .map(|part| (part.as_str().to_owned(), it.costs.of(*part).into()))
        .collect();
    json!({
        "month": it.label, "drops": it.drops, "content_bytes": it.content, "written_bytes": it.written,
        "line_bytes": it.line, "share_peak_bytes": it.share_peak, "snapshots": it.snapshots,
        "vault_bytes": it.vault, "costs": costs, "total": it.costs.total(),
    })
}

fn site(it: &SitePlan) -> Value {
    let mode = |it: &ModePlan| {
        json!({
            "mode": it.mode.as_str(), "bought": it.amount, "month": it.month, "impossible": it.why_not,
            "credits_least_bytes": it.credits_least, "chosen": it.is_chosen,
        })
    };
    let slowest = it.slowest.iter().map(|(name, slowest, born, within)| {
        json!({
            "workload": name, "seconds": slowest.seconds, "made": born, "promised_seconds": within * 3600.0,
        })
    });
    let weekday =
        |it: &outlast_plan::Weekday| json!({ "open_hours": it.open, "busy_hours": it.busy });
    json!({
        "name": it.name, "place": it.place, "vm": it.vm,
        "shares": it.modes.iter().map(mode).collect::<Vec<_>>(),
        "slowest": slowest.collect::<Vec<_>>(),
        "line_from_monday": it.weekdays.iter().map(weekday).collect::<Vec<_>>(),
    })
}

fn figure(it: &Figure) -> Value {
    json!({
        "key": it.key, "says": it.says, "value": it.value, "unit": it.unit.as_str(), "formula": it.formula,
        "filled": it.filled,
    })
}

/// A line for each month.
pub(super) fn csv(plan: &Plan) -> Vec<String> {
    let mut head = vec![
        "month",
        "drops",
        "content_bytes",
        "written_bytes",
        "line_bytes",
        "share_peak_bytes",
        "snapshots",
        "vault_bytes",
    ];
    head.extend(Part::ALL.iter().map(|part| part.as_str()));
    head.push("total");
    let row = |it: &Month| {
        let mut cells = vec![it.label.clone()];
        let counts =
            [it.drops, it.content, it.written, it.line, it.share_peak, it.snapshots, it.vault];
        cells.extend(counts.iter().map(|count| format!("{count:.0}")));
        cells.extend(Part::ALL.iter().map(|part| format!("{:.4}", it.costs.of(*part))));
        cells.push(format!("{:.4}", it.costs.total()));
        cells.join(",")
    };
    std::iter::once(head.join(",")).chain(plan.months.iter().map(row)).collect()
}
