//! The audit log: who did what, and what was refused, for ever.
//!
//! It cannot be rebuilt from anything, so it is no cache (I6): lines of JSON that are appended, on disk
//! before what they speak of is answered, and never changed. Each carries the SHA-256 of the line
//! before, so that what is changed, dropped or put in between is found; the newest hash is remembered
//! outside of the log's folder and told to the program's log, so that a missing end is found, too, and a
//! folder that is gone is not taken for that of a new vault. Segments keep files small.
//!
//! **Grain.** One entry for each drop that is published, not for each of its thousands of packs, which
//! say nothing before that: what decides what is held, opened, removed or ordered. Everything that is
//! refused is an entry, counted where it comes again and again (`repeats`).
//!
//! **After a kill.** A line that was cut off is cut away, and that is an entry. What is found damaged
//! stays as it is and stays found: the log goes on after it, with the number after the newest that is
//! known, so that no gap is ever closed.

mod chain;
mod entry;
pub(crate) mod months;
mod repeats;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outlast_types::{Clock, Timestamp, WorkloadName};

use self::chain::Chain;
use self::entry::VERSION;
use self::repeats::{Due, Repeats};
use super::error::VaultError;
use super::storage::{Durability, Records, Storage, StorageError};

pub use self::chain::{AuditFault, AuditGap, AuditVerdict};
pub use self::entry::AuditHead;
pub(crate) use self::entry::{Asker, AuditAction, EntryJson, Event, Outcome, Source, hash_of};

const FOLDER: &str = "audit";
const HEAD: &str = "audit-head.json";
/// Where it was noted before: gone with the folder, it remembered nothing.
const HEAD_INSIDE: &str = "audit/head.json";
const HEAD_BYTES_MAX: u64 = 1 << 10;
/// What the line of a member has.
const MEMBER: &[u8] = b"\"source\":[";
const SUFFIX: &str = ".jsonl";
/// A segment that is longer gets no more entries. A start reads one.
const SEGMENT_BYTES: u64 = 8 << 20;
/// A longer segment was not written by us.
const SEGMENT_BYTES_MAX: u64 = 2 * SEGMENT_BYTES;

/// So many numbers are left free by a recovery: far more than entries are written between two saves.
const RECOVERY_GAP: u64 = 1_000_000;

/// So many faults of the last segment are entries at a start.
const FAULTS_NOTED_MAX: usize = 10;

/// A vault's audit log.
pub(crate) struct AuditLog {
    storage: Storage,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Apart from the state, so that counting what is refused waits for no disk.
    repeats: Mutex<Repeats>,
    /// What the start found wrong.
    problem: Option<String>,
}

struct State {
    head: AuditHead,
    /// The segment that is written, by its first number, and its length; `None` before the next one.
    segment: Option<(u64, u64)>,
    /// The last member of each list that is in the log.
    marks: BTreeMap<Source, u64>,
    /// [`SEGMENT_BYTES`], and less in tests.
    segment_bytes: u64,
}

impl AuditLog {
    /// Goes on with the log, whose last segment is looked at.
    pub(crate) fn open(storage: &Storage, clock: Arc<dyn Clock>) -> Result<Self, VaultError> {
        let remembered = remembered(&**storage)?;
        let last = read_last(&**storage, remembered.as_ref())?;
        let (repeats, segment_bytes) = (Mutex::default(), SEGMENT_BYTES);
        let problem = last.verdict.problem();
        let mut faults = last.verdict.faults;
        let mut head = last.verdict.head;
        if let Some(known) = remembered.filter(|known| known.number > head.number) {
            // The end is missing: no number is given twice.
            head = known;
        }
        let state = State { head, segment: last.segment, marks: last.marks, segment_bytes };
        let (storage, state) = (Storage::clone(storage), Mutex::new(state));
        let log = Self { storage, clock, state, repeats, problem };
        let mut cut_off = 0;
        for Torn { first, end, bytes } in last.torn {
            let key = key_of(first);
            let cut = log.storage.append(&key, end, b"", Durability::Durable);
            cut.map_err(StorageError::of(&*log.storage, "cut the unfinished end of", &key))?;
            cut_off += bytes;
        }
        if cut_off > 0 {
            let event =
                Event::by_vault(AuditAction::LogFault).detail("cut_off_bytes", cut_off).detail(
                    "fault",
                    "a line was cut off by a crash; what it spoke of was not answered",
                );
            log.record(event)?;
        }
        faults.truncate(FAULTS_NOTED_MAX);
        for fault in faults {
            tracing::error!(%fault, "the audit log is not whole: keep what is there, and find out why");
            log.record(Event::by_vault(AuditAction::LogFault).detail("fault", &fault))?;
        }
        log.move_note()?;
        Ok(log)
    }

    /// Notes the newest hash where it is noted now, and nowhere else.
    fn move_note(&self) -> Result<(), StorageError> {
        let is_inside = self.storage.length(HEAD_INSIDE);
        if is_inside.map_err(StorageError::of(&*self.storage, "look for", HEAD_INSIDE))?.is_none() {
            return Ok(());
        }
        let head = self.head();
        self.remember(&head, Durability::Durable);
        let removed = self.storage.remove(HEAD_INSIDE).map(drop);
        removed.map_err(StorageError::of(&*self.storage, "remove", HEAD_INSIDE))
    }

    /// What the start found wrong with the end of the log, in one sentence.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Looks at the whole log, every entry of it. Others may go on to write.
    pub(crate) fn verify(&self) -> Result<AuditVerdict, VaultError> {
        Ok(verify(&*self.storage, Some(self.head()))?)
    }

    /// Writes an entry. It is on disk when this returns.
    pub(crate) fn record(&self, event: Event) -> Result<(), VaultError> {
        let mut state = self.lock();
        Ok(self.append(&mut state, event, None, None)?)
    }

    /// Writes an entry with which a segment begins, so that what follows can be read by itself.
    pub(crate) fn record_first(&self, event: Event) -> Result<(), VaultError> {
        let mut state = self.lock();
        state.segment = None;
        Ok(self.append(&mut state, event, None, None)?)
    }

    /// Writes an entry of what may happen again and again; what is the same within a minute is counted.
    pub(crate) fn record_repeated(&self, event: Event) -> Result<(), VaultError> {
        if self.repeats().counts(&event, self.clock.now()) {
            return Ok(());
        }
        self.record(event)
    }

    /// Whether an event would be counted and not written, and if so, counts it: waits for no disk.
    pub(crate) fn counts(&self, event: &Event) -> bool {
        self.repeats().counts(event, self.clock.now())
    }

    /// Writes an entry about member `number` of a list, once: one that is not newer than those that
    /// are in the log is in it.
    pub(crate) fn record_member(
        &self,
        source: Source,
        number: u64,
        event: Event,
    ) -> Result<(), VaultError> {
        let mut state = self.lock();
        if state.marks.get(&source).is_some_and(|last| number <= *last) {
            return Ok(());
        }
        Ok(self.append(&mut state, event, None, Some((source, number)))?)
    }

    /// Whether member `number` of a list is in the log.
    pub(crate) fn has_member(&self, source: Source, number: u64) -> bool {
        self.lock().marks.get(&source).is_some_and(|last| number <= *last)
    }

    /// The newest member of a list that is in the log; `None` if there is none, or if the log is not
    /// whole, and only a look at all of it tells.
    pub(crate) fn last_member(&self, source: Source) -> Option<u64> {
        let last = self.lock().marks.get(&source).copied();
        last.filter(|_| self.problem.is_none())
    }

    /// Shows the members of a list that are in the log, with their numbers and contents.
    pub(crate) fn members(
        &self,
        source: Source,
        show: &mut dyn FnMut(u64, serde_json::Value),
    ) -> Result<(), VaultError> {
        let mut take = |line: &[u8]| {
            // Most entries are no members, and one that is damaged is for `verify`.
            let is_member = line.windows(MEMBER.len()).any(|part| part == MEMBER);
            if is_member
                && let Ok(entry) = serde_json::from_slice::<EntryJson>(line)
                && let (Some((of, number)), Some(content)) = (entry.source, entry.content)
                && of == source
            {
                show(number, content);
            }
            Ok(())
        };
        Ok(export(&*self.storage, &AuditSelection::default(), &mut take)?)
    }

    /// Writes the entry with which the log goes on after its vault was brought back: `known` is the newest
    /// head that anybody kept. So many numbers are left free that none is given twice, however many
    /// entries were lost.
    pub(crate) fn record_recovery(
        &self,
        known: Option<&AuditHead>,
        event: Event,
    ) -> Result<(), VaultError> {
        let mut state = self.lock();
        let newest = known.map_or(0, |known| known.number).max(state.head.number);
        let before = state.head.clone();
        state.head.number = newest.saturating_add(RECOVERY_GAP);
        // What comes from now on is in a segment of its own.
        state.segment = None;
        self.append(&mut state, event, None, None).inspect_err(|_| state.head = before)?;
        Ok(())
    }

    /// Writes what was counted in minutes that are over; at the end, all of it.
    pub(crate) fn flush(&self, all: bool) -> Result<(), VaultError> {
        let due = self.repeats().due(self.clock.now(), all);
        for Due { event, times, since } in due {
            let mut state = self.lock();
            self.append(&mut state, event, Some((times, since)), None)?;
        }
        Ok(())
    }

    /// The newest entry.
    pub(crate) fn head(&self) -> AuditHead {
        self.lock().head.clone()
    }

    fn append(
        &self,
        state: &mut State,
        event: Event,
        repeated: Option<(u64, Timestamp)>,
        source: Option<(Source, u64)>,
    ) -> Result<(), StorageError> {
        let number = state.head.number + 1;
        let segment = state.segment.filter(|(_, length)| *length < state.segment_bytes);
        let (first, at) = segment.unwrap_or((number, 0));
        let entry = EntryJson {
            version: VERSION,
            number,
            at: self.clock.now(),
            actor: event.actor,
            action: event.action,
            workload: event.workload,
            object: event.object,
            outcome: event.outcome,
            code: event.code,
            times: repeated.map(|(times, _)| times),
            since: repeated.map(|(_, since)| since),
            details: event.details,
            content: event.content,
            source,
            marks: if at == 0 { state.marks.clone() } else { BTreeMap::new() },
            before: state.head.hash.clone(),
        };
        let key = key_of(first);
        let cannot = || StorageError::of(&*self.storage, "write", &key);
        let mut line = serde_json::to_vec(&entry).map_err(|error| cannot()(error.into()))?;
        let head = AuditHead { number, hash: hash_of(&line) };
        line.push(b'\n');
        self.storage.append(&key, at, &line, Durability::Durable).map_err(cannot())?;
        state.segment = Some((first, at + line.len() as u64));
        state.marks.extend(source);
        state.head = head;
        // That there is a log must not be forgotten. A crash may forget the newest entry: then a missing
        // end is not noticed, no more, so that costs no wait.
        let durability = if at == 0 { Durability::Durable } else { Durability::Fast };
        self.remember(&state.head, durability);
        Ok(())
    }

    /// Notes the newest hash outside of the log.
    fn remember(&self, head: &AuditHead, durability: Durability) {
        let document = serde_json::to_vec(head).unwrap_or_default();
        if let Err(error) = self.storage.replace(HEAD, &document, durability) {
            tracing::warn!(%error, "cannot note the newest hash of the audit log");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a start knows of the log.
struct Last {
    verdict: AuditVerdict,
    segment: Option<(u64, u64)>,
    marks: BTreeMap<Source, u64>,
    /// What was being written when its writer was killed.
    torn: Vec<Torn>,
}

/// The unfinished end of a segment.
struct Torn {
    first: u64,
    end: u64,
    bytes: u64,
}

/// Reads the last segment that has an entry.
fn read_last(records: &dyn Records, remembered: Option<&AuditHead>) -> Result<Last, StorageError> {
    let mut torn = Vec::new();
    for first in segments(records)?.into_iter().rev() {
        let content = read_segment(records, first)?;
        let end = lines_of(&content).map(|(_, line)| line.len() as u64 + 1).sum();
        let bytes = content.len() as u64 - end;
        if bytes > 0 {
            torn.push(Torn { first, end, bytes });
        }
        let mut lines = lines_of(&content).peekable();
        let Some((_, line)) = lines.peek() else { continue };
        // The first line is believed of what came before; verifying it all is another matter.
        let before = serde_json::from_slice::<EntryJson>(line).map(|entry| entry.before);
        let before = before.unwrap_or_else(|_| AuditHead::none().hash);
        let mut chain = Chain::after(AuditHead { number: first.saturating_sub(1), hash: before });
        let mut marks = BTreeMap::new();
        for (number, line) in lines {
            let entry = chain.line(line, &|| format!("line {number} of {}", key_of(first)));
            if let Some(entry) = entry {
                marks.extend(entry.marks);
                marks.extend(entry.source);
            }
        }
        let verdict = chain.end(remembered, 0);
        return Ok(Last { verdict, segment: Some((first, end)), marks, torn });
    }
    let verdict = Chain::after(AuditHead::none()).end(remembered, 0);
    Ok(Last { verdict, segment: None, marks: BTreeMap::new(), torn })
}

/// Looks at the whole log. `known` is a head that somebody wrote down elsewhere. Harmless beside a
/// vault that runs.
pub(crate) fn verify(
    records: &dyn Records,
    known: Option<AuditHead>,
) -> Result<AuditVerdict, StorageError> {
    // Before the log, which may grow meanwhile.
    let remembered = [remembered(records)?, known.clone()];
    let remembered = remembered.into_iter().flatten().max_by_key(|head| head.number);
    let mut chain = Chain::after(AuditHead::none());
    let mut known_fault = None;
    let mut unfinished = 0;
    for first in segments(records)? {
        let content = read_segment(records, first)?;
        let mut end = 0;
        for (number, line) in lines_of(&content) {
            chain.line(line, &|| format!("line {number} of {}", key_of(first)));
            end += line.len() as u64 + 1;
            if let Some(known) = &known
                && chain.head().number == known.number
                && chain.head().hash != known.hash
            {
                known_fault = Some(AuditFault::Changed { number: known.number });
            }
        }
        unfinished = content.len() as u64 - end;
    }
    // What was written after `remembered` was read has a higher number, and is judged by the chain.
    let mut verdict = chain.end(remembered.as_ref(), unfinished);
    if let Some(known) = &known
        && verdict.gaps.iter().any(|gap| (gap.from..=gap.to).contains(&known.number))
    {
        known_fault = Some(AuditFault::Lost { number: known.number });
    }
    verdict.faults.extend(known_fault.filter(|fault| !verdict.faults.contains(fault)));
    Ok(verdict)
}

/// The newest entry that is remembered beside the log, whether a vault runs on it or not.
pub(crate) fn remembered_head(records: &dyn Records) -> Result<Option<AuditHead>, VaultError> {
    Ok(remembered(records)?)
}

/// When a line was written, and who acted; `None` if it is no entry.
pub(crate) fn actor_of(line: &[u8]) -> Option<(Timestamp, String)> {
    let entry: EntryJson = serde_json::from_slice(line).ok()?;
    Some((entry.at, entry.actor))
}

/// Which entries are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditSelection {
    pub workload: Option<WorkloadName>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// Hands out the lines of the log as they are, with their ends, so that others can verify them.
pub(crate) fn export(
    records: &dyn Records,
    asked: &AuditSelection,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), StorageError> {
    let is_all = *asked == AuditSelection::default();
    let is_asked = |line: &[u8]| {
        if is_all {
            return true;
        }
        // What cannot be read is shown to whoever looks for it.
        let Ok(entry) = serde_json::from_slice::<EntryJson>(line) else { return true };
        asked.workload.as_ref().is_none_or(|name| entry.workload.as_ref() == Some(name))
            && asked.since.is_none_or(|since| entry.at >= since)
            && asked.until.is_none_or(|until| entry.at < until)
    };
    for first in segments(records)? {
        let content = read_segment(records, first)?;
        for (_, line) in lines_of(&content).filter(|(_, line)| is_asked(line)) {
            take(line).and_then(|()| take(b"\n")).map_err(|source| StorageError {
                action: "hand out",
                location: FOLDER.to_owned(),
                source,
            })?;
        }
    }
    Ok(())
}

/// The first numbers of all segments, in order.
fn segments(records: &dyn Records) -> Result<Vec<u64>, StorageError> {
    let names = records.list(FOLDER).map_err(StorageError::of(records, "list", FOLDER))?;
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn key_of(first: u64) -> String {
    format!("{FOLDER}/{first:012}{SUFFIX}")
}

fn read_segment(records: &dyn Records, first: u64) -> Result<Vec<u8>, StorageError> {
    let key = key_of(first);
    let content = records.read(&key, SEGMENT_BYTES_MAX);
    Ok(content.map_err(StorageError::of(records, "read", &key))?.unwrap_or_default())
}

/// The whole lines, numbered from 1, without their ends.
fn lines_of(content: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let lines = content.split_inclusive(|byte| *byte == b'\n');
    (1..).zip(lines.filter_map(|line| line.strip_suffix(b"\n")))
}

/// The newest hash as it was noted; `None` if there is no note that can be read.
fn remembered(records: &dyn Records) -> Result<Option<AuditHead>, StorageError> {
    let mut newest: Option<AuditHead> = None;
    for key in [HEAD, HEAD_INSIDE] {
        let document = records.read(key, HEAD_BYTES_MAX);
        let document = document.map_err(StorageError::of(records, "read", key))?;
        let noted = document.and_then(|text| serde_json::from_slice::<AuditHead>(&text).ok());
        newest = [newest, noted].into_iter().flatten().max_by_key(|head| head.number);
    }
    Ok(newest)
}

#[cfg(test)]
mod tests;
