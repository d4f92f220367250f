//! What clocks on walls show: time zones, hours of a day, days of the week, days off, and calendars made
//! of them.
//!
//! Pure, but for the system's table of time zones. Everybody who configures a time of day writes it the
//! same way, because it is read here: `22:00-06:00` are [`Hours`], `mon-fri 07:00-19:00` is [`Weekly`], and
//! `mon-fri 07:00-19:00 20Mbit/s` a rule of a [`Calendar`]. Moments are [`outlast_types::Timestamp`];
//! they become civil times, and the other way round, by a [`Zone`] only.
//!
//! Hours that go over midnight belong to the day on which they begin. An hour that the clocks skip in
//! spring does not happen, and one that they show twice in autumn holds twice.

mod calendar;
mod days;
mod hours;

mod weekdays;
mod weekly;
mod zone;

pub use calendar::{Calendar, InvalidCalendar, Rate};
pub use days::{DaysOff, Holidays, InvalidHolidays, date};
pub use hours::{Hours, InvalidHours};
pub use weekdays::{InvalidWeekdays, Weekdays};
pub use weekly::{InvalidWeekly, Weekly};
pub use zone::{UnknownZone, Zone};
