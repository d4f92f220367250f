//! A vault as its clients see it: over mutual TLS, with real repositories on a disk.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod absence;
mod admission;
mod between;
mod certificates;
mod crash;
mod custody;
mod enrollment;
mod floods;
mod handovers;
mod jobs;
mod keys;
mod killed;
mod locks;
mod metrics;
mod middle;
mod orders;
mod promises;
mod renames;
mod restic;
mod rights;
mod road;
mod roles;
mod services;
mod support;
