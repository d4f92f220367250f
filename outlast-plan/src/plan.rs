//! The plan of all sites together, month by month.

use crate::agent;
use crate::alternatives::{self, Alternative};
use crate::cost::{PRICED_HOURS, Part, WIRE, disk};
use crate::description::Description;
use crate::figure::Figure;
use crate::figures;
use crate::flaw::{Flaw, Impossible};
use crate::flow::{Hour, Slowest};
use crate::history::{departures, held};
use crate::moments::Horizon;
use crate::month::Month;
use crate::prices::Prices;
use crate::share::{GIB, cost};
use crate::site::{Entry, Found, ModePlan, hour_of};

/// What came of planning.
#[derive(Debug, Clone)]
pub enum Outcome {
    Possible(Box<Plan>),
    Impossible(Vec<Impossible>),
}

/// A setup that can be, with what it needs and costs.
#[derive(Debug, Clone)]
pub struct Plan {
    pub title: String,
    pub zone: String,
    pub currency: String,
    /// As of when the prices are.
    pub prices_of: String,
    /// Prices that it goes by and that nobody has looked up: their keys.
    pub supposed: Vec<String>,
    pub sites: Vec<SitePlan>,
    pub months: Vec<Month>,
    pub figures: Vec<Figure>,
    pub alternatives: Vec<Alternative>,
}

/// One site.
#[derive(Debug, Clone)]
pub struct SitePlan {
    pub name: String,
    pub place: String,
    pub vm: String,
    pub modes: Vec<ModePlan>,
    /// Each hour from the beginning on.
    pub hours: Vec<Hour>,
    /// From Monday, in the last four weeks.
    pub weekdays: [Weekday; 7],
    /// The last week, hour by hour.
    pub week: Vec<WeekHour>,
    /// By workload: the slowest drop, when it was made, and hours in which it is promised.
    pub slowest: Vec<(String, Slowest, String, f64)>,
}

/// An hour of the last week.
#[derive(Debug, Clone, PartialEq)]
pub struct WeekHour {
    /// The day that begins with it.
    pub begins: Option<String>,
    /// Bytes on the line, and what it could carry.
    pub line: f64,
    pub carried: f64,
    /// Bytes on the share at most.
    pub resident: f64,
}

/// An average day of the week: hours in which the line is open, and in which it is busy.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weekday {
    pub open: f64,
    pub busy: f64,
}

impl Plan {
    /// What all months cost together.
    pub fn total(&self) -> f64 {
        self.months.iter().map(|month| month.costs.total()).sum()
    }

    pub fn mean_month(&self) -> f64 {
        self.total() / (self.months.len().max(1) as f64)
    }
}

/// Plans, or says what is wrong with what it was given.
pub fn plan(description: &Description, prices: &Prices) -> Result<Outcome, Vec<Flaw>> {
    let flaws: Vec<Flaw> = description.flaws().into_iter().chain(prices.flaws()).collect();
    if !flaws.is_empty() {
        return Err(flaws);
    }
    let horizon = Horizon::of(description);
    let (mut whole, mut impossible, mut flaws) = (Vec::new(), Vec::new(), Vec::new());
    for site in &description.sites {
        let entry = match Entry::of(description, site, &horizon, prices) {
            Ok(Ok(entry)) => entry,
            Ok(Err(why)) => {
                impossible.push(why);
                continue;
            }
            Err(flaw) => {
                flaws.push(flaw);
                continue;
            }
        };
        match entry.find(&horizon) {
            Ok(Ok(found)) => whole.push((entry, found)),
            Ok(Err(why)) => impossible.push(why),
            Err(flaw) => flaws.push(flaw),
        }
    }
    if !flaws.is_empty() {
        return Err(flaws);
    }
    if !impossible.is_empty() {
        return Ok(Outcome::Impossible(impossible));
    }
    let made = put_together(description, prices, &horizon, whole).map_err(|flaw| vec![flaw])?;
    Ok(Outcome::Possible(Box::new(made)))
}

fn put_together(
    description: &Description,
    prices: &Prices,
    horizon: &Horizon,
    whole: Vec<(Entry<'_>, Found)>,
) -> Result<Plan, Flaw> {
    let labels = horizon.labels.iter();
    let mut months: Vec<Month> =
        labels.map(|label| Month { label: label.clone(), ..Month::default() }).collect();
    let ends: Vec<f64> =
        horizon.borders[1..].iter().map(|end| (end - horizon.start()) as f64).collect();
    let used = whole.iter().map(|(entry, _)| {
        (entry.site.cloud.as_str(), entry.site.region.as_str(), entry.vm.name.as_str())
    });
    let supposed = prices.supposed(used);
    let (mut sites, mut figures) = (Vec::new(), Vec::new());
    for (entry, found) in whole {
        let unique = hold(description, horizon, &entry, &ends, &mut months);
        pass(horizon, &entry, &found, &mut months);
        charge(prices, horizon, &entry, &found, unique, &mut months)?;
        figures.extend(figures::of_site(&entry, &found, horizon, unique));
        sites.push(site_plan(&entry, found, horizon));
    }
    let vault = prices.common("vault_gib_month")? * f64::from(description.copies);
    for month in &mut months {
        month.costs.add(Part::Vault, month.vault / GIB * vault);
    }
    let alternatives = alternatives::of(description, prices)?;
    figures.extend(figures::of_all(description, &months));
    Ok(Plan {
        title: description.title.clone(),
        zone: description.zone.to_string(),
        currency: prices.currency.clone(),
        prices_of: prices.date.clone(),
        supposed,
        sites,
        months,
        figures,
        alternatives,
    })
}

/// What the vault holds of a site at the end of each month. Gives the most content that it ever knew.
fn hold(
    description: &Description,
    horizon: &Horizon,
    entry: &Entry<'_>,
    ends: &[f64],
    months: &mut [Month],
) -> f64 {
    let mut most: f64 = 0.0;
    let mut sums = vec![0.0; months.len()];
    for ((workload, churn), times) in entry.workloads.iter().zip(&entry.churns).zip(&entry.times) {
        let gone = departures(times, workload.keep.as_ref(), &description.zone, horizon);
        let count = f64::from(workload.count);
        for (place, held) in held(times, &gone, churn, ends).into_iter().enumerate() {
            months[place].snapshots += held.snapshots * count;
            months[place].vault += held.bytes * count;
            sums[place] += held.bytes * count / workload.compresses_to;
        }
    }
    most = sums.into_iter().fold(most, f64::max);
    most
}

/// What goes over share and line in each month.
fn pass(horizon: &Horizon, entry: &Entry<'_>, found: &Found, months: &mut [Month]) {
    for item in &entry.items {
        let month = &mut months[horizon.month_of(hour_of(item.born))];
        month.drops += f64::from(entry.workloads[item.class].count);
        month.content += item.content;
    }
    let mut peaks = vec![0.0; months.len()];
    for (place, hour) in found.course.hours.iter().enumerate() {
        let month = horizon.month_of(place);
        months[month].written += hour.written;
        months[month].line += hour.line;
        peaks[month] = f64::max(peaks[month], hour.resident_most);
    }
    for (month, peak) in months.iter_mut().zip(peaks) {
        month.share_peak += peak;
    }
}

/// What each month costs, but for the vault.
fn charge(
    prices: &Prices,
    horizon: &Horizon,
    entry: &Entry<'_>,
    found: &Found,
    unique: f64,
    months: &mut [Month],
) -> Result<(), Flaw> {
    let (site, here) = (entry.site, entry.prices);
    let media = f64::from(site.media_servers);
    let line_price = here.price("line_gib")?;
    let line_month = site.line.month.map_or_else(|| prices.common("line_month"), Ok)?;
    let cheapest = here.region.vms.iter().map(|vm| vm.month.is).fold(f64::MAX, f64::min);
    let spool = found.outage.spool.max(agent::DISK_LEAST);
    let mut sent = vec![0.0; months.len()];
    for (place, hour) in found.course.hours.iter().enumerate() {
        sent[horizon.month_of(place)] += hour.line;
    }
    for (place, month) in months.iter_mut().enumerate() {
        let hours = (horizon.borders[place + 1] - horizon.borders[place]) as f64 / 3600.0;
        let machines = hours / PRICED_HOURS;
        let (storage, throughput) = cost(found.bought, site, &found.traffic[place], here)?;
        let costs = &mut month.costs;
        costs.add(Part::ShareStorage, storage);
        costs.add(Part::ShareThroughput, throughput);
        costs.add(Part::Agent, entry.vm.month.is * machines);
        costs.add(Part::AgentDisk, disk(agent::disk(unique), here)?);
        costs.add(Part::Media, media * cheapest * machines);
        costs.add(Part::MediaDisk, media * disk(spool, here)?);
        costs.add(Part::LineBytes, sent[place] / GIB * WIRE * line_price);
        costs.add(Part::Line, line_month);
    }
    Ok(())
}

fn site_plan(entry: &Entry<'_>, found: Found, horizon: &Horizon) -> SitePlan {
    let slowest = entry.workloads.iter().zip(&found.course.slowest);
    let slowest = slowest.map(|(workload, slowest)| {
        let born = horizon.show(slowest.born);
        (workload.name.clone(), *slowest, born, workload.within)
    });
    SitePlan {
        name: entry.site.name.clone(),
        place: format!("{} {}", entry.site.cloud.as_str(), entry.site.region),
        vm: entry.vm.name.clone(),
        slowest: slowest.collect(),
        weekdays: weekdays(entry, &found, horizon),
        week: week(entry, &found, horizon),
        modes: found.modes,
        hours: found.course.hours,
    }
}

/// How long the line is open and busy on each day of the week, in the last four weeks.
fn weekdays(entry: &Entry<'_>, found: &Found, horizon: &Horizon) -> [Weekday; 7] {
    let mut weekdays = [Weekday::default(); 7];
    let mut days: [Vec<i32>; 7] = Default::default();
    let hours = &found.course.hours;
    let from = hours.len().saturating_sub(28 * 24);
    for (place, hour) in hours.iter().enumerate().skip(from) {
        let (weekday, day) = horizon.day_of(place);
        if days[weekday].last() != Some(&day) {
            days[weekday].push(day);
        }
        weekdays[weekday].busy += hour.busy;
        weekdays[weekday].open += if entry.line[place] > 0.0 { 1.0 } else { 0.0 };
    }
    for (weekday, days) in weekdays.iter_mut().zip(&days) {
        let count = days.len().max(1) as f64;
        (weekday.busy, weekday.open) = (weekday.busy / count, weekday.open / count);
    }
    weekdays
}

/// The last week, hour by hour.
fn week(entry: &Entry<'_>, found: &Found, horizon: &Horizon) -> Vec<WeekHour> {
    let hours = &found.course.hours;
    let from = hours.len().saturating_sub(168);
    let mut day = None;
    let mut of = |(place, hour): (usize, &Hour)| {
        let now = horizon.day_of(place).1;
        let begins = (day.replace(now) != Some(now)).then(|| {
            let shown = horizon.show(place as f64 * 3600.0);
            shown.get(..3).unwrap_or_default().to_owned()
        });
        WeekHour {
            begins,
            line: hour.line,
            carried: entry.line[place],
            resident: hour.resident_most,
        }
    };
    hours.iter().enumerate().skip(from).map(&mut of).collect()
}
