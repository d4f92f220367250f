//! The agent between a real share and a real vault, over mutual TLS.
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod addressee;
mod adopting;
mod bad;
mod crash;
mod custody;
mod death;
mod hops;
mod hostile;
mod hostile_server;
mod hygiene;
mod killed;
mod revoked;
mod sanity;
mod share;
mod slow;
mod support;
mod transit;
mod vaulting;
