//! Application hosts: user-mode Linux kernels that mount the lab's servers.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::network::{Network, SERVER};
use super::server::{PASSWORD, USER, make_disk, write};

const MEMORY: &str = "mem=512M";
const DISK: u64 = 1 << 30;

/// Something that a host mounts.
#[derive(Debug, Clone)]
pub struct Mount {
    at: &'static str,
    command: String,
}

impl Mount {
    /// The NFS export, at `/mnt/nfs`, with more options: `acregmax=60`.
    pub fn nfs(options: &str) -> Self {
        Self::nfs_export("/backups", options)
    }

    /// The export that squashes root, at `/mnt/nfs`.
    pub fn squashed(options: &str) -> Self {
        Self::nfs_export("/squashed", options)
    }

    fn nfs_export(export: &str, options: &str) -> Self {
        let options = joined("vers=4.1,hard", options);
        let command = format!("mount.nfs -o {options} {SERVER}:{export} /mnt/nfs");
        Self { at: "/mnt/nfs", command }
    }

    /// The SMB share, at `/mnt/smb`, with more options: `seal`, `actimeo=30`.
    pub fn smb(options: &str) -> Self {
        let options = joined(&format!("vers=3.1.1,user={USER},pass={PASSWORD}"), options);
        let command = format!("mount.cifs //{SERVER}/backups /mnt/smb -o {options}");
        Self { at: "/mnt/smb", command }
    }
}

fn joined(options: &str, more: &str) -> String {
    if more.is_empty() { options.to_owned() } else { format!("{options},{more}") }
}

/// A host that is booting or running; its power goes when it goes out of scope.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    directory: PathBuf,
    jobs: u32,
}

/// A script that a host was given to run.
#[derive(Debug)]
pub struct Job(u32);

/// The end of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub code: i32,
    /// All that it printed.
    pub words: String,
}

impl Guest {
    pub(super) fn boot(
        hosts: &Path,
        network: &Network,
        number: u8,
        init: impl FnOnce(&Path) -> String,
    ) -> io::Result<Self> {
        let directory = hosts.join(number.to_string());
        // Jobs of an earlier life, not the disk.
        let _ = fs::remove_dir_all(directory.join("jobs"));
        fs::create_dir_all(directory.join("jobs"))?;
        let disk = directory.join("disk.img");
        if !disk.exists() {
            make_disk(&disk, DISK)?;
        }
        // A place on which each host binds the modules of its own kernel.
        fs::create_dir_all("/lib/modules")?;
        let tap = format!("tap{number}");
        network.plug(&tap)?;
        let script = init(&directory);
        let init = directory.join("init.sh");
        write(&init, &script)?;
        rustix::fs::chmod(&init, rustix::fs::Mode::from_raw_mode(0o755))?;
        let console = File::create(directory.join("console"))?;
        let mut command = kernel(network, MEMORY);
        command.env("TMPDIR", place_of_memory(&directory));
        command.arg(format!("init={}", init.display()));
        command.arg(format!("uml_dir={}", directory.display()));
        command.arg(format!("umid=host{number}"));
        command.arg(format!("ubd0={}", disk.display()));
        command.arg(format!("vec0:transport=tap,ifname={tap},depth=128,gro=1"));
        command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
        let child = command.process_group(0).spawn()?;
        Ok(Self { child, directory, jobs: 0 })
    }

    /// Gives it a script for bash. Each runs beside the others, from the moment in which the host is up.
    pub fn start(&mut self, script: &str) -> io::Result<Job> {
        self.jobs += 1;
        let name = self.directory.join("jobs").join(self.jobs.to_string());
        // It is whole when it has its name.
        let begun = name.with_extension("begun");
        write(&begun, script)?;
        rustix::fs::rename(&begun, name.with_extension("sh"))?;
        Ok(Job(self.jobs))
    }

    /// Waits for the end of a script; an error if the host ends first, or `patience`.
    pub fn wait(&mut self, job: &Job, patience: Duration) -> io::Result<Outcome> {
        let began = Instant::now();
        loop {
            if let Some(outcome) = self.outcome(job) {
                return Ok(outcome);
            }
            let is_running = self.is_running();
            if !is_running || began.elapsed() > patience {
                let console = fs::read(self.directory.join("console")).unwrap_or_default();
                let console = String::from_utf8_lossy(&console).into_owned();
                let how =
                    if is_running { "takes too long" } else { "is not done, and the host down" };
                let words = self.words(job);
                return Err(io::Error::other(format!("it {how}: {console}\n{words}")));
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Runs a script to its end.
    pub fn run(&mut self, script: &str, patience: Duration) -> io::Result<Outcome> {
        let job = self.start(script)?;
        self.wait(&job, patience)
    }

    /// The end of a script, if it has come.
    pub fn outcome(&self, job: &Job) -> Option<Outcome> {
        let code = fs::read_to_string(self.file(job, "code")).ok()?;
        Some(Outcome { code: code.trim().parse().ok()?, words: self.words(job) })
    }

    /// All that a script has printed so far.
    pub fn words(&self, job: &Job) -> String {
        let words = fs::read(self.file(job, "out")).unwrap_or_default();
        String::from_utf8_lossy(&words).into_owned()
    }

    fn file(&self, job: &Job, extension: &str) -> PathBuf {
        self.directory.join("jobs").join(job.0.to_string()).with_extension(extension)
    }

    /// Lets it shut down; an error, and no more power, when that takes longer than `patience`.
    pub fn halt(mut self, patience: Duration) -> io::Result<()> {
        write(&self.directory.join("jobs/halt"), "")?;
        let began = Instant::now();
        while self.is_running() {
            if began.elapsed() > patience {
                return Err(io::Error::other("the host does not halt"));
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Takes away its power.
    pub fn kill(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
    }
}

/// The reason why no host can be booted here. One is, and has nothing to do.
pub(super) fn obstacle(network: &Network) -> Option<String> {
    let mut command = kernel(network, "mem=64M");
    command.env("TMPDIR", std::env::temp_dir()).arg("init=/bin/true");
    match command.output() {
        // It panics when its first program ends.
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stdout);
            let has_begun = words.contains("Attempted to kill init");
            (!has_begun)
                .then(|| words.trim().lines().last().unwrap_or("it says nothing").to_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}

/// A kernel whose root is this machine's.
fn kernel(network: &Network, memory: &str) -> Command {
    let mut command = network.command("linux.uml");
    command.args([memory, "rootfstype=hostfs", "rootflags=/", "rw", "quiet", "loglevel=3"]);
    command.args(["con=null", "con0=null,fd:1", "con1=fd:0,fd:1"]);
    command
}

/// Where hosts keep their memory, a file: in ours if it has room, which containers are often short of.
fn place_of_memory(directory: &Path) -> &Path {
    let shared = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(shared).map(|it| it.f_bavail.saturating_mul(it.f_frsize));
    if room.is_ok_and(|room| room > 4 << 30) { shared } else { directory }
}

/// The address of a host.
pub(super) fn address(number: u8) -> String {
    format!("10.77.0.{}", 10 + u32::from(number))
}

/// Runs the scripts that a host is given, until it is to halt.
pub(super) fn jobs_loop(directory: &Path) -> String {
    format!(
        "cd {}/jobs
next=1
until [ -e halt ]; do
  [ -e $next.sh ] || {{ sleep 0.05; continue; }}
  ( bash $next.sh > $next.out 2>&1 < /dev/null; echo $? > $next.ended; mv $next.ended $next.code ) &
  next=$((next + 1))
done
cd /\n",
        directory.display()
    )
}

/// The first program of a host: mounts, and runs what it finds among its jobs. What is said goes to
/// files, since a console loses lines.
pub(super) fn init_script(directory: &Path, number: u8, mounts: &[Mount]) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let address = address(number);
    let mut text = format!(
        "#!/bin/bash
export PATH='{path}:/usr/sbin:/usr/bin:/sbin:/bin' HOME=/run TMPDIR=/run
mount -t proc proc /proc; mount -t sysfs sys /sys
mount -t tmpfs tmp /run; mount -t tmpfs tmp /mnt
mount --bind /usr/lib/uml/modules /lib/modules
hostname host{number}
ip link set lo up; ip addr add {address}/24 dev vec0; ip link set vec0 up
modprobe -a nfsv4 cifs
mkdir -p /mnt/nfs /mnt/smb /mnt/disk
mount /dev/ubda /mnt/disk || halt -f -p\n"
    );
    for mount in mounts {
        text.push_str(&format!("{} || halt -f -p\n", mount.command));
    }
    text.push_str(&jobs_loop(directory));
    for mount in mounts {
        text.push_str(&format!("umount -l {}\n", mount.at));
    }
    text.push_str("umount /mnt/disk || mount -o remount,ro /mnt/disk\nsync\nhalt -f -p\n");
    text
}
