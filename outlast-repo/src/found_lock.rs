//! A lock of somebody, as it was found.

use std::fmt;
use std::time::Duration;

use outlast_format::lock::{Lock, STALE_AFTER};
use outlast_store::Object;
use outlast_types::human;

/// A lock in a repository.
#[derive(Debug)]
pub struct FoundLock {
    pub object: Object,
    /// Its content; `None` if nobody can read it.
    pub lock: Option<Lock>,
    /// How long ago it was written, by the store's time. Where the store does not tell, by what it
    /// says itself; `None` if it cannot be read either.
    pub age: Option<Duration>,
}

impl FoundLock {
    /// Whether it is too old to be believed: who lives writes his lock anew every few minutes. One of
    /// which nobody knows the age is believed; to wait is the safer error.
    pub fn is_stale(&self) -> bool {
        self.age.is_some_and(|age| age > STALE_AFTER)
    }

    /// Whether it forbids a lock of ours. One that cannot be read may say anything.
    pub(crate) fn forbids(&self, exclusive: bool) -> bool {
        exclusive || self.lock.as_ref().is_none_or(|lock| lock.exclusive)
    }
}

/// The holder and since when, as the end of a sentence: "locked …".
impl fmt::Display for FoundLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.lock {
            Some(Lock { time, exclusive, holder }) => {
                let how = if *exclusive { "exclusively " } else { "" };
                let (pid, user, host) = (holder.pid, &holder.username, &holder.hostname);
                write!(f, "{how}by process {pid} of {user} on {host} since {time}")?;
            }
            None => write!(f, "by {}, which cannot be read", self.object)?,
        }
        match self.age {
            Some(age) => write!(f, " (written {} ago)", human::duration(age)),
            None => Ok(()),
        }
    }
}
