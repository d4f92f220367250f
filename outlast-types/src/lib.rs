//! The words of Outlast as types.
//!
//! Ground floor: everything may depend on it, it depends on nothing of ours, and it rarely
//! changes. It holds validated names and ids ([`WorkloadName`], [`DropId`]), a point in time
//! ([`Timestamp`]), human sizes and durations ([`human`]) and the doors through which the engine
//! crates see the outside world: [`Clock`], [`Random`] and [`Monitor`]. No I/O happens here except
//! in the two system implementations of those doors.

pub mod clock;
pub mod code;
pub mod drop_identity;
pub mod hex;
pub mod human;
pub mod id;
pub mod monitor;
pub mod name;
pub mod random;
pub mod time;

pub use clock::{Clock, SystemClock};
pub use code::{ProblemCode, ProblemKind, RejectionCode};
pub use drop_identity::DropIdentity;
pub use id::{
    BlobId, ContentHash, DropId, IndexId, KeyId, LockId, PackId, RepositoryId, Sha256Hash, ShareId,
    SnapshotId,
};
pub use monitor::{Monitor, Silent};
pub use name::{InvalidName, WorkloadName};
pub use random::{Random, SystemRandom};
pub use time::{Day, Timestamp};
