//! Opening what is walked so that nothing of it changes, and patience with those who hold it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

/// How long a file is waited for that another program has a lease on (Samba, an NFS server), or
/// for which there is no free descriptor. By then the kernel has taken a lease away: it gives the
/// holder 45 seconds (`/proc/sys/fs/lease-break-time`).
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Pauses that can be cut short for good.
#[derive(Debug, Default)]
pub(super) struct Patience {
    lost: Mutex<bool>,
    changed: Condvar,
}

impl Patience {
    /// Waits; whether the whole time passed.
    fn pause(&self, time: Duration) -> bool {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(lost, time, |lost| !*lost);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Ends all pauses, those to come included.
    pub(super) fn lose(&self) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

/// Opens `name` for reading. The time of the last access stays as it is where the kernel lets us:
/// for the owner and for root. What another program holds is asked for again and again.
pub(super) fn open(
    parent: impl AsFd,
    name: impl Arg + Copy,
    flags: OFlags,
    patience: &Patience,
) -> Result<OwnedFd, Errno> {
    let parent = parent.as_fd();
    let mut flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOATIME;
    let (mut waited, mut pause) = (Duration::ZERO, FIRST_PAUSE);
    loop {
        match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Err(Errno::INTR) => {}
            // Somebody else's, or a file system that does not know the flag.
            Err(Errno::PERM | Errno::INVAL) if flags.contains(OFlags::NOATIME) => {
                flags.remove(OFlags::NOATIME);
            }
            Err(errno @ (Errno::AGAIN | Errno::MFILE | Errno::NFILE)) => {
                if waited >= PATIENCE || !patience.pause(pause) {
                    return Err(errno);
                }
                waited += pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            result => return result,
        }
    }
}

/// Opens a directory for reading, with the same patience.
pub(super) fn open_directory(
    parent: impl AsFd,
    name: impl Arg + Copy,
    flags: OFlags,
    patience: &Patience,
) -> Result<OwnedFd, Errno> {
    open(parent, name, flags | OFlags::DIRECTORY, patience)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::CWD;

    use super::*;

    #[test]
    fn patience_that_was_lost_ends_every_pause() {
        let patience = Patience::default();
        assert!(patience.pause(Duration::from_millis(1)));
        patience.lose();
        assert!(!patience.pause(Duration::from_secs(3600)));
    }

    #[test]
    fn opening_and_reading_leaves_the_time_of_the_last_access_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mbox");
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(b"unread").unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.set_times(fs::FileTimes::new().set_accessed(long_ago)).unwrap();
        let opened = open(CWD, path.as_path(), OFlags::NOFOLLOW, &Patience::default()).unwrap();
        let mut content = [0; 6];
        rustix::io::read(&opened, &mut content).unwrap();
        assert_eq!((&content, path.metadata().unwrap().atime()), (b"unread", 1_000_000_000));
    }
}
