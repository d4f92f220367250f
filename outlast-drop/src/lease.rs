//! Leases: hints by which several instances agree that one of them drops.
//!
//! Correctness never depends on them. A lease names the drop that its holder makes, so the holder's
//! signs of life are those of its drop, and only that drop's *seal* satisfies the others. A drop
//! that failed, or has been still for three beats of a writer by the observer's own clock, is taken
//! over by the next lease of the same window. In doubt there are two drops, and never none.
//! `docs/drop-protocol.md` has the format.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::time::Duration;

use outlast_types::{Clock, Day, DropId, Random, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::files::{Directory, NAMES_MAX};
use crate::layout::{DropAddress, LEASES};
use crate::open::OpenRecord;
use crate::recent;
use crate::share::{Share, ShareError};

const LEASE_VERSION: u64 = 1;
const LEASE_BYTES_MAX: u64 = 4096;
/// Beats in whose time a holder must show a sign of life.
const SILENT_BEATS: u32 = 3;
/// Names in a drop's directory that are looked at.
const LOOKED_AT: usize = 10_000;
/// Takeovers in one window, after which something is wrong with the leases themselves.
const TAKEOVERS_MAX: u32 = 1000;
/// Leases of this age are removed, and so many at a time.
const OLD: Duration = Duration::from_secs(2 * 24 * 3600);
const REMOVED_MAX: usize = 100;

/// What an instance may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// There is a sealed drop of this window.
    Sealed(DropId),
    /// Drop, under this id, which others know.
    Mine(DropId),
    /// Another instance drops; look again in a while.
    Wait,
}

/// One window of a workload, as one instance sees it.
#[derive(Debug)]
pub struct Window {
    share: Share,
    workload: WorkloadName,
    since: Timestamp,
    beat: Duration,
    seen: Option<Seen>,
}

/// The last look at the holder of a lease.
#[derive(Debug)]
struct Seen {
    number: u32,
    fingerprint: u64,
    changed: Duration,
}

#[derive(Serialize, Deserialize)]
struct LeaseJson {
    version: u64,
    drop: DropId,
    day: Day,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
}

impl Window {
    /// The window that begins at `since`, where writers show a sign of life with every `beat`.
    pub fn new(share: &Share, workload: &WorkloadName, since: Timestamp, beat: Duration) -> Self {
        let (share, workload) = (share.clone(), workload.clone());
        Self { share, workload, since, beat, seen: None }
    }

    /// The beginning of the window of this length in which `now` is: the same for all instances,
    /// since windows are counted from 1970.
    pub fn beginning(now: Timestamp, length: Duration) -> Timestamp {
        let length = i64::try_from(length.as_secs()).unwrap_or(i64::MAX).max(1);
        let seconds = now.unix_seconds();
        Timestamp::from_unix(seconds - seconds.rem_euclid(length), 0).unwrap_or(Timestamp::EPOCH)
    }

    /// Looks at the leases, and takes the next one if it is free. `elapsed` is time that passes,
    /// whatever the wall clock shows.
    pub fn look(
        &mut self,
        instance: Option<&str>,
        elapsed: Duration,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Turn, ShareError> {
        let now = clock.now();
        if let Some(drop) = recent::sealed_since(&self.share, &self.workload, self.since, now)? {
            return Ok(Turn::Sealed(drop));
        }
        let path = self.share.workload_directory(&self.workload).join(LEASES);
        let failed = |action| ShareError::io(action, &path);
        let leases = self.open().map_err(failed("open or make"))?;
        let newest = self.newest(&leases).map_err(failed("list"))?;
        let number = match newest {
            None => 1,
            Some(number) if self.is_held(&leases, number, elapsed).map_err(failed("read"))? => {
                return Ok(Turn::Wait);
            }
            Some(number) => number.saturating_add(1),
        };
        let drop = DropId::new(clock, random);
        if number > TAKEOVERS_MAX {
            return Ok(Turn::Mine(drop));
        }
        match self.take(&leases, number, drop, instance) {
            Ok(true) => Ok(Turn::Mine(drop)),
            Ok(false) => Ok(Turn::Wait),
            Err(error) => Err(failed("write into")(error)),
        }
    }

    /// Removes leases of windows long before this one. For whoever has dropped.
    pub fn tidy(&self) {
        // What cannot be removed is removed another time.
        let _ = self.open().and_then(|leases| {
            let oldest = window_name(self.since.saturating_sub(OLD));
            let mut old = Vec::new();
            leases.each_name(NAMES_MAX, |name| {
                if let Some((window, _)) = parse(name)
                    && window < oldest.as_str()
                    && old.len() < REMOVED_MAX
                {
                    old.push(name.to_vec());
                }
            })?;
            old.iter().try_for_each(|name| leases.remove_file(name))
        });
    }

    fn open(&self) -> io::Result<Directory> {
        let workload = self.share.make_workload(&self.workload).map_err(ShareError::into_io)?;
        workload.make_directory(LEASES, workload.access()?)
    }

    fn file_name(&self, number: u32) -> String {
        format!("{}.{number}.json", window_name(self.since))
    }

    /// The number of the last lease of this window.
    fn newest(&self, leases: &Directory) -> io::Result<Option<u32>> {
        let own = window_name(self.since);
        let mut newest = None;
        leases.each_name(NAMES_MAX, |name| {
            if let Some((window, number)) = parse(name)
                && window == own
            {
                newest = newest.max(Some(number));
            }
        })?;
        Ok(newest)
    }

    /// Whether the holder of a lease may still seal its drop.
    fn is_held(&mut self, leases: &Directory, number: u32, elapsed: Duration) -> io::Result<bool> {
        let lease = match leases.read_bounded(&self.file_name(number), LEASE_BYTES_MAX) {
            Ok(bytes) => serde_json::from_slice::<LeaseJson>(&bytes).ok(),
            // Somebody removed it, or has filled it with something: nobody is behind it.
            Err(error) if crate::files::is_later(&error) => return Err(error),
            Err(_) => None,
        };
        let fingerprint = match lease {
            // It is just being written, or never will be.
            None => 0,
            Some(lease) => {
                let workload = self.workload.clone();
                let address = DropAddress { workload, day: lease.day, drop: lease.drop };
                match self.look_at(&address)? {
                    Holder::GaveUp => return Ok(false),
                    Holder::Looks(fingerprint) => fingerprint,
                }
            }
        };
        let seen = match &mut self.seen {
            Some(seen) if seen.number == number => seen,
            seen => seen.insert(Seen { number, fingerprint, changed: elapsed }),
        };
        if seen.fingerprint != fingerprint {
            (seen.fingerprint, seen.changed) = (fingerprint, elapsed);
        }
        Ok(elapsed.saturating_sub(seen.changed) < self.beat.saturating_mul(SILENT_BEATS))
    }

    fn look_at(&self, address: &DropAddress) -> io::Result<Holder> {
        let root = self.share.directory()?;
        let directory = match root.descend(&address.components()) {
            // Not begun yet, or cleaned away already.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holder::Looks(1)),
            directory => directory?,
        };
        if OpenRecord::read(&directory)?.is_some_and(|open| open.failed.is_some()) {
            return Ok(Holder::GaveUp);
        }
        let mut names = 2_u64;
        directory.each_name(LOOKED_AT, |name| {
            let mut hasher = DefaultHasher::new();
            name.hash(&mut hasher);
            // The same in whatever order they come.
            names = names.wrapping_add(hasher.finish());
        })?;
        Ok(Holder::Looks(names))
    }

    /// Takes the lease of this number; whether it was free.
    fn take(
        &self,
        leases: &Directory,
        number: u32,
        drop: DropId,
        instance: Option<&str>,
    ) -> io::Result<bool> {
        let instance = instance.map(|text| text.chars().take(255).collect());
        let day = drop.claimed_time().day();
        let mut bytes =
            serde_json::to_vec(&LeaseJson { version: LEASE_VERSION, drop, day, instance })?;
        bytes.push(b'\n');
        let name = self.file_name(number);
        match leases.create_new(&name, &bytes, leases.access()?) {
            Ok(()) => Ok(true),
            // Another one was quicker; or a file server made it and lost the answer: then nobody is
            // behind it, and it is taken over like any other.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The holder of a lease, as its drop shows it.
enum Holder {
    GaveUp,
    /// Another value means that it lives.
    Looks(u64),
}

/// The name of a window on the share: `20260131t020000z`.
fn window_name(since: Timestamp) -> String {
    let text = since.to_string();
    text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// The window and the number that the name of a lease tells.
fn parse(name: &[u8]) -> Option<(&str, u32)> {
    let (window, number) =
        std::str::from_utf8(name).ok()?.strip_suffix(".json")?.split_once('.')?;
    Some((window, number.parse().ok()?))
}
