//! An identity that may be replaced on disk while it is in use.
//!
//! Certificates end, and are renewed by others: a person, a cron job, a cluster's secrets. Whoever
//! needs an identity asks the handle each time, and what is made of it is made anew when it is
//! another. The files are looked at by their stamps, so that nobody has to send a signal.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use outlast_types::Environment;

use crate::authorities::{CA_FILE, PAST_FILE};
use crate::identity::{BOX_KEY_FILE, IDENTITY_FILE, Identity, IdentityError};

/// How often the files are looked at, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Leads to the identity that is in force. A copy leads to the same one.
#[derive(Clone)]
pub struct IdentityHandle(Arc<Shared>);

struct Shared {
    current: RwLock<Arc<Identity>>,
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
        // Before the files are read: what changes from then on is seen at the next look.
        let stamp = stamp_of(directory);
        let identity = Identity::load(directory)?;
        let seen = Seen { at: environment.timer.elapsed(), stamp, complaint: None };
        let followed = Followed {
            directory: directory.to_owned(),
            environment: environment.clone(),
            seen: Mutex::new(seen),
        };
        Ok(Self::leading_to(identity, Some(followed)))
    }

    fn leading_to(identity: Identity, followed: Option<Followed>) -> Self {
        Self(Arc::new(Shared { current: RwLock::new(Arc::new(identity)), followed }))
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
        let Some(new) = followed.look(&mut seen, &current) else { return current };
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

    fn current(&self) -> Arc<Identity> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Followed {
    /// The identity that has replaced `current`, if one has that can be used. What cannot be used
    /// is tried again at every look: it may be half written, or of tomorrow.
    fn look(&self, seen: &mut Seen, current: &Identity) -> Option<Identity> {
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
        match self.replacement(current) {
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
    fn replacement(&self, current: &Identity) -> Result<Identity, String> {
        let new = Identity::load(&self.directory).map_err(|error| error.to_string())?;
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
        Self::leading_to(identity, None)
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
    made: Mutex<(Arc<Identity>, T)>,
}

impl<T: Clone, E: fmt::Display> Derived<T, E> {
    pub(crate) fn new(
        identity: &IdentityHandle,
        make: impl Fn(&Identity) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let current = identity.get();
        let made = make(&current)?;
        let (identity, make) = (identity.clone(), Box::new(make));
        Ok(Self { identity, make, made: Mutex::new((current, made)) })
    }

    /// If nothing can be made of a new identity, that of the one before goes on to serve.
    pub(crate) fn get(&self) -> T {
        // Not under the lock: this may look at a disk.
        let current = self.identity.get();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&made.0, &current) {
            match (self.make)(&current) {
                Ok(new) => made.1 = new,
                Err(error) => tracing::error!(%error, "the new identity cannot be used"),
            }
            made.0 = current;
        }
        made.1.clone()
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
