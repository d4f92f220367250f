//! Development only: fuzz targets for every parser of what comes from outside.
//!
//! Repositories and shares are input from strangers. Each [`Target`] feeds bytes to one parser and
//! panics if a promise is broken: nothing makes a parser panic, loop or take more memory than it
//! may, and what it accepts survives being written and read again. [`drive`](drive::drive) makes
//! inputs from a corpus with a seeded [`Mutator`](mutate::Mutator), so that every run can be
//! repeated; the tests run each target for a moment, `cargo run -p outlast-fuzz` as long as wanted.
//!
//! Only stable Rust is asked for, so nothing measures which code an input reaches. Instead a target
//! tells what came of an input ([`Outcome`]), and inputs with an outcome that is new are mutated
//! further.

#![expect(clippy::expect_used, reason = "a target panics when a promise is broken")]

pub mod corpus;
pub mod disk;
pub mod drive;
pub mod format;
pub mod harvest;
pub mod mutate;
mod outcome;
pub mod product;
pub mod share;
pub mod tar;
mod targets;

pub use outcome::Outcome;
pub use targets::{TARGETS, Target, target};

#[cfg(test)]
mod tests;
