//! Adopting files: what teams write anywhere on the share becomes drops, and nothing changes for them.
//!
//! - A [`Rule`] says which files (`glob`), of which workload, and when they are believed.
//! - [`Round`] finds them, [`Settling`] waits until they have not changed for a while,
//!   [`judge`] tells whether they were taken before, and [`copy`] takes them.
//! - [`remove`] removes what the vault holds, where a rule says so.
//! - [`waiting`] tells people what waits, and why.
//!
//! Nothing is remembered of what was taken but drops and receipts: see `identity`. So whoever removes receipts leaves those of files
//! that still lie there.

mod copy;
mod find;
mod glob;
mod identity;
mod judge;
mod rule;
mod settle;
pub mod waiting;

pub use copy::{CopyError, copy};
pub use find::{Found, Member, Round, Step, StepLimits, Trouble, TroubleKind};
pub use judge::{Candidate, Judged, Judgement, judge, remove};
pub use rule::{InvalidRule, Meant, Removal, Rule, RulePart, RuleText};
pub use settle::{Settling, Stillness};
