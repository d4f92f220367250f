//! A media server between a real vault and what an agent does.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod road;
mod scene;
#[expect(dead_code, reason = "what the tests of the vault need, and these do not")]
#[path = "../../../outlast-vault/tests/it/support.rs"]
mod support;
mod troubles;
