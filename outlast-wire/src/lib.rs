//! Everything that crosses the wire, and the only crate that sees TLS.
//!
//! - Who somebody is: a [`Peer`] with a [`Role`] and a name, by a certificate of our
//!   [`CertificateAuthority`]; an [`Identity`] of our own, which
//!   may be replaced while it is in use ([`IdentityHandle`]), signatures ([`signature`]), and keys
//!   sealed to it ([`sealed_key`]); receipts made and believed ([`receipts`]).
//! - What they say: words that are signed, whoever carries them ([`statement`]), over a time that only
//!   the vault can give ([`challenge`]); how a repository's key comes through anybody's hands
//!   ([`opening`]), and what a media server may do for an agent ([`ticket`]).
//! - The road: names, addresses and proxies ([`road`]), mutual TLS ([`tls`]), a server loop with limits
//!   ([`server`]).
//! - Servers of others that are told something: web hooks and mail ([`outside`]).
//! - The words: the restic REST protocol as a server ([`rest`]) and as a
//!   [`Store`](outlast_store::Store) ([`RestStore`]); our own calls as data ([`api`]) and as a client
//!   ([`ApiClient`]); what a vault holds now ([`holdings`]), and that it was
//!   told of what a backup product has ([`confirmation`]); what instances get back
//!   ([`fetching`]); who may do what ([`access`]).
//!
//! The clients block. They must not be called from asynchronous code: use
//! `tokio::task::spawn_blocking` or a thread of their own.

mod authorities;
mod believed;
mod certificate;
mod identity_handle;
mod key;
mod learned;
mod peer;
mod protocol;

pub mod access;
pub mod api;
pub mod ca;
pub mod challenge;
pub mod client;
pub mod confirmation;
pub mod derived;
pub mod enrollment;
pub mod fetching;
pub mod grants;
pub mod head_receipt;
pub mod holdings;
pub mod identity;
pub mod names;
pub mod news;
pub mod news_watch;
pub mod opening;
pub mod outside;
pub mod receipts;
pub mod renewal;
pub mod request;
pub mod rest;
pub mod revocation;
pub mod road;
pub mod sealed_key;
pub mod server;
pub mod signature;
pub mod statement;
pub mod ticket;
pub mod tls;
pub mod trust;
pub mod waiting_keys;

pub use authorities::{Authorities, AuthoritiesError, CA_FILE, Ended, PAST_FILE, PastAuthority};
pub use believed::{Believed, NoRoots};
pub use ca::{CertificateAuthority, RootAuthority};
pub use certificate::{Certified, Fingerprint, InvalidCertificate, InvalidFingerprint, Validity};
pub use client::{
    AddressError, ApiClient, CallError, CertificateTrouble, Credentials, Errand, RestStore, Speaker,
};
pub use grants::Grants;
pub use identity::Identity;
pub use identity_handle::IdentityHandle;
pub use key::{InvalidKey, KeyKind};
pub use learned::{LEARNED_FILE, LearnedError};
pub use peer::{InvalidPeer, Peer, Role};
pub use road::{Proxies, RoadError, Roads};
pub use trust::{Caller, Trust};
