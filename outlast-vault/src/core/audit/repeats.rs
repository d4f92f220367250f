//! What happens again and again is counted, and written once a minute.
//!
//! A peer that is refused a thousand times a second must not fill the disk, and must not be forgotten
//! either. The first time is an entry at once. What is the same within the minute after it is counted
//! in memory, and becomes one more entry with the number of times. A kill loses at most that count.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::api::ErrorCode;

use super::entry::{AuditAction, Event, Outcome};

const WINDOW: Duration = Duration::from_secs(60);
/// So many things that were done are told apart at one time. More are entries of their own, each of
/// which cost its peer more than us.
const DONE_MAX: usize = 4096;
/// So many with refusals, of which a peer has a few. More are counted together.
const KNOWN_MAX: usize = 2 * DONE_MAX;
/// Whose refusals those are.
const OTHERS: &str = "others";

#[derive(Default)]
pub(super) struct Repeats(BTreeMap<Key, Count>);

/// In what entries are the same. Refusals are so whatever they were about, which the peer chooses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    actor: String,
    action: AuditAction,
    outcome: Outcome,
    code: Option<ErrorCode>,
    workload: Option<WorkloadName>,
    /// What something that was done was for: one of few words.
    purpose: Option<String>,
}

struct Count {
    since: Timestamp,
    times: u64,
    /// The last one.
    event: Event,
}

/// What is to be written of an event.
pub(super) struct Due {
    pub(super) event: Event,
    pub(super) times: u64,
    pub(super) since: Timestamp,
}

impl Repeats {
    /// Whether the event is one more of those that were written already, and counted as that.
    pub(super) fn counts(&mut self, event: &Event, now: Timestamp) -> bool {
        let is_done = event.outcome == Outcome::Done;
        let mut key = Key {
            actor: event.actor.clone(),
            action: event.action.clone(),
            outcome: event.outcome,
            code: event.code.clone(),
            workload: event.workload.clone().filter(|_| is_done),
            purpose: event.details.get("purpose").filter(|_| is_done).cloned(),
        };
        if self.0.len() >= KNOWN_MAX && !self.0.contains_key(&key) {
            OTHERS.clone_into(&mut key.actor);
        }
        // Also in one whose minute is over: the next `due` writes it.
        if let Some(count) = self.0.get_mut(&key) {
            count.times += 1;
            count.event = event.clone();
            return true;
        }
        if !is_done || self.0.len() < DONE_MAX {
            self.0.insert(key, Count { since: now, times: 0, event: event.clone() });
        }
        false
    }

    /// What was counted in minutes that are over, or in all.
    pub(super) fn due(&mut self, now: Timestamp, all: bool) -> Vec<Due> {
        let mut due = Vec::new();
        self.0.retain(|key, count| {
            if !all && !is_over(count, now) {
                return true;
            }
            if count.times > 0 {
                let event = Event { actor: key.actor.clone(), ..count.event.clone() };
                due.push(Due { event, times: count.times, since: count.since });
            }
            false
        });
        due
    }
}

/// A clock that was set back ends the minute, too.
fn is_over(count: &Count, now: Timestamp) -> bool {
    now < count.since || now.since(count.since) >= WINDOW
}
