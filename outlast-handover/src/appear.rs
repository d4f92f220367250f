//! Appearing: a drop that is ready gets its place in the directory by one rename.
//!
//! Its files' time of change is [`LEAD`] after the moment of the rename. So it is in a later second than every job that can have
//! listed the directory without it: products compare whole seconds, and pass over what is not later.

use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_fs::durable;
use outlast_types::{Environment, Timestamp};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use crate::build::Built;
use crate::desk::Desk;
use crate::error::HandoverError;
use crate::lease::{self, Moment};
use crate::ledger::Event;
use crate::names::compact;
use crate::offer::Offer;

/// How much later than its appearance a file says that it was changed.
pub const LEAD: Duration = Duration::from_secs(1);
/// Drops with no more entries get their times in the moment itself.
const AT_ONCE_MAX: usize = 256;
/// What the time of one entry takes at first guess.
const PER_ENTRY: Duration = Duration::from_micros(50);
/// Guesses, each twice the one before.
const GUESSES: u32 = 6;
const NANOSECOND: Duration = Duration::from_nanos(1);

impl Desk {
    /// Lets a drop appear, for good.
    pub fn appear(&mut self, built: Built) -> Result<Offer, HandoverError> {
        let workload = self.place.directory().join(built.manifest.workload.as_str());
        self.make_workload(&workload)?;
        let environment = self.environment.clone();
        for guess in 0..GUESSES {
            // Those with many entries get a time that will come soon, before anybody has to hold still.
            let early = if built.entries.len() > AT_ONCE_MAX && guess + 1 < GUESSES {
                let entries = u32::try_from(built.entries.len()).unwrap_or(u32::MAX);
                let takes = PER_ENTRY.saturating_mul(entries).saturating_mul(1 << guess);
                let stamp = self.least(environment.clock.now(), Moment::read(&self.place)?)?.1;
                let stamp = stamp.saturating_add(takes);
                set_times(&built.entries, stamp)?;
                Some(stamp)
            } else {
                None
            };
            if let Some(offer) = self.appear_now(&built, &workload, early, &environment)? {
                let synced = durable::sync_directory(&workload).and_then(|()| {
                    durable::sync_directory(built.path.parent().unwrap_or(Path::new("/")))
                });
                synced.map_err(HandoverError::io("make durable", &workload))?;
                return Ok(offer);
            }
        }
        let reason = "its files could not be given their times quickly enough".to_owned();
        Err(HandoverError::NotOffered { reason })
    }

    /// The same, if the time that its files have already is late enough.
    fn appear_now(
        &mut self,
        built: &Built,
        workload: &Path,
        early: Option<Timestamp>,
        environment: &Environment,
    ) -> Result<Option<Offer>, HandoverError> {
        let _still = lease::hold_still(&self.place, environment)?;
        let (appeared, least) = self.least(environment.clock.now(), Moment::read(&self.place)?)?;
        let stamp = match early {
            Some(stamp) if stamp < least => return Ok(None),
            Some(stamp) => stamp,
            None => {
                set_times(&built.entries, least)?;
                least
            }
        };
        // First that there was this moment: whatever happens next, no other has it.
        Moment { version: 1, appeared, stamp }.write(&self.place)?;
        let manifest = &built.manifest;
        let name = format!("{}.{}", compact(stamp), manifest.drop);
        let path = format!("{}/{name}", manifest.workload);
        let files = u32::try_from(manifest.files.len() + 1).unwrap_or(u32::MAX);
        let offer = Offer {
            share: manifest.share,
            workload: manifest.workload.clone(),
            day: manifest.day,
            drop: manifest.drop,
            seal: manifest.seal,
            layout: manifest.layout,
            path,
            appeared,
            stamp,
            files,
            bytes: built.bytes,
            sight: built.sight.clone(),
            sanity: Some(built.sanity.clone()),
        };
        // Then what is about to be there: what is there and not known would be taken for somebody else's.
        self.record(Event::Offered(offer.clone()))?;
        let to = workload.join(name);
        if let Err(error) = durable::move_unsynced(&built.path, &to) {
            self.record(Event::Void { drop: offer.key() })?;
            return Err(HandoverError::io("let appear", &to)(error));
        }
        Ok(Some(offer))
    }

    /// The moment of an appearance now, and the least time of change that its files may have.
    fn least(&self, now: Timestamp, last: Moment) -> Result<(Timestamp, Timestamp), HandoverError> {
        let (leases, _) = lease::list(&self.place)?;
        let begun = leases.values().map(|lease| lease.began).max().unwrap_or(Timestamp::EPOCH);
        let after = last.appeared.max(begun).saturating_add(NANOSECOND);
        let appeared = now.max(after);
        let stamp = appeared.max(self.floor).saturating_add(LEAD);
        Ok((appeared, stamp.max(last.stamp.saturating_add(NANOSECOND))))
    }

    /// Makes the directory of a workload, and gives it to whom the rules say: also one that an agent made
    /// that was killed before it had given it, or that was made by other rules.
    fn make_workload(&self, path: &Path) -> Result<(), HandoverError> {
        durable::create_directories(path, 0o700).map_err(HandoverError::io("create", path))?;
        if self.is_given(path)? { Ok(()) } else { self.give(path) }
    }
}

/// Gives entries their time of change, what is in a directory before it.
fn set_times(entries: &[PathBuf], stamp: Timestamp) -> Result<(), HandoverError> {
    let at = Timespec { tv_sec: stamp.unix_seconds(), tv_nsec: stamp.nanos().into() };
    let times = Timestamps { last_access: at, last_modification: at };
    for path in entries {
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| HandoverError::io("set the time of", path)(errno.into()))?;
    }
    Ok(())
}
