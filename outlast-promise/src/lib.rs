//! Workloads, their promises, and the incidents that open when a promise breaks.
//!
//! Pure: no clock, no I/O. Time comes in with every call, so that a year of blue and green can be
//! replayed in seconds. What decides, and what never does:
//!
//! - **Freshness comes from facts only**: the vault published a snapshot, or a backup product confirmed that it
//!   has a drop, whichever policy counts, as old as the drop's first sight. What a writer says of its own time is
//!   not even passed in.
//! - **An instance that vanishes is not an observation.** There is no event for it: not for a drop
//!   that was begun, nor for one that was abandoned. A workload, not a server, makes a promise.
//! - **Every promise that breaks is covered by exactly one open incident**, its own or the one
//!   whose cause explains it (a silent agent, a share that is not mounted, a rejected drop, a vault
//!   that was down). After an outage, its incident stays open as [catching up](CatchingUp) while what
//!   waited arrives, and explains what still waits: until nothing moves for a [while](Settings::stall), or
//!   until it takes twice as long as was first estimated. What a returned agent does not name, having
//!   looked at all of its share, waits for nothing and pages at once; before it has looked, it gets one
//!   [agent deadline](Settings::agent_deadline). Nothing is held back for ever: a pause
//!   ends by itself, and what is retired and drops all the same is told.
//! - **Incidents resolve by themselves**, when their cause is gone.
//!
//! [`Ledger`] is the state machine; [`evaluate`] is the arithmetic of one promise. What is stored of a
//! ledger are [rows](Row), of which only those change that an event is about.

mod agenda;
mod catching_up;
mod cause;
mod class;
mod error;
mod event;
mod evidence;
mod form;
mod handed;
mod handover_state;
mod incident;
mod layers;
mod ledger;
mod limit;
mod origin;
mod policy;
mod promise;
mod promised;
mod releases;
mod retention;
mod sanity;
mod schedule;
mod service;
pub mod simulate;
mod slowness;
mod source_state;
mod state;
mod status;
mod stopped;
mod table;
mod telling;
mod terms;
mod verification;
mod verified;
mod window;
mod workload;

pub use catching_up::CatchingUp;
pub use cause::{Cause, Key, LostDrop, Subject, Topic};
pub use class::{Class, ClassName, Freshness, InvalidClass, InvalidClassName, Part, Quiet};
pub use error::LedgerError;
pub use event::{Event, Finding, Order, Source, Validity};
pub use form::{Row, RowChange, Unsaved};
pub use handed::{FailedJob, Handed, HandoverId, HandoverRule, Room};
pub use incident::{Change, Incident};
pub use layers::Effective;
pub use ledger::Ledger;
pub use limit::{Excess, Limit};
pub use origin::Origin;
pub use outlast_types::{InvalidSafe, Safe};
pub use policy::{Policy, PolicyFlaw, Said};
pub use promise::{Declaration, InvalidPromise, Promise, State, evaluate};
pub use promised::Promised;
pub use retention::{
    Candidate, Conditions, InvalidKeep, InvalidSpan, InvalidWorkHours, Keep, Kept, Point, Reason,
    Rule, SlowClock, Span, judge, plan, work_hours,
};
pub use sanity::{Measure, doubts};
pub use schedule::{InvalidSchedule, Schedule};
pub use service::ServiceStatus;
pub use slowness::{Backlog, Slowness, slowness};
pub use status::{Settings, SourceStatus, WorkloadStatus};
pub use stopped::Stopped;
pub use verification::{
    Damage, DrillLevel, DrillPick, DrillRule, DrillTrouble, Shortening, Unread, due_within,
    overdue_after,
};
pub use window::{InvalidWindow, LongRun, Window, longest_run};
pub use workload::Quarantined;

#[cfg(test)]
mod tests;
