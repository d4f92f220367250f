//! The vault: the on-premises end, where drops are kept.
//!
//! - One repository per workload, made and opened here only (`depot`); its key leaves sealed to
//!   who may have it. Nothing is made where anything remembers a repository that is missing
//!   (`presence`, `caretaker`); what operators order is written down first (`orders`).
//! - What arrives is believed when it is proved (`admission`), and published last (`publish`); what
//!   only the receiver can know of it lies beside the repository (`arrival`). What is held now, and whether
//!   a bill is of the drop that is held, is said by `custody`.
//! - Promises are watched once a second and at every event; ledger and catalog change together
//!   (`watch`).
//! - Two front doors on one port behind mutual TLS: restic's REST protocol (`host`) and
//!   `/api/v1` (`api`).
//!
//! The catalog is a cache: it is filled from repositories and arrival records when it is missing
//! or damaged, and by [`Vault::rebuild`]. All of this crate blocks; call it from threads.

mod admission;
mod api;
mod arrival;
mod bodies;
mod caretaker;
mod config;
mod custody;
mod depot;
mod error;
mod hearing;
mod host;
mod orders;
mod presence;
mod publish;
mod serve;
mod vault;
mod watch;

use std::sync::Arc;

use outlast_types::{Clock, Random, SystemClock, SystemRandom};

pub use config::{ConfigError, VaultConfig, listen_address};
pub use error::VaultError;
pub use serve::VaultHandle;
pub use vault::{Rebuilt, Vault};

/// The doors to the outside world.
#[derive(Clone)]
pub struct Doors {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

impl Doors {
    /// Those of the host.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }
}

#[cfg(test)]
mod tests;
