//! Servers of others, which are told something: web hooks, pagers, mail; who tells them; and the one that tells a
//! host of a cloud that it is going to end ([`metadata`]).
//!
//! They show certificates of the authorities that the system believes, or of one that policy names, and never
//! see a certificate of ours. What an address holds beside its host may be a secret, and is never shown.
//! A vault tells of incidents by its [`Couriers`]; agents and media servers have a [`Lookout`], which tells by the
//! same kinds of routes that the vault is silent.

mod carriers;
mod command;
mod couriers;
mod date;
mod destination;
mod hook;
mod mail;
pub mod metadata;
mod questions;
mod secret;
mod signed;
mod silence;

pub use carriers::{Carrier, Undelivered};
pub use couriers::{Couriers, NotNoted, Telling, try_out};
pub use destination::{Address, Destination, RouteConfig};
pub use hook::{Hook, Said};
pub use mail::{Letter, MailError, MailServer, MailTls, check_mailbox};
pub use questions::{QuestionError, Questions};
pub use secret::{SecretError, check_secret};
pub use signed::{InvalidSecret, WebhookSecret};
pub use silence::{Lookout, LookoutConfig, Watcher, tells_somebody};

#[cfg(test)]
mod tests;
