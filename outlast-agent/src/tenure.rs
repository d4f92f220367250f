//! One share, one agent: whether this agent may serve what lies there.
//!
//! The agent counts on the share, in marks with an id of its own, and remembers how far. What follows
//! from the marks that it finds is a pure function ([`judge`]):
//!
//! - its own mark is there, as far as it had counted: it goes on;
//! - it is not, or counts less: this is a copy, an older state, or another agent has taken over. It
//!   serves nothing until somebody says that this is meant;
//! - it remembers nothing, and nobody else was here, or itself by its name: it begins;
//! - it remembers nothing, and another agent was here: it waits until that one has been still for
//!   [`TAKE_OVER`].

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_drop::tenure::{self, Marks};
use outlast_drop::{Share, ShareError};
use outlast_types::{Random, TenureId};

use crate::problem::{Met, Problem};
use crate::state::{StateDirectory, StateError};

/// How often an agent counts.
const BEAT: Duration = Duration::from_secs(20);
/// How long another agent must have been still, by our own timer, before its share is taken over: no
/// pass is as long.
const TAKE_OVER: Duration = Duration::from_secs(600);

/// What an agent knows of who serves its share.
#[derive(Debug)]
pub(crate) struct Tenure {
    own: Option<(TenureId, u64)>,
    counted: Option<Duration>,
    /// The marks of others: how far each had counted when it was last seen to count, when that was, and
    /// whether it was seen to count.
    others: BTreeMap<TenureId, Other>,
    /// The one that is waited for, of which the log tells once.
    awaited: Option<TenureId>,
    is_blind: bool,
}

#[derive(Debug, Clone, Copy)]
struct Other {
    count: u64,
    since: Duration,
    is_alive: bool,
}

/// What follows from the marks on a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Serve it, in the tenure that is remembered.
    GoOn,
    /// Serve it, in a new tenure.
    Begin,
    /// Another agent was here a moment ago.
    Wait(TenureId),
    /// Another agent serves it.
    Taken(TenureId),
    /// It is not as we left it.
    Copied,
}

impl Tenure {
    pub(crate) fn remembered(state: &StateDirectory) -> Self {
        let own = state.tenure();
        Self { own, counted: None, others: BTreeMap::new(), awaited: None, is_blind: false }
    }

    /// The one that this agent is in.
    pub(crate) fn id(&self) -> Option<TenureId> {
        self.own.map(|(id, _)| id)
    }

    /// Whether this agent, which is called `me`, may serve the share at the moment; leaves its mark.
    pub(crate) fn claim(
        &mut self,
        share: &Share,
        me: &str,
        state: &StateDirectory,
        random: &dyn Random,
        now: Duration,
    ) -> Result<bool, Problem> {
        let unwritable = |error: StateError| Met::StateUnwritable.because(error.to_string());
        let unreadable = |error: ShareError| Met::ShareUnusable.because(error.to_string());
        let marks = tenure::marks(share).map_err(unreadable)?;
        self.see(&marks, now);
        let name = |tenure: TenureId| tenure::agent(share, tenure, marks.get(&tenure).copied()?);
        match judge(self.own, &marks, &self.others, now, |id| name(id).as_deref() == Some(me)) {
            Verdict::GoOn => {
                // A mark whose count was not remembered any more: now, before the next one is left. Else a share
                // that takes no mark as a whole for a while would count far more than is remembered here.
                if let Some((id, count)) = &mut self.own
                    && let Some(found) = marks.get(id).filter(|found| **found != *count)
                {
                    state.remember_tenure(*id, *found).map_err(unwritable)?;
                    *count = *found;
                }
            }
            Verdict::Begin => (self.own, self.counted) = (Some((TenureId::new(random), 0)), None),
            Verdict::Wait(other) => {
                if self.awaited.replace(other) != Some(other) {
                    tracing::info!(
                        agent = name(other),
                        "another agent has served this share; waiting until it is known to be gone"
                    );
                }
                return Ok(false);
            }
            Verdict::Taken(other) => {
                let agent = name(other).unwrap_or_else(|| "another agent".to_owned());
                let file = state.tenure_file();
                let reason = format!(
                    "{} is served by {agent}, and not by this agent any more: stop one of the two (for \
                     this one to take over, stop it, remove {}, and start it)",
                    share.path().display(),
                    file.display()
                );
                return Err(Met::ShareTaken.because(reason));
            }
            Verdict::Copied => {
                let file = state.tenure_file();
                let reason = format!(
                    "{} is not as this agent left it, but a copy of it or an older state: check the mount; \
                     nothing is read or changed there (if it is meant to be served, stop the agent and remove {})",
                    share.path().display(),
                    file.display()
                );
                return Err(Met::ShareCopied.because(reason));
            }
        }
        self.count(share, me, state, now)?;
        Ok(true)
    }

    /// Notes who has counted.
    fn see(&mut self, marks: &Marks, now: Duration) {
        let own = self.own.map(|(id, _)| id);
        self.others.retain(|id, _| marks.contains_key(id));
        for (id, count) in marks.iter().filter(|(id, _)| Some(**id) != own) {
            let begin = Other { count: *count, since: now, is_alive: false };
            let other = self.others.entry(*id).or_insert(begin);
            // One that counts less is an older mark, whose removal a crash of the file server has undone.
            if *count > other.count {
                *other = Other { is_alive: true, ..begin };
            }
        }
    }

    /// Counts on, if it is time, and removes the marks of those who are gone.
    fn count(
        &mut self,
        share: &Share,
        me: &str,
        state: &StateDirectory,
        now: Duration,
    ) -> Result<(), Problem> {
        let Some((id, count)) = self.own else { return Ok(()) };
        if self.counted.is_some_and(|counted| now.saturating_sub(counted) < BEAT) {
            return Ok(());
        }
        let next = count + 1;
        match tenure::put(share, id, next, me) {
            // A share that was made before there were marks may not let us make them.
            Err(error @ ShareError::Io { .. }) if count == 0 && !error.is_later() => {
                if !std::mem::replace(&mut self.is_blind, true) {
                    tracing::warn!("copies of this share cannot be told apart: {error}");
                }
                self.own = None;
                // A part of it would be taken for another agent's.
                if let Err(error) = tenure::remove(share, id, u64::MAX) {
                    tracing::debug!("{error}");
                }
                return Ok(());
            }
            result => result.map_err(|error| Met::ShareUnusable.because(error.to_string()))?,
        }
        // Afterwards, so that the share never counts less than is remembered here.
        state
            .remember_tenure(id, next)
            .map_err(|error| Met::StateUnwritable.because(error.to_string()))?;
        (self.own, self.counted) = (Some((id, next)), Some(now));
        let gone = self.others.keys().map(|other| (*other, u64::MAX));
        for (tenure, below) in gone.chain([(id, next)]) {
            if let Err(error) = tenure::remove(share, tenure, below) {
                tracing::debug!("{error}");
            }
        }
        Ok(())
    }
}

/// What follows from the marks on a share; `is_me` says whether a tenure is one of an agent of our name.
fn judge(
    own: Option<(TenureId, u64)>,
    marks: &Marks,
    others: &BTreeMap<TenureId, Other>,
    now: Duration,
    is_me: impl Fn(TenureId) -> bool,
) -> Verdict {
    // Of a tenure whose first mark could not be left, nothing can be missed.
    let own = own.filter(|(id, count)| *count > 0 || marks.contains_key(id));
    let Some((id, count)) = own else {
        let is_there =
            |(_, other): &(&TenureId, &Other)| now.saturating_sub(other.since) < TAKE_OVER;
        let waiting = others.iter().filter(is_there).map(|(id, other)| (*id, other.is_alive));
        // Of our name: this host, with its memory lost, or the one that it replaces.
        let mut waiting = waiting.filter(|(id, _)| !is_me(*id));
        return match waiting.next() {
            None => Verdict::Begin,
            Some((other, true)) => Verdict::Taken(other),
            Some((other, false)) => Verdict::Wait(other),
        };
    };
    let newest_other = || others.keys().next().copied();
    match marks.get(&id) {
        // The count of the next mark may not have been remembered.
        Some(found) if (count..=count.saturating_add(1)).contains(found) => {
            // Two that began in one moment: each sees the other at work.
            let rival = others.iter().find(|(other, of)| of.is_alive && **other < id);
            rival.map_or(Verdict::GoOn, |(other, _)| Verdict::Taken(*other))
        }
        // Somebody goes on with a copy of our memory.
        Some(found) if *found > count => Verdict::Taken(id),
        _ => newest_other().map_or(Verdict::Copied, Verdict::Taken),
    }
}

#[cfg(test)]
mod tests;
