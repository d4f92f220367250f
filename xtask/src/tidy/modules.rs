//! The modules of a crate, and which imports what from which: re-exports are followed to the
//! module that defines a name.

mod names;
mod source;
mod tree;
mod uses;

pub(crate) use tree::Tree;
pub(crate) use uses::Edge;
