//! What a command that we started has started in turn: found in `/proc`, told to end, and named.
//!
//! Neither a process group nor a session of its own would do: a dump that asks for a password
//! must stay in the foreground of its terminal, and what a shell left in the background must be
//! found although its parent is gone. Where there is no `/proc`, only the command itself is known.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// A process as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pid: i32,
    /// When it began, in ticks since boot: tells it from a later one with its number; 0 where
    /// nobody tells.
    began: u64,
    pub(crate) name: String,
}

/// What `/proc/PID/stat` says.
struct Stat {
    process: Process,
    parent: i32,
    is_dead: bool,
}

impl Process {
    /// The process, whether it can be looked at or not.
    pub(crate) fn of(pid: Pid, name: &str) -> Self {
        let pid = pid.as_raw_nonzero().get();
        let began = stat(pid).map_or(0, |stat| stat.process.began);
        Self { pid, began, name: name.to_owned() }
    }

    /// Whether it has not ended.
    pub(crate) fn lives(&self) -> bool {
        match stat(self.pid) {
            Some(stat) => stat.process.began == self.began && !stat.is_dead,
            None if self.began != 0 => false,
            None => Pid::from_raw(self.pid).is_some_and(|pid| test_kill_process(pid).is_ok()),
        }
    }

    /// Sends it a signal, if it is still there.
    pub(crate) fn send(&self, signal: Signal) {
        if self.lives()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // It may have ended this moment, which is what was wanted.
            let _ = kill_process(pid, signal);
        }
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// `command` and all that came from it, and all others that hold the pipe with this inode number.
pub(crate) fn family(command: &Process, pipe: u64) -> BTreeSet<Process> {
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for stat in all().filter_map(stat).filter(|stat| !stat.is_dead) {
        children.entry(stat.parent).or_default().push(stat.process);
    }
    let mut family = BTreeSet::from([command.clone()]);
    let mut parents = vec![command.pid];
    while let Some(parent) = parents.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            parents.push(child.pid);
            family.insert(child);
        }
    }
    family.extend(holders(pipe));
    family
}

/// The processes, other than this one, that hold the pipe with this inode number.
pub(crate) fn holders(pipe: u64) -> BTreeSet<Process> {
    let wanted = format!("pipe:[{pipe}]");
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let holds = |pid: &i32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.into_iter()
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target == Path::new(&wanted)))
    };
    let held = all().filter(|pid| *pid != own).filter(holds).filter_map(stat);
    held.map(|stat| stat.process).collect()
}

fn all() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The name is in parentheses and may hold some itself.
    let (head, tail) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let mut fields = tail.split_ascii_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    // The third field after the name is the next one; the beginning is the twentieth.
    let began = fields.nth(17)?.parse().ok()?;
    Some(Stat { process: Process { pid, began, name }, parent, is_dead })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_grandchild_is_of_the_family_and_a_dead_process_does_not_live() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 600 & echo; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut line).unwrap();
        let command = Process::of(Pid::from_child(&shell), "sh");
        // Between fork and exec the sleeper is called like the shell.
        let family = family(&command, 0);
        assert_eq!(family.len(), 2, "{family:?}");
        assert!(family.iter().all(Process::lives));
        for process in &family {
            process.send(Signal::KILL);
        }
        shell.wait().unwrap();
        assert!(!command.lives());
    }
}
