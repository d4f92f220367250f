//! Prune beside backups, in every order and killed anywhere; stock restic as a judge.

mod awaited;
mod beside;
mod explore;
mod full;
mod many;
mod trust;
mod turnstile;
pub(crate) mod world;
