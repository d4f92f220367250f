//! A stand-in for NetBackup, as far as its client sees it: scripts that it calls, lists, reads, images, a catalogue.
//!
//! Made from the public contract, and harsher where that says nothing. It does what the real one does to a directory: lists first
//! and opens later, by path; takes a file into an incremental only if it was changed after the last backup began, by whole
//! seconds; calls `bpend_notify` when the client has sent its data and before anybody knows whether that is stored; makes a
//! synthetic full of what the last backup saw, without asking the client. Its `bpclimagelist` and `bplist` are programs
//! ([`Server::programs`]) that tell what its catalogue has.

mod catalogue;
mod client;
mod order;
mod server;

pub use catalogue::{Image, Stored};
pub use order::{Fault, Job, Kind, Order};
pub use server::Server;

#[cfg(test)]
mod tests;
