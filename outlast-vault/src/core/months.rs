//! Months: how each workload stands is written into the audit log when one begins, and when one is over, its
//! report is frozen.
//!
//! A month begins a segment of the log, with how everything stood; so what is said of it follows from its own
//! segments alone. `reports/<month>.json`, `.csv` and `.html` are made once, and their hashes are an entry of
//! the month after. Lost, they are made again, the same to the byte.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outlast_format::sha256;
use outlast_promise::{State, WorkloadStatus};
use outlast_types::{WorkloadName, hex};
use outlast_wire::head_receipt::SignedHead;
use serde_json::Value;

use super::audit::{self, AuditAction, Event};
use super::error::VaultError;
use super::incidents::in_words;
use super::month::charge::{DayUsed, Used};
use super::month::noted::Noted;
use super::month::{Begun, Carried, FORM, MonthReport, Reader, csv, html};
use super::storage::{Durability, Records, StorageError};
use super::vault::Vault;

const FOLDER: &str = "reports";
const REPORT_BYTES_MAX: u64 = 1 << 30;
/// Workloads in one entry.
const CHUNK: usize = 200;
/// And of those that only count.
const USED_CHUNK: usize = 1000;
/// A vault that began later ago has heard of its shares.
const HEARD_AFTER: Duration = Duration::from_secs(600);

/// A form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
    Html,
}

impl Format {
    pub(crate) const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Html];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }

    fn of(self, report: &MonthReport) -> String {
        match self {
            Self::Json => report.json(),
            Self::Csv => csv::of(report),
            Self::Html => html::of(report),
        }
    }
}

/// What is found in the log of one month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthVerdict {
    /// The number and hash of its last entry.
    pub head: (u64, String),
    /// Entries that do not follow the one before.
    pub broken_at: Vec<u64>,
    /// Whether the frozen report is what its entries say; `None` if it is not frozen, or not there.
    pub is_as_frozen: Option<bool>,
}

impl Vault {
    /// Begins the next month as soon as it is there: what comes before belongs to the month before.
    pub(crate) fn heed_border_of_months(&self) -> Result<(), VaultError> {
        let month = self.months.zone.month_of(self.environment.clock.now());
        let is_over = self.months.lock().as_ref().is_some_and(|known| known.month < month);
        if is_over {
            self.note_month()?;
        }
        Ok(())
    }

    /// Begins a month, notes what changed of promises and states, and freezes months that are over.
    pub(crate) fn note_month(&self) -> Result<String, VaultError> {
        let now = self.environment.clock.now();
        let month = self.months.zone.month_of(now);
        let mut state = self.months.lock();
        let known = match state.take() {
            Some(known) => Some(known),
            None => self.noted_before()?,
        };
        // A clock that was set back begins no month again.
        let known = match known {
            Some(known) if known.month >= month => known,
            _ => {
                let begun = self.begin_month(&month)?;
                let frozen = self.freeze()?;
                *state = Some(begun);
                return Ok(frozen);
            }
        };
        let mut noted = self.note_changes(known)?;
        if self.environment.timer.elapsed() >= HEARD_AFTER {
            self.note_usage(&mut noted)?;
        }
        *state = Some(noted);
        self.freeze()
    }

    /// What the log has of the month that is under way.
    fn noted_before(&self) -> Result<Option<Noted>, VaultError> {
        let months = audit::months::all(&*self.storage)?;
        let Some((month, segments)) = months.last() else { return Ok(None) };
        let report = read(&*self.storage, month, segments, false)?;
        let counted = report.counted().1.map(str::to_owned);
        Ok(Some(Noted { month: month.clone(), counted, workloads: report.newest() }))
    }

    fn begin_month(&self, month: &str) -> Result<Noted, VaultError> {
        let totals = self.promises.catalog().totals()?;
        let carried: Vec<Carried> = self
            .promises
            .workloads()
            .iter()
            .map(|status| Carried {
                workload: status.workload.clone(),
                state: state_of(status).to_owned(),
                last_point: status.last_safe,
                promise: self.in_force(status),
                holds: self.holds_of(&status.workload),
                snapshots: totals.get(&status.workload).map_or(0, |totals| totals.snapshots),
            })
            .collect();
        let zone = self.months.zone.name().to_owned();
        let mut is_first = true;
        // An empty vault begins its month, too.
        let chunks: Vec<&[Carried]> =
            if carried.is_empty() { vec![&[]] } else { carried.chunks(CHUNK).collect() };
        for chunk in chunks {
            let workloads = chunk.to_vec();
            let begun =
                Begun { form: FORM, month: month.to_owned(), zone: zone.clone(), workloads };
            let content = serde_json::to_value(&begun).unwrap_or_default();
            let event = Event::by_vault(AuditAction::MonthBegun).object(month).content(content);
            match is_first {
                true => self.audit.record_first(event)?,
                false => self.audit.record(event)?,
            }
            is_first = false;
        }
        let workloads = carried.into_iter().map(|it| (it.workload, (it.promise, it.state)));
        Ok(Noted { month: month.to_owned(), counted: None, workloads: workloads.collect() })
    }

    fn note_changes(&self, mut noted: Noted) -> Result<Noted, VaultError> {
        for status in self.promises.workloads() {
            let (promise, state) = (self.in_force(&status), state_of(&status));
            let known = noted.workloads.get(&status.workload);
            if known.is_none_or(|(known, _)| *known != promise) {
                let content = serde_json::to_value(&promise).unwrap_or_default();
                let event = Event::by_vault(AuditAction::PromiseInForce);
                self.audit.record(event.workload(&status.workload).content(content))?;
            }
            let before = known.map(|(_, state)| state.as_str());
            if before != Some(state) {
                let event = Event::by_vault(AuditAction::StateChanged)
                    .workload(&status.workload)
                    .detail("from", before.unwrap_or("unknown"))
                    .detail("to", state);
                self.audit.record(event)?;
            }
            if known.is_none_or(|(known, of)| *known != promise || *of != state) {
                noted.workloads.insert(status.workload, (promise, state.to_owned()));
            }
        }
        Ok(noted)
    }

    /// Notes once a day what is stored of each workload, and what it takes up of shares.
    fn note_usage(&self, noted: &mut Noted) -> Result<(), VaultError> {
        let now = self.environment.clock.now();
        let day = now.day().to_string();
        if noted.counted.as_deref().is_some_and(|last| last >= day.as_str()) {
            return Ok(());
        }
        let (stored, share) = (self.limits.all_stored(), self.occupied.by_workload(now));
        let of = |known: &BTreeMap<WorkloadName, u64>, name| known.get(name).copied().unwrap_or(0);
        let names: BTreeSet<&WorkloadName> = stored.keys().chain(share.keys()).collect();
        let all = names.into_iter().map(|name| {
            let (stored, share) = (of(&stored, name), of(&share, name));
            Used { workload: name.clone(), stored, share }
        });
        let all: Vec<Used> = all.filter(|it| it.stored > 0 || it.share > 0).collect();
        // A day on which nothing is there counts, too.
        let chunks: Vec<&[Used]> =
            if all.is_empty() { vec![&[]] } else { all.chunks(USED_CHUNK).collect() };
        for chunk in chunks {
            let used = DayUsed { day: day.clone(), workloads: chunk.to_vec() };
            let content = serde_json::to_value(&used).unwrap_or_default();
            let event = Event::by_vault(AuditAction::UsageNoted).object(&day).content(content);
            self.audit.record(event)?;
        }
        noted.counted = Some(day);
        Ok(())
    }

    /// Makes the reports of months that are over and have none.
    fn freeze(&self) -> Result<String, VaultError> {
        let mut months = audit::months::all(&*self.storage)?;
        months.pop();
        let mut frozen = Vec::new();
        for (month, segments) in months {
            let last = key_of(&month, Format::ALL[2]);
            let is_there = self.storage.length(&last);
            if is_there.map_err(StorageError::of(&*self.storage, "look for", &last))?.is_some() {
                continue;
            }
            let report = read(&*self.storage, &month, &segments, true)?;
            let (number, hash) = report.head();
            let mut event = Event::by_vault(AuditAction::MonthFrozen)
                .object(&month)
                .detail("last_entry", format!("{number}:{hash}"));
            let documents = Format::ALL.map(|format| (format, format.of(&report)));
            for (format, text) in &documents {
                event = event.detail(format.as_str(), hex::encode(&sha256(text.as_bytes())));
            }
            self.audit.record(event)?;
            for (format, text) in documents {
                let key = key_of(&month, format);
                let written = self.storage.replace(&key, text.as_bytes(), Durability::Durable);
                written.map_err(StorageError::of(&*self.storage, "write", &key))?;
            }
            frozen.push(month);
        }
        Ok(match frozen.is_empty() {
            true => String::new(),
            false => format!("froze the reports of {}", frozen.join(", ")),
        })
    }

    /// The newest entry of the audit log, for whoever keeps it elsewhere.
    pub(crate) fn sign_head(&self) -> Result<SignedHead, VaultError> {
        let (head, now) = (self.audit.head(), self.environment.clock.now());
        let signed = SignedHead::sign(head.number, &head.hash, now, &self.identity.get());
        signed.map_err(|error| VaultError::SignAnswer { source: error.into() })
    }

    /// The report of a month as it was frozen, or as it is so far; and whether it is frozen.
    pub(crate) fn report_of(
        &self,
        month: &str,
        format: Format,
    ) -> Result<(String, bool), VaultError> {
        let months = audit::months::all(&*self.storage)?;
        let unknown = || VaultError::UnknownMonth { month: month.chars().take(20).collect() };
        let place = months.iter().position(|(known, _)| known == month).ok_or_else(unknown)?;
        let key = key_of(month, format);
        let frozen = self.storage.read(&key, REPORT_BYTES_MAX);
        let frozen = frozen.map_err(StorageError::of(&*self.storage, "read", &key))?;
        if let Some(text) = frozen.and_then(|bytes| String::from_utf8(bytes).ok()) {
            return Ok((text, true));
        }
        let is_over = place + 1 < months.len();
        let report = read(&*self.storage, month, &months[place].1, is_over)?;
        Ok((format.of(&report), false))
    }
}

/// Looks at the entries of one month, and at what was frozen of them; `None` if the log tells of no such
/// month by itself.
pub(crate) fn verify(
    records: &dyn Records,
    month: &str,
) -> Result<Option<MonthVerdict>, StorageError> {
    let months = audit::months::all(records)?;
    let Some(place) = months.iter().position(|(known, _)| known == month) else { return Ok(None) };
    let report = read(records, month, &months[place].1, place + 1 < months.len())?;
    let key = key_of(month, Format::Json);
    let frozen = records.read(&key, REPORT_BYTES_MAX);
    let frozen = frozen.map_err(StorageError::of(records, "read", &key))?;
    let (number, hash) = report.head();
    Ok(Some(MonthVerdict {
        head: (number, hash.to_owned()),
        broken_at: report.broken_at().to_vec(),
        is_as_frozen: frozen.map(|bytes| bytes == report.json().into_bytes()),
    }))
}

fn read(
    records: &dyn Records,
    month: &str,
    segments: &[u64],
    is_over: bool,
) -> Result<MonthReport, StorageError> {
    let mut reader = Reader::new(month, cause_in_words);
    audit::months::lines(records, segments, &mut |line| reader.line(line))?;
    Ok(reader.finish(is_over))
}

fn cause_in_words(cause: &Value, code: Option<&str>) -> String {
    use outlast_catalog::RecordedCause;
    in_words(&match (code, cause) {
        (Some(code), cause) => {
            RecordedCause::Data { code: code.to_owned(), json: cause.to_string() }
        }
        (None, Value::String(text)) => RecordedCause::Sentence(text.clone()),
        (None, cause) => RecordedCause::Sentence(cause.to_string()),
    })
}

/// The state, as far as anybody answers for it: late is kept.
fn state_of(status: &WorkloadStatus) -> &'static str {
    match status.state {
        State::Late => State::Fresh.as_str(),
        state => state.as_str(),
    }
}

fn key_of(month: &str, format: Format) -> String {
    format!("{FOLDER}/{month}.{}", format.as_str())
}

#[cfg(test)]
mod tests;
