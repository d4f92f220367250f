//! The real binary against real peers, on real input.

mod cli;
mod harness;
mod repo;
mod repo_damage;
mod road;
mod share;
mod share_faults;
mod survival;
mod vault_rest;
