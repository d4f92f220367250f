//! An identity that may be replaced on disk while it is in use.
//!
//! Certificates end, and are renewed by others: a person, a cron job, a cluster's secrets. Whoever
//! needs an identity asks the handle each time, and what is made of it is made anew when it is
//! another. The files are looked at by their stamps, so that nobody has to send a signal.
//!
//! Whom an identity believes changes, too: what its holder learns of revocations, and of authorities that
//! are of the past, counts for all who ask the handle.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use outlast_fs::durable;
use outlast_types::Environment;

use crate::authorities::{Authorities, CA_FILE, PAST_FILE, PastAuthority};
use crate::certificate::Certified;
use crate::identity::{BOX_KEY_FILE, IDENTITY_FILE, Identity, IdentityError};
use crate::learned::{self, LearnedError};
use crate::names::Names;
use crate::revocation::Revocations;
use crate::sealed_key::BoxKey;
use crate::signature::{self, SignerRefused};

/// How often the files are looked at, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Leads to the identity that is in force. A copy leads to the same one.
#[derive(Clone)]
pub struct IdentityHandle(Arc<Shared>);

struct Shared {
    current: RwLock<Arc<Identity>>,
    revocations: RwLock<Arc<Revocations>>,
    /// Whom certificates mean that name nobody of ours.
    names: Names,
    /// `None` if it stays as it is.
    followed: Option<Followed>,
}

/// A directory, and what was seen there.
struct Followed {
    directory: PathBuf,
    environment: Environment,
    seen: Mutex<Seen>,
}

struct Seen {
    /// When, by the timer.
    at: Duration,
    /// Of the files that the current identity was read from.
    stamp: Stamp,
    /// Why what lies there is not taken: said once.
    complaint: Option<String>,
}

/// Tells the files from others of their names.
type Stamp = [Option<FileStamp>; 4];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl IdentityHandle {
    /// Loads the identity in `directory`, and follows what becomes of it.
    pub fn open(directory: &Path, environment: &Environment) -> Result<Self, IdentityError> {
        Self::open_by(directory, environment, Names::default())
    }

    /// The same, where certificates that name nobody of ours may mean somebody by `names`. Others issued
    /// such an identity, so that it may lack a box key: then it gets one.
    pub fn open_by(
        directory: &Path,
        environment: &Environment,
        names: Names,
    ) -> Result<Self, IdentityError> {
        if names != Names::default() {
            make_box_key(directory, environment)?;
        }
        // Before the files are read: what changes from then on is seen at the next look.
        let stamp = stamp_of(directory);
        let identity = Identity::load_by(directory, &names)?;
        let learned = learned::load(directory)?;
        let seen = Seen { at: environment.timer.elapsed(), stamp, complaint: None };
        let followed = Followed {
            directory: directory.to_owned(),
            environment: environment.clone(),
            seen: Mutex::new(seen),
        };
        Ok(Self::leading_to(identity, learned, names, Some(followed)))
    }

    fn leading_to(
        identity: Identity,
        learned: Revocations,
        names: Names,
        followed: Option<Followed>,
    ) -> Self {
        let (current, revocations) = (Arc::new(identity).into(), Arc::new(learned).into());
        Self(Arc::new(Shared { current, revocations, names, followed }))
    }

    /// The identity in force. At most once a second this looks whether the files were replaced;
    /// nobody waits for a disk because somebody else looks.
    pub fn get(&self) -> Arc<Identity> {
        let current = self.current();
        let Some(followed) = &self.0.followed else { return current };
        let mut seen = match followed.seen.try_lock() {
            Ok(seen) => seen,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return current,
        };
        let look = followed.look(&mut seen, &current, &self.0.names);
        let Some(new) = look else { return current };
        let new = Arc::new(new);
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        new
    }

    /// The directory whose files it follows, if it does.
    pub fn directory(&self) -> Option<&Path> {
        self.0.followed.as_ref().map(|followed| followed.directory.as_path())
    }

    /// Puts another identity in force, in the directory, too, from which the next start reads it.
    pub fn replace(&self, new: Identity) -> Result<(), IdentityError> {
        if let Some(followed) = &self.0.followed {
            // Nobody looks at files that are half of this identity and half of the other.
            let mut seen = followed.seen.lock().unwrap_or_else(PoisonError::into_inner);
            new.save(&followed.directory)?;
            (seen.stamp, seen.complaint) = (stamp_of(&followed.directory), None);
        }
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }

    /// Whom certificates mean that name nobody of ours.
    pub fn names(&self) -> &Names {
        &self.0.names
    }

    /// The list of revocations in force.
    pub fn revocations(&self) -> Arc<Revocations> {
        Arc::clone(&self.0.revocations.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over a list of revocations: in force at once, for all who believe as this identity. One that
    /// is older than what is known is not taken; the number that is in force.
    pub fn learn(&self, list: Revocations) -> u64 {
        let mut known = self.0.revocations.write().unwrap_or_else(PoisonError::into_inner);
        if list.number() >= known.number() {
            *known = Arc::new(list);
        }
        known.number()
    }

    /// Keeps the list in force in the directory, from which the next start reads it.
    pub fn keep_learned(&self) -> Result<(), LearnedError> {
        match self.directory() {
            Some(directory) => learned::save(directory, &self.revocations()),
            None => Ok(()),
        }
    }

    /// Believes authorities of the past for connections no more, now and from the next start on; how many
    /// of those that were.
    pub fn retire(&self, past: &[PastAuthority]) -> Result<usize, IdentityError> {
        let mut moved = self.retire_now(past)?;
        if let Some(directory) = self.directory() {
            // What lies there may be newer than what is in force, and comes into force by the next look.
            let mut lying = Authorities::load(directory)?;
            let failed =
                |source| IdentityError::Certificate { path: directory.join(CA_FILE), source };
            let moved_there = lying.retire(past).map_err(failed)?;
            if moved_there > 0 {
                lying.save(directory)?;
            }
            moved = moved.max(moved_there);
        }
        Ok(moved)
    }

    fn retire_now(&self, past: &[PastAuthority]) -> Result<usize, IdentityError> {
        // Nobody else replaces it meanwhile.
        let _seen = self.0.followed.as_ref().map(|followed| followed.seen.lock());
        let current = self.current();
        let path = || self.directory().unwrap_or(Path::new("")).join(CA_FILE);
        let mut authorities = current.authorities().clone();
        let moved = authorities
            .retire(past)
            .map_err(|source| IdentityError::Certificate { path: path(), source })?;
        if moved > 0 {
            let new = current.believing(authorities, &self.0.names);
            let new = new.map_err(|error| error.about(&path()))?;
            *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        }
        Ok(moved)
    }

    /// Who signed `message`, if one of the authorities for connections vouches for the signer, who is not
    /// revoked.
    pub fn judge(
        &self,
        chain_pem: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<Certified, SignerRefused> {
        self.judge_by(&self.0.names, chain_pem, message, signature)
    }

    pub(crate) fn judge_by(
        &self,
        names: &Names,
        chain_pem: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<Certified, SignerRefused> {
        let ours = self.get();
        let signer = signature::signer(chain_pem, ours.ca_pem(), names, message, signature)?;
        match self.revocations().of(&signer) {
            Some(revocation) => {
                Err(SignerRefused::Revoked { peer: signer.peer, at: revocation.at })
            }
            None => Ok(signer),
        }
    }

    fn current(&self) -> Arc<Identity> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Followed {
    /// The identity that has replaced `current`, if one has that can be used. What cannot be used
    /// is tried again at every look: it may be half written, or of tomorrow.
    fn look(&self, seen: &mut Seen, current: &Identity, names: &Names) -> Option<Identity> {
        let now = self.environment.timer.elapsed();
        if now.saturating_sub(seen.at) < LOOK_INTERVAL {
            return None;
        }
        seen.at = now;
        let stamp = stamp_of(&self.directory);
        if stamp == seen.stamp {
            seen.complaint = None;
            return None;
        }
        match self.replacement(current, names) {
            // Somebody is writing this moment.
            Ok(_) if stamp_of(&self.directory) != stamp => None,
            Ok(new) => {
                tracing::info!(
                    identity = %self.directory.display(), peer = %new.peer(),
                    until = %new.validity().until, "the identity was replaced, and is in force"
                );
                (seen.stamp, seen.complaint) = (stamp, None);
                Some(new)
            }
            Err(complaint) => {
                if seen.complaint.as_ref() != Some(&complaint) {
                    tracing::warn!(
                        "the files in {} were replaced and are not used: {complaint}; going on \
                         with those of before, valid until {}",
                        self.directory.display(),
                        current.validity().until
                    );
                    seen.complaint = Some(complaint);
                }
                None
            }
        }
    }

    /// What lies there now, if it can stand for `current`.
    fn replacement(&self, current: &Identity, names: &Names) -> Result<Identity, String> {
        let new = Identity::load_by(&self.directory, names).map_err(|error| error.to_string())?;
        if new.peer() != current.peer() {
            let (new, current) = (new.peer(), current.peer());
            return Err(format!(
                "they are of {new}, and this process is {current}; restart it if it is to be {new}"
            ));
        }
        let now = self.environment.clock.now();
        match new.validity().trouble(now) {
            Some(trouble) if current.validity().trouble(now).is_none() => {
                Err(format!("the new certificate {trouble}"))
            }
            _ => Ok(new),
        }
    }
}

/// An identity that stays as it is.
impl From<Identity> for IdentityHandle {
    fn from(identity: Identity) -> Self {
        Self::leading_to(identity, Revocations::default(), Names::default(), None)
    }
}

impl fmt::Debug for IdentityHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(f)
    }
}

type Make<T, E> = Box<dyn Fn(&Identity) -> Result<T, E> + Send + Sync>;

/// Something made of the identity in force, and made anew when that is another.
pub(crate) struct Derived<T, E> {
    identity: IdentityHandle,
    make: Make<T, E>,
    made: Mutex<Made<T>>,
}

/// What it was made of, too.
struct Made<T> {
    identity: Arc<Identity>,
    revocations: Arc<Revocations>,
    thing: T,
}

impl<T: Clone, E: fmt::Display> Derived<T, E> {
    pub(crate) fn new(
        identity: &IdentityHandle,
        make: impl Fn(&Identity) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let (current, revocations) = (identity.get(), identity.revocations());
        let made = Made { thing: make(&current)?, identity: current, revocations };
        let (identity, make) = (identity.clone(), Box::new(make));
        Ok(Self { identity, make, made: Mutex::new(made) })
    }

    /// If nothing can be made of a new identity, that of the one before goes on to serve.
    pub(crate) fn get(&self) -> T {
        // Not under the lock: this may look at a disk.
        let (current, revocations) = (self.identity.get(), self.identity.revocations());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same =
            Arc::ptr_eq(&made.identity, &current) && Arc::ptr_eq(&made.revocations, &revocations);
        if !is_same {
            match (self.make)(&current) {
                Ok(new) => made.thing = new,
                Err(error) => tracing::error!(%error, "the new identity cannot be used"),
            }
            (made.identity, made.revocations) = (current, revocations);
        }
        made.thing.clone()
    }
}

/// Makes the box key of an identity that has none. Nothing that is kept is sealed to it.
fn make_box_key(directory: &Path, environment: &Environment) -> Result<(), IdentityError> {
    let path = directory.join(BOX_KEY_FILE);
    // Another directory gets no file of ours.
    if path.exists() || !directory.join(IDENTITY_FILE).is_file() {
        return Ok(());
    }
    let key = BoxKey::generate(&*environment.random).to_text();
    match durable::create_new(&path, key.as_bytes(), 0o600) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(|source| IdentityError::Write { path, source }),
    }
}

fn stamp_of(directory: &Path) -> Stamp {
    [IDENTITY_FILE, CA_FILE, PAST_FILE, BOX_KEY_FILE].map(|name| {
        // What cannot be looked at is missing; reading it says why.
        let metadata = fs::metadata(directory.join(name)).ok()?;
        Some(FileStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    })
}

#[cfg(test)]
mod tests;
