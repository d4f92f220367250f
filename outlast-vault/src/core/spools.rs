//! What media servers last said of their spools, and what is the matter with them.
//!
//! What they said is in memory: a vault that begins anew hears it again within a minute, and until then tells
//! nothing of one that was not let go, so that what was told before holds. Who they are is
//! recorded, so that one which falls silent while the vault is down is missed all the same. One that was
//! drained, or whose certificates were revoked, may go without a word, and one in maintenance may be silent
//! for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_promise::Event;
use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::api::{MEDIA_REPORT_GOOD_FOR, MediaReport, MediaRow, MediaState, Waiting};
use serde::{Deserialize, Serialize};

use super::storage::{Durability, Storage, StorageError};

const RECORD: &str = "media-servers.json";
const VERSION: u32 = 1;
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Media servers that are remembered; more would be an attack on our memory.
const MEDIA_SERVERS_MAX: usize = 64;

/// A media server speaks at least every minute; a silent one is missed after so long.
const DEADLINE: Duration = Duration::from_secs(300);
/// A vault that did nothing for so long slept, or its clock was set forward.
const ASLEEP: Duration = Duration::from_secs(60);
/// How long one in maintenance may be silent.
const MAINTENANCE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// One that was drained, and says nothing for so long, is forgotten.
const GONE: Duration = Duration::from_secs(24 * 60 * 60);
/// A spool is full when less than this part of its room is left, or fewer bytes.
const FULL_PART: u64 = 100;
const FULL_BYTES: u64 = 64 << 20;
/// So many workloads are named in a sentence.
const NAMED_MAX: usize = 3;

/// The last report of each media server, by the name in its certificate.
pub(crate) struct Spools {
    storage: Storage,
    listens: Mutex<Listens>,
    heard: Mutex<BTreeMap<String, Heard>>,
}

/// Since when the vault hears what is said, and when it last did anything.
#[derive(Clone, Copy)]
struct Listens {
    since: Timestamp,
    last: Timestamp,
}

struct Heard {
    known: Known,
    /// None since this run of the vault began.
    report: Option<MediaReport>,
    is_saved: bool,
    /// Whether it is known from before this run, of which nothing was told in it yet.
    is_resumed: bool,
    /// What was last told of it.
    told: Option<(Trouble, BTreeSet<WorkloadName>)>,
}

/// What is recorded of a media server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    last: Timestamp,
    state: MediaState,
}

#[derive(Serialize, Deserialize)]
struct RecordJson {
    version: u32,
    servers: BTreeMap<String, Known>,
}

/// What is the matter with a media server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Trouble {
    silent_since: Option<Timestamp>,
    problem: Option<String>,
}

/// What a media server last said, for monitoring.
pub(crate) struct Shown {
    pub(crate) media: String,
    pub(crate) last: Timestamp,
    pub(crate) report: Option<MediaReport>,
}

impl Spools {
    pub(crate) fn open(storage: &Storage, now: Timestamp) -> Result<Self, StorageError> {
        let cannot = |action| StorageError::of(&**storage, action, RECORD);
        let content = storage.read(RECORD, RECORD_BYTES_MAX).map_err(cannot("read"))?;
        let servers = match content.as_deref().map(serde_json::from_slice::<RecordJson>) {
            Some(Ok(record)) if record.version > VERSION => {
                let text = format!("version {} is newer than this program", record.version);
                return Err(cannot("understand")(io::Error::new(io::ErrorKind::InvalidData, text)));
            }
            Some(Ok(record)) => record.servers,
            // Whoever lives speaks within a minute.
            Some(Err(_)) | None => BTreeMap::new(),
        };
        let heard = servers.into_iter().map(|(media, known)| {
            (media, Heard { known, report: None, is_saved: true, is_resumed: true, told: None })
        });
        let heard = Mutex::new(heard.collect());
        let listens = Mutex::new(Listens { since: now, last: now });
        Ok(Self { storage: Storage::clone(storage), listens, heard })
    }

    /// Notes what a media server said at `now`, by the vault's clock.
    pub(crate) fn note(
        &self,
        media: &str,
        report: MediaReport,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let mut heard = self.heard();
        if heard.len() >= MEDIA_SERVERS_MAX && !heard.contains_key(media) {
            let oldest = heard.iter().min_by_key(|(_, heard)| heard.known.last);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|name| heard.remove(&name));
        }
        let before = heard.remove(media);
        let spool_before = before.as_ref().and_then(|it| Some(it.report.as_ref()?.spool));
        if spool_before.is_some_and(|before| before != report.spool) {
            tracing::warn!(
                media, spool = %report.spool,
                "a media server has another spool than before: what waited in that one is lost, and sent again"
            );
        }
        let known = Known { last: now, state: report.state };
        let is_news = before.as_ref().is_none_or(|it| it.known.state != known.state);
        let is_resumed = before.as_ref().is_some_and(|it| it.is_resumed);
        let told = before.and_then(|it| it.told);
        let entry = Heard { known, report: Some(report), is_saved: false, is_resumed, told };
        heard.insert(media.to_owned(), entry);
        if is_news { self.write(&mut heard) } else { Ok(()) }
    }

    /// Writes when each was heard last.
    pub(crate) fn save(&self) -> Result<(), StorageError> {
        let mut heard = self.heard();
        match heard.values().all(|it| it.is_saved) {
            true => Ok(()),
            false => self.write(&mut heard),
        }
    }

    fn write(&self, heard: &mut BTreeMap<String, Heard>) -> Result<(), StorageError> {
        let servers = heard.iter().map(|(name, it)| (name.clone(), it.known.clone())).collect();
        let record = serde_json::to_vec(&RecordJson { version: VERSION, servers });
        let cannot = || StorageError::of(&*self.storage, "write", RECORD);
        let record = record.map_err(io::Error::other).map_err(cannot())?;
        self.storage.replace(RECORD, &record, Durability::Durable).map_err(cannot())?;
        heard.values_mut().for_each(|it| it.is_saved = true);
        Ok(())
    }

    /// Where something of a workload waits, as far as media servers said so not long before `now`.
    pub(crate) fn waiting(&self, workload: &WorkloadName, now: Timestamp) -> Vec<Waiting> {
        let heard = self.heard();
        let good = heard.iter().filter(|(_, heard)| {
            let last = heard.known.last;
            last <= now && now < last.saturating_add(MEDIA_REPORT_GOOD_FOR)
        });
        let good = good.filter_map(|(media, heard)| Some((media, heard.report.as_ref()?)));
        let rows = good.flat_map(|(media, report)| {
            let rows = report.rows.iter().map(move |row| (media, report.spool, row));
            rows.filter(|(_, _, row)| row.workload == *workload && row.objects > 0)
        });
        rows.map(|(media, spool, row)| Waiting {
            media: media.clone(),
            spool,
            objects: row.objects,
        })
        .collect()
    }

    /// Expects none of them any more, unless it speaks again.
    pub(crate) fn dismiss_all(&self) {
        self.heard().values_mut().for_each(Heard::dismiss);
    }

    /// The vault is awake, as it is each second. After a sleep it begins to listen anew: what nobody could hear is
    /// held against no media server.
    pub(crate) fn listen(&self, now: Timestamp) {
        let mut listens = self.listens.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(listens.last) >= ASLEEP {
            listens.since = now;
        }
        listens.last = now;
    }

    /// What is to be told of media servers at `now`, as far as it is news. `patience` is how long something of
    /// a workload may wait; `is_dismissed` says of one that was last heard then whether it may not speak
    /// any more.
    pub(crate) fn news(
        &self,
        now: Timestamp,
        patience: &dyn Fn(&WorkloadName) -> Duration,
        is_dismissed: &dyn Fn(&str, Timestamp) -> bool,
    ) -> Vec<Event> {
        let mut heard = self.heard();
        let dismissed = heard.iter_mut().filter(|(media, it)| is_dismissed(media, it.known.last));
        dismissed.for_each(|(_, it)| it.dismiss());
        let is_gone =
            |it: &Heard| it.known.state == MediaState::Drained && now.since(it.known.last) >= GONE;
        heard.retain(|_, it| !is_gone(it));
        let began = self.listens.lock().unwrap_or_else(PoisonError::into_inner).since;
        let mut events = Vec::new();
        for (media, it) in heard.iter_mut() {
            let trouble = it.trouble(began, now, patience);
            let is_heard = it.report.is_some() || it.known.state == MediaState::Drained;
            if !is_heard && trouble == Trouble::default() {
                // Nobody knows yet how it is doing.
                continue;
            }
            let holds = it.holds(&trouble);
            let told = (trouble, holds);
            if it.told.as_ref() != Some(&told) {
                let (Trouble { silent_since, problem }, holds) = told.clone();
                let holds = is_heard.then_some(holds);
                it.is_resumed = false;
                events.push(Event::MediaSeen {
                    media: media.clone(),
                    silent_since,
                    problem,
                    holds,
                });
                it.told = Some(told);
            }
        }
        events
    }

    /// All that are known.
    pub(crate) fn all(&self) -> Vec<Shown> {
        let heard = self.heard();
        let shown = |(media, it): (&String, &Heard)| Shown {
            media: media.clone(),
            last: it.known.last,
            report: it.report.clone(),
        };
        heard.iter().map(shown).collect()
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<String, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    /// Lets it go as if it had been drained.
    fn dismiss(&mut self) {
        self.known.state = MediaState::Drained;
        self.report = None;
    }

    /// The workloads of which something waits with it: while there is trouble, all of them, and then
    /// those that the trouble held up.
    fn holds(&self, trouble: &Trouble) -> BTreeSet<WorkloadName> {
        let rows = self.report.iter().flat_map(|report| &report.rows);
        let waiting = rows.filter(|row| row.objects > 0).map(|row| row.workload.clone());
        let is_well = *trouble == Trouble::default();
        // What was held up before this run, nobody here knows.
        let held = |name: &WorkloadName| {
            self.told.as_ref().map_or(self.is_resumed, |(_, held)| held.contains(name))
        };
        waiting.filter(|name| !is_well || held(name)).collect()
    }

    fn trouble(
        &self,
        began: Timestamp,
        now: Timestamp,
        patience: &dyn Fn(&WorkloadName) -> Duration,
    ) -> Trouble {
        let Known { last, state } = self.known;
        // A vault that was away or slept waits for each as long as for one that spoke just then.
        let silence = now.since(last.max(began));
        let allowed = match state {
            MediaState::Drained => Duration::MAX,
            MediaState::Maintenance => MAINTENANCE_MAX,
            MediaState::Taking | MediaState::Draining => DEADLINE,
        };
        // One that is told to be silent is so until it speaks, whatever the vault did meanwhile.
        let told = self.told.as_ref().and_then(|(told, _)| told.silent_since);
        let is_still = state != MediaState::Drained && told == Some(last);
        let silent_since = (is_still || silence >= allowed).then_some(last);
        let report = self.report.as_ref().filter(|_| silent_since.is_none());
        let problem = report.and_then(|report| problem_of(report, patience));
        Trouble { silent_since, problem }
    }
}

/// What is wrong with a spool. In it is nothing that changes from one report to the next.
fn problem_of(
    report: &MediaReport,
    patience: &dyn Fn(&WorkloadName) -> Duration,
) -> Option<String> {
    let mut problems = report.problems.clone();
    let least = (report.room / FULL_PART).max(FULL_BYTES).min(report.room);
    if report.state == MediaState::Taking && report.room > 0 && report.room_left < least {
        let text = "its spool is full, so agents wait: look at its line and its calendar, or give it more \
                    room";
        problems.push(text.to_owned());
    }
    let is_late = |row: &&MediaRow| {
        row.objects > 0 && Duration::from_secs(row.oldest_seconds) > patience(&row.workload)
    };
    let late: Vec<String> =
        report.rows.iter().filter(is_late).map(|row| row.workload.to_string()).collect();
    if !late.is_empty() {
        let more = match late.len().saturating_sub(NAMED_MAX) {
            0 => "",
            _ => " and others",
        };
        let named = late.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        problems.push(format!(
            "what it holds of {named}{more} waits for longer than their recovery points allow: look at its \
             line and its calendar"
        ));
    }
    (!problems.is_empty()).then(|| problems.join("; "))
}

#[cfg(test)]
mod tests;
