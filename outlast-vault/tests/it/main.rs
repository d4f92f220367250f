//! A vault as its clients see it: over mutual TLS, with real repositories on a disk.

mod crash;
mod promises;
mod restic;
mod road;
mod roles;
mod support;
