//! The vault: the on-premises end, where drops are kept.
//!
//! - The core (`core`) publishes, adopts and records. One repository per workload is made and opened
//!   here only (`core::repositories`); its key leaves sealed to who may have it. Nothing is made where
//!   anything remembers a repository that is missing (`core::presence`, `core::care`); what operators
//!   order is written down first (`core::orders`).
//! - What arrives is believed when it is proved (`core::admission`), and published last
//!   (`core::publish`); what only the receiver can know of it lies beside the repository
//!   (`core::arrivals`). What is held now, and whether a bill is of the drop that is held, is said by
//!   `core::custody`. Promises are watched by `core::promise_monitor`.
//! - The doors (`doors`) are above the core, and the process that starts and stops it all (`process`)
//!   above both.
//!
//! - Who is told of incidents, by which routes, is kept by `core::alerts` and carried by the couriers of `outlast_wire::outside`.
//! - What nothing could give back is saved beside the repositories (`core::own_state`), which the secret of
//!   recovery kits opens (`core::kit`): [`make_kit`], and on an empty machine [`recover`]. Until its agents
//!   have reported, a vault that was brought back lets nothing be released (`core::withheld`).
//!
//! The catalog is a cache: it is filled from repositories and arrival records when it is missing
//! or damaged, and by [`rebuild`]. All of this crate blocks; call it from threads.

mod core;
mod doors;
mod process;

pub use core::agreements::{AGREEMENTS, Agreement, agreed};
pub use core::audit::{AuditFault, AuditGap, AuditHead, AuditSelection, AuditVerdict};
pub use core::drills::{DrillPart, DrillPolicy};
pub use core::error::VaultError;
pub use core::limits::{AgentLimits, LimitPolicy, UNLIMITED};
pub use core::months::MonthVerdict;
pub use core::policy::SanityPolicy;
pub use core::recovery::Rebuilt;
pub use core::refusal::{Enrolling, TokenRefusal};
pub use core::retention::{RetentionPolicy, RetentionRule};
pub use core::scrubs::ScrubPolicy;
pub use core::storage::StorageError;
pub use process::{
    Awaited, ConfigFile, DrillGround, IDENTITY_PLACE, Kit, KitError, KitOrder, KitSummary,
    MadeKitOutcome, NewConfig, RecoverError, Recovered, Recovery, StartError, VaultConfig,
    VaultHandle, awaited_since, drill_ground, export_audit, listen_address, make_kit, rebuild,
    recover, start, verify_audit, verify_month,
};
