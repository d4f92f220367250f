//! Who is told of an incident, when, and in which words.
//!
//! Pure: no clock, no I/O. The [`Desk`] hears what the promise ledger tells, gathers it into pages,
//! and says which [message](Message) is due on which [route](Route). Whoever sends it says how that went. What
//! is due is remembered until it was delivered, so a message goes out at least once, under an id that makes
//! it once where the receiver looks at ids.
//!
//! - **A page is one cause for one team.** What breaks of one cause within seconds is one page, however many
//!   workloads it concerns.
//! - **An acknowledgement is a pause.** It ends by itself, and then the next step is paged.
//! - **What opened and resolved before anybody was told pages nobody.** It is one line of a note.
//! - **Nothing is silent.** A route that fails is itself told by all others.

mod desk;
mod message;
mod page;
mod payload;
mod route;
mod severity;

pub use desk::{Ack, AckError, Desk, DeskError, News, PageView, Pending, Standing};
pub use message::{Alert, Line, Message, VAULT_SILENT, What};
pub use page::{ACK_MAX, ACK_USUAL, Comment};
pub use payload::{Mail, PagerDuty, alertmanager, command, mail, pagerduty, slack, teams, webhook};
pub use route::{Kind, Route};
pub use severity::Severity;

#[cfg(test)]
mod tests;
