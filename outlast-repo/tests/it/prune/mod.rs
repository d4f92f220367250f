//! Prune beside backups, in every order and killed anywhere; stock restic as a judge.

mod beside;
mod explore;
mod many;
mod turnstile;
mod world;
