//! Leaving: a drop that may go leaves the directory by one rename, while nobody reads.

use outlast_fs::durable;
use outlast_types::Timestamp;

use crate::desk::Desk;
use crate::error::HandoverError;
use crate::lease;
use crate::ledger::{Event, Tracked};
use crate::offer::DropKey;
use crate::stage::remove_all;

/// Why nothing leaves now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Somebody has a lease.
    Lease { jobs: usize },
    /// It is in the hours in which the product reads.
    Window,
}

impl Desk {
    /// Whether somebody reads, or may.
    pub fn is_read(&self, now: Timestamp) -> Result<Option<Reading>, HandoverError> {
        let (leases, is_whole) = lease::list(&self.place)?;
        let open = leases.values().filter(|lease| !lease.is_over(now)).count();
        if open > 0 || !is_whole {
            return Ok(Some(Reading::Lease { jobs: open }));
        }
        Ok(self.rules.is_read_at(now).then_some(Reading::Window))
    }

    /// Takes out what may go, as far as nobody reads; what went.
    pub fn clear_out(&mut self) -> Result<Vec<DropKey>, HandoverError> {
        self.clear_out_of(|_| true)
    }

    /// The same of those that are meant.
    pub fn clear_out_of(
        &mut self,
        is_meant: impl Fn(&Tracked) -> bool,
    ) -> Result<Vec<DropKey>, HandoverError> {
        let mut left = Vec::new();
        let mut going = self.ledger.releasable(&self.rules);
        going.retain(|drop| self.ledger.get(drop).is_some_and(&is_meant));
        for drop in going {
            if !self.leave(&drop)? {
                break;
            }
            left.push(drop);
        }
        self.empty_trash()?;
        Ok(left)
    }

    /// Takes one drop out; `false` if somebody reads.
    fn leave(&mut self, drop: &DropKey) -> Result<bool, HandoverError> {
        let Some(tracked) = self.ledger.get(drop) else { return Ok(true) };
        let path = tracked.offer.path.clone();
        // A job that begins now waits until it is out, and then lists what is there.
        let environment = self.environment.clone();
        let _still = lease::hold_still(&self.place, &environment)?;
        let now = environment.clock.now();
        if self.is_read(now)?.is_some() {
            return Ok(false);
        }
        // First the word: what is known to have left and is there leaves at the next start.
        self.record(Event::Removed { drop: drop.clone(), at: now })?;
        self.take_out(&path)?;
        Ok(true)
    }

    /// Moves a drop's directory out of the one that is read.
    pub(crate) fn take_out(&self, path: &str) -> Result<(), HandoverError> {
        let from = self.place.directory().join(path);
        let to = self.place.trash().join(path.replace('/', "."));
        remove_all(&to)?;
        match durable::move_new(&from, &to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            moved => moved.map_err(HandoverError::io("take out", &from)),
        }
    }

    /// Removes what was taken out.
    pub(crate) fn empty_trash(&self) -> Result<(), HandoverError> {
        let trash = self.place.trash();
        for entry in std::fs::read_dir(&trash).map_err(HandoverError::io("list", &trash))? {
            let entry = entry.map_err(HandoverError::io("list", &trash))?;
            remove_all(&entry.path())?;
        }
        Ok(())
    }
}
