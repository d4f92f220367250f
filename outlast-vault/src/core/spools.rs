//! What media servers last said of their spools, and what is the matter with them.
//!
//! What they said is in memory: a vault that begins anew hears it again within a minute. Who they are is
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
    began: Timestamp,
    heard: Mutex<BTreeMap<String, Heard>>,
}

struct Heard {
    known: Known,
    /// None since this run of the vault began.
    report: Option<MediaReport>,
    is_saved: bool,
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
            (media, Heard { known, report: None, is_saved: true, told: None })
        });
        let heard = Mutex::new(heard.collect());
        Ok(Self { storage: Storage::clone(storage), began: now, heard })
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
        let told = before.and_then(|it| it.told);
        let entry = Heard { known, report: Some(report), is_saved: false, told };
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
        let began = self.began;
        let mut events = Vec::new();
        for (media, it) in heard.iter_mut() {
            let trouble = it.trouble(began, now, patience);
            let holds = it.holds(&trouble);
            let told = (trouble, holds);
            if it.told.as_ref() != Some(&told) {
                let (Trouble { silent_since, problem }, holds) = told.clone();
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
        let held =
            |name: &WorkloadName| self.told.as_ref().is_some_and(|(_, held)| held.contains(name));
        waiting.filter(|name| !is_well || held(name)).collect()
    }

    fn trouble(
        &self,
        began: Timestamp,
        now: Timestamp,
        patience: &dyn Fn(&WorkloadName) -> Duration,
    ) -> Trouble {
        let Known { last, state } = self.known;
        // A vault that was away itself waits for each as long as for one that spoke just then.
        let silence = now.since(last.max(began));
        let allowed = match state {
            MediaState::Drained => Duration::MAX,
            MediaState::Maintenance => MAINTENANCE_MAX,
            MediaState::Taking | MediaState::Draining => DEADLINE,
        };
        let silent_since = (silence >= allowed).then_some(last);
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
mod tests {
    use std::sync::Arc;

    use outlast_types::{SpoolId, SystemRandom};

    use super::*;
    use crate::core::storage::memory::MemoryStorage;

    fn spools() -> Spools {
        Spools::open(&(Arc::new(MemoryStorage::default()) as _), Timestamp::EPOCH).unwrap()
    }

    fn report(workload: &WorkloadName, objects: u64) -> MediaReport {
        MediaReport {
            spool: SpoolId::new(&SystemRandom),
            run: "1".to_owned(),
            version: "0".to_owned(),
            at: Timestamp::EPOCH,
            state: MediaState::Taking,
            rows: vec![MediaRow {
                workload: workload.clone(),
                objects,
                bytes: objects,
                oldest_seconds: 0,
            }],
            objects,
            bytes: objects,
            room: 100 << 30,
            room_left: 50 << 30,
            line_allowed: None,
            line_rate: 0,
            empty_in_seconds: None,
            problems: Vec::new(),
        }
    }

    #[test]
    fn what_waits_is_what_a_media_server_said_last_and_not_long_ago() {
        let spools = spools();
        let (shop, now) = (WorkloadName::new("shop").unwrap(), Timestamp::EPOCH);
        let after = |seconds| now.saturating_add(Duration::from_secs(seconds));
        assert_eq!(spools.waiting(&shop, now), []);
        spools.note("eu-1", report(&shop, 3), now).unwrap();
        spools.note("eu-2", report(&WorkloadName::new("other").unwrap(), 3), now).unwrap();
        let waiting = spools.waiting(&shop, after(599));
        assert_eq!(
            waiting.iter().map(|it| (&*it.media, it.objects)).collect::<Vec<_>>(),
            [("eu-1", 3)]
        );
        assert_eq!(spools.waiting(&shop, after(600)), [], "that is too long ago");
        spools.note("eu-1", report(&shop, 0), after(1)).unwrap();
        assert_eq!(spools.waiting(&shop, after(2)), [], "it was handed on");
    }

    #[test]
    fn what_a_trouble_holds_up_is_named_while_it_waits_and_nothing_that_comes_later() {
        let spools = spools();
        let [shop, other] = ["shop", "other"].map(|name| WorkloadName::new(name).unwrap());
        let after = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
        let patience = |_: &WorkloadName| Duration::from_secs(3600);
        let held = |now| {
            let told =
                spools.news(now, &patience, &|_, _| false).into_iter().map(|event| match event {
                    Event::MediaSeen { holds, .. } => holds.into_iter().collect::<Vec<_>>(),
                    event => panic!("{event:?}"),
                });
            told.collect::<Vec<_>>()
        };
        let broken = |workload: &WorkloadName, objects| MediaReport {
            problems: vec!["its line is down".to_owned()],
            ..report(workload, objects)
        };
        spools.note("eu-1", report(&shop, 3), after(1)).unwrap();
        assert_eq!(held(after(1)), [[]], "it is well");
        spools.note("eu-1", broken(&shop, 3), after(2)).unwrap();
        assert_eq!(held(after(2)), [vec![shop.clone()]]);
        let mut both = report(&shop, 2);
        both.rows.extend(report(&other, 1).rows);
        spools.note("eu-1", both, after(3)).unwrap();
        assert_eq!(
            held(after(3)),
            [vec![shop.clone()]],
            "it is over, and this waits because of it"
        );
        spools.note("eu-1", report(&other, 1), after(4)).unwrap();
        assert_eq!(held(after(4)), [[]]);
        assert_eq!(held(after(5)), Vec::<Vec<WorkloadName>>::new());
    }

    #[test]
    fn no_more_media_servers_are_remembered_than_memory_is_meant_for() {
        let spools = spools();
        let shop = WorkloadName::new("shop").unwrap();
        for number in 0..MEDIA_SERVERS_MAX as u64 + 10 {
            let at = Timestamp::EPOCH.saturating_add(Duration::from_secs(number));
            spools.note(&format!("eu-{number}"), report(&shop, 1), at).unwrap();
        }
        assert_eq!(spools.heard().len(), MEDIA_SERVERS_MAX);
        assert!(!spools.heard().contains_key("eu-0"), "the oldest goes first");
    }

    fn news(spools: &Spools, now: Timestamp) -> Vec<(bool, Option<String>)> {
        let patience = |_: &WorkloadName| Duration::from_secs(3600);
        let revoked = Timestamp::EPOCH.saturating_add(Duration::from_secs(50));
        let is_revoked = |media: &str, last| media == "revoked" && last < revoked;
        let told = spools.news(now, &patience, &is_revoked).into_iter().map(|event| match event {
            Event::MediaSeen { silent_since, problem, .. } => (silent_since.is_some(), problem),
            event => panic!("{event:?}"),
        });
        told.collect()
    }

    #[test]
    fn one_that_falls_silent_is_missed_also_over_a_restart_unless_it_was_drained() {
        let storage: Storage = Arc::new(MemoryStorage::default());
        let shop = WorkloadName::new("shop").unwrap();
        let after = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
        let spools = Spools::open(&storage, after(0)).unwrap();
        spools.note("eu-1", report(&shop, 3), after(10)).unwrap();
        let drained = MediaReport { state: MediaState::Drained, ..report(&shop, 0) };
        spools.note("eu-2", drained, after(10)).unwrap();
        let kept = MediaReport { state: MediaState::Maintenance, ..report(&shop, 0) };
        spools.note("eu-3", kept, after(10)).unwrap();
        assert_eq!(news(&spools, after(20)), [(false, None), (false, None), (false, None)]);
        assert_eq!(news(&spools, after(309)), []);
        assert_eq!(news(&spools, after(310)), [(true, None)], "eu-1");
        spools.note("eu-1", report(&shop, 3), after(311)).unwrap();
        assert_eq!(news(&spools, after(312)), [(false, None)], "it is back");
        spools.save().unwrap();
        let spools = Spools::open(&storage, after(5000)).unwrap();
        assert_eq!(spools.waiting(&shop, after(320)), [], "what it holds is to be heard anew");
        assert_eq!(news(&spools, after(5001)).len(), 3, "all is told anew");
        assert_eq!(news(&spools, after(5300)), [(true, None)]);
        assert_eq!(news(&spools, after(5000 + 86_400)), [(true, None)], "maintenance has an end");
        assert_eq!(spools.all().len(), 2, "what was drained is forgotten");
    }

    #[test]
    fn one_whose_certificates_were_revoked_is_not_missed_until_it_has_another_and_speaks() {
        let spools = spools();
        let shop = WorkloadName::new("shop").unwrap();
        let after = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
        spools.note("eu-1", report(&shop, 3), after(10)).unwrap();
        assert_eq!(news(&spools, after(310)), [(true, None)], "its host has burnt");
        spools.dismiss_all();
        assert_eq!(news(&spools, after(311)), [(false, None)], "it was let go");
        spools.note("revoked", report(&shop, 3), after(10)).unwrap();
        assert_eq!(news(&spools, after(400)), [(false, None)]);
        assert_eq!(spools.waiting(&shop, after(20)), [], "nor is anything waited for there");
        spools.note("revoked", report(&shop, 3), after(500)).unwrap();
        assert_eq!(news(&spools, after(501)), []);
        assert_eq!(news(&spools, after(800)), [(true, None)]);
    }

    #[test]
    fn a_full_spool_and_what_waits_too_long_are_told_in_words_that_do_not_change() {
        let spools = spools();
        let shop = WorkloadName::new("shop").unwrap();
        let after = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
        let full = MediaReport { room_left: 63 << 20, ..report(&shop, 3) };
        spools.note("eu-1", full, after(1)).unwrap();
        let [(false, Some(problem))] = &news(&spools, after(1))[..] else { panic!("told") };
        assert!(problem.contains("its spool is full"), "{problem}");
        for seconds in [3601, 3700] {
            let mut late = report(&shop, 3);
            late.rows[0].oldest_seconds = seconds;
            late.problems = vec!["its disk is slow".to_owned()];
            spools.note("eu-1", late, after(2)).unwrap();
            let told = news(&spools, after(2));
            let [(false, Some(problem))] = &told[..] else {
                assert_eq!((seconds, told.len()), (3700, 0), "it is the same");
                continue;
            };
            assert!(
                problem.starts_with("its disk is slow; what it holds of shop waits"),
                "{problem}"
            );
        }
    }
}
