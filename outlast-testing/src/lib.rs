//! Development only: trees that break backup tools, and a judge that compares trees.
//!
//! [`torture_tree`] builds one of everything that a file system can hold and that tools are known
//! to lose; [`compare_trees`] names every difference between two trees that a restore should have
//! made equal; [`pace`] tells how fast code is, and [`ManualTime`] lets months pass in a moment. A [`lab`]
//! has real file servers and real clients, and the [`hostile`] file system does on purpose what they do
//! seldom. A [`faulty_line`] is narrow and breaks. A [`netbackup`] stands in for a product that nobody can install. [`explore`] looks at all
//! states of a model, and [`cases()`] says how often a property is tried. Only tests, benchmarks and chores depend on this crate.

mod cases;
mod chance;
mod compare;
pub mod explore;
pub mod faulty_line;
pub mod hostile;
pub mod lab;
pub mod netbackup;
pub mod pace;
mod time;
mod torture;

pub use cases::cases;
pub use chance::Sequence;
pub use compare::{allocated_bytes, compare_trees, read_through};
pub use time::ManualTime;
pub use torture::{Skipped, add_raw_link_targets, pseudo_random, torture_tree};

#[cfg(test)]
mod tests;
