//! The agent: the one long-lived process that reads the share and ships drops.
//!
//! It is a loop with a single owner ([`Agent::run`]). A pass watches the share (`watcher`), decides
//! what each drop needs (`decision`, pure), does it (`Agent::apply`, the one place), ships
//! (`shipper`, to a [`Destination`]) and is reported (`board`, `reporter`).
//!
//! **Architecture invariants**
//! - What became of a drop is written on the share, as receipts; the agent's own directory holds
//!   nothing that cannot be lost. So it may be killed between any two steps, or replaced by
//!   another host, and goes on.
//! - A receipt counts only if somebody whom our authority certified for that role signed it. In
//!   particular, nothing is released but on the word of a vault.
//! - A drop is read once: the same pass over its bytes proves every hash and feeds the engine.
//! - A file that a rule adopts is copied into a drop, by the `adopter`, as by any other writer; what was taken is
//!   seen by drops and receipts, and by nothing that the agent remembers.
//! - One workload's failure is that workload's: it waits, the others go on, and so they do while a
//!   drop takes hours (`hauls`). Only a vault that cannot be reached makes all wait.
//! - What another backup product reads lies in a directory beside (`handover`), which holds up nothing here.
//! - The agent listens on nothing. What it has to say travels with its reports, which a thread of
//!   their own sends (`reporter`).
//! - Time is the agent's own clock. A writer's time is passed on as a claim and decides nothing.

mod action;
mod adopter;
mod agent;
pub mod answers;
mod board;
mod budget;
mod config;
mod crew;
mod custody;
mod decision;
pub mod declaration;
mod destination;
mod figures;
mod handover;
mod hauls;
mod lifecycle;
mod line;
mod lookout;
mod notices;
mod pace;
mod problem;
mod queue;
mod receipts;
mod report;
mod reporter;
mod repositories;
mod seal_keys;
mod secured;
mod shipper;
mod shutdown;
mod sights;
mod sources;
mod state;
mod statement;
mod sweep;
mod tenure;
mod tier;
mod tracker;
mod upstream;
mod watcher;
mod workload;

pub use agent::{Agent, AgentError};
pub use budget::Budgets;
pub use config::{AgentConfig, Changes, Confirming, Handover};
pub use destination::{Cargo, Content, Delivered, Destination, Failure, Taken};
pub use handover::Asking;
pub use problem::{Met, Problem};
pub use report::{PassReport, ShippedDrop};
pub use seal_keys::{SealKeys, SealKeysError};
pub use secured::{KeepRule, Secured};
pub use shutdown::Shutdown;
pub use sources::OwnSources;
pub use state::{SHARE_NOTE, StateError};
pub use upstream::{Upstream, UpstreamError, Vault};
