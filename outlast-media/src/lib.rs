//! The media server: takes what agents send, and forwards it to the vault within a bandwidth calendar.

mod calendar;
mod line;

pub use calendar::{Calendar, InvalidCalendar, Rate};
pub use line::SLICE;
