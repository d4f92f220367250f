//! The engine: backup, restore, check on a repository in the restic format.
//!
//! A [`Repository`] is an open store with its key. [`backup`] writes into it: content is read once
//! and flows through bounded stages side by side; nothing is published before all it refers to is
//! durable. [`read`], [`restore`] and [`check`] read it back, each naming what is damaged and going
//! on with the rest; [`repair`] makes the index anew; [`forget`] removes snapshots, and [`prune`]
//! what nobody needs then. [`mod@copy`] brings one tree into another repository, and [`mod@reach`] shows all that one needs. The [`Index`] knows where every blob lies, and the journal remembers
//! packs that a killed backup uploaded but did not index yet. [`proving`] is for whoever takes in packs that
//! others made.
//!
//! The crate sees no terminal, environment, clock or randomness of its own: callers hand in
//! [`outlast_types::Clock`], [`outlast_types::Random`], [`outlast_types::Monitor`] and a
//! [`outlast_store::Store`].

pub mod backup;
mod cache;
mod cache_error;
pub mod check;
mod chunk_id_cache;
pub mod copy;
mod credential;
mod error;
pub mod forget;
mod found_lock;
pub mod index;
mod index_file;
mod inventory;
mod journal;
pub mod lock;
mod open_store;
mod pack_header;
mod packer;
mod proof;
pub mod proving;
pub mod prune;
pub mod reach;
pub mod read;
mod read_error;
pub mod repair;
mod repository;
pub mod restore;
mod sorted;

pub use cache_error::CacheError;
pub use chunk_id_cache::ChunkIdCache;
pub use credential::{Credential, NewPassword};
pub use error::{Hindrance, RepoError};
pub use index::{Index, Location};
pub use outlast_format::key_file::{KeyFile, Maker};
pub use repository::Repository;
