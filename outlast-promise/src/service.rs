//! A workload that consists of others, such as its shards: it can be brought back only if each of them can.

use outlast_types::{Timestamp, WorkloadName};

use crate::promise::{Promise, State};
use crate::status::WorkloadStatus;

/// A service as the ledger sees it. It makes no promise beside those of its members, and no incident is its
/// own: what breaks is told of the member that broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    pub service: WorkloadName,
    /// What policy promises of each member of which it says no more.
    pub promise: Promise,
    /// The members that policy lists, in its order; the service itself in the end, if drops of it came.
    pub members: Vec<WorkloadStatus>,
    /// Workloads that are called like members, and that policy does not list.
    pub unlisted: Vec<WorkloadName>,
}

impl ServiceStatus {
    /// The worst state of a member. One that is retired counts for nothing, unless all are.
    pub fn state(&self) -> State {
        let states = self.members.iter().map(|member| member.state);
        states.max_by_key(|state| weight(*state)).unwrap_or(State::NeverSeen)
    }

    /// The moment as of which all of it can be brought back: the oldest of its members' recovery points.
    /// None while one has none.
    pub fn last_vaulted(&self) -> Option<Timestamp> {
        let needed =
            || self.members.iter().filter(|member| weight(member.state) > weight(State::Retiring));
        let all = needed().map(|member| member.last_vaulted).collect::<Option<Vec<_>>>()?;
        all.into_iter().min()
    }
}

/// Who needs whom: the higher one is told of the whole.
fn weight(state: State) -> u8 {
    match state {
        State::Retired => 0,
        State::Retiring => 1,
        State::Fresh | State::Undeclared => 2,
        State::Paused => 3,
        State::Late => 4,
        // Without a recovery point of one, there is none of the whole.
        State::NeverSeen => 5,
        State::Broken => 6,
    }
}
