//! The hand-over: a directory that another backup product reads, and what that product has of it.
//!
//! The product is what is there already, with its policies and its media, and nothing of it changes. Its agent
//! lists the [`rules`]' directory first and opens files later, by path; some tell when they begin and end
//! ([`lease`]), some do not. So the directory is right at every instant:
//!
//! - It only grows. A drop is staged beside it ([`stage`], [`build`]), and appears ([`appear`]) whole, by one rename, under a
//!   path that is never used again. It never changes.
//! - Every file's time of change is the moment at which its drop appeared, later than every job that may
//!   have begun without it: so no incremental passes over it.
//! - It leaves ([`leave`]) by one rename, only when the product has it and a newer one of its workload, and while nobody
//!   reads.
//!
//! What the product has is *evidence* ([`evidence`]): data, from whoever knows. A drop is confirmed when each of its files lies
//! in some job that ended well and began after the drop appeared. The [`ledger`] says so; it is pure, and every state is
//! derived from what happened, so that a word that is taken back takes back what followed from it.
//!
//! **Who writes where.** The directory and the [`journal`] are the agent's ([`desk`]). Commands that a product's hooks run make
//! files of their own ([`lease`], [`inbox`]), in a moment and without an agent. What the agent remembers beside the
//! directory can be lost: manifests there are the truth ([`manifest`]), and what is not known to be confirmed is offered.

pub mod age;
pub mod appear;
pub mod build;
pub mod desk;
pub mod error;
pub mod evidence;
pub mod file_set;
pub mod front;
pub mod inbox;
pub mod intake;
pub mod job;
pub mod journal;
pub mod lease;
pub mod leave;
pub mod ledger;
pub mod manifest;
pub mod names;
pub mod offer;
pub mod place;
pub mod pour;
pub mod product;
mod readme;
pub mod restore;
pub mod rules;
pub mod stage;
pub mod status;
pub mod verify;
pub mod words;

pub use desk::Desk;
pub use error::HandoverError;
pub use evidence::{FileFact, Holds, Outcome, Statement};
pub use file_set::FileSet;
pub use job::{JobFacts, JobKey};
pub use lease::Lease;
pub use ledger::{Event, Ledger, State};
pub use offer::{DropKey, Offer};
pub use place::Place;
pub use rules::{Frees, Layout, Rules};
