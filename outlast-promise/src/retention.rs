//! Retention: which recovery points stay, and by which rule. Pure.
//!
//! The rules mean what they mean in restic: `last` keeps the newest so many; `daily` and its like keep
//! the newest recovery point of each of the newest so many days (hours, ISO weeks, months, years) *that
//! have one*; `within` keeps all that are younger than a span, counted back from the newest one and not
//! from now, so that a workload that has stopped loses nothing by waiting; `within-daily` and its like
//! keep one a day within a span. Days begin in a named [zone](outlast_civil::Zone).
//!
//! What differs, since here drops arrive late and from writers whom nobody trusts:
//!
//! - **A later arrival displaces nobody.** What arrives when the hour, day or year of its time is over
//!   is that bucket's keeper only if nothing arrived in time; of several late ones, the first that came.
//!   So what was kept on Monday for Monday is not given up for what says on Wednesday that it is of Monday.
//! - **A suspect fills no rule.** It takes no one's place, and stays as long as it would if it counted.
//!
//! For points that arrive when they are made both come to the same as in restic, which a test compares.

mod clock;
mod hours;
mod judge;
mod keep;
mod plan;
mod span;

pub use clock::SlowClock;
pub use hours::{InvalidWorkHours, work_hours};
pub use judge::{Kept, Point, judge};
pub use keep::{InvalidKeep, Keep, Rule};
pub use plan::{Candidate, Conditions, Reason, plan};
pub use span::{InvalidSpan, Span};
