//! The numbers of a plan, each with its formula.

use crate::agent;
use crate::cost::{Part, WIRE};
use crate::description::{Cloud, Description, Mode, Workload};
use crate::figure::{Figure, Unit, size};
use crate::moments::Horizon;
use crate::month::Month;
use crate::share::{
    BURSTING_LEAST, BURSTING_PER_GIB, CREDITS, EFS_READS_FOR_ONE, GIB, METADATA_CALL, Traffic,
};
use crate::site::{CALLS_PASS, CALLS_WORKLOAD, Entry, Found, in_mib};

/// Workloads whose part of a sum is shown.
const SHOWN: usize = 4;

struct Figures {
    prefix: String,
    list: Vec<Figure>,
}

impl Figures {
    fn add(
        &mut self,
        key: &str,
        says: &'static str,
        (value, unit): (f64, Unit),
        formula: &'static str,
        filled: String,
    ) {
        let key = format!("{}{key}", self.prefix);
        self.list.push(Figure { key, says, value, unit, formula, filled });
    }
}

pub(crate) fn of_site(
    entry: &Entry<'_>,
    found: &Found,
    horizon: &Horizon,
    unique: f64,
) -> Vec<Figure> {
    let mut figures = Figures { prefix: format!("{}.", entry.site.name), list: Vec::new() };
    share(&mut figures, entry, found, horizon);
    hosts(&mut figures, entry, found, unique);
    line(&mut figures, entry, found);
    figures.list
}

/// The days of the last month.
fn last_days(horizon: &Horizon) -> f64 {
    let borders = horizon.borders.len();
    (horizon.borders[borders - 1] - horizon.borders[borders - 2]) as f64 / 86_400.0
}

fn sum(workloads: &[&Workload], term: impl Fn(&Workload) -> String) -> String {
    let mut terms: Vec<String> = workloads.iter().take(SHOWN).map(|it| term(it)).collect();
    if workloads.len() > SHOWN {
        terms.push(format!("… ({} more)", workloads.len() - SHOWN));
    }
    terms.join(" + ")
}

fn share(figures: &mut Figures, entry: &Entry<'_>, found: &Found, horizon: &Horizon) {
    let days = last_days(horizon);
    let Traffic { resident, written, read, .. } = found.traffic.last().copied().unwrap_or_default();
    let (written, read) = (written / days, read / days);
    let term = |it: &Workload| {
        let packed = if it.is_compressed_on_share { it.compresses_to } else { 1.0 };
        format!("{} × {} × {} × {packed}", it.count, it.drops_a_day, size(it.size))
    };
    figures.add(
        "share.written_a_day",
        "written to the share in a day, at the end",
        (written, Unit::Bytes),
        "Σ workloads: count × drops a day × size (grown since) × what compression leaves on the share, and releases",
        sum(&entry.workloads, term),
    );
    figures.add(
        "share.read_a_day",
        "read from it in a day, at the end",
        (read, Unit::Bytes),
        "each drop is read once",
        size(read),
    );
    let count: f64 = entry.workloads.iter().map(|it| f64::from(it.count)).sum();
    let looked = entry.calls * 24.0 * METADATA_CALL;
    let looking = (
        "86400 s ÷ poll × (calls of a pass + calls for a workload × workloads) × 4 KiB",
        format!(
            "86400 ÷ {} × ({CALLS_PASS} + {CALLS_WORKLOAD} × {count}) × 4 KiB",
            entry.site.poll
        ),
    );
    let says = "what the agent's looking is metered as, in a day";
    figures.add("share.looked_a_day", says, (looked, Unit::Bytes), looking.0, looking.1);
    if entry.site.cloud == Cloud::Aws {
        bursting(figures, found, (written, read, looked, resident));
    }
    figures.add(
        "share.average",
        "on the share, on average, in the last month",
        (resident, Unit::Bytes),
        "mean of all hours: drops being written or waiting, and the newest keep of each workload",
        format!("keep = {}", entry.site.keep),
    );
    let peak = found.course.hours.iter().map(|hour| hour.resident_most).fold(0.0, f64::max);
    figures.add(
        "share.peak",
        "on the share at most",
        (peak, Unit::Bytes),
        "the largest of all hours; a new drop lies beside the newest keep until it is vaulted",
        sum(&entry.workloads, |it| {
            format!("{} × ({} + 1) × {}", it.count, entry.site.keep, size(it.size))
        }),
    );
    figures.add(
        "share.peak_in_outage",
        "on the share at most, while the line is down",
        (found.outage.share.max(peak), Unit::Bytes),
        "nothing leaves the share before the vault has it: what lies there + all drops made in the outage",
        format!("{} h without the line, at the worst moment", entry.site.line.outage),
    );
}

/// What each kind of share that may be costs.
fn kinds(figures: &mut Figures, found: &Found) {
    for kind in found.modes.iter().filter(|kind| kind.why_not.is_none()) {
        let formula = match kind.mode {
            Mode::Bursting => "average GiB × price",
            Mode::Provisioned => {
                "average GiB × price + MiB/s × price, with the MiB/s that keep the promises and make that the least: \
                 what leaves earlier is stored for less"
            }
            Mode::Elastic => {
                "average GiB × price + GiB written × price + (GiB read + calls × 4 KiB) × price"
            }
            Mode::SmbStandard => {
                "average GiB × price + MiB written × price + MiB read × price + calls × price"
            }
            Mode::SmbPremium | Mode::NfsPremium => {
                "GiB that hold what an outage leaves and are fast enough × price"
            }
        };
        figures.add(
            &format!("share.cost.{}", kind.mode.as_str()),
            "what this kind of share costs in a mean month",
            (kind.month, Unit::Money),
            formula,
            kind.amount
                .map_or_else(|| "mean of all months".to_owned(), |it| format!("{it} bought")),
        );
    }
}

fn bursting(figures: &mut Figures, found: &Found, day: (f64, f64, f64, f64)) {
    let (written, read, looked, resident) = day;
    let metered = written + read / EFS_READS_FOR_ONE + looked;
    figures.add(
        "share.metered_a_day",
        "what EFS meters in a day, at the end (Bursting, Provisioned)",
        (metered, Unit::Bytes),
        "written + read ÷ 3 + looked",
        format!("{} + {} ÷ 3 + {}", size(written), size(read), size(looked)),
    );
    let baseline = (resident / GIB * BURSTING_PER_GIB).max(BURSTING_LEAST) * 86_400.0;
    figures.add(
        "share.bursting_a_day",
        "what Bursting lets through in a day for ever",
        (baseline, Unit::Bytes),
        "max(1 MiB/s, average GiB × 50 KiB/s) × 86400 s",
        format!("max(1 MiB/s, {:.1} × 50 KiB/s) × 86400", resident / GIB),
    );
    let least = found.modes.iter().find_map(|mode| mode.credits_least);
    if let Some(least) = least {
        figures.add(
            "share.credits_least",
            "the fewest burst credits that there ever are",
            (least, Unit::Bytes),
            "hour by hour: credits + earned (baseline) - metered, at least 0, at most 2.1 TiB for each TiB stored",
            format!("beginning with {}", size(CREDITS)),
        );
    }
}

fn hosts(figures: &mut Figures, entry: &Entry<'_>, found: &Found, unique: f64) {
    let speed = entry.vm.cpus * entry.vm.speed;
    figures.add(
        "agent.busy_a_day",
        "core hours that the busiest day needs",
        (entry.day_work / 3600.0, Unit::Count),
        "(GiB read × 0.65 s + GiB new × 4.4 s) ÷ 3600",
        format!("{:.0} s ÷ 3600", entry.day_work),
    );
    figures.add(
        "agent.reads_for",
        "the agent's host reads them for",
        (entry.day_work / speed / 3600.0, Unit::Hours),
        "core hours ÷ (processors × their speed)",
        format!(
            "{:.2} ÷ ({} × {}); {} may be busy {:.0} % of the time",
            entry.day_work / 3600.0,
            entry.vm.cpus,
            entry.vm.speed,
            entry.vm.name,
            entry.vm.baseline * 100.0
        ),
    );
    figures.add(
        "agent.memory",
        "memory that the agent's host needs",
        (agent::memory(), Unit::Bytes),
        "system + agent + drops read at a time × 128 MiB",
        format!(
            "{} + {} + {} × {}; {} has {}",
            size(agent::MEMORY_SYSTEM),
            size(agent::MEMORY_AGENT),
            agent::LOADS,
            size(agent::MEMORY_LOAD),
            entry.vm.name,
            size(entry.vm.memory)
        ),
    );
    figures.add(
        "agent.disk",
        "disk of the agent's host",
        (agent::disk(unique), Unit::Bytes),
        "max(8 GiB, content that the vault knows ÷ 72 KiB × 140 B × 2)",
        format!("max(8 GiB, {} ÷ 72 KiB × 140 B × 2)", size(unique)),
    );
    figures.add(
        "spool.outage",
        "spool of each media server",
        (found.outage.spool, Unit::Bytes),
        "what waits already + what comes for the line in the outage, at the worst moment",
        format!("{} h without the line", entry.site.line.outage),
    );
    if let (true, Some(hours)) = (entry.site.line.outage > 0.0, found.outage.catch_up) {
        figures.add(
            "spool.catch_up",
            "and then the line catches up within",
            (hours, Unit::Hours),
            "hour by hour: what waits + what comes - what the calendar lets through",
            format!("{} wait at its end", size(found.outage.spool)),
        );
    }
}

fn line(figures: &mut Figures, entry: &Entry<'_>, found: &Found) {
    kinds(figures, found);
    let (need, carried) = entry.last_week(&found.course);
    let term = |it: &Workload| {
        let changed = crate::churn::changed(it.change, it.edit, it.size) * 100.0;
        format!(
            "{} × {} × {} × {changed:.1} % × {}",
            it.count,
            it.drops_a_day,
            size(it.size),
            it.compresses_to
        )
    };
    figures.add(
        "line.week",
        "comes for the line in a week, at the end",
        (need, Unit::Bytes),
        "7 × Σ workloads: count × drops a day × size × part that is new × what compression leaves, and what names it",
        format!("7 × ({})", sum(&entry.workloads, term)),
    );
    if carried.is_finite() {
        figures.add(
            "line.week_carried",
            "what the line carries in a week",
            (carried, Unit::Bytes),
            "Σ hours: the calendar's rate × 3600 s ÷ 1.03",
            format!("{} ÷ {WIRE}", entry.site.line.said),
        );
        figures.add(
            "line.used",
            "the part of the line that is used",
            (need / carried, Unit::Part),
            "comes in a week ÷ carried in a week",
            format!("{} ÷ {}", size(need), size(carried)),
        );
    }
    let hours = &found.course.hours;
    let last = &hours[hours.len().saturating_sub(28 * 24)..];
    let busy = last.iter().map(|hour| hour.busy).sum::<f64>() / (last.len() as f64 / 24.0);
    figures.add(
        "line.hours_a_day",
        "hours of line in a day, at the end",
        (busy, Unit::Hours),
        "hours for which it is busy in the last four weeks ÷ 28",
        format!("{:.1} h ÷ {:.0}", busy * last.len() as f64 / 24.0, last.len() as f64 / 24.0),
    );
    for (workload, slowest) in entry.workloads.iter().zip(&found.course.slowest) {
        figures.add(
            &format!("window.{}", workload.name),
            "its slowest drop is in the vault after",
            (slowest.seconds / 3600.0, Unit::Hours),
            "written + seen + read + worked on + waiting for the line + on the line, of the drop that took longest",
            format!("{} h are promised", workload.within),
        );
    }
    let first: f64 = entry.items.iter().filter(|item| item.is_first).map(|item| item.line).sum();
    if let Some(seeded) = found.course.seeded {
        figures.add(
            "line.first_backups",
            "until the first backups are all there",
            (seeded / 86_400.0, Unit::Days),
            "all of each first drop travels, by line or by disk; nobody is promised anything before",
            format!("{} on the line, {:.2} MiB/s on average", size(first), in_mib(first / seeded.max(1.0))),
        );
    }
}

pub(crate) fn of_all(description: &Description, months: &[Month]) -> Vec<Figure> {
    let mut figures = Figures { prefix: String::new(), list: Vec::new() };
    let Some(last) = months.last() else { return figures.list };
    figures.add(
        "vault.snapshots",
        "snapshots in the vault at the end",
        (last.snapshots, Unit::Count),
        "what the vault's own rules keep, and what was forgotten less than 8 days ago",
        format!("after {} months", months.len()),
    );
    figures.add(
        "vault.size",
        "the vault's repositories at the end",
        (last.vault, Unit::Bytes),
        "Σ workloads: first kept drop + what each kept drop adds to the kept one before + at most 5 % unneeded",
        format!("{} before the vault, of content", size(months.iter().map(|it| it.content).sum())),
    );
    for part in Part::ALL {
        let key = format!("cost.{}", part.as_str());
        let cost = (last.costs.of(part), Unit::Money);
        figures.add(&key, part.says(), cost, part.formula(), format!("in {}", last.label));
    }
    let parts: Vec<String> =
        Part::ALL.iter().map(|part| format!("{:.2}", last.costs.of(*part))).collect();
    figures.add(
        "cost.last_month",
        "all of it, in the last month",
        (last.costs.total(), Unit::Money),
        "sum of the parts",
        parts.join(" + "),
    );
    let total: f64 = months.iter().map(|month| month.costs.total()).sum();
    figures.add(
        "cost.mean_month",
        "all of it, in a mean month",
        (total / months.len() as f64, Unit::Money),
        "sum of all months ÷ months",
        format!("{total:.2} ÷ {}", description.months),
    );
    figures.list
}
