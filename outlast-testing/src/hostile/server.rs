//! One client's session with the server: its faults, and what it remembers although it has changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::disk::Disk;
use super::plan::{Fault, Planned, Verb};
use super::wire::{self, Answer, Ask, Caller, Listed, REQUEST_MAX, What};

/// What is the client's own.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Faults to come, with what is left to count.
    plan: Vec<Planned>,
    struck: u32,
    /// The tree as it was, and for how many calls it is still taken for what is.
    stale: Option<(Disk, u32)>,
    /// What was listed when a directory was opened.
    listed: BTreeMap<u64, Vec<Listed>>,
}

impl Client {
    pub(super) fn plan(&mut self, planned: Planned) {
        self.plan.push(planned);
    }

    pub(super) fn heal(&mut self) {
        self.plan.clear();
        self.stale = None;
    }

    pub(super) fn struck(&self) -> u32 {
        self.struck
    }

    /// The faults that this call meets.
    fn faults(&mut self, verb: Verb) -> Vec<Fault> {
        let mut met = Vec::new();
        self.plan.retain_mut(|planned| {
            if planned.verb != verb {
                return true;
            }
            planned.nth = planned.nth.saturating_sub(1);
            if planned.nth == 0 {
                met.push(planned.fault);
            }
            planned.nth > 0
        });
        self.struck += u32::try_from(met.len()).unwrap_or(u32::MAX);
        met
    }
}

impl Ask {
    fn verb(&self) -> Option<Verb> {
        Some(match self {
            Self::Look { .. } => Verb::Look,
            Self::Stat { .. } => Verb::Stat,
            Self::Change { .. } => Verb::Change,
            Self::MakeDirectory { .. } => Verb::MakeDirectory,
            Self::Create { .. } => Verb::Create,
            Self::Remove { .. } => Verb::Remove,
            Self::RemoveDirectory { .. } => Verb::RemoveDirectory,
            Self::Rename { .. } => Verb::Rename,
            Self::Open { .. } => Verb::Open,
            Self::Read { .. } => Verb::Read,
            Self::Write { .. } => Verb::Write,
            Self::Sync { .. } => Verb::Sync,
            Self::List { .. } => Verb::List,
            Self::Release { .. } | Self::Nothing => return None,
        })
    }
}

/// Answers until it is unmounted.
pub(super) fn serve(mut device: &File, disk: &Mutex<Disk>, client: &Mutex<Client>) {
    let mut buffer = vec![0; REQUEST_MAX];
    loop {
        let length = match device.read(&mut buffer) {
            Ok(length) => length,
            // A request that was taken back before it was read.
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => continue,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let request = wire::parse(&buffer[..length]);
        let unique = request.unique;
        let reply = match request.what {
            What::Silent => continue,
            What::Begin => wire::begun(unique),
            What::Figures => wire::figures(unique),
            What::Unknown => wire::reply(unique, Err(Errno::NOSYS)),
            What::Page { node, from, size } => {
                let client = locked(client);
                let names = client.listed.get(&node).map_or(&[][..], Vec::as_slice);
                wire::page(unique, names, from, size)
            }
            What::Ask(ask) => {
                wire::reply(unique, answer(&ask, request.caller, disk, &mut locked(client)))
            }
        };
        // Nobody waits for a reply that the kernel does not take.
        let _ = device.write(&reply);
    }
}

fn answer(
    ask: &Ask,
    caller: Caller,
    disk: &Mutex<Disk>,
    client: &mut Client,
) -> Result<Answer, Errno> {
    let faults = ask.verb().map(|verb| client.faults(verb)).unwrap_or_default();
    let mut afterwards = None;
    let mut again = false;
    for fault in faults {
        match fault {
            Fault::Fails(errno) => return Err(errno),
            Fault::DoneButFails(errno) => afterwards = Some(errno),
            Fault::ReplyLost => again = true,
            Fault::Slow(time) => std::thread::sleep(time),
            Fault::Stale(calls) => client.stale = Some((locked(disk).clone(), calls)),
            Fault::Crash => locked(disk).crash(),
        }
    }
    let mut disk = locked(disk);
    let mut result = remembered(ask, caller, client).unwrap_or_else(|| {
        let result = disk.answer(ask, caller);
        if !again {
            return result;
        }
        forgotten(&mut disk, ask, &result);
        disk.answer(ask, caller)
    });
    if let Some((memory, _)) = &mut client.stale {
        disk.refresh(memory, ask);
    }
    if let (Ask::List { node }, Ok(Answer::Names(names))) = (ask, &mut result) {
        client.listed.insert(*node, std::mem::take(names));
    }
    match afterwards {
        Some(errno) => {
            forgotten(&mut disk, ask, &result);
            Err(errno)
        }
        None => result,
    }
}

/// Whoever never heard that it opened a file will not close it: the server does.
fn forgotten(disk: &mut Disk, ask: &Ask, result: &Result<Answer, Errno>) {
    let node = match (ask, result) {
        (_, Ok(Answer::Created(attributes))) => attributes.node,
        (Ask::Open { node }, Ok(_)) => *node,
        _ => return,
    };
    let _ = disk.answer(&Ask::Release { node }, Caller::default());
}

/// The answer of a stale memory.
fn remembered(ask: &Ask, caller: Caller, client: &mut Client) -> Option<Result<Answer, Errno>> {
    let (memory, left) = client.stale.as_mut()?;
    if !matches!(ask, Ask::Look { .. } | Ask::Stat { .. } | Ask::List { .. }) {
        return None;
    }
    if *left == 0 {
        client.stale = None;
        return None;
    }
    *left -= 1;
    let answer = memory.answer(ask, caller);
    // It has never heard of it: then it asks.
    (!matches!(answer, Err(Errno::STALE))).then_some(answer)
}

/// What is shared, whoever broke while holding it.
pub(super) fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
