//! Everything that crosses the wire, and the only crate that sees TLS.
//!
//! - Who somebody is: [`Identity`], its [`Role`] and name from a certificate of our
//!   [`CertificateAuthority`], signatures ([`signature`]), and keys sealed to it ([`sealed_key`]).
//! - The road: mutual TLS ([`tls`]), a server loop with limits ([`server`]).
//! - The words: the restic REST protocol as a server ([`rest`], guarded by the table in
//!   [`access`]) and as a [`Store`](outlast_store::Store) ([`RestStore`]); our own calls as types
//!   ([`api`]) and as a client ([`ApiClient`]); what a vault holds now ([`holdings`]).
//!
//! The clients block. They must not be called from asynchronous code: use
//! `tokio::task::spawn_blocking` or a thread of their own.

mod certificate;
mod http;

pub mod access;
pub mod api;
pub mod ca;
pub mod client;
pub mod holdings;
pub mod identity;
pub mod rest;
pub mod sealed_key;
pub mod server;
pub mod signature;
pub mod tls;

pub use crate::http::CertificateTrouble;
pub use api::client::{ApiClient, CallError};
pub use ca::CertificateAuthority;
pub use client::{AddressError, Credentials, RestStore};
pub use identity::{Identity, Peer, Role, Validity};
