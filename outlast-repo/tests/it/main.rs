//! The engine against stock restic, damage and hostile repositories. One binary, one link.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod backup;
mod check;
mod damage;
mod existence;
mod flips;
mod forge;
mod interop_read;
mod large;
mod locks;
mod prune;
mod reach;
mod repair;
mod restic;
mod restore;
mod resume;
