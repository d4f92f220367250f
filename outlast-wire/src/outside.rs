//! Servers of others, which are told something: web hooks, pagers, mail; and the one that tells a host of a cloud
//! that it is going to end ([`metadata`]).
//!
//! They show certificates of the authorities that the system believes, or of one that policy names, and never
//! see a certificate of ours. What an address holds beside its host may be a secret, and is never shown.

mod date;
mod hook;
mod mail;
pub mod metadata;
mod signed;

pub use hook::{Hook, Said};
pub use mail::{Letter, MailError, MailServer, MailTls, check_mailbox};
pub use signed::{InvalidSecret, WebhookSecret};

#[cfg(test)]
mod tests;
