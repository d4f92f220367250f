//! One site: its share, agent and line, for each kind of share that it could have.

use outlast_civil::Rate;

use crate::agent;
use crate::buying::{self, Offer, Terms};
use crate::churn::Churn;
use crate::cost::WIRE;
use crate::description::{Description, Mode, Site, Workload};
use crate::flaw::{Flaw, Impossible};
use crate::flow::{self, Course, Hour, Item, Setting, Slowest};
use crate::history::stored_after;
use crate::moments::Horizon;
use crate::outage;
use crate::prices::{Here, Prices, Vm};
use crate::share::{
    AZURE_LEAST, AZURE_MOST, Bought, GIB, METADATA_CALL, MIB, PROVISIONED_MOST, Steady, Traffic,
    cost,
};

/// Metadata calls of one pass over the share, and for each workload of it, measured on an agent that has
/// nothing to do.
pub(crate) const CALLS_PASS: f64 = 20.0;
pub(crate) const CALLS_WORKLOAD: f64 = 7.5;
/// Calls for each drop: to write it, see it, read it, acknowledge it and let it go.
pub(crate) const CALLS_DROP: f64 = 170.0;
/// Moments of an hour at which the calendar is asked.
const ASKED: usize = 12;

/// A site, as it enters the plan.
pub(crate) struct Entry<'a> {
    pub(crate) site: &'a Site,
    pub(crate) workloads: Vec<&'a Workload>,
    pub(crate) churns: Vec<Churn>,
    /// When each workload makes its drops.
    pub(crate) times: Vec<Vec<f64>>,
    pub(crate) items: Vec<Item>,
    /// Bytes that the line carries in each hour: of drops, not of packets.
    pub(crate) line: Vec<f64>,
    pub(crate) prices: Here<'a>,
    pub(crate) vm: &'a Vm,
    /// Seconds of one core that the busiest day needs.
    pub(crate) day_work: f64,
    /// Metadata calls in an hour of the agent's looking.
    pub(crate) calls: f64,
    /// Bytes of drops that are made in each hour, as they lie on the share.
    born: Vec<f64>,
}

/// What a kind of share comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct ModePlan {
    pub mode: Mode,
    /// MiB a second of provisioned EFS, GiB of provisioned Azure Files; nothing of what is not bought.
    pub amount: Option<f64>,
    /// What it costs in a mean month.
    pub month: f64,
    /// Why it cannot be.
    pub why_not: Option<String>,
    /// The fewest credits there ever were, of a share with credits: bytes.
    pub credits_least: Option<f64>,
    pub is_chosen: bool,
}

/// What was found for a site.
pub(crate) struct Found {
    pub(crate) modes: Vec<ModePlan>,
    pub(crate) bought: Bought,
    pub(crate) course: Course,
    pub(crate) outage: outage::Outage,
    pub(crate) traffic: Vec<Traffic>,
}

/// A share with all that came of it.
struct Tried {
    bought: Bought,
    course: Course,
    why_not: Option<String>,
}

impl<'a> Entry<'a> {
    pub(crate) fn of(
        description: &'a Description,
        site: &'a Site,
        horizon: &Horizon,
        prices: &'a Prices,
    ) -> Result<Result<Self, Impossible>, Flaw> {
        let here = prices.here(site.cloud.as_str(), &site.region);
        let here = here
            .map_err(|flaw| Flaw { key: format!("site {:?}: {}", site.name, flaw.key), ..flaw })?;
        let workloads: Vec<&Workload> =
            description.workloads.iter().filter(|it| it.site == site.name).collect();
        let churns: Vec<Churn> = workloads.iter().map(|it| Churn::of(it)).collect();
        let times: Vec<Vec<f64>> = workloads.iter().map(|it| horizon.drops(it)).collect();
        let mut items = Vec::new();
        for (class, (workload, times)) in workloads.iter().zip(&times).enumerate() {
            items.extend(items_of(class, workload, &churns[class], times, site));
        }
        items.sort_by(|a, b| a.born.total_cmp(&b.born));
        let day_work = busiest_day(&items, horizon);
        let vm = match agent::choose(site, here, day_work)? {
            Ok(vm) => vm,
            Err(impossible) => return Ok(Err(impossible)),
        };
        let speed = vm.cpus * vm.speed;
        items.iter_mut().for_each(|item| item.work /= speed);
        let mut born = vec![0.0; horizon.hours()];
        for item in &items {
            if let Some(hour) = born.get_mut(hour_of(item.born)) {
                *hour += item.share;
            }
        }
        let count: f64 = workloads.iter().map(|it| f64::from(it.count)).sum();
        let calls = 3600.0 / site.poll * (CALLS_PASS + CALLS_WORKLOAD * count);
        let line = line_hours(site, horizon);
        Ok(Ok(Self {
            site,
            workloads,
            churns,
            times,
            items,
            line,
            prices: here,
            vm,
            day_work,
            calls,
            born,
        }))
    }

    /// Tries all kinds of shares that may be, and takes the cheapest that keeps the promises.
    pub(crate) fn find(&self, horizon: &Horizon) -> Result<Result<Found, Impossible>, Flaw> {
        // On a share without limits what is left is the line and the agent.
        let free = self.run(&mut Steady { rate: f64::INFINITY, reads_for_one: 1.0 });
        if let Some(impossible) = self.blame_line(&free, horizon) {
            return Ok(Err(impossible));
        }
        let wanted = |mode: &Mode| match self.site.mode {
            Some(wished) => *mode == wished,
            None => mode.cloud() == self.site.cloud,
        };
        let (mut modes, mut best): (Vec<ModePlan>, Option<(usize, Tried)>) = (Vec::new(), None);
        for mode in Mode::ALL.into_iter().filter(wanted) {
            let tried = self.try_mode(mode, &free, horizon)?;
            let (lying, throughput) = self.mean_month(tried.bought, &tried.course, horizon)?;
            let month = lying + throughput;
            let credits =
                tried.course.hours.iter().map(|hour| hour.credits).fold(f64::MAX, f64::min);
            modes.push(ModePlan {
                mode,
                amount: is_bought(mode).then_some(tried.bought.amount),
                month,
                why_not: tried.why_not.clone(),
                credits_least: (mode == Mode::Bursting).then_some(credits),
                is_chosen: false,
            });
            let is_better = |best: &Option<(usize, Tried)>| {
                best.as_ref().is_none_or(|(place, _)| month < modes[*place].month)
            };
            if tried.why_not.is_none() && is_better(&best) {
                best = Some((modes.len() - 1, tried));
            }
        }
        let Some((place, tried)) = best else {
            let whys = modes.iter().filter_map(|it| {
                it.why_not.as_ref().map(|why| format!("{}: {why}", it.mode.as_str()))
            });
            return Ok(Err(Impossible {
                site: self.site.name.clone(),
                why: format!("no share moves it in time: {}", whys.collect::<Vec<_>>().join("; ")),
                helps: "name another share.mode, compress on the share, or promise it later"
                    .to_owned(),
            }));
        };
        modes[place].is_chosen = true;
        let outage = self.outage(&tried.course);
        let traffic = self.traffic(&tried.course, horizon);
        Ok(Ok(Found { modes, bought: tried.bought, course: tried.course, outage, traffic }))
    }

    fn run(&self, share: &mut dyn crate::share::Throughput) -> Course {
        let setting = Setting {
            items: &self.items,
            line: &self.line,
            looking: self.calls * METADATA_CALL,
            keep: usize::try_from(self.site.keep).unwrap_or(usize::MAX),
            classes: self.workloads.len(),
            seen_after: self.site.poll,
        };
        flow::run(&setting, share)
    }

    fn outage(&self, course: &Course) -> outage::Outage {
        let first = course.seeded.map_or(0, |at| hour_of(at) + 1);
        let length = hour_of(self.site.line.outage * 3600.0 + 3599.0);
        outage::worst(&course.hours, &self.born, &self.line, length, first)
    }

    /// One kind of share, of the size that costs least where it is bought by size.
    fn try_mode(&self, mode: Mode, free: &Course, horizon: &Horizon) -> Result<Tried, Flaw> {
        let most_there = free.hours.iter().map(|hour| hour.resident_most).fold(0.0, f64::max);
        let holds = most_there.max(self.outage(free).share) / GIB;
        let (least, most) = match mode {
            Mode::Provisioned => (1.0, PROVISIONED_MOST),
            Mode::SmbPremium | Mode::NfsPremium => (holds.ceil().max(AZURE_LEAST), AZURE_MOST),
            _ => (0.0, 0.0),
        };
        let attempt = |amount: f64| {
            let bought = Bought { mode, amount };
            let course = self.run(bought.throughput().as_mut());
            let why_not = self.too_late(&course, horizon);
            Tried { bought, course, why_not }
        };
        if least > most {
            let mut tried = attempt(most);
            tried.why_not = Some(format!("{holds:.0} GiB must fit, and {most:.0} GiB is the most"));
            return Ok(tried);
        }
        let mut tried = attempt(least);
        if tried.why_not.is_some() && is_bought(mode) {
            tried = buying::least(least, most, attempt, |it| it.why_not.is_none()).1;
        }
        if mode == Mode::Provisioned && tried.why_not.is_none() {
            return self.weigh(tried, free, attempt, horizon);
        }
        Ok(tried)
    }

    /// Throughput against storage: `first` has the least of it that keeps the promises.
    fn weigh(
        &self,
        first: Tried,
        free: &Course,
        attempt: impl Fn(f64) -> Tried,
        horizon: &Horizon,
    ) -> Result<Tried, Flaw> {
        let (lying, throughput) = self.mean_month(first.bought, &first.course, horizon)?;
        let amount = first.bought.amount;
        let terms = Terms {
            unit: throughput / amount,
            lying_least: self.mean_month(first.bought, free, horizon)?.0,
            most: PROVISIONED_MOST,
        };
        let offer = |amount: f64| {
            let tried = attempt(amount);
            let (lying, _) = self.mean_month(tried.bought, &tried.course, horizon)?;
            Ok(Offer { amount, lying, of: tried })
        };
        Ok(buying::cheapest(Offer { amount, lying, of: first }, terms, offer)?.of)
    }

    /// The promise that is not kept, in words.
    fn too_late(&self, course: &Course, horizon: &Horizon) -> Option<String> {
        if course.seeded.is_none() {
            return Some("not even the first drops are through at the end".to_owned());
        }
        let late = |(workload, slowest): (&&Workload, &Slowest)| {
            let hours = slowest.seconds / 3600.0;
            (hours > workload.within).then(|| {
                format!(
                    "the drop of {} of {} is in the vault after {hours:.1} h, and {} h are promised",
                    workload.name,
                    horizon.show(slowest.born),
                    workload.within
                )
            })
        };
        self.workloads.iter().zip(&course.slowest).find_map(late)
    }

    /// Why it cannot be, though the share had no limits.
    fn blame_line(&self, free: &Course, horizon: &Horizon) -> Option<Impossible> {
        let late = self.too_late(free, horizon)?;
        let (need, carried) = self.last_week(free);
        let helps = "a faster line or calendar, fewer or smaller drops, a promise that is longer, or line.seed = \"disk\"";
        let why = if need > carried {
            format!(
                "the line cannot carry it: {:.1} GiB come in a week at the end, and {:.1} GiB is what \
                 the calendar ({}) lets through",
                need / GIB,
                carried / GIB,
                self.site.line.said
            )
        } else {
            format!("the promise and the calendar ({}) do not fit: {late}", self.site.line.said)
        };
        Some(Impossible { site: self.site.name.clone(), why, helps: helps.to_owned() })
    }

    /// Bytes that come, and that the line could carry, in the last week.
    pub(crate) fn last_week(&self, course: &Course) -> (f64, f64) {
        let from = course.hours.len().saturating_sub(168);
        let need = course.hours[from..].iter().map(|hour| hour.arrived).sum();
        (need, self.line[from..].iter().sum())
    }

    fn traffic(&self, course: &Course, horizon: &Horizon) -> Vec<Traffic> {
        let mut months = vec![Traffic::default(); horizon.labels.len()];
        let mut hours = vec![0.0; months.len()];
        for (place, Hour { resident, written, read, .. }) in course.hours.iter().enumerate() {
            let month = horizon.month_of(place);
            let traffic = &mut months[month];
            hours[month] += 1.0;
            traffic.resident += resident;
            traffic.written += written;
            traffic.read += read;
            traffic.calls += self.calls;
        }
        for item in &self.items {
            let count = f64::from(self.workloads[item.class].count);
            months[horizon.month_of(hour_of(item.born))].calls += CALLS_DROP * count;
        }
        for (traffic, hours) in months.iter_mut().zip(hours) {
            traffic.resident /= f64::max(hours, 1.0);
        }
        months
    }

    /// What a share costs in a mean month: what lies there, and throughput.
    fn mean_month(
        &self,
        bought: Bought,
        course: &Course,
        horizon: &Horizon,
    ) -> Result<(f64, f64), Flaw> {
        let traffic = self.traffic(course, horizon);
        let (mut lying, mut moving) = (0.0, 0.0);
        for month in &traffic {
            let (storage, throughput) = cost(bought, self.site, month, self.prices)?;
            (lying, moving) = (lying + storage, moving + throughput);
        }
        let months = traffic.len().max(1) as f64;
        Ok((lying / months, moving / months))
    }
}

fn is_bought(mode: Mode) -> bool {
    matches!(mode, Mode::Provisioned | Mode::SmbPremium | Mode::NfsPremium)
}

pub(crate) fn hour_of(seconds: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the horizon is at most 120 months")]
    #[expect(clippy::cast_sign_loss, reason = "moments are after the beginning")]
    let hour = (seconds / 3600.0).max(0.0) as usize;
    hour
}

/// The drops of one kind of workload.
fn items_of(
    class: usize,
    workload: &Workload,
    churn: &Churn,
    times: &[f64],
    site: &Site,
) -> Vec<Item> {
    let count = f64::from(workload.count);
    let packed = if workload.is_compressed_on_share { workload.compresses_to } else { 1.0 };
    let mut before = None;
    let item = |at: &f64| {
        let content = churn.size_at(*at);
        let is_first = before.is_none();
        let new = before.map_or(content, |before| churn.new_since(before, *at));
        let line = stored_after(churn, before, *at);
        before = Some(*at);
        let by_disk = is_first && site.line.seeded_by_disk;
        Item {
            born: *at,
            share: content * packed * count,
            content: content * count,
            line: if by_disk { 0.0 } else { line * count },
            work: agent::seconds(content, new) * count,
            class,
            is_first,
        }
    };
    times.iter().map(item).collect()
}

/// Seconds of one core for the day that needs most, first drops aside.
fn busiest_day(items: &[Item], horizon: &Horizon) -> f64 {
    let (mut most, mut sum, mut from): (f64, f64, usize) = (0.0, 0.0, 0);
    let ends = horizon.day_ends();
    for item in items.iter().filter(|item| !item.is_first) {
        while ends.get(from).is_some_and(|end| item.born >= *end) {
            (from, sum) = (from + 1, 0.0);
        }
        sum += item.work;
        most = most.max(sum);
    }
    most
}

/// What the line carries of drops in each hour.
fn line_hours(site: &Site, horizon: &Horizon) -> Vec<f64> {
    let step = 3600.0 / ASKED as f64;
    let of = |hour: usize| {
        let rate = |part: usize| {
            let at = hour as f64 * 3600.0 + part as f64 * step;
            match site.line.calendar.rate_at(horizon.moment(at)) {
                Rate::Unlimited => f64::INFINITY,
                Rate::PerSecond(rate) => rate as f64,
            }
        };
        (0..ASKED).map(rate).sum::<f64>() * step / WIRE
    };
    (0..horizon.hours()).map(of).collect()
}

/// Bytes a second, as MiB.
pub(crate) fn in_mib(bytes: f64) -> f64 {
    bytes / MIB
}
