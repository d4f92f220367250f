//! The media server: takes what agents send, and forwards it to the vault within a bandwidth calendar.
//!
//! It holds no keys and has no rights of its own: what it does for an agent, it does with that agent's
//! ticket, and what agents sign it hands on as it is. What comes is in the spool ([`outlast_spool`]),
//! durably, before it is acknowledged; from there it goes to the vault, workload by workload in turns
//! (`queue`, `forward`, `line`), as fast as the calendar allows. It may lose its disk at any moment: nobody lets
//! anything go on its word, and a spool that is made anew has another id.

mod answers;
mod cache;
mod config;
mod control;
mod doors;
mod error;
mod export;
mod files;
mod forward;
mod hearing;
mod line;
mod link;
mod media;
mod mode;
mod process;
mod queue;
mod release;
mod restores;
mod status;
mod tally;
mod tickets;
mod words;

pub use config::{MediaConfig, MediaLimits};
pub use control::{Ask, ControlError, ask};
pub use error::MediaError;
pub use export::{Exported, Seed, export, seeds, spool_of};
pub use mode::Mode;
pub use outlast_spool::Room;
pub use process::{MediaHandle, start};
pub use status::{Maintenance, MediaStatus, Tally, word_of};
