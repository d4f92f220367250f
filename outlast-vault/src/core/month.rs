//! The continuity report of one month, made of the entries of the audit log of that month and of nothing
//! else. Pure: lines in, a report out, and the report as JSON, CSV and HTML. The same lines give the same
//! bytes, for ever: whoever has a month's segment of the log can check any figure.

mod begun;
pub(crate) mod charge;
mod counted;
pub(crate) mod csv;
mod handed;
pub(crate) mod html;
pub(crate) mod noted;
mod renamed;
mod used;
mod workload;

use std::collections::{BTreeMap, BTreeSet};

use outlast_civil::Zone;
use outlast_promise::Safe;
use outlast_types::{Timestamp, WorkloadName};
use serde::Serialize;
use serde_json::Value;

pub(crate) use self::begun::{Begun, Carried, FORM, InForce};
use self::begun::{CHARGED_FORM, FIRST_FORM, NAMED_MAX, Renamed, Renamings};
use self::charge::Charge;
use self::handed::Handed;
use super::audit::{AuditAction, EntryJson, Outcome};

/// A month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MonthReport {
    version: u32,
    month: String,
    zone: String,
    /// Whether the month is over, so that nothing comes to it any more.
    complete: bool,
    chain: ChainPart,
    totals: Totals,
    workloads: Vec<WorkloadMonth>,
    /// Incidents that are about no single workload.
    platform_incidents: Vec<IncidentMonth>,
    #[serde(skip)]
    last_counted: Option<String>,
}

/// Which entries of the log it was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct ChainPart {
    entries: u64,
    first: u64,
    first_at: Option<Timestamp>,
    /// The hash that the first entry has of the one before it.
    before: String,
    last: u64,
    last_at: Option<Timestamp>,
    /// The SHA-256 of the last entry: it speaks for all of them.
    hash: String,
    /// Entries that do not follow the one before.
    broken_at: Vec<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Totals {
    workloads: u64,
    points: u64,
    missed: u64,
    drills_good: u64,
    drills_failed: u64,
    logical_bytes: u64,
    line_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<u64>,
}

/// One workload in one month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct WorkloadMonth {
    workload: WorkloadName,
    owner: String,
    /// What policy counts, as it was noted last.
    #[serde(skip)]
    safe: Safe,
    /// Each promise that was in force, and since when: of the first, since before the month.
    promises: Vec<Since<String>>,
    /// State at the beginning, and each change.
    states: Vec<Since<String>>,
    /// Recovery points that came, and drops that are none.
    points: u64,
    suspect: u64,
    last_point: Option<Timestamp>,
    /// The longest time between two points, or until the end if none came any more.
    longest_gap_seconds: Option<u64>,
    longest_gap_from: Option<Timestamp>,
    /// How often the promise was missed, with each reason.
    missed: u64,
    incidents: Vec<IncidentMonth>,
    drills: Vec<DrillMonth>,
    drills_good: u64,
    drills_failed: u64,
    /// The time that the last good load took.
    rto_milliseconds: Option<u64>,
    scrub_rounds: u64,
    scrub_problems: u64,
    /// Who was given the key to read it, and when: restores begin so.
    restores: Vec<Deed>,
    /// What was ordered, held, forgotten, removed, or decided about what is kept.
    deeds: Vec<Deed>,
    snapshots_at_begin: u64,
    /// What was on hold when the month began; later holds are among the deeds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    holds_at_begin: Vec<String>,
    /// Content of the drops that came, and what of it was new and travelled and is stored.
    logical_bytes: u64,
    line_bytes: u64,
    /// Who looked what is there, and what it used: since the second form.
    #[serde(skip_serializing_if = "Option::is_none")]
    listings: Option<Vec<Deed>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<Charge>,
    /// What backup products have of it: since the third form.
    #[serde(skip_serializing_if = "Option::is_none")]
    handed: Option<Handed>,
    /// Who handed in how many drops that the vault signed for: since the third form.
    #[serde(skip_serializing_if = "Option::is_none")]
    brought_by: Option<BTreeMap<String, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed: Option<Renamed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Since<T> {
    since: Option<Timestamp>,
    is: T,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct IncidentMonth {
    incident: u64,
    key: String,
    code: Option<String>,
    team: String,
    opened: Timestamp,
    resolved: Option<Timestamp>,
    cause: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct DrillMonth {
    at: Timestamp,
    snapshot: String,
    state: String,
    level: String,
    recipe: String,
    by: String,
    rto_milliseconds: Option<u64>,
    why: Option<String>,
}

/// Who did what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Deed {
    at: Timestamp,
    number: u64,
    actor: String,
    action: String,
    object: Option<String>,
    outcome: Outcome,
    details: BTreeMap<String, String>,
}

/// Reads the lines of a month in their order.
pub(crate) struct Reader {
    month: String,
    zone: String,
    chain: ChainPart,
    workloads: BTreeMap<WorkloadName, WorkloadMonth>,
    platform: Vec<IncidentMonth>,
    form: u32,
    /// The days of which it was counted what is stored.
    days: BTreeSet<String>,
    in_words: fn(&Value, Option<&str>) -> String,
    renamings: Renamings,
}

impl Reader {
    /// `in_words` makes a sentence of the cause of an incident.
    pub(crate) fn new(month: &str, in_words: fn(&Value, Option<&str>) -> String) -> Self {
        Self {
            month: month.to_owned(),
            zone: String::new(),
            chain: ChainPart::default(),
            workloads: BTreeMap::new(),
            platform: Vec::new(),
            form: FIRST_FORM,
            days: BTreeSet::new(),
            in_words,
            renamings: Renamings::default(),
        }
    }

    /// Takes a line, without its end.
    pub(crate) fn line(&mut self, line: &[u8]) {
        let Ok(entry) = serde_json::from_slice::<EntryJson>(line) else {
            self.chain.broken_at.push(self.chain.last + 1);
            return;
        };
        if self.chain.entries == 0 {
            self.chain.first = entry.number;
            self.chain.first_at = Some(entry.at);
            self.chain.before.clone_from(&entry.before);
        } else if entry.before != self.chain.hash {
            self.chain.broken_at.push(entry.number);
        }
        self.chain.entries += 1;
        self.chain.last = entry.number;
        self.chain.last_at = Some(entry.at);
        self.chain.hash = super::audit::hash_of(line);
        self.take(entry);
    }

    fn take(&mut self, entry: EntryJson) {
        match (&entry.action, entry.outcome) {
            (AuditAction::MonthBegun, _) => self.begin(entry.content),
            (AuditAction::IncidentOpened | AuditAction::IncidentResolved, _) => {
                self.incident(entry.content);
            }
            (AuditAction::DropPublished | AuditAction::SnapshotAdopted, Outcome::Done) => {
                self.arrival(&entry);
            }
            (AuditAction::DropConfirmed | AuditAction::ConfirmationWithdrawn, Outcome::Done)
                if self.form > CHARGED_FORM =>
            {
                self.handed_over(&entry);
            }
            (AuditAction::PromiseInForce, _) => {
                let parsed = entry.content.clone().map(serde_json::from_value::<InForce>);
                if let (Some(Ok(now)), Some(workload)) = (parsed, self.of(&entry)) {
                    workload.owner = now.owner;
                    workload.safe = now.safe;
                    workload.promises.push(Since { since: Some(entry.at), is: now.promise });
                }
            }
            (AuditAction::StateChanged, _) => {
                let state = entry.details.get("to").cloned().unwrap_or_default();
                let at = entry.at;
                if let Some(workload) = self.of(&entry) {
                    push(&mut workload.states, Since { since: Some(at), is: state });
                }
            }
            (AuditAction::Drilled, _) => self.drill(&entry),
            (AuditAction::Scrubbed, outcome) => {
                let problems = entry.details.get("problems").and_then(|it| it.parse().ok());
                if let Some(workload) = self.of(&entry) {
                    workload.scrub_rounds += u64::from(entry.details.contains_key("began"));
                    if outcome != Outcome::Done {
                        workload.scrub_problems = problems.unwrap_or(1);
                    }
                }
            }
            (AuditAction::KeyHandedOut, _) if !entry.actor.starts_with("agent ") => {
                self.opening(&entry);
            }
            (AuditAction::UsageNoted, _) => self.used(entry.content),
            (AuditAction::Started | AuditAction::MonthFrozen | AuditAction::KeyHandedOut, _)
            | (AuditAction::ShipmentBegun | AuditAction::ShipmentEnded, Outcome::Done) => {}
            _ => {
                self.ordered(&entry);
                let deed = deed(&entry);
                if let Some(workload) = self.of(&entry) {
                    push(&mut workload.deeds, deed);
                }
            }
        }
    }

    fn begin(&mut self, content: Option<Value>) {
        let Some(Ok(begun)) = content.map(serde_json::from_value::<Begun>) else { return };
        (self.zone, self.form) = (begun.zone, begun.form);
        for carried in begun.workloads {
            let workload = self.named(&carried.workload);
            workload.owner = carried.promise.owner;
            workload.safe = carried.promise.safe;
            workload.promises.push(Since { since: None, is: carried.promise.promise });
            workload.states.push(Since { since: None, is: carried.state });
            workload.last_point = carried.last_point;
            workload.snapshots_at_begin = carried.snapshots;
            workload.holds_at_begin = carried.holds;
        }
    }

    fn named(&mut self, name: &WorkloadName) -> &mut WorkloadMonth {
        let form = self.form;
        self.workloads.entry(name.clone()).or_insert_with(|| WorkloadMonth::new(name, form))
    }

    fn of(&mut self, entry: &EntryJson) -> Option<&mut WorkloadMonth> {
        let name = entry.workload.clone()?;
        Some(self.named(&name))
    }

    fn arrival(&mut self, entry: &EntryJson) {
        let number = |name: &str| entry.details.get(name).and_then(|text| text.parse::<u64>().ok());
        let (logical, line) = (number("content_bytes"), number("stored_bytes"));
        let time = |name: &str| entry.details.get(name).and_then(|text| text.parse().ok());
        let at = time("recovery_point").or_else(|| time("received")).unwrap_or(entry.at);
        let is_suspect = entry.details.contains_key("suspect");
        let Some(workload) = self.of(entry) else { return };
        if let Some(brought) = &mut workload.brought_by
            && (brought.len() < NAMED_MAX || brought.contains_key(&entry.actor))
        {
            *brought.entry(entry.actor.clone()).or_default() += 1;
        }
        workload.line_bytes += line.unwrap_or(0);
        if let Some(handed) = &mut workload.handed {
            let is_new = handed.arrived(entry, at);
            workload.logical_bytes += logical.filter(|_| is_new).unwrap_or(0);
            return;
        }
        workload.logical_bytes += logical.unwrap_or(0);
        if is_suspect {
            workload.suspect += 1;
            return;
        }
        workload.points += 1;
        workload.point(at);
    }

    fn incident(&mut self, content: Option<Value>) {
        let Some(content) = content else { return };
        let Ok(entry) = serde_json::from_value::<super::incidents::IncidentEntry>(content) else {
            return;
        };
        let told = IncidentMonth {
            incident: entry.incident,
            key: entry.key,
            cause: (self.in_words)(&entry.cause, entry.code.as_deref()),
            code: entry.code,
            team: entry.team,
            opened: entry.opened,
            resolved: entry.resolved,
        };
        let is_missed = told.key.starts_with("recovery-point/");
        let Some(name) = entry.workload else {
            return note(&mut self.platform, told);
        };
        let was_told = self.was_told(&name, &told);
        let workload = self.named(&name);
        let is_new = !workload.incidents.iter().any(|known| known.incident == told.incident);
        workload.missed += u64::from(is_missed && is_new && !was_told);
        note(&mut workload.incidents, told);
    }

    fn drill(&mut self, entry: &EntryJson) {
        let drill = entry.content.clone();
        let drill = drill.map(serde_json::from_value::<super::drills::DrillRecord>);
        let (Some(Ok(drill)), Some(workload)) = (drill, self.of(entry)) else { return };
        let rto = drill.rto_milliseconds();
        match drill.state {
            super::drills::DrillState::Good => workload.drills_good += 1,
            _ => workload.drills_failed += 1,
        }
        workload.rto_milliseconds = rto.or(workload.rto_milliseconds);
        let told = DrillMonth {
            at: drill.began,
            snapshot: drill.snapshot.to_string(),
            state: drill.state.as_str().to_owned(),
            level: drill.level.as_str().to_owned(),
            recipe: drill.recipe,
            by: drill.by,
            rto_milliseconds: rto,
            why: drill.failure.map(|failure| failure.why).or(drill.lowered),
        };
        push(&mut workload.drills, told);
    }

    /// The report, of a month that is over or not.
    pub(crate) fn finish(self, is_over: bool) -> MonthReport {
        let Self { month, zone, chain, workloads, platform: platform_incidents, form, .. } = self;
        let (days, last_counted) = (self.days.len() as u64, self.days.last().cloned());
        let mut workloads: Vec<WorkloadMonth> = workloads.into_values().collect();
        let end = Zone::named(&zone).ok().filter(|_| is_over).and_then(|it| it.month_end(&month));
        let until = end.or(chain.last_at);
        let mut totals = Totals { workloads: workloads.len() as u64, ..Totals::default() };
        WorkloadMonth::count_all(&mut workloads, &self.renamings, until);
        for workload in &mut workloads {
            totals.points += workload.points;
            totals.missed += workload.missed;
            totals.drills_good += workload.drills_good;
            totals.drills_failed += workload.drills_failed;
            totals.logical_bytes += workload.logical_bytes;
            totals.line_bytes += workload.line_bytes;
            if let Some(charge) = &mut workload.charge {
                charge.finish(days);
                add(&mut totals.stored_bytes, charge.stored_bytes);
                add(&mut totals.share_bytes, charge.share_bytes);
            }
            if let Some(handed) = &workload.handed {
                add(&mut totals.confirmed, Some(handed.confirmed));
                add(&mut totals.withdrawn, Some(handed.withdrawn));
            }
        }
        MonthReport {
            version: form,
            month,
            zone,
            complete: is_over,
            chain,
            totals,
            workloads,
            platform_incidents,
            last_counted,
        }
    }
}

impl MonthReport {
    pub(crate) fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The number and hash of the last entry.
    pub(crate) fn head(&self) -> (u64, &str) {
        (self.chain.last, &self.chain.hash)
    }

    /// Whether its form tells what was used, and the last day of which that was noted.
    pub(crate) fn counted(&self) -> (bool, Option<&str>) {
        (self.version > FIRST_FORM, self.last_counted.as_deref())
    }

    /// Whether its form tells what backup products have.
    pub(crate) fn tells_handed(&self) -> bool {
        self.version > CHARGED_FORM
    }

    /// The promise and the state of each workload, as they were noted last.
    pub(crate) fn newest(&self) -> BTreeMap<WorkloadName, (InForce, String)> {
        let newest = self.workloads.iter().filter_map(|workload| {
            let promise = workload.promises.last()?.is.clone();
            let in_force = InForce { owner: workload.owner.clone(), promise, safe: workload.safe };
            Some((workload.workload.clone(), (in_force, workload.states.last()?.is.clone())))
        });
        newest.collect()
    }

    /// Entries that do not follow each other.
    pub(crate) fn broken_at(&self) -> &[u64] {
        &self.chain.broken_at
    }

    /// All owners, for those who charge them.
    fn owners(&self) -> BTreeSet<&str> {
        self.workloads.iter().map(|workload| workload.owner.as_str()).collect()
    }
}

fn add(sum: &mut Option<u64>, more: Option<u64>) {
    *sum = sum.iter().copied().chain(more).reduce(u64::saturating_add);
}

/// An incident opened or resolved; one that resolves was open before.
fn note(known: &mut Vec<IncidentMonth>, told: IncidentMonth) {
    match known.iter_mut().find(|known| known.incident == told.incident) {
        Some(known) => known.resolved = told.resolved,
        None => push(known, told),
    }
}

fn push<T>(list: &mut Vec<T>, one: T) {
    if list.len() < NAMED_MAX {
        list.push(one);
    }
}

fn deed(entry: &EntryJson) -> Deed {
    Deed {
        at: entry.at,
        number: entry.number,
        actor: entry.actor.clone(),
        action: entry.action.to_string(),
        object: entry.object.clone(),
        outcome: entry.outcome,
        details: entry.details.clone(),
    }
}

#[cfg(test)]
mod tests;
