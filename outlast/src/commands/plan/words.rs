//! A plan as text.

use anyhow::Result;
use outlast_plan::{
    Description, Impossible, Mode, ModePlan, Part, Plan, Price, Prices, SitePlan, Unit, grouped,
    show as shown, size,
};
use serde_json::json;

use crate::output::{Output, table};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Months that are shown: the first, the last, and each so many.
const MONTHS_STEP: usize = 3;

/// Says why it cannot be.
pub(super) fn impossible(impossible: &[Impossible], output: &Output) -> Result<()> {
    if output.is_json() {
        let one = |it: &Impossible| json!({ "site": it.site, "why": it.why, "helps": it.helps });
        return output.json(&json!({
            "possible": false, "impossible": impossible.iter().map(one).collect::<Vec<_>>(),
        }));
    }
    impossible.iter().try_for_each(|Impossible { site, why, helps }| {
        output.line(format_args!("impossible: site {site}: {why}"))?;
        output.line(format_args!("  what helps: {helps}"))
    })
}

/// The plan for people.
pub(super) fn show(plan: &Plan, output: &Output) -> Result<()> {
    let currency = plan.currency.as_str();
    let money = |value: f64| shown(value, Unit::Money, currency);
    output.line(format_args!(
        "{}: {} a month on average, {} in {} months (prices of {})",
        plan.title,
        money(plan.mean_month()),
        money(plan.total()),
        plan.months.len(),
        plan.prices_of
    ))?;
    if !plan.supposed.is_empty() {
        output.line(format_args!(
            "supposed are the prices {}: look them up before you rely on the cost",
            plan.supposed.join(", ")
        ))?;
    }
    for site in &plan.sites {
        output.gap()?;
        site_of(site, plan, output)?;
    }
    output.gap()?;
    months(plan, output)?;
    output.gap()?;
    costs(plan, output)?;
    output.gap()?;
    let head = ["INSTEAD", "A MONTH"];
    let mut rows = vec![vec!["Outlast, in a mean month".to_owned(), money(plan.mean_month())]];
    let others = plan.alternatives.iter();
    rows.extend(others.map(|it| vec![it.says.to_owned(), money(it.month)]));
    table(output, &head, &rows)
}

fn site_of(site: &SitePlan, plan: &Plan, output: &Output) -> Result<()> {
    output.line(format_args!("{} ({}), agent on {}", site.name, site.place, site.vm))?;
    let prefix = format!("{}.", site.name);
    let of_site = |key: &str| plan.figures.iter().find(|it| it.key == format!("{prefix}{key}"));
    let keys = [
        "share.peak",
        "share.peak_in_outage",
        "share.metered_a_day",
        "share.bursting_a_day",
        "agent.reads_for",
        "agent.disk",
        "spool.outage",
        "spool.catch_up",
        "line.week",
        "line.used",
        "line.first_backups",
    ];
    for figure in keys.into_iter().filter_map(of_site) {
        let value = shown(figure.value, figure.unit, &plan.currency);
        output.line(format_args!("  {}: {value}", figure.says))?;
    }
    output.gap()?;
    let row = |it: &ModePlan| {
        let verdict = match (&it.why_not, it.is_chosen) {
            (Some(why), _) => format!("impossible: {why}"),
            (None, true) => "chosen".to_owned(),
            (None, false) => "possible".to_owned(),
        };
        let cost = match it.why_not {
            Some(_) => "-".to_owned(),
            None => shown(it.month, Unit::Money, &plan.currency),
        };
        vec![it.mode.as_str().to_owned(), amount(it), cost, verdict]
    };
    table(
        output,
        &["SHARE", "BOUGHT", "A MONTH", ""],
        &site.modes.iter().map(row).collect::<Vec<_>>(),
    )?;
    output.gap()?;
    let row = |(name, slowest, born, within): &(String, outlast_plan::Slowest, String, f64)| {
        let hours = shown(slowest.seconds / 3600.0, Unit::Hours, "");
        vec![name.clone(), hours, shown(*within, Unit::Hours, ""), born.clone()]
    };
    let rows: Vec<Vec<String>> = site.slowest.iter().map(row).collect();
    table(output, &["WORKLOAD", "SLOWEST", "PROMISED", "THE DROP OF"], &rows)?;
    output.gap()?;
    let row = |(day, name): (&outlast_plan::Weekday, &str)| {
        vec![name.to_owned(), format!("{:.1} h", day.busy), format!("{:.1} h", day.open)]
    };
    let rows: Vec<Vec<String>> = site.weekdays.iter().zip(DAYS).map(row).collect();
    table(output, &["LINE ON", "BUSY", "OPEN"], &rows)
}

/// What is bought of it, where it is bought by size.
pub(super) fn amount(mode: &ModePlan) -> String {
    match (mode.mode, mode.amount) {
        (Mode::Provisioned, Some(amount)) => format!("{} MiB/s", grouped(amount, 0)),
        (_, Some(amount)) => format!("{} GiB", grouped(amount, 0)),
        (_, None) => "-".to_owned(),
    }
}

fn months(plan: &Plan, output: &Output) -> Result<()> {
    let last = plan.months.len().saturating_sub(1);
    let is_shown = |place: &usize| *place == last || place.is_multiple_of(MONTHS_STEP);
    let rows =
        plan.months.iter().enumerate().filter(|(place, _)| is_shown(place)).map(|(_, it)| {
            vec![
                it.label.clone(),
                grouped(it.drops, 0),
                size(it.written),
                size(it.line),
                size(it.share_peak),
                grouped(it.snapshots, 0),
                size(it.vault),
                shown(it.costs.total(), Unit::Money, &plan.currency),
            ]
        });
    let head =
        ["MONTH", "DROPS", "TO SHARES", "ON LINES", "SHARE PEAK", "SNAPSHOTS", "VAULT", "COST"];
    table(output, &head, &rows.collect::<Vec<_>>())
}

fn costs(plan: &Plan, output: &Output) -> Result<()> {
    let count = plan.months.len().max(1) as f64;
    let mean = |part: Part| plan.months.iter().map(|it| it.costs.of(part)).sum::<f64>() / count;
    let last = |part: Part| plan.months.last().map_or(0.0, |it| it.costs.of(part));
    let money = |value: f64| shown(value, Unit::Money, &plan.currency);
    let row = |part: &Part| vec![part.says().to_owned(), money(mean(*part)), money(last(*part))];
    let mut rows: Vec<Vec<String>> = Part::ALL.iter().map(row).collect();
    let end = plan.months.last().map_or(0.0, |it| it.costs.total());
    rows.push(vec!["all".to_owned(), money(plan.mean_month()), money(end)]);
    table(output, &["COST", "MEAN MONTH", "LAST MONTH"], &rows)
}

/// Every number with its formula, and every price with where it is from.
pub(super) fn explain(
    description: &Description,
    plan: &Plan,
    prices: &Prices,
    output: &Output,
) -> Result<()> {
    for figure in &plan.figures {
        let value = shown(figure.value, figure.unit, &plan.currency);
        output.line(format_args!("{} = {value}: {}", figure.key, figure.says))?;
        output.line(format_args!("  = {}", figure.formula))?;
        output.line(format_args!("  = {}", figure.filled))?;
    }
    for other in &plan.alternatives {
        let value = shown(other.month, Unit::Money, &plan.currency);
        output.line(format_args!("instead.{} = {value} a month: {}", other.key, other.says))?;
        output.line(format_args!("  = {}", other.formula))?;
        output.line(format_args!("  = {}", other.filled))?;
    }
    output.gap()?;
    let mut rows = Vec::new();
    let mut add = |key: &str, price: &Price| {
        let supposed = if price.is_supposed { "supposed: " } else { "" };
        rows.push(vec![
            key.to_owned(),
            format!("{}", price.is),
            format!("{supposed}{}", price.source),
        ]);
    };
    for ((cloud, name), region) in &prices.regions {
        let is_used =
            |it: &outlast_plan::Site| it.cloud.as_str() == cloud.as_str() && it.region == *name;
        if !description.sites.iter().any(is_used) {
            continue;
        }
        for (key, price) in &region.items {
            add(&format!("{cloud}.{name}.{key}"), price);
        }
        for vm in &region.vms {
            add(&format!("{cloud}.{name}.{}", vm.name), &vm.month);
        }
    }
    for (key, price) in &prices.common {
        add(&format!("common.{key}"), price);
    }
    table(output, &["PRICE", &prices.currency, "SOURCE"], &rows)
}
