//! The vault's own state, saved into a repository beside those of workloads.
//!
//! Passwords, arrival records, orders, the audit log, the vault's identity: nothing else could give them
//! back. They are saved by the engine, deduplicated, into a repository that the secret for recovery kits
//! opens, so that repositories and a kit bring a vault back as it was some moments ago, however old the
//! kit is. What came after the newest save is found in the repositories themselves.
//!
//! Saving happens when something changed, and so seldom that it costs a fiftieth of the time at most, but
//! each hour; after a revocation it happens at once. It can be broken off anywhere and begun anew.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use outlast_format::config::Version;
use outlast_format::lock::Holder;
use outlast_fs::entry::Interrupter;
use outlast_fs::{Entry, EntrySource, SourceError};
use outlast_repo::backup::{self, Input, Options, Tuning};
use outlast_repo::lock::Here;
use outlast_repo::{Credential, NewPassword, RepoError, Repository, forget, prune, read};
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_types::{Day, Environment, Monitor, Silent, Timestamp};

use super::error::VaultError;
use super::jobs::Progress;
use super::kit::{self, KitSecret};
use super::saves::Saved;
use super::storage::{OWN_REPOSITORY, StorageError};
use super::vault::Vault;

/// The tag of its snapshots.
pub(crate) const TAG: &str = "vault-state";
/// Saving may take this part of the time.
const SHARE_OF_TIME: u32 = 50;
/// It is never put off for longer.
const PUT_OFF_MAX: Duration = Duration::from_secs(3600);
/// How long the last save may take when a vault ends.
const LAST_SAVE_MAX: Duration = Duration::from_secs(5);
/// How long somebody waits for a save that is urgent; then it is made when its turn comes.
const URGENT_SAVE_MAX: Duration = Duration::from_secs(20);

/// The newest snapshots stay, …
const NEWEST_KEPT: usize = 100;
/// … and the newest of so many days.
const DAYS_KEPT: usize = 60;

impl Vault {
    /// Saves the vault's own state, if anything changed and it is not too soon.
    pub(crate) fn save_own_state(&self, progress: &Progress) -> Result<String, VaultError> {
        let mut saved = self.own_state();
        let elapsed = self.environment.timer.elapsed();
        let put_off = (saved.took * SHARE_OF_TIME).min(PUT_OFF_MAX);
        let is_early = saved.number.is_some() && elapsed.saturating_sub(saved.at) < put_off;
        let is_urgent = self.saves.urgency.take();
        if is_early && !is_urgent {
            return Ok("saved not long ago".to_owned());
        }
        loop {
            let stopped = progress.clone();
            let said = self.save(&mut saved, Box::new(move || stopped.is_stopped()));
            if said.is_err() && is_urgent {
                self.saves.urgency.set();
            }
            // What is urgent may have come when half of it was read.
            if said.is_err() || !self.saves.urgency.take() {
                return said;
            }
        }
    }

    /// Saves what must not be lost with this host a moment from now, such as a revocation. If that takes
    /// too long, or fails, it is made when its turn comes.
    pub(crate) fn save_own_state_at_once(&self) {
        self.saves.urgency.set();
        while self.saves.urgency.take() {
            match self.save_within(URGENT_SAVE_MAX) {
                Ok(Some(_)) => continue,
                // Whoever makes one looks at the urgency afterwards.
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the vault's own state is not saved at once"),
            }
            return self.saves.urgency.set();
        }
    }

    /// The same at the end of a vault, in bounded time.
    pub(crate) fn save_own_state_at_end(&self) -> Result<String, VaultError> {
        let saved = self.save_within(LAST_SAVE_MAX)?;
        Ok(saved.unwrap_or_else(|| "a save is under way".to_owned()))
    }

    /// Saves within so much time; `None` if a save is under way. Whoever makes that may hang on a disk.
    fn save_within(&self, time: Duration) -> Result<Option<String>, VaultError> {
        let timer = Arc::clone(&self.environment.timer);
        let end = timer.elapsed().saturating_add(time);
        let mut saved = match self.saves.newest.try_lock() {
            Ok(saved) => saved,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        self.save(&mut saved, Box::new(move || timer.elapsed() > end)).map(Some)
    }

    /// Whether this secret, and no other, opens the vault's own repository.
    pub(crate) fn own_state_follows(&self, secret: &KitSecret) -> bool {
        self.own_state().generation == secret.generation
    }

    fn save(&self, saved: &mut Saved, is_over: IsOver) -> Result<String, VaultError> {
        let secrets = kit::secrets(&*self.storage)?;
        let generation = secrets.last().map_or(0, |newest| newest.generation);
        // Before anything is read: what comes meanwhile is saved the next time.
        let number = self.audit.head().number;
        if saved.number == Some(number) && saved.generation == generation {
            return Ok("nothing changed".to_owned());
        }
        if self.repositories.is_away() {
            return Ok("the repositories are not there".to_owned());
        }
        let began = self.environment.timer.elapsed();
        let repository = self.open_own_repository(&secrets, saved)?;
        saved.generation = generation;
        let source = self.storage.state();
        let source = source.map_err(|source| StorageError {
            action: "list",
            location: "the vault's own records".to_owned(),
            source,
        })?;
        let bounded = Bounded { source, is_over };
        let Environment { clock, random, .. } = &self.environment;
        let told = Told;
        let options = options(clock.now(), self.identity.get().peer().name());
        let input = Input::Tree(Box::new(bounded));
        let outcome = backup::backup(&repository, input, &options, &**clock, &**random, &told)?;
        backup::publish(&repository, &outcome)?;
        saved.number = Some(number);
        saved.at = self.environment.timer.elapsed();
        saved.took = saved.at.saturating_sub(began);
        if let Some(problem) = outcome.problems.into_iter().next() {
            return Err(VaultError::OwnState { count: outcome.problem_count, problem });
        }
        Ok(format!("saved {} files, {} bytes", outcome.stats.files, outcome.stats.bytes))
    }

    /// Lets go of saves that newer ones stand for.
    pub(crate) fn trim_own_state(&self, _progress: &Progress) -> Result<String, VaultError> {
        let saved = self.own_state();
        if self.repositories.is_away() {
            return Ok("the repositories are not there".to_owned());
        }
        let repository = self.open_own_repository(&kit::secrets(&*self.storage)?, &saved)?;
        let snapshots = read::snapshots(&repository)?.list;
        let times: Vec<Timestamp> = snapshots.iter().map(|(_, snapshot)| snapshot.time).collect();
        let old: Vec<_> = excess(&times).into_iter().map(|place| snapshots[place].0).collect();
        forget::forget(&repository, &old)?;
        let Environment { clock, random, .. } = &self.environment;
        // Nobody else works on it while we hold the lock.
        let options = prune::Options { grace: Duration::ZERO, ..prune::Options::default() };
        let here = Here { holder: holder(), lives: &|_| true };
        let pruned = prune::prune(&repository, &options, &here, &**clock, &**random, &Silent)?;
        Ok(format!("forgot {} saves, freed {} bytes", old.len(), pruned.freed_bytes))
    }

    /// Opens the vault's own repository with the newest secret. One that none of `secrets` opens, or
    /// that is not whole, is set aside: all that it is for is here.
    fn open_own_repository(
        &self,
        secrets: &[KitSecret],
        saved: &Saved,
    ) -> Result<Repository, VaultError> {
        match self.try_own_repository(secrets, saved) {
            Err(
                error @ VaultError::Repository(
                    RepoError::WrongPassword { .. }
                    | RepoError::NotEmpty { .. }
                    | RepoError::Damaged { .. },
                ),
            ) => {
                let stamp = self.environment.clock.now().unix_seconds().to_string();
                tracing::error!(%error, stamp, "the vault's own repository is set aside, and begun anew");
                let moved = self.storage.set_own_repository_aside(&stamp);
                moved.map_err(|source| StorageError {
                    action: "set aside the vault's own repository in",
                    location: self.storage.repositories_location(),
                    source,
                })?;
                self.try_own_repository(secrets, &Saved::default())
            }
            result => result,
        }
    }

    fn try_own_repository(
        &self,
        secrets: &[KitSecret],
        saved: &Saved,
    ) -> Result<Repository, VaultError> {
        let environment = &self.environment;
        let found = self.storage.own_repository()?;
        let config = found.as_ref().map(|store| store.size(&Object::Config));
        let store: Arc<dyn Store> = match (found, config) {
            (Some(store), Some(Ok(_))) => store,
            (None, _) | (_, None | Some(Err(StoreError::NotFound { .. }))) => {
                // It was there: its volume is not, and nothing is made in its place.
                if saved.generation > 0 {
                    let location = self.storage.repositories_location();
                    return Err(VaultError::RepositoriesAway { location });
                }
                return self.make_own_repository(secrets);
            }
            (_, Some(Err(error))) => return Err(error.into()),
        };
        let mut refused = None;
        for secret in secrets.iter().rev() {
            let password = secret.password(OWN_REPOSITORY);
            match Repository::open(Arc::clone(&store), Credential::Password(password.as_bytes())) {
                Ok(opened) => {
                    kit::keep_key(&opened, OWN_REPOSITORY, secrets, environment)?;
                    return Ok(self.storage.with_cache(opened));
                }
                Err(error @ RepoError::WrongPassword { .. }) => refused = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(refused.map_or(VaultError::NoKitSecret, VaultError::from))
    }

    fn make_own_repository(&self, secrets: &[KitSecret]) -> Result<Repository, VaultError> {
        let newest = secrets.last().ok_or(VaultError::NoKitSecret)?;
        let store: Arc<dyn Store> = self.storage.make_own_repository()?;
        // Of a maker that was killed before the config; if there is more, making one is refused.
        if store.list(Kind::Data)?.is_empty() {
            for (key, _) in store.list(Kind::Key)? {
                store.remove(&key)?;
            }
        }
        let password = newest.password(OWN_REPOSITORY);
        let password = NewPassword::Random(password.as_bytes());
        let (maker, random) = (kit::maker(&self.environment), &*self.environment.random);
        let made = Repository::init(store, password, Version::V2, &maker, random)?;
        Ok(self.storage.with_cache(made))
    }

    fn own_state(&self) -> MutexGuard<'_, Saved> {
        self.saves.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A backup of some thousand small files, beside which a vault works: little memory, one processor.
fn options(now: Timestamp, vault: &str) -> Options {
    let tuning = Tuning {
        workers: 1,
        uploads: 1,
        data_pack_bytes: 4 << 20,
        tree_pack_bytes: 1 << 20,
        ..Tuning::default()
    };
    Options {
        hostname: vault.to_owned(),
        username: "vault".to_owned(),
        paths: vec!["/".to_owned()],
        tags: vec![TAG.to_owned()],
        program_version: concat!("outlast ", env!("CARGO_PKG_VERSION")).to_owned(),
        tuning,
        ..Options::new(now)
    }
}

fn holder() -> Holder {
    Holder {
        hostname: "outlast-vault".to_owned(),
        username: "vault".to_owned(),
        pid: std::process::id(),
        uid: 0,
        gid: 0,
    }
}

/// The places of those that may go, of `times` with the oldest first.
fn excess(times: &[Timestamp]) -> Vec<usize> {
    let mut days: BTreeSet<Day> = BTreeSet::new();
    let mut old = Vec::new();
    for (age, place) in (0..times.len()).rev().enumerate() {
        // The newest of its day comes first.
        let is_first = days.len() < DAYS_KEPT && days.insert(times[place].day());
        if age >= NEWEST_KEPT && !is_first {
            old.push(place);
        }
    }
    old
}

/// Says whether it is time to end.
type IsOver = Box<dyn Fn() -> bool + Send>;

/// A source that ends when it is time.
struct Bounded {
    source: Box<dyn EntrySource>,
    is_over: IsOver,
}

impl EntrySource for Bounded {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        if (self.is_over)() {
            let origin = "the vault's own records to the end".to_owned();
            let source = io::Error::new(io::ErrorKind::TimedOut, "the vault ends");
            return Err(SourceError::Ended { origin, source });
        }
        self.source.next_entry()
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(buffer)
    }

    fn length(&mut self) -> Option<u64> {
        self.source.length()
    }

    fn interrupter(&self) -> Interrupter {
        self.source.interrupter()
    }

    fn comes_back(&self) -> bool {
        self.source.comes_back()
    }
}

/// Tells the log what could not be saved.
struct Told;

impl Monitor for Told {
    fn problem(&self, message: &str) {
        tracing::error!("of the vault's own state: {message}");
    }
}

#[cfg(test)]
mod tests;
