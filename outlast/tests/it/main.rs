//! The real binary against real peers, on real input.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "these are tests"
)]

mod adopting;
mod audit;
mod cache;
mod cli;
mod config;
mod deploy;
mod disks;
mod doctor;
mod drills;
mod elsewhere;
mod ending;
mod enroll;
mod excluded;
mod fetch;
mod gate;
mod handed;
mod handover;
mod harness;
mod hosts;
mod hygiene;
mod instances;
mod lab;
mod members;
mod names;
mod own_sources;
mod plan;
mod policy;
mod products;
mod prompt;
mod recipes;
mod recover;
mod reload;
mod renewal;
mod repo;
mod repo_damage;
mod repo_faults;
mod repo_names;
mod repo_prune;
mod repo_resume;
mod repo_rights;
mod retention;
mod road;
mod roles;
mod rotation;
mod sanity;
mod secrets;
mod seen;
mod servers;
mod service;
mod share;
mod share_faults;
mod share_users;
mod source;
mod streams;
mod survival;
mod terminal;
mod tiers;
mod upgrade;
mod vault_rest;
mod writers;
