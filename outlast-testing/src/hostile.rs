//! A file server that does all that network file systems are known to do to their clients, and that
//! has no network: a FUSE file system in memory, mounted once for each client.
//!
//! ```text
//! writer's mount ─► Client ─┐
//!                           ├─► Disk  (one server; what was not synced is torn by a crash)
//! agent's mount  ─► Client ─┘
//! ```
//!
//! Each client has a memory of its own that can be stale, and a plan of faults that strike at chosen
//! calls: the n-th creation answers ENOSPC, the third removal is done and answered as a
//! retransmission would be. So a schedule is a handful of numbers, and a seed tells all of it.
//!
//! The kernel's own protocol is spoken here, a page of it (`wire`): libraries for it would be nine
//! packages, and none lets a reply go astray.

mod disk;
mod plan;
mod server;
mod wire;

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

pub use plan::{Fault, Habits, Planned, Verb};

use disk::Disk;
use server::{Client, locked};

/// A file server in memory.
#[derive(Debug, Clone)]
pub struct Hostile {
    disk: Arc<Mutex<Disk>>,
}

/// A mount of it; unmounted when it goes out of scope.
#[derive(Debug)]
pub struct Mounted {
    path: PathBuf,
    client: Arc<Mutex<Client>>,
}

/// The reason why nothing can be mounted here, for a line that says so.
pub fn obstacle() -> Option<String> {
    let path = std::env::temp_dir().join(format!("outlast-hostile-{}", std::process::id()));
    if let Err(error) = std::fs::create_dir(&path) {
        return Some(format!("{}: {error}", path.display()));
    }
    let obstacle = Hostile::new(Habits::default(), 0).try_mount(&path).err();
    // Unmounted by now; what is left of it harms nobody.
    let _ = std::fs::remove_dir(&path);
    obstacle
}

impl Hostile {
    /// An empty one. What of unsynced data a crash leaves is drawn from `seed`.
    pub fn new(habits: Habits, seed: u64) -> Self {
        Self { disk: Arc::new(Mutex::new(Disk::new(habits, seed))) }
    }

    /// Mounts it at `path`, which is made. `None`, with a note, where this machine or user has no FUSE.
    #[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
    pub fn mount(&self, path: &Path) -> io::Result<Option<Mounted>> {
        std::fs::create_dir_all(path)?;
        match self.try_mount(path) {
            Ok(mounted) => Ok(Some(mounted)),
            Err(why) => {
                println!("SKIPPED, NO HOSTILE FILE SERVER IS TRIED: {why}");
                Ok(None)
            }
        }
    }

    fn try_mount(&self, path: &Path) -> Result<Mounted, String> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|error| format!("/dev/fuse: {error}"))?;
        let options =
            format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        let options = CString::new(options).map_err(|error| error.to_string())?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("hostile", path, "fuse", flags, options.as_c_str())
            .map_err(|error| format!("FUSE cannot be mounted: {error}"))?;
        let client = Arc::new(Mutex::new(Client::default()));
        let mounted = Mounted { path: path.to_owned(), client: Arc::clone(&client) };
        let disk = Arc::clone(&self.disk);
        std::thread::Builder::new()
            .name("hostile".to_owned())
            .spawn(move || server::serve(&device, &disk, &client))
            .map_err(|error| error.to_string())?;
        Ok(mounted)
    }

    /// The server crashes and comes back, as in [`Fault::Crash`].
    pub fn crash(&self) {
        locked(&self.disk).crash();
    }
}

impl Mounted {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Plans a fault.
    pub fn plan(&self, planned: Planned) {
        locked(&self.client).plan(planned);
    }

    /// Forgets the faults that are still to come, and everything stale.
    pub fn heal(&self) {
        locked(&self.client).heal();
    }

    /// The faults that struck so far.
    pub fn struck(&self) -> u32 {
        locked(&self.client).struck()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The thread ends with the last file that somebody has open.
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}
