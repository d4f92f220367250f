//! A lab of real file servers and real clients: NFS-Ganesha and Samba in a network namespace of
//! their own, and application hosts that mount them with the kernel's own NFS and CIFS clients.
//!
//! Each host is a user-mode Linux: a kernel as an ordinary process, whose root is this machine's, so
//! that whatever cargo built runs in it unchanged. It boots in seconds, needs neither KVM nor
//! modules of this kernel, and has a disk of its own for what must survive it.
//!
//! Nothing of this machine is changed but a namespace, which goes with the lab, also after a
//! failure: what a killed owner left behind is swept away by the next lab.
//!
//! ```sh
//! cargo xtask lab up                  # servers; says where the exported directories are
//! cargo xtask lab run drop.sh other.sh   # one host for each script, at the same time
//! cargo xtask lab down
//! ```

mod guest;
mod network;
mod server;
mod system;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use guest::{Guest, Job, Mount, Outcome};
pub use server::{PASSWORD as SMB_PASSWORD, Server};

use network::Network;

/// What a lab needs: a file that proves that a Debian package is there, below one of the usual places
/// of programs and libraries, and the package.
const NEEDED: [(&str, &str); 9] = [
    ("bin/linux.uml", "user-mode-linux"),
    ("bin/ganesha.nfsd", "nfs-ganesha"),
    ("lib/*/ganesha/libfsalvfs.so", "nfs-ganesha-vfs"),
    ("sbin/smbd", "samba"),
    ("sbin/mount.nfs", "nfs-common"),
    ("sbin/mount.cifs", "cifs-utils"),
    ("sbin/modprobe", "kmod"),
    ("sbin/mkfs.ext4", "e2fsprogs"),
    ("bin/ip", "iproute2"),
];

/// The kind of file system that containers have of their layers, as `statfs` says it.
const OVERLAY: i128 = 0x794c_7630;

/// The reason why there can be no lab on this machine, for a line that says so.
pub fn obstacle() -> Option<String> {
    let missing: Vec<_> =
        NEEDED.iter().filter(|(proof, _)| !is_there(proof)).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        return Some(format!("these Debian packages are missing: {}", missing.join(" ")));
    }
    if !rustix::process::geteuid().is_root() {
        return Some("making a network namespace needs root".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun".to_owned());
    }
    // A server of NFS finds files by handles, which the file system of a container has not.
    let place = std::env::temp_dir();
    if rustix::fs::statfs(&place).is_ok_and(|facts| i128::from(facts.f_type) == OVERLAY) {
        return Some(format!("{} is on an overlay, which cannot be exported", place.display()));
    }
    // Whatever a container is called, it has the rights or not.
    let network = Network::of_this_process();
    let made = network.make().and_then(|()| network.plug("tap0"));
    let obstacle = match made {
        Ok(()) => guest::obstacle(&network).map(|why| format!("no kernel can be run here: {why}")),
        Err(error) => Some(format!("no network can be made here: {error}")),
    };
    network.remove();
    obstacle
}

fn is_there(proof: &str) -> bool {
    ["/usr", "", "/usr/local"].iter().any(|above| match proof.split_once("/*/") {
        None => Path::new(&format!("{above}/{proof}")).exists(),
        Some((before, after)) => {
            let between = fs::read_dir(format!("{above}/{before}")).into_iter().flatten();
            between.flatten().any(|entry| entry.path().join(after).exists())
        }
    })
}

/// Servers, and the network that they and the hosts share.
#[derive(Debug)]
pub struct Lab {
    directory: PathBuf,
    network: Network,
    /// Whether all of it goes with this value.
    is_ours: bool,
}

impl Lab {
    /// Makes a lab in an empty directory; it goes with the value.
    pub fn up(directory: &Path) -> io::Result<Self> {
        Network::sweep();
        let network = Network::of_this_process();
        let lab = Self { directory: directory.to_owned(), network, is_ours: true };
        lab.begin().map(|()| lab)
    }

    /// Makes a lab that stays until somebody [attaches](Self::attach) to it and takes it down.
    pub fn up_to_stay(directory: &Path) -> io::Result<Self> {
        let mut lab = Self::attach(directory);
        // Until it is up: half a lab goes.
        lab.is_ours = true;
        lab.begin()?;
        lab.is_ours = false;
        Ok(lab)
    }

    /// The lab that stays in this directory.
    pub fn attach(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), network: Network::that_stays(), is_ours: false }
    }

    fn begin(&self) -> io::Result<()> {
        for name in ["nfs", "squashed", "smb", "run", "rec", "state", "hosts"] {
            fs::create_dir_all(self.directory.join(name))?;
        }
        let nobody = server::NOBODY;
        let (user, group) = (rustix::fs::Uid::from_raw(nobody), rustix::fs::Gid::from_raw(nobody));
        rustix::fs::chown(self.squashed_side(), Some(user), Some(group))?;
        self.network.make()?;
        server::configure(&self.directory)?;
        for server in [Server::Nfs, Server::Smb] {
            self.start(server)?;
        }
        Ok(())
    }

    /// Where the lab keeps what it makes.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory that is exported as `/backups`, and mounted at `/mnt/nfs`.
    pub fn nfs_side(&self) -> PathBuf {
        self.directory.join("nfs")
    }

    /// The same with root squashed, which is nobody there, as its owner: `/squashed`.
    pub fn squashed_side(&self) -> PathBuf {
        self.directory.join("squashed")
    }

    /// The directory that is shared as `backups`, and mounted at `/mnt/smb`.
    pub fn smb_side(&self) -> PathBuf {
        self.directory.join("smb")
    }

    /// Starts a server (again), and waits until it listens.
    pub fn start(&self, server: Server) -> io::Result<()> {
        server.start(&self.directory, &self.network)
    }

    /// kill -9.
    pub fn kill(&self, server: Server) -> io::Result<()> {
        server.kill(&self.network)
    }

    /// A command that runs in the lab's network, on this machine's kernel.
    pub fn command(&self, program: &str) -> std::process::Command {
        self.network.command(program)
    }

    /// Boots host number `number` (1 to 200, at `10.77.0.11` and up), which mounts `mounts`. One that
    /// was there before finds its disk as it was, at `/mnt/disk`.
    pub fn boot(&self, number: u8, mounts: &[Mount]) -> io::Result<Guest> {
        let init = |directory: &Path| guest::init_script(directory, number, mounts);
        Guest::boot(&self.directory.join("hosts"), &self.network, number, init)
    }

    /// Boots a host as machines are: its first program is systemd, over this machine's system and none of its services,
    /// with `files` laid over it. Nothing that it changes stays. `prepare` is run there before, by bash.
    pub fn boot_system(&self, number: u8, files: &Path, prepare: &str) -> io::Result<Guest> {
        let init = |directory: &Path| system::init_script(directory, number, files, prepare);
        Guest::boot(&self.directory.join("hosts"), &self.network, number, init)
    }

    /// Ends every process in the lab's network, and the network.
    pub fn down(&self) {
        self.network.remove();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.is_ours {
            self.down();
        }
    }
}
