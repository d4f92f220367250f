//! The words of Outlast as types.
//!
//! Ground floor: everything may depend on it, it depends on nothing of ours, and it rarely
//! changes. It holds validated names and ids ([`WorkloadName`], [`DropId`]), a point in time
//! ([`Timestamp`]), human sizes and durations ([`human`]) and the doors through which the engine
//! crates see the outside world: [`Clock`], [`Timer`], [`Random`] and [`Monitor`], bundled as
//! [`Environment`]. No I/O happens here except in the system's implementations of those doors.

pub mod backoff;
pub mod clock;
pub mod code;
pub mod drop_identity;
pub mod environment;
pub mod hex;
pub mod human;
pub mod id;
pub mod interrupt;
pub mod monitor;
pub mod name;
pub mod owner;
pub mod pattern;
pub mod pulse;
pub mod random;
pub mod safe;
pub mod sanity;
pub mod time;
pub mod timer;

pub use backoff::Backoff;
pub use clock::{Clock, SystemClock};
pub use code::{ContentKind, DoubtCode, ProblemCode, ProblemKind, RejectionCode, Verdict};
pub use drop_identity::DropIdentity;
pub use environment::Environment;
pub use id::{
    BlobId, ContentHash, DropId, IndexId, KeyId, LockId, PackId, RepositoryId, RequestId,
    Sha256Hash, ShareId, SnapshotId, SpoolId, TenureId,
};
pub use interrupt::Interrupt;
pub use monitor::{Monitor, Silent};
pub use name::{InvalidName, WorkloadName};
pub use owner::{Owner, UnknownOwner};
pub use pattern::{InvalidPattern, WorkloadPattern};
pub use pulse::Pulse;
pub use random::{Random, SystemRandom};
pub use safe::{InvalidSafe, Safe};
pub use sanity::{Doubt, Sanity, SanityRule};
pub use time::{Day, Timestamp};
pub use timer::{SystemTimer, Timer};
