//! A durable queue of what is on its way: stored before it is acknowledged, forwarded in order.
//!
//! A [`Spool`] is a directory in which each item is one file. It is written under a temporary name,
//! synced, and gets its own, which tells all of it; then the directory is synced, once for all who wait
//! for that (`commit`). So a start reads names and no content, whatever was struck when. What was
//! handed on is removed without ado: a removal that a crash takes back makes an item come twice, and
//! whoever it goes to knows it already.
//!
//! A spool may be lost. It has an id of its own, made with it, so that others see that one in its place
//! holds nothing of what the first one held.

mod commit;
mod error;
mod item;
mod room;
mod spool;

pub use error::SpoolError;
pub use item::{Arrival, Item, Key, What};
pub use room::{Room, Usage};
pub use spool::{Incoming, Shipped, Spool, listed};

#[cfg(test)]
mod tests;
