//! Reading: snapshots, trees, files.
//!
//! Everything here takes a repository for possibly damaged and possibly hostile. Each object is
//! believed only after its authentication code and its hash fit its name; sizes, depths and counts
//! are bounded; what cannot be had is an error that names it, and listings go on with the rest.

pub(crate) mod blob;
mod cat;
pub(crate) mod copies;
pub(crate) mod fetch;
pub(crate) mod nodes;
pub(crate) mod pool;
mod snapshots;
pub(crate) mod tree;

pub use cat::cat;
pub use fetch::load_blob;
pub(crate) use snapshots::named;
pub use snapshots::{Resolved, Snapshots, resolve, resolve_at, resolve_first, snapshots};
pub use tree::{Found, TreeWalk, WalkError, find, load_tree, ls};

pub use crate::read_error::{BlobError, ReadError, TreeError};
