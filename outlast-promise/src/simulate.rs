//! A year in a minute: the ledger, driven through everything that happens to servers, and judged.
//!
//! A [`Scenario`] says what happens; [`simulate`] plays it. Three parts know nothing of each other's
//! thoughts:
//!
//! - `world` works out what happens from what befalls whom: which drops are sealed, when an agent sees
//!   them, when it is heard, when they are vaulted;
//! - `drive` tells that to a real [`Ledger`](crate::Ledger) as a vault would, and notes who is paged when;
//! - `oracle` says who had to be paged, and from when until when. It is written from the definitions
//!   (DESIGN.md §3 and §8) with sets of spans of time over the whole history, and has nothing in common
//!   with the ledger, which knows only what it heard so far.
//!
//! `verdict` compares the two. Everything follows from the scenario, its seed included; a scenario that
//! finds a fault is made smaller by [`shrink`] until every part of it is needed.
//!
//! Time here is the receiver's, in seconds since the beginning: it passes while the vault is down, and a
//! clock that is set forward cannot be told from a vault that slept. A clock that is set back takes
//! nothing away.

mod account;
mod chance;
mod dice;
mod drive;
mod handing;
mod happening;
mod infrastructure;
mod life;
mod oracle;
mod pact;
mod product;
mod scenario;
mod shrink;
mod spans;
mod verdict;
mod words;
mod world;
mod zone;

pub use drive::simulate;
pub use happening::{Chances, Happening, Kind, What, Whom};
pub use scenario::{InvalidScenario, Scenario};
pub use shrink::shrink;
pub use verdict::{Counts, Fault, FaultKind, Outcome, PageSent};

#[cfg(test)]
mod tests;
