//! The desk: what the agent does with one hand-over, as its only owner.

mod found;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};

use outlast_drop::layout::SEAL_FILE;
use outlast_fs::{DirectoryLock, durable};
use outlast_types::{Environment, Timestamp};
use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid};

use crate::error::HandoverError;
use crate::evidence::{FileFact, Statement};
use crate::inbox::{self, Word};
use crate::journal::Journal;
use crate::lease;
use crate::ledger::{Event, Ledger, Received, Told};
use crate::manifest::Manifest;
use crate::names::manifest_in;
use crate::offer::{DropKey, Offer};
use crate::place::Place;
use crate::rules::{Layout, Rules};
use crate::stage::remove_all;

/// Whom commands may be run by: whoever may read what is handed over.
const DESK_MODE: u32 = 0o750;
/// Where commands put files.
const INBOX_MODE: u32 = 0o770;
const LOCK: &str = "agent.lock";

/// What is remembered of these files.
#[derive(Debug, Default)]
pub(crate) struct Front {
    /// Whether the list is to be written anew.
    pub(crate) is_changed: bool,
    pub(crate) beaten: Option<Timestamp>,
    /// Whether the last sign of life told of trouble.
    pub(crate) is_troubled: bool,
    pub(crate) readme: Option<String>,
}

/// One hand-over, for the agent that serves it.
pub struct Desk {
    pub(crate) rules: Rules,
    pub(crate) place: Place,
    pub(crate) journal: Journal,
    pub(crate) ledger: Ledger,
    pub(crate) environment: Environment,
    /// No file gets an earlier time of change.
    pub(crate) floor: Timestamp,
    /// Bytes that are staged, and of what was not built from it.
    pub(crate) staged: BTreeMap<DropKey, u64>,
    /// Whether not all that lies on the share was looked at since the start.
    pub(crate) is_rebuilding: bool,
    /// Whether nothing was remembered of this hand-over.
    is_new: bool,
    pub(crate) front: Front,
    _lock: DirectoryLock,
}

impl Desk {
    /// Opens the hand-over, makes what is missing, and ends what was broken off.
    pub fn open(rules: Rules, environment: Environment) -> Result<Self, HandoverError> {
        let place = Place::of(&rules.directory);
        check_place(&place)?;
        let made = |path: &Path, mode| {
            durable::create_directories(path, mode).map_err(HandoverError::io("create", path))
        };
        made(place.directory(), 0o700)?;
        made(place.desk(), DESK_MODE)?;
        check_file_system(&place)?;
        let taken = DirectoryLock::take(place.desk(), LOCK);
        let lock = taken
            .map_err(|error| HandoverError::io("lock", place.desk())(std::io::Error::other(error)))?
            .ok_or_else(|| HandoverError::Running { path: place.desk().to_owned() })?;
        made(&place.leases(), INBOX_MODE)?;
        made(&place.inbox(), INBOX_MODE)?;
        made(&place.staging(), 0o700)?;
        made(&place.trash(), 0o700)?;
        let is_new = !place.journal().exists();
        let (journal, ledger) = Journal::open(&place.journal())?;
        let mut desk = Self {
            front: Front::default(),
            floor: Timestamp::EPOCH,
            staged: BTreeMap::new(),
            is_rebuilding: true,
            is_new,
            _lock: lock,
            rules,
            place,
            journal,
            ledger,
            environment,
        };
        desk.share_with_commands()?;
        desk.give(desk.place.directory())?;
        desk.write_rules()?;
        desk.recover()?;
        Ok(desk)
    }

    /// Lets whoever runs commands for the product write where they must.
    fn share_with_commands(&self) -> Result<(), HandoverError> {
        let modes = [
            (self.place.desk().to_owned(), DESK_MODE | 0o020),
            (self.place.leases(), INBOX_MODE),
            (self.place.inbox(), INBOX_MODE),
        ];
        for (path, mode) in modes {
            let failed = |errno: rustix::io::Errno| {
                HandoverError::io("give permissions to", &path)(errno.into())
            };
            let group = self.rules.group.map(Gid::from_raw);
            if group.is_some() {
                rustix::fs::chownat(CWD, &path, None, group, AtFlags::empty()).map_err(failed)?;
            }
            rustix::fs::chmodat(CWD, &path, Mode::from_raw_mode(mode), AtFlags::empty())
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Gives a directory the owner, group and permissions of the rules.
    pub(crate) fn give(&self, path: &Path) -> Result<(), HandoverError> {
        let failed =
            |errno: rustix::io::Errno| HandoverError::io("give permissions to", path)(errno.into());
        let (owner, group) =
            (self.rules.owner.map(Uid::from_raw), self.rules.group.map(Gid::from_raw));
        if owner.is_some() || group.is_some() {
            rustix::fs::chownat(CWD, path, owner, group, AtFlags::empty()).map_err(failed)?;
        }
        let mode = Mode::from_raw_mode(self.rules.directory_mode());
        rustix::fs::chmodat(CWD, path, mode, AtFlags::empty()).map_err(failed)
    }

    /// Whether it has them.
    pub(crate) fn is_given(&self, path: &Path) -> Result<bool, HandoverError> {
        let facts = path.metadata().map_err(HandoverError::io("look at", path))?;
        Ok(self.rules.owner.is_none_or(|owner| owner == facts.uid())
            && self.rules.group.is_none_or(|group| group == facts.gid())
            && facts.mode() & 0o7777 == self.rules.directory_mode())
    }

    /// Writes the rules where commands find them, which then need no other configuration.
    fn write_rules(&self) -> Result<(), HandoverError> {
        let path = self.place.rules();
        let failed = |error: std::io::Error| HandoverError::io("write", &path)(error);
        let bytes = serde_json::to_vec(&serde_json::json!({ "version": 1, "rules": self.rules }))
            .map_err(|error| failed(error.into()))?;
        durable::replace(&path, &bytes, 0o640).map_err(failed)
    }

    /// Makes an event durable, and applies it.
    pub fn record(&mut self, event: Event) -> Result<(), HandoverError> {
        self.front.is_changed = true;
        self.journal.record(&mut self.ledger, event)
    }

    /// Takes up what commands have said, and lets leases lapse that nobody ended.
    pub fn take_up(&mut self) -> Result<usize, HandoverError> {
        let names = inbox::names(&self.place)?;
        let mut count = 0;
        for path in names.into_iter().take(inbox::WORDS_MAX) {
            let waiting = match inbox::read(path.clone()) {
                Ok(Some(waiting)) => waiting,
                Ok(None) => continue,
                Err(HandoverError::Form { .. }) => {
                    inbox::put_aside(&self.place, &path)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some((what, word)) = by_hand(&waiting.word) {
                self.audit(what, &word, waiting.at)?;
            }
            let event = self.event_of(&waiting);
            // First it is known, then it is removed: what is heard twice changes nothing.
            self.record(event)?;
            waiting.done()?;
            count += 1;
        }
        self.lapse()?;
        Ok(count)
    }

    fn event_of(&self, waiting: &inbox::Waiting) -> Event {
        let at = waiting.at;
        match waiting.word.clone() {
            Word::Ended { lease, status } => Event::Ended { lease, status, at },
            Word::Released(release) => Event::Released { release, at },
            Word::Withdrawn { job, reason } => Event::Withdrawn { job, at, reason },
            Word::Evidence(mut statement) => {
                if statement.began.is_none() {
                    // It may still run, and its lease tells.
                    statement.began = self.began(&statement.job.key());
                }
                let directory = self.place.directory().to_string_lossy();
                let held = self.ledger.coverage(&statement, &directory, |offer| self.facts(offer));
                Event::Evidence(Box::new(Received { statement: *statement, held, at }))
            }
        }
    }

    /// Keeps for good what somebody said by hand: the journal forgets. Heard twice, it is there twice.
    fn audit(
        &self,
        what: &str,
        word: &serde_json::Value,
        at: Timestamp,
    ) -> Result<(), HandoverError> {
        let path = self.place.audit();
        let failed = |error: std::io::Error| HandoverError::io("write", &path)(error);
        let line = serde_json::json!({ "version": 1, "at": at, what: word });
        let open = std::fs::OpenOptions::new().append(true).create(true).mode(0o640).open(&path);
        let mut file = open.map_err(failed)?;
        file.write_all(format!("{line}\n").as_bytes()).map_err(failed)?;
        file.sync_data().map_err(failed)
    }

    /// When the first stream of a job began that has a lease.
    fn began(&self, job: &crate::job::JobKey) -> Option<Timestamp> {
        let (leases, _) = lease::list(&self.place).ok()?;
        leases.values().filter(|lease| lease.key() == *job).map(|lease| lease.began).min()
    }

    /// The files of an offer, as a product lists them; none if its manifest cannot be read.
    fn facts(&self, offer: &Offer) -> Option<Vec<FileFact>> {
        let path = self.place.directory().join(&offer.path);
        let size = manifest_in(&path).symlink_metadata().ok()?.len();
        Some(Manifest::read(&path).ok()?.facts(&offer.path, offer.stamp, size))
    }

    /// Ends leases that nobody ended in time: their jobs died, or their scripts.
    fn lapse(&mut self) -> Result<(), HandoverError> {
        let now = self.environment.clock.now();
        let (leases, _) = lease::list(&self.place)?;
        for lease in leases.into_values().filter(|lease| lease.is_over(now)) {
            let (job, stream) = (lease.key(), lease.stream);
            self.record(Event::Lapsed { lease, at: now })?;
            lease::release(&self.place, &job, stream)?;
        }
        Ok(())
    }

    /// Notes a receipt that lies on the share.
    pub fn told(&mut self, drop: &DropKey, told: Told) -> Result<(), HandoverError> {
        self.record(Event::Told { drop: drop.clone(), told })
    }

    /// The receipt that a drop is confirmed does not lie on the share any more, since that is not so.
    pub fn taken_back(&mut self, drop: &DropKey) -> Result<(), HandoverError> {
        self.record(Event::TakenBack { drop: drop.clone() })
    }

    /// Whether nothing was remembered of this hand-over when it was opened: another host may have served it.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// All files that appear from now on are changed after `stamp`: another agent has used it.
    pub fn begin_above(&mut self, stamp: Timestamp) {
        self.floor = self.floor.max(stamp);
    }

    /// All that lies on the share was looked at.
    pub fn is_rebuilt(&mut self) {
        self.front.is_changed |= self.is_rebuilding;
        self.is_rebuilding = false;
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Where a drop is staged.
    pub fn staging_of(&self, drop: &DropKey) -> PathBuf {
        self.place.staging().join(format!("{}.{}", drop.workload, drop.drop))
    }

    /// Takes room for `bytes` of a drop that is to be staged, if the budget and the disk have it.
    pub fn reserve(&mut self, drop: &DropKey, bytes: u64) -> Result<(), HandoverError> {
        let others: u64 = self.staged.iter().filter(|(key, _)| *key != drop).map(|(_, b)| *b).sum();
        let used = self.ledger.bytes().saturating_add(others);
        if let Some(budget) = self.rules.budget
            && used.saturating_add(bytes) > budget
        {
            let human = outlast_types::human::bytes;
            let reason = format!(
                "{} of the budget of {} are used, and {drop} takes {}",
                human(used),
                human(budget),
                human(bytes)
            );
            return Err(HandoverError::Full { reason });
        }
        crate::stage::check_room(self.place.staging().as_path(), bytes)?;
        self.staged.insert(drop.clone(), bytes);
        Ok(())
    }

    /// Removes what was staged of a drop.
    pub fn unstage(&mut self, drop: &DropKey) -> Result<(), HandoverError> {
        self.staged.remove(drop);
        remove_all(&self.staging_of(drop))
    }

    /// What stays staged of a drop that has appeared: its copy, for who reads it besides.
    pub(crate) fn keeps_copy(&mut self, drop: &DropKey, raw: &Path) {
        let sizes = std::fs::read_dir(raw).into_iter().flatten().flatten();
        let bytes = sizes.filter_map(|entry| entry.metadata().ok()).map(|facts| facts.len()).sum();
        self.staged.insert(drop.clone(), bytes);
    }

    /// Drops of which a copy is staged, or is being staged.
    pub fn staged(&self) -> impl Iterator<Item = &DropKey> {
        self.staged.keys()
    }

    /// A whole copy of a drop's files on our own disk, if there is one.
    pub fn copy_of(&self, drop: &DropKey) -> Option<PathBuf> {
        let offer = self.ledger.get(drop).map(|it| &it.offer);
        let path = match offer.filter(|offer| offer.layout == Layout::Drop) {
            Some(offer) => self.place.directory().join(&offer.path),
            None => self.staging_of(drop).join("raw"),
        };
        path.join(SEAL_FILE).is_file().then_some(path)
    }

    /// Bytes that are staged.
    pub fn staged_bytes(&self) -> u64 {
        self.staged.values().sum()
    }
}

/// What somebody says by hand, and not a product's hook or record, without lists of files.
fn by_hand(word: &Word) -> Option<(&'static str, serde_json::Value)> {
    let is_somebody = |words: &str| words.starts_with(inbox::BY_HAND);
    match word {
        Word::Released(release) => Some(("released", serde_json::json!(release))),
        Word::Evidence(said) if is_somebody(&said.by) => {
            let Statement { job, began, outcome, by, .. } = &**said;
            let said =
                serde_json::json!({ "job": job, "began": began, "outcome": outcome, "by": by });
            Some(("confirmed", said))
        }
        Word::Withdrawn { job, reason } if is_somebody(reason) => {
            Some(("withdrawn", serde_json::json!({ "job": job, "by": reason })))
        }
        Word::Ended { .. } | Word::Evidence(_) | Word::Withdrawn { .. } => None,
    }
}

fn check_place(place: &Place) -> Result<(), HandoverError> {
    for path in [place.directory(), place.desk()] {
        match path.symlink_metadata() {
            Ok(facts) if facts.is_symlink() => {
                return Err(HandoverError::Link { path: path.to_owned() });
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_file_system(place: &Place) -> Result<(), HandoverError> {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| {
        path.metadata().map(|facts| facts.dev()).map_err(HandoverError::io("look at", path))
    };
    if device(place.directory())? != device(place.desk())? {
        let (directory, desk) = (place.directory().to_owned(), place.desk().to_owned());
        return Err(HandoverError::OtherFileSystem { directory, desk });
    }
    Ok(())
}
