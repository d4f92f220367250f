//! From the spool to the vault: several objects at one time, each workload in its turn and its order.
//!
//! Within a workload the oldest goes first, and an index only when no pack that came before it waits
//! (I5). Before anything is sent, the vault is asked in one question for thousands what it lacks. An
//! object goes in slices, each about as long as the line takes for it in two seconds: after each,
//! another workload may have its turn, and a line that breaks costs no more than that.

use std::collections::HashSet;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outlast_spool::Item;
use outlast_types::{Interrupt, WorkloadName};
use outlast_wire::CallError;
use outlast_wire::api::{AskLacking, ErrorCode};
use outlast_wire::client::{Pace, Part, Sent};
use rustix::io::Errno;

use crate::media::{Counters, Media};
use crate::queue::{Job, Outcome, object_of};

/// How long a slice may take beyond what its bytes need at the slowest.
const DEADLINE: Duration = Duration::from_secs(60);
/// A slower line than this is taken for one that stalls, in bytes a second.
const SLOWEST: u64 = 2 << 10;
const CANNOT_BE_READ: &str = "cannot be read from the spool's disk";

impl Media {
    /// Forwards until the end is asked for: what a thread does.
    pub(crate) fn keep_forwarding(&self, stop: &Interrupt) {
        let (queue, environment) = (&self.queue, &self.environment);
        let seen = (&*self.spool, &*self.line, &self.link);
        while let Some((workload, job)) = queue.next(seen, environment, stop) {
            let began = environment.timer.elapsed();
            let outcome = match &job {
                Job::Ask(items) => self.ask(&workload, items),
                Job::Send { item, offset, length } => self.send(item, *offset, *length),
            };
            let took = environment.timer.elapsed().saturating_sub(began);
            queue.done((&workload, &job), outcome, took, environment);
        }
    }

    /// Asks which of these the vault lacks, and lets go of the others.
    fn ask(&self, workload: &WorkloadName, items: &[Item]) -> Outcome {
        let named: Vec<String> = items.iter().map(|item| object_of(item).to_string()).collect();
        let mut reason = no_ticket();
        for ticket in self.tickets.of_workload(workload) {
            let asked = AskLacking { objects: named.clone() };
            let mut client = self.link.client().beside();
            client.show_ticket(&ticket);
            let answer = client.lacking(workload, &asked);
            if self.link.note(&answer).is_some() {
                return Outcome::Away;
            }
            match answer {
                Ok(lacking) => {
                    let lacking: HashSet<String> = lacking.lacking.into_iter().collect();
                    let there =
                        items.iter().zip(&named).filter(|(_, name)| !lacking.contains(*name));
                    for (item, _) in there {
                        Counters::add(&self.counters.known, 1);
                        self.gone(item);
                    }
                    return Outcome::Gone;
                }
                Err(error) if is_about_the_ticket(&error) => reason = error.words(),
                Err(error) => return Outcome::AllWait(error.words()),
            }
        }
        Outcome::AllWait(reason)
    }

    /// Sends a slice of an object.
    fn send(&self, item: &Item, offset: u64, length: u64) -> Outcome {
        let content = match self.slice(item, offset, length) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let object = object_of(item);
        let workload = &item.key.workload;
        let pace: Arc<dyn Pace> = Arc::clone(&self.line) as _;
        let mut reason = no_ticket();
        for ticket in self.tickets.of_workload(workload) {
            let part = Part { object, offset, total: item.size, content: content.clone() };
            let deadline = DEADLINE + Duration::from_secs(length / SLOWEST);
            let client = self.link.client();
            let sent =
                client.forward(workload, Some(&ticket), item.shipment, part, &pace, deadline);
            if self.link.note(&sent).is_some() {
                return Outcome::Away;
            }
            match sent {
                Ok(Sent::Partly { offset }) => return Outcome::GoesOn { offset },
                Ok(sent) => {
                    match sent {
                        Sent::Exists => Counters::add(&self.counters.known, 1),
                        _ => {
                            Counters::add(&self.counters.forwarded, 1);
                            Counters::add(&self.counters.forwarded_bytes, item.size);
                        }
                    }
                    self.gone(item);
                    return Outcome::Gone;
                }
                Err(error) if is_about_the_ticket(&error) => reason = error.words(),
                Err(error) => return self.not_taken(item, &error),
            }
        }
        Outcome::AllWait(reason)
    }

    /// What is done with an object that the vault did not take.
    fn not_taken(&self, item: &Item, error: &CallError) -> Outcome {
        let reason = error.words();
        match error.code() {
            Some(ErrorCode::PackMissing) if self.is_superseded(item) => Outcome::Gone,
            Some(ErrorCode::PackMissing) => Outcome::ItWaits(reason),
            // What is damaged here is of no use; else something on the way was wrong once.
            Some(ErrorCode::WrongHash) if self.is_whole(item) => Outcome::AllWait(reason),
            Some(ErrorCode::WrongHash) => {
                self.spoiled(item, "is damaged in the spool");
                Outcome::Gone
            }
            Some(ErrorCode::Unacceptable | ErrorCode::TooLarge | ErrorCode::BadName) => {
                Counters::add(&self.counters.refused, 1);
                let (workload, object) = (&item.key.workload, object_of(item));
                self.lost(format!(
                    "{object} of {workload} is dropped, the vault will never take it: {reason}"
                ));
                self.gone(item);
                Outcome::Gone
            }
            _ => Outcome::AllWait(reason),
        }
    }

    /// An object is of no use any more: its agent sends it again, since the vault lacks it.
    fn spoiled(&self, item: &Item, how: &str) {
        Counters::add(&self.counters.spoiled, 1);
        let (workload, object) = (&item.key.workload, object_of(item));
        self.lost(format!(
            "{object} of {workload} {how}, so its agent sends it again: look at the spool's disk"
        ));
        if let Some(drop) = item.shipment {
            // Rather than a receipt that says too much.
            self.tallies.forget(&(workload.clone(), drop));
        }
        self.gone(item);
    }

    /// An object leaves the spool.
    fn gone(&self, item: &Item) {
        if let Err(error) = self.spool.remove(item) {
            // It comes again at the next start, and the vault knows it.
            tracing::error!(%error, "cannot remove what was forwarded");
        }
    }

    fn slice(&self, item: &Item, offset: u64, length: u64) -> Result<Bytes, Outcome> {
        let mut content = vec![0; usize::try_from(length).unwrap_or_default()];
        let file = match self.spool.read(item) {
            Ok(file) => file,
            Err(outlast_spool::SpoolError::Absent { .. }) => {
                let here = self.spool.find(&item.key);
                // Else it was dropped since.
                if here.is_some_and(|here| here.arrival == item.arrival) {
                    self.spoiled(item, "has vanished from the spool");
                }
                return Err(Outcome::Gone);
            }
            Err(outlast_spool::SpoolError::Io { source, .. }) if is_of_the_disk(&source) => {
                self.spoiled(item, CANNOT_BE_READ);
                return Err(Outcome::Gone);
            }
            Err(error) => return Err(Outcome::AllWait(error.to_string())),
        };
        match file.read_exact_at(&mut content, offset) {
            Ok(()) => Ok(content.into()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                self.spoiled(item, "is cut off in the spool");
                Err(Outcome::Gone)
            }
            Err(error) if is_of_the_disk(&error) => {
                self.spoiled(item, CANNOT_BE_READ);
                Err(Outcome::Gone)
            }
            Err(error) => Err(Outcome::AllWait(format!("cannot read {}: {error}", item.key.what))),
        }
    }

    /// Whether an object in the spool is what its name says.
    fn is_whole(&self, item: &Item) -> bool {
        let Ok(mut file) = self.spool.read(item) else { return false };
        let mut hash = outlast_format::Sha256::new();
        let mut piece = vec![0; 64 << 10];
        loop {
            match std::io::Read::read(&mut file, &mut piece) {
                Ok(0) => return hash.finish() == item.key.what.hash(),
                Ok(read) => hash.update(&piece[..read]),
                Err(_) => return false,
            }
        }
    }
}

/// Whether the disk itself cannot give what lies on it, now or later.
fn is_of_the_disk(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

fn no_ticket() -> String {
    "no agent has shown a ticket for it that is good; it waits until one does".to_owned()
}

/// Whether another agent's ticket may do better.
fn is_about_the_ticket(error: &CallError) -> bool {
    matches!(error.code(), Some(ErrorCode::NoTicket | ErrorCode::NotGranted))
}
