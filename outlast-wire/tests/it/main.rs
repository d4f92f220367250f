//! The wire with both ends in one process, and stock restic as a client that we did not write.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod calls;
mod conformance;
mod faults;
mod floods;
mod news;
mod parts;
mod plain;
mod restic;
mod roads;
mod roles;
mod support;
mod together;
