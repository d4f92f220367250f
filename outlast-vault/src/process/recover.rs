//! Bringing a vault back from its repositories and a kit, on an empty machine.
//!
//! The repositories stay where they are; the new directory gets a link to them. All else comes from the
//! newest save of the vault's own state that lies beside them, and what that lacks from the kit.
//!
//! The order, in which a kill between any two steps is mended by the same command again:
//!
//! 1. the kit is opened, the repositories are looked at, and nothing is written;
//! 2. a mark is made in the new directory, durable before anything else: no vault starts there while it
//!    is there, and whatever lies beside it is of an attempt, and is wiped;
//! 3. the state is put back, and each repository is tried: those that do not fit are named, and all that
//!    was written is taken back;
//! 4. passwords of repositories that are younger than the save; the secret of kits; that releases are
//!    withheld; identity and authority; the entry of the audit log;
//! 5. everything is made durable, then the mark goes.
//!
//! The catalog is made anew by the first start, from repositories and arrival records (I6).

mod error;
mod renamed;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use outlast_format::BlobId;
use outlast_fs::{DirectoryLock, durable, fault};
use outlast_repo::{Credential, Repository, read};
use outlast_store::{DirectoryStore, Store};
use outlast_types::{Environment, Timestamp, WorkloadName};

use super::directory::{DirectoryStorage, IDENTITY, LOCK_FILE, SAVED_VAULT, lock_directory};
use super::error::StartError;
use super::hold::Hold;
use super::kit::{Kit, put};
use crate::core::audit::{self, AuditAction, AuditHead, AuditLog, AuditSelection, Event};
use crate::core::error::VaultError;
use crate::core::repositories::Repositories;
use crate::core::storage::{OWN_REPOSITORY, Storage};
use crate::core::withheld::{self, Withholding};

use self::renamed::by_present_names;

pub use self::error::RecoverError;

/// The mark of a recovery that is not finished.
const MARK: &str = "recovering.json";
const REPOSITORIES: &str = "repos";
/// An agent that was not heard of for so long before the newest save is not waited for.
const AGENTS_KNOWN_FOR: Duration = Duration::from_secs(90 * 86400);

/// What is to be brought back, and to where.
pub struct Recovery<'a> {
    pub kit: &'a Kit,
    /// The directory of the repositories.
    pub from: &'a Path,
    /// The directory of the vault to be.
    pub dir: &'a Path,
    /// Where its identity goes, and whatever else was saved with it: how each is called, and where it goes.
    pub places: &'a [(String, PathBuf)],
    /// Makes the configuration that of the new place. A vault is one only after that.
    pub configure: &'a dyn Fn() -> io::Result<()>,
    /// How long releases are withheld at most.
    pub withhold: Duration,
    /// Go on without repositories that are remembered and not there.
    pub accept_missing: bool,
    /// Go on without what the vault had saved of itself: arrivals, orders and audit log are lost then.
    pub without_state: bool,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// When the newest save was made; none if it went without.
    pub saved: Option<Timestamp>,
    /// The newest entry of the audit log that came back.
    pub head: Option<AuditHead>,
    pub repositories: usize,
    /// Those that are younger than the save.
    pub younger: Vec<String>,
    pub missing: Vec<String>,
    /// The agents for which releases are withheld.
    pub agents: Vec<String>,
    pub withheld_until: Timestamp,
    /// What of `places` was nowhere.
    pub absent: Vec<String>,
}

/// An error while a vault is being brought back in `dir`.
pub(super) fn require_whole(dir: &Path) -> Result<(), StartError> {
    match dir.join(MARK).try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(StartError::BeingRecovered { dir: dir.to_owned() }),
        Err(source) => Err(StartError::io("look at", dir)(source)),
    }
}

/// Brings a vault back.
pub fn recover(
    recovery: &Recovery<'_>,
    environment: &Environment,
) -> Result<Recovered, RecoverError> {
    let from = recovery.from.canonicalize().map_err(|error| match error.kind() {
        ErrorKind::NotFound => RecoverError::NoRepositories { from: recovery.from.to_owned() },
        _ => RecoverError::io("find", recovery.from)(error),
    })?;
    let present = repositories_in(&from)?;
    let _old = lock_old_vault(&from, recovery.dir)?;
    let hold = Hold::of(&from);
    hold.take().map_err(|_| RecoverError::InUse { from: from.clone() })?;
    let state = match open_state(recovery, &from, &present) {
        Err(RecoverError::NoState { reason, .. }) if recovery.without_state => {
            tracing::warn!(reason, "going on without what the vault saved of itself");
            None
        }
        state => Some(state?),
    };
    let _lock = begin(recovery, &from)?;
    let put_back = || put_back(recovery, &from, &present, state.as_ref(), environment);
    let recovered = put_back().inspect_err(|_| {
        // Nothing of it is a vault.
        if let Err(error) = take_back(recovery) {
            tracing::error!(%error, "what was put back is not taken back; the same command does it");
        }
    })?;
    finish(recovery)?;
    Ok(recovered)
}

/// The names of the directories that can be repositories of workloads.
fn repositories_in(from: &Path) -> Result<BTreeSet<WorkloadName>, RecoverError> {
    let mut names = BTreeSet::new();
    let mut has_own = false;
    for entry in fs::read_dir(from).map_err(RecoverError::io("list", from))? {
        let entry = entry.map_err(RecoverError::io("list", from))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        has_own |= name == OWN_REPOSITORY;
        if let Ok(workload) = name.parse()
            && from.join(name).join("config").exists()
        {
            names.insert(workload);
        }
    }
    if names.is_empty() && !has_own {
        return Err(RecoverError::NoRepositories { from: from.to_owned() });
    }
    Ok(names)
}

/// Keeps the vault from starting whose repositories these were, where its directory is still there.
fn lock_old_vault(from: &Path, dir: &Path) -> Result<Option<DirectoryLock>, RecoverError> {
    let Some(old) = from.parent().filter(|old| old.join(LOCK_FILE).exists()) else {
        return Ok(None);
    };
    if dir.canonicalize().is_ok_and(|dir| dir == old) {
        return Ok(None);
    }
    let in_use = || RecoverError::InUse { from: from.to_owned() };
    Ok(Some(DirectoryLock::take(old, LOCK_FILE)?.ok_or_else(in_use)?))
}

/// What the vault saved of itself, open.
struct State {
    repository: Repository,
    tree: BlobId,
    saved: Timestamp,
}

fn open_state(
    recovery: &Recovery<'_>,
    from: &Path,
    present: &BTreeSet<WorkloadName>,
) -> Result<State, RecoverError> {
    let secret = &recovery.kit.secret;
    let opens = |name: &str| {
        let store: Arc<dyn Store> = Arc::new(DirectoryStore::open(&from.join(name))?);
        let password = secret.password(name);
        Repository::open(store, Credential::Password(password.as_bytes()))
    };
    let no_state = |reason: String| RecoverError::NoState { from: from.to_owned(), reason };
    let repository = match opens(OWN_REPOSITORY) {
        Ok(repository) => repository,
        Err(error) => {
            let fits_any = present.iter().any(|workload| opens(workload.as_str()).is_ok());
            if !fits_any {
                let summary = &recovery.kit.summary;
                return Err(RecoverError::OtherVault {
                    from: from.to_owned(),
                    kit: summary.id.clone(),
                    vault: summary.vault.clone(),
                    made: summary.made,
                });
            }
            return Err(no_state(error.to_string()));
        }
    };
    let found =
        read::resolve(&repository, "latest").map_err(|error| no_state(error.to_string()))?;
    for error in &found.unreadable {
        tracing::error!(%error, "a save cannot be read, which may be newer than the one that is used");
    }
    let (tree, saved) = (found.snapshot.tree, found.snapshot.time);
    Ok(State { repository, tree, saved })
}

/// Makes the directory that of a recovery, which must be nobody else's.
fn begin(recovery: &Recovery<'_>, from: &Path) -> Result<DirectoryLock, RecoverError> {
    let dir = recovery.dir;
    let mark = dir.join(MARK);
    if !mark.exists() {
        let is_known = |name: &str| name == REPOSITORIES || name == LOCK_FILE;
        if dir.join(withheld::KEY).exists() {
            return Err(RecoverError::AlreadyBack { dir: dir.to_owned() });
        }
        let occupied = || RecoverError::Occupied { dir: dir.to_owned() };
        match fs::read_dir(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            entries => {
                for entry in entries.map_err(RecoverError::io("list", dir))? {
                    let entry = entry.map_err(RecoverError::io("list", dir))?;
                    let name = entry.file_name();
                    if !name.to_str().is_some_and(is_known) && !durable::is_temporary(&name) {
                        return Err(occupied());
                    }
                }
            }
        }
        for (_, place) in recovery.places {
            if place.exists() {
                return Err(RecoverError::Occupied { dir: place.clone() });
            }
        }
        // Repositories that lie there already are those that are meant, or somebody else's.
        let own = dir.join(REPOSITORIES);
        if own.exists() && own.canonicalize().map_err(RecoverError::io("find", &own))? != from {
            return Err(occupied());
        }
    }
    let lock = lock_directory(dir)?;
    let content = serde_json::json!({ "kit": recovery.kit.summary.id, "from": from });
    durable::replace(&mark, content.to_string().as_bytes(), 0o600)
        .map_err(RecoverError::io("write", &mark))?;
    wipe(dir).map_err(RecoverError::io("clear", dir))?;
    Ok(lock)
}

/// Removes what an attempt left: everything but the mark, the lock and the way to the repositories.
fn wipe(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if [MARK, LOCK_FILE, REPOSITORIES].iter().any(|kept| name == *kept) {
            continue;
        }
        fault::point(|| entry.path());
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Ends an attempt that failed: everything is as empty as before.
fn take_back(recovery: &Recovery<'_>) -> Result<(), RecoverError> {
    let dir = recovery.dir;
    for (_, place) in recovery.places {
        let removed = match place.is_dir() {
            true => fs::remove_dir_all(place),
            false => fs::remove_file(place),
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(RecoverError::io("remove", place)(error));
            }
            _ => {}
        }
    }
    wipe(dir).map_err(RecoverError::io("clear", dir))?;
    let repositories = dir.join(REPOSITORIES);
    if fs::symlink_metadata(&repositories).is_ok_and(|metadata| metadata.is_symlink()) {
        fs::remove_file(&repositories).map_err(RecoverError::io("remove", &repositories))?;
    }
    let mark = dir.join(MARK);
    durable::remove_file(&mark).map_err(RecoverError::io("remove", &mark))
}

fn put_back(
    recovery: &Recovery<'_>,
    from: &Path,
    present: &BTreeSet<WorkloadName>,
    state: Option<&State>,
    environment: &Environment,
) -> Result<Recovered, RecoverError> {
    let dir = recovery.dir;
    if let Some(state) = state {
        let put = put(&state.repository, state.tree, SAVED_VAULT, dir);
        if !put.map_err(|reason| RecoverError::State { reason })? {
            let reason = "it holds no records of a vault".to_owned();
            return Err(RecoverError::State { reason });
        }
    }
    link_repositories(dir, from)?;
    let storage: Storage =
        Arc::new(DirectoryStorage::open(dir).map_err(RecoverError::io("make folders in", dir))?);
    let secret = &recovery.kit.secret;
    secret.write(&*storage).map_err(VaultError::from)?;
    let repositories = Repositories::open(&storage, environment);
    let present = by_present_names(&storage, &repositories, present, environment)?;
    let (younger, missing) = adopt(recovery, from, &present, &repositories)?;
    let now = environment.clock.now();
    let until = now.saturating_add(recovery.withhold);
    let withholding = Withholding::new(now, until, agents(&storage)?);
    withholding.write(&storage).map_err(VaultError::from)?;
    let absent = put_places(recovery, state)?;
    (recovery.configure)().map_err(RecoverError::io("configure", dir))?;
    let head = record(recovery, &storage, state, &missing, &withholding, environment)?;
    Ok(Recovered {
        saved: state.map(|state| state.saved),
        head,
        repositories: present.len(),
        younger,
        missing,
        agents: withholding.waited_for(),
        withheld_until: until,
        absent,
    })
}

/// The repositories stay where they are.
fn link_repositories(dir: &Path, from: &Path) -> Result<(), RecoverError> {
    let link = dir.join(REPOSITORIES);
    if link.canonicalize().is_ok_and(|there| there == from) {
        return Ok(());
    }
    fault::point(|| link.clone());
    match fs::remove_file(&link) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(RecoverError::io("replace", &link)(error));
        }
        _ => {}
    }
    symlink(from, &link).map_err(RecoverError::io("make", &link))
}

/// Sees to it that the vault has a password for each repository. Those that are younger than the save, and
/// those that are remembered and not there.
fn adopt(
    recovery: &Recovery<'_>,
    from: &Path,
    present: &BTreeSet<WorkloadName>,
    repositories: &Repositories,
) -> Result<(Vec<String>, Vec<String>), RecoverError> {
    let (mut younger, mut misfits) = (Vec::new(), Vec::new());
    let remembered: BTreeSet<_> = repositories.with_password()?.into_iter().collect();
    for workload in present {
        match repositories.adopt(workload, &recovery.kit.secret) {
            Ok(true) => younger.push(workload.to_string()),
            Ok(false) => {}
            // One that is damaged must not keep the others from coming back: it is named, and can go.
            Err(VaultError::Repository(error)) if !error.is_passing() => {
                tracing::error!(%workload, %error, "this repository does not fit");
                misfits.push(workload.to_string());
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !misfits.is_empty() {
        return Err(RecoverError::Misfits { names: misfits });
    }
    let mut known: BTreeSet<String> = remembered.iter().map(ToString::to_string).collect();
    if recovery.without_state {
        known.extend(recovery.kit.summary.repositories.iter().cloned());
    }
    known.remove(OWN_REPOSITORY);
    let is_missing = |name: &String| !present.iter().any(|workload| workload.as_str() == name);
    let missing: Vec<String> = known.into_iter().filter(is_missing).collect();
    if !missing.is_empty() && !recovery.accept_missing {
        return Err(RecoverError::Missing { from: from.to_owned(), names: missing });
    }
    Ok((younger, missing))
}

/// The agents that the audit log knows, but those that were silent for long before its end.
fn agents(storage: &Storage) -> Result<BTreeSet<String>, RecoverError> {
    let mut last: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut end = Timestamp::EPOCH;
    let mut take = |line: &[u8]| {
        if let Some((at, actor)) = audit::actor_of(line) {
            end = end.max(at);
            if let Some(agent) = actor.strip_prefix("agent ") {
                last.insert(agent.to_owned(), at);
            }
        }
        Ok(())
    };
    let all = AuditSelection::default();
    audit::export(&**storage, &all, &mut take).map_err(VaultError::from)?;
    let known = last.into_iter().filter(|(_, at)| end.since(*at) < AGENTS_KNOWN_FOR);
    Ok(known.map(|(agent, _)| agent).collect())
}

/// Puts identity and authority to their places: as they were saved last, or as the kit has them. What was
/// nowhere.
fn put_places(recovery: &Recovery<'_>, state: Option<&State>) -> Result<Vec<String>, RecoverError> {
    let mut absent = Vec::new();
    for (name, place) in recovery.places {
        if let Some(above) = place.parent() {
            durable::create_directories(above, 0o700).map_err(RecoverError::io("make", above))?;
        }
        // The kit first: what was saved later replaces what is in both, and lacks what is nobody's to
        // keep on a vault's host, such as a root's key.
        let of_kit = recovery.kit.put(name, place)?;
        let of_state = match state {
            Some(State { repository, tree, .. }) => put(repository, *tree, name, place)
                .map_err(|reason| RecoverError::State { reason })?,
            None => false,
        };
        if !of_kit && !of_state {
            absent.push(name.clone());
        }
    }
    Ok(absent)
}

/// Writes the entry with which the audit log goes on; its head before.
fn record(
    recovery: &Recovery<'_>,
    storage: &Storage,
    state: Option<&State>,
    missing: &[String],
    withholding: &Withholding,
    environment: &Environment,
) -> Result<Option<AuditHead>, RecoverError> {
    let Kit { summary, .. } = recovery.kit;
    let log = AuditLog::open(storage, Arc::clone(&environment.clock))?;
    let head = log.head();
    let said = |head: &AuditHead| format!("{}:{}", head.number, head.hash);
    let event = Event::by_vault(AuditAction::Recovered)
        .object(&summary.id)
        .detail("kit_made", summary.made)
        .detail("kit_head", summary.head.as_ref().map_or_else(|| "none".to_owned(), said))
        .detail("state_head", said(&head))
        .detail("waiting_for_agents", withholding.waited_for().join(", "))
        .detail("withheld_until", withholding.until);
    let event = match state {
        Some(state) => event.detail("state_saved", state.saved),
        None => event.detail("state_saved", "never: arrivals, orders and this log are lost"),
    };
    let event = match missing.is_empty() {
        true => event,
        false => event.detail("missing_repositories", missing.join(", ")),
    };
    log.record_recovery(summary.head.as_ref(), event)?;
    Ok((head.number > 0).then_some(head))
}

/// Makes all of it durable, and then a vault.
fn finish(recovery: &Recovery<'_>) -> Result<(), RecoverError> {
    let places = recovery.places.iter().map(|(_, place)| place.as_path());
    for place in places.chain([recovery.dir]).filter(|place| place.exists()) {
        durable::sync_file_system(place).map_err(RecoverError::io("make durable", place))?;
    }
    let mark = recovery.dir.join(MARK);
    durable::remove_file(&mark).map_err(RecoverError::io("remove", &mark))
}

/// The name under which a vault's identity is saved and in kits.
pub const IDENTITY_PLACE: &str = IDENTITY;
