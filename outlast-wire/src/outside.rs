//! Servers of others, which are told something: web hooks, pagers, mail.
//!
//! They show certificates of the authorities that the system believes, or of one that policy names, and never
//! see a certificate of ours. What an address holds beside its host may be a secret, and is never shown.

mod hook;
mod mail;
mod signed;

pub use hook::{Hook, Said};
pub use mail::{Letter, MailError, MailServer, MailTls, check_mailbox};
pub use signed::{InvalidSecret, WebhookSecret};

#[cfg(test)]
mod tests;
