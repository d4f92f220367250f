//! A plan as one page: no script, nothing from elsewhere, everything escaped; light, dark and on paper.

use std::fmt::Write as _;

use outlast_plan::{Figure, Part, Plan, SitePlan, Unit, grouped, show, size};

use super::plot::{self, Series, escaped};
use super::words::amount;

const STYLE: &str = include_str!("style.css");

/// Parts of the cost that have one colour.
const GROUPS: [(&str, &str, &[Part]); 5] = [
    ("share", "share", &[Part::ShareStorage, Part::ShareThroughput]),
    ("agent", "agent", &[Part::Agent, Part::AgentDisk]),
    ("media", "media servers", &[Part::Media, Part::MediaDisk]),
    ("way", "line", &[Part::LineBytes, Part::Line]),
    ("vault", "vault", &[Part::Vault]),
];

/// Writing into a string does not fail.
macro_rules! put {
    ($page:expr, $($words:tt)*) => { let _ = writeln!($page, $($words)*); };
}

/// The page.
pub(super) fn of(plan: &Plan) -> String {
    let mut page = String::new();
    let title = escaped(&plan.title);
    put!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n\
         <p class=\"soft\">What backups of these workloads need, hold and cost, {} to {}. Prices of {}, \
         in {}; days and months of {}.</p>",
        plan.months.first().map_or("", |it| &it.label),
        plan.months.last().map_or("", |it| &it.label),
        escaped(&plan.prices_of),
        escaped(&plan.currency),
        escaped(&plan.zone)
    );
    if !plan.supposed.is_empty() {
        put!(
            page,
            "<p class=\"soft\">Nobody has looked up {} of the prices: check those at the end of this page \
             before you rely on the cost.</p>",
            plan.supposed.len()
        );
    }
    cards(&mut page, plan);
    cost(&mut page, plan);
    vault(&mut page, plan);
    for site in &plan.sites {
        site_of(&mut page, plan, site);
    }
    months(&mut page, plan);
    figures(&mut page, plan);
    supposed(&mut page, plan);
    page.push_str("</body></html>\n");
    page
}

/// The prices that stand in the list without anybody's having looked them up.
fn supposed(page: &mut String, plan: &Plan) {
    if plan.supposed.is_empty() {
        return;
    }
    put!(
        page,
        "<section><h2>Prices that nobody has looked up</h2>\n\
         <p class=\"soft\">They are supposed; write the true ones into your price list (<code>outlast plan \
         --print-prices</code>).</p>\n<p><code>{}</code></p></section>",
        escaped(&plan.supposed.join(", "))
    );
}

fn money(plan: &Plan, value: f64) -> String {
    escaped(&format!("{} {}", grouped(value, 0), plan.currency))
}

fn card(page: &mut String, value: &str, says: &str) {
    put!(page, "<div class=\"card\"><b>{value}</b><span>{}</span></div>", escaped(says));
}

fn cards(page: &mut String, plan: &Plan) {
    page.push_str("<div class=\"cards\">\n");
    card(page, &money(plan, plan.mean_month()), "a month, on average");
    if let Some(last) = plan.months.last() {
        card(page, &money(plan, last.costs.total()), &format!("in {}", last.label));
        card(page, &size(last.vault), "in the vault at the end");
        card(page, &grouped(last.snapshots, 0), "snapshots there");
    }
    let slowest = plan.sites.iter().flat_map(|site| &site.slowest);
    let worst = slowest.max_by(|a, b| (a.1.seconds / a.3).total_cmp(&(b.1.seconds / b.3)));
    if let Some((name, slowest, _, within)) = worst {
        let hours = show(slowest.seconds / 3600.0, Unit::Hours, "");
        card(
            page,
            &hours,
            &format!("until the slowest drop of {name} is in the vault; {within} h are promised"),
        );
    }
    page.push_str("</div>\n");
}

fn cost(page: &mut String, plan: &Plan) {
    let of = |(class, name, parts): &(&'static str, &'static str, &[Part])| Series {
        class,
        name,
        values: plan
            .months
            .iter()
            .map(|month| parts.iter().map(|part| month.costs.of(*part)).sum())
            .collect(),
    };
    let series: Vec<Series> = GROUPS.iter().map(of).collect();
    let labels: Vec<String> = plan.months.iter().map(|it| it.label.clone()).collect();
    let words = |value: f64| grouped(value, 0);
    put!(
        page,
        "<section><h2>What it costs</h2>\n<p class=\"soft\">{} a month, by what it is for.</p>\n{}{}</section>",
        escaped(&plan.currency),
        plot::legend(&series),
        plot::stacked("Cost of each month by what it is for", &labels, &series, &words)
    );
    let mut bars = vec![("Outlast".to_owned(), "share", plan.mean_month())];
    bars.extend(plan.alternatives.iter().map(|it| {
        let mut says = it.says.to_owned();
        if let Some(first) = says.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        (says, "other", it.month)
    }));
    let words = |value: f64| money(plan, value);
    put!(
        page,
        "<section><h2>And instead</h2>\n<p class=\"soft\">A mean month beside the ways that were not taken, whose \
         disks for what they keep are not counted.</p>\n{}</section>",
        plot::lying("Cost of a mean month, and of the ways that were not taken", &bars, &words)
    );
}

fn vault(page: &mut String, plan: &Plan) {
    let labels: Vec<String> = plan.months.iter().map(|it| it.label.clone()).collect();
    let every = labels.len().div_ceil(12);
    let labels: Vec<String> = labels
        .into_iter()
        .enumerate()
        .map(|(place, label)| if place % every == 0 { label } else { String::new() })
        .collect();
    let filled = Series {
        class: "vault",
        name: "in the vault at the end of each month",
        values: plan.months.iter().map(|it| it.vault).collect(),
    };
    put!(
        page,
        "<section><h2>How the vault grows</h2>\n<p class=\"soft\">In one place, by the rules that keep and forget.</p>\n\
         {}</section>",
        plot::area("Size of the vault, month by month", &labels, &filled, None, (1024.0, &size))
    );
}

fn site_of(page: &mut String, plan: &Plan, site: &SitePlan) {
    put!(
        page,
        "<section><h2>{}: {}</h2>\n<p class=\"soft\">The agent runs on {}.</p>\n<div class=\"cards\">",
        escaped(&site.name),
        escaped(&site.place),
        escaped(&site.vm)
    );
    let keys = ["share.peak_in_outage", "spool.outage", "line.used", "line.first_backups"];
    for key in keys {
        let key = format!("{}.{key}", site.name);
        if let Some(Figure { value, unit, says, .. }) = plan.figures.iter().find(|it| it.key == key)
        {
            card(page, &escaped(&show(*value, *unit, &plan.currency)), says);
        }
    }
    page.push_str("</div></section>\n");
    modes(page, plan, site);
    week(page, site);
    put!(
        page,
        "<section><h3>Until a drop is in the vault</h3>\n<div class=\"scroll\"><table><thead><tr><th>Workload</th>\
         <th class=\"n\">Slowest</th><th class=\"n\">Promised</th><th>Made on</th></tr></thead><tbody>"
    );
    for (name, slowest, born, within) in &site.slowest {
        put!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{born}</td></tr>",
            escaped(name),
            show(slowest.seconds / 3600.0, Unit::Hours, ""),
            show(*within, Unit::Hours, "")
        );
    }
    page.push_str("</tbody></table></div></section>\n");
}

fn modes(page: &mut String, plan: &Plan, site: &SitePlan) {
    put!(
        page,
        "<section><h3>Kinds of share</h3>\n<div class=\"scroll\"><table><thead><tr><th>Share</th>\
         <th class=\"n\">Bought</th><th class=\"n\">A month</th><th></th></tr></thead><tbody>"
    );
    for mode in &site.modes {
        let (class, verdict) = match (&mode.why_not, mode.is_chosen) {
            (Some(why), _) => ("no", format!("impossible: {}", escaped(why))),
            (None, true) => ("chosen", "the cheapest that keeps the promises".to_owned()),
            (None, false) => ("", "possible".to_owned()),
        };
        let month = if mode.why_not.is_some() { "-".to_owned() } else { money(plan, mode.month) };
        put!(
            page,
            "<tr class=\"{class}\"><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{month}</td><td>{verdict}</td></tr>",
            mode.mode.as_str(),
            amount(mode)
        );
    }
    page.push_str("</tbody></table></div></section>\n");
}

/// The last week: the line, the share, and credits where there are some.
fn week(page: &mut String, site: &SitePlan) {
    let labels: Vec<String> =
        site.week.iter().map(|it| it.begins.clone().unwrap_or_default()).collect();
    let of = |class, name, values: Vec<f64>| Series { class, name, values };
    let line = of("way", "went over the line", site.week.iter().map(|it| it.line).collect());
    let carried: Vec<f64> = site.week.iter().map(|it| it.carried).collect();
    let limited = carried.iter().all(|it| it.is_finite());
    let limit = of("limit", "what the calendar lets through", carried);
    let says =
        "Bytes on the line in each hour of the last week, and what the calendar lets through";
    put!(
        page,
        "<section><h3>The line in the last week</h3>\n<p class=\"soft\">Each hour, and what the calendar lets through \
         (dashed).</p>\n{}</section>",
        plot::area(says, &labels, &line, limited.then_some(&limit), (1024.0, &size))
    );
    let share = of("share", "on the share", site.week.iter().map(|it| it.resident).collect());
    put!(
        page,
        "<section><h3>The share in the last week</h3>\n<p class=\"soft\">The most that lies there in each hour.</p>\n\
         {}</section>",
        plot::area(
            "Bytes on the share in each hour of the last week",
            &labels,
            &share,
            None,
            (1024.0, &size)
        )
    );
    if site.modes.iter().any(|it| it.is_chosen && it.credits_least.is_some()) {
        let credits =
            of("share", "burst credits", site.hours.iter().map(|it| it.credits).collect());
        let thin = site.hours.len().div_ceil(720).max(1);
        let credits = Series {
            values: credits
                .values
                .chunks(thin)
                .map(|it| it.iter().copied().fold(f64::MAX, f64::min))
                .collect(),
            ..credits
        };
        put!(
            page,
            "<section><h3>Burst credits, from the first hour to the last</h3>\n<p class=\"soft\">At none the share \
             is as slow as its baseline.</p>\n{}</section>",
            plot::area("Burst credits over the whole time", &[], &credits, None, (1024.0, &size))
        );
    }
}

fn months(page: &mut String, plan: &Plan) {
    put!(
        page,
        "<section><h2>Month by month</h2>\n<div class=\"scroll\"><table><thead><tr><th>Month</th><th class=\"n\">Drops</th>\
         <th class=\"n\">To shares</th><th class=\"n\">On lines</th><th class=\"n\">Share peak</th>\
         <th class=\"n\">Snapshots</th><th class=\"n\">Vault</th><th class=\"n\">Cost</th></tr></thead><tbody>"
    );
    for it in &plan.months {
        put!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            it.label,
            grouped(it.drops, 0),
            size(it.written),
            size(it.line),
            size(it.share_peak),
            grouped(it.snapshots, 0),
            size(it.vault),
            money(plan, it.costs.total())
        );
    }
    page.push_str("</tbody></table></div></section>\n");
}

fn figures(page: &mut String, plan: &Plan) {
    put!(
        page,
        "<section><h2>Every number and its formula</h2>\n<div class=\"scroll\"><table><thead><tr><th>Number</th>\
         <th class=\"n\">Is</th><th>Comes from</th></tr></thead><tbody>"
    );
    let mut row = |key: &str, says: &str, value: String, formula: &str, filled: &str| {
        put!(
            page,
            "<tr><td>{}<br><code>{}</code></td><td class=\"n\">{value}</td><td>{}<br><code>= {}</code></td></tr>",
            escaped(says),
            escaped(key),
            escaped(formula),
            escaped(filled)
        );
    };
    for it in &plan.figures {
        let value = escaped(&show(it.value, it.unit, &plan.currency));
        row(&it.key, it.says, value, it.formula, &it.filled);
    }
    for it in &plan.alternatives {
        let value = escaped(&show(it.month, Unit::Money, &plan.currency));
        row(&format!("instead.{}", it.key), it.says, value, it.formula, &it.filled);
    }
    page.push_str("</tbody></table></div></section>\n");
}
