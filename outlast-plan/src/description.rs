//! What is planned: workloads, sites, lines, and what is wished of them.

use outlast_civil::{Calendar, Zone};
use outlast_promise::Keep;

use crate::flaw::Flaw;

/// Months that a plan may look ahead.
const MONTHS_MAX: u32 = 120;
/// Kinds of workloads in one plan; each may stand for many alike.
const WORKLOADS_MAX: usize = 2_000;
/// Sites in one plan.
const SITES_MAX: usize = 50;
/// Drops that one workload may make in a day.
pub(crate) const DROPS_A_DAY_MAX: u32 = 96;
/// Drops in one plan, of all kinds.
const DROPS_MAX: f64 = 2_000_000.0;

/// All that a plan is made of.
#[derive(Debug, Clone)]
pub struct Description {
    pub title: String,
    /// The first month: year and month.
    pub start: (i16, i8),
    pub months: u32,
    /// In which days and months begin, and drops are made.
    pub zone: Zone,
    pub sites: Vec<Site>,
    pub workloads: Vec<Workload>,
    /// Places that hold what is vaulted, the vault itself included.
    pub copies: u32,
    pub alternatives: Alternatives,
}

/// Where a share and its agent are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    Aws,
    Azure,
}

impl Cloud {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
        }
    }
}

/// One share, its agent, its media servers, and the line to the vault.
#[derive(Debug, Clone)]
pub struct Site {
    pub name: String,
    pub cloud: Cloud,
    pub region: String,
    /// The kind of share; nothing for the cheapest that keeps the promises.
    pub mode: Option<Mode>,
    pub one_zone: bool,
    /// Vaulted drops of each workload that stay on the share.
    pub keep: u32,
    /// Seconds between two passes of the agent.
    pub poll: f64,
    /// Hours in which the agent must have read a day's drops.
    pub reading_hours: f64,
    /// The virtual machine of the agent; nothing for the cheapest that is large enough.
    pub vm: Option<String>,
    pub media_servers: u32,
    pub line: Line,
}

/// The way to the vault.
#[derive(Debug, Clone)]
pub struct Line {
    pub calendar: Calendar,
    /// The calendar as it was written.
    pub said: String,
    /// Hours without the line that the spool must survive.
    pub outage: f64,
    /// What the line costs in a month besides its bytes; nothing if the price file says it.
    pub month: Option<f64>,
    /// Whether the first backups come by disk.
    pub seeded_by_disk: bool,
}

/// Kinds of shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    Bursting,
    Provisioned,
    Elastic,
    SmbStandard,
    SmbPremium,
    NfsPremium,
}

impl Mode {
    pub const ALL: [Self; 6] = [
        Self::Bursting,
        Self::Provisioned,
        Self::Elastic,
        Self::SmbStandard,
        Self::SmbPremium,
        Self::NfsPremium,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bursting => "efs-bursting",
            Self::Provisioned => "efs-provisioned",
            Self::Elastic => "efs-elastic",
            Self::SmbStandard => "azure-smb-standard",
            Self::SmbPremium => "azure-smb-premium",
            Self::NfsPremium => "azure-nfs",
        }
    }

    pub fn cloud(self) -> Cloud {
        match self {
            Self::Bursting | Self::Provisioned | Self::Elastic => Cloud::Aws,
            Self::SmbStandard | Self::SmbPremium | Self::NfsPremium => Cloud::Azure,
        }
    }
}

/// One kind of workload.
#[derive(Debug, Clone)]
pub struct Workload {
    pub name: String,
    /// The name of its site.
    pub site: String,
    /// How many there are of it.
    pub count: u32,
    /// Bytes of one drop.
    pub size: f64,
    /// How much more it is after a year: 0.1 for a tenth.
    pub growth: f64,
    /// The part of a drop that differs from the one before.
    pub change: f64,
    /// In runs of so many bytes, each somewhere; nothing if `change` counts whole chunks already.
    pub edit: Option<f64>,
    /// The part that compression leaves.
    pub compresses_to: f64,
    /// Whether drops are compressed on the share.
    pub is_compressed_on_share: bool,
    pub drops_a_day: u32,
    /// When the first drop of a day is made: minutes after midnight, in the plan's zone.
    pub at: u32,
    /// Nothing is forgotten without rules.
    pub keep: Option<Keep>,
    /// Hours after a drop in which the vault must have it.
    pub within: f64,
    /// Servers that run it, each.
    pub servers: u32,
    /// Releases in a month; each makes one more drop, the last of the servers that go.
    pub releases: f64,
}

/// What the ways cost that are not taken. Nothing where the price file says it.
#[derive(Debug, Clone, Default)]
pub struct Alternatives {
    /// Of an agent on one server, in a month.
    pub licence_month: Option<f64>,
    /// Of one server, in a month.
    pub server_month: Option<f64>,
    /// Of an hour of work.
    pub person_hour: Option<f64>,
    /// Minutes of work for each server that a release replaces.
    pub minutes_per_server: f64,
    /// Hours that old servers run on after a release.
    pub kept_hours: f64,
    /// Days between two full backups.
    pub full_every: f64,
}

impl Description {
    /// All that no plan can be made of, each with its key.
    pub fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let mut need = |holds: bool, key: &str, is: String, todo: &str| {
            if !holds {
                flaws.push(Flaw::new(key, is, todo));
            }
        };
        let months = 1..=MONTHS_MAX;
        let words = format!("is {}", self.months);
        need(months.contains(&self.months), "months", words, "write 1 to 120 months");
        let is_a_month = (1970..=9000).contains(&self.start.0) && (1..=12).contains(&self.start.1);
        need(is_a_month, "start", "is no month".into(), "write a month such as 2027-01");
        let copies = (1..=10).contains(&self.copies);
        need(copies, "vault.copies", format!("is {}", self.copies), "write 1 to 10");
        let some = !self.workloads.is_empty() && self.workloads.len() <= WORKLOADS_MAX;
        let count = format!("there are {}", self.workloads.len());
        need(some, "[[workload]]", count, "describe 1 to 2000 kinds of workloads");
        let some = !self.sites.is_empty() && self.sites.len() <= SITES_MAX;
        let count = format!("there are {}", self.sites.len());
        need(some, "[[site]]", count, "describe 1 to 50 sites");
        for (place, site) in self.sites.iter().enumerate() {
            site.judge(&mut need);
            let is_new = self.sites[..place].iter().all(|other| other.name != site.name);
            let words = format!("{:?} is there twice", site.name);
            need(is_new, "[[site]] name", words, "give each site a name of its own");
        }
        for (place, workload) in self.workloads.iter().enumerate() {
            workload.judge(&mut need);
            let is_new = self.workloads[..place].iter().all(|other| other.name != workload.name);
            let words = format!("{:?} is there twice", workload.name);
            let todo = "give each kind a name of its own, and count what is alike by count";
            need(is_new, "[[workload]] name", words, todo);
            let is_known = self.sites.iter().any(|site| site.name == workload.site);
            let key = format!("workload {:?}: site", workload.name);
            let words = format!("is {:?}, and there is no such [[site]]", workload.site);
            need(is_known, &key, words, "name one of the sites");
        }
        let alternatives = &self.alternatives;
        let least = [
            ("alternatives.licence_month", alternatives.licence_month.unwrap_or(0.0)),
            ("alternatives.server_month", alternatives.server_month.unwrap_or(0.0)),
            ("alternatives.person_hour", alternatives.person_hour.unwrap_or(0.0)),
            ("alternatives.minutes_per_server", alternatives.minutes_per_server),
            ("alternatives.kept_hours", alternatives.kept_hours),
        ];
        for (key, value) in least {
            let holds = value.is_finite() && value >= 0.0;
            need(holds, key, format!("is {value}"), "write 0 or more");
        }
        let full = alternatives.full_every;
        let holds = (1.0..=366.0).contains(&full);
        need(holds, "alternatives.full_every", format!("is {full} days"), "write 1d to 366d");
        let days = f64::from(self.months) * 31.0;
        let drops: f64 = self.workloads.iter().map(|it| it.drops_in(days)).sum();
        let words = format!("{drops:.0} drops would be planned");
        need(drops <= DROPS_MAX, "months", words, "look fewer months ahead, or plan by parts");
        flaws
    }
}

type Need<'a> = &'a mut dyn FnMut(bool, &str, String, &str);

impl Site {
    fn judge(&self, need: Need<'_>) {
        let key = |key: &str| format!("site {:?}: {key}", self.name);
        let named = !self.name.is_empty();
        need(named, "[[site]] name", "is empty".into(), "give the site a name");
        if let Some(mode) = self.mode {
            let words = format!("is {}, and the site is in {}", mode.as_str(), self.cloud.as_str());
            let fits = mode.cloud() == self.cloud;
            need(fits, &key("share.mode"), words, "name a kind of share that this cloud has");
        }
        let keep = self.keep <= 1000;
        need(keep, &key("share.keep"), format!("is {}", self.keep), "write 0 to 1000");
        let poll = (0.01..=86_400.0).contains(&self.poll);
        let words = format!("is {} s", self.poll);
        need(poll, &key("share.poll"), words, "write 10ms to 1d; the agent's own is 30s");
        let hours = (0.1..=24.0).contains(&self.reading_hours);
        let words = format!("is {} h", self.reading_hours);
        need(hours, &key("agent.reading"), words, "write 6m to 24h");
        let media = self.media_servers <= 100;
        let words = format!("is {}", self.media_servers);
        need(media, &key("media.servers"), words, "write 0 to 100");
        let outage = (0.0..=2400.0).contains(&self.line.outage);
        let words = format!("is {} h", self.line.outage);
        need(outage, &key("line.outage"), words, "write 0h to 100d");
        let month = self.line.month.is_none_or(|month| month.is_finite() && month >= 0.0);
        let words = format!("is {}", self.line.month.unwrap_or(0.0));
        need(month, &key("line.month"), words, "write what the line costs in a month, 0 or more");
    }
}

impl Workload {
    fn judge(&self, need: Need<'_>) {
        let key = |key: &str| format!("workload {:?}: {key}", self.name);
        let named = !self.name.is_empty();
        need(named, "[[workload]] name", "is empty".into(), "give the workload a name");
        let mut within = |name: &str, value: f64, least: f64, most: f64, todo: &str| {
            let holds = value.is_finite() && (least..=most).contains(&value);
            need(holds, &key(name), format!("is {value}"), todo);
        };
        within("count", self.count.into(), 1.0, 1e6, "write 1 to 1000000");
        within("size", self.size, 1.0, 1e16, "write the size of one drop, such as 200GiB");
        within("growth", self.growth, 0.0, 10.0, "write what a year adds, from 0% to 1000%");
        within("change", self.change, 0.0, 1.0, "write the part that is new, from 0% to 100%");
        within("edit", self.edit.unwrap_or(1.0), 1.0, 1e12, "write a size such as 8KiB");
        let todo = "write the part that compression leaves, from 0.1% to 100%";
        within("compresses_to", self.compresses_to, 0.001, 1.0, todo);
        let drops = f64::from(self.drops_a_day);
        within("drops_a_day", drops, 1.0, DROPS_A_DAY_MAX.into(), "write 1 to 96");
        within("at", self.at.into(), 0.0, 1439.0, "write a time of day such as 02:00");
        let todo = "write how long after a drop the vault must have it, such as 24h";
        within("within", self.within, 0.05, 8784.0, todo);
        within("servers", self.servers.into(), 0.0, 1e5, "write 0 to 100000");
        within("releases", self.releases, 0.0, 3000.0, "write 0 to 3000 in a month");
    }

    /// About how many drops one of it makes in so many days.
    pub(crate) fn drops_in(&self, days: f64) -> f64 {
        days * (f64::from(self.drops_a_day) + self.releases * 12.0 / 365.25)
    }
}
