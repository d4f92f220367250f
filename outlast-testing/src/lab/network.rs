//! A network namespace with a bridge, to which the servers listen and the hosts are plugged.

use std::fs;
use std::io;
use std::process::{Command, Output, Stdio, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The servers' address, in every lab: each has a network of its own.
pub(super) const SERVER: &str = "10.77.0.1";
/// Begins the names of all labs' namespaces; the number of the owner follows.
const PREFIX: &str = "outlast-lab-";
const STAYS: &str = "outlast-lab-stays";
/// How long the processes in a network may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub(super) struct Network {
    namespace: String,
}

impl Network {
    /// One that is this process's own.
    pub(super) fn of_this_process() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { namespace: format!("{PREFIX}{}-{count}", id()) }
    }

    pub(super) fn that_stays() -> Self {
        Self { namespace: STAYS.to_owned() }
    }

    /// Removes what owners left that are dead.
    pub(super) fn sweep() {
        let listed = Command::new("ip").args(["netns", "list"]).output();
        let listed = listed.map(|output| output.stdout).unwrap_or_default();
        for line in String::from_utf8_lossy(&listed).lines() {
            let name = line.split_whitespace().next().unwrap_or_default();
            let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
            let Some(owner) = owner.and_then(|owner| owner.parse::<u32>().ok()) else { continue };
            if fs::metadata(format!("/proc/{owner}")).is_err() {
                Self { namespace: name.to_owned() }.remove();
            }
        }
    }

    pub(super) fn make(&self) -> io::Result<()> {
        let address = format!("{SERVER}/24");
        ip(&["netns", "add", &self.namespace])?;
        self.ip(&["link", "set", "lo", "up"])?;
        self.ip(&["link", "add", "br0", "type", "bridge"])?;
        self.ip(&["addr", "add", &address, "dev", "br0"])?;
        self.ip(&["link", "set", "br0", "up"])
    }

    /// A device for a host, plugged into the bridge.
    pub(super) fn plug(&self, device: &str) -> io::Result<()> {
        if self.ip(&["link", "show", device]).is_ok() {
            return Ok(());
        }
        self.ip(&["tuntap", "add", "dev", device, "mode", "tap"])?;
        self.ip(&["link", "set", device, "master", "br0", "up"])
    }

    /// A command that runs in this network.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]).stdin(Stdio::null());
        command
    }

    /// Whether something listens to this port.
    pub(super) fn is_listening(&self, port: u16) -> bool {
        let listed = self.command("ss").args(["-Hltn"]).output();
        let listed = listed.map(|output| output.stdout).unwrap_or_default();
        let end = format!(":{port}");
        String::from_utf8_lossy(&listed)
            .lines()
            .any(|line| line.split_whitespace().any(|word| word.ends_with(&end)))
    }

    /// The processes in this network that run `program`, or all.
    fn processes(&self, program: Option<&str>) -> Vec<Pid> {
        let listed = Command::new("ip").args(["netns", "pids", &self.namespace]).output();
        let listed = listed.map(|output| output.stdout).unwrap_or_default();
        let runs = |pid: &i32| {
            let Some(program) = program else { return true };
            let image = fs::read_link(format!("/proc/{pid}/exe"));
            image.is_ok_and(|image| image.file_name().is_some_and(|name| name == program))
        };
        let numbers = String::from_utf8_lossy(&listed)
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .filter(runs)
            .collect::<Vec<i32>>();
        numbers.into_iter().filter_map(Pid::from_raw).collect()
    }

    /// kill -9 for what runs `program` here (or for everything), and waits until it is gone.
    pub(super) fn kill(&self, program: Option<&str>) -> io::Result<()> {
        let began = Instant::now();
        loop {
            let alive = self.processes(program);
            if alive.is_empty() {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("{alive:?} do not end")));
            }
            for pid in alive {
                // One that has just ended is fine.
                let _ = kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn remove(&self) {
        // As much of it as can be removed: it is called when something has failed.
        let _ = self.kill(None);
        let _ = ip(&["netns", "del", &self.namespace]);
    }

    fn ip(&self, words: &[&str]) -> io::Result<()> {
        ip(&[&["-n", self.namespace.as_str()], words].concat())
    }
}

fn ip(words: &[&str]) -> io::Result<()> {
    succeed(Command::new("ip").args(words)).map(drop)
}

/// Runs a command that must succeed.
pub(super) fn succeed(command: &mut Command) -> io::Result<Output> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output);
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("{command:?} ended with {}: {words}", output.status)))
}
