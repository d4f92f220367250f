//! From options to an exit code.

use std::sync::Arc;

use anyhow::Result;
use outlast_drop::Share;
use outlast_drop::lease::Window;
use outlast_types::{Clock, SystemClock, SystemTimer};

use super::keep::keep;
use super::options::DropOptions;
use super::round::{Make, Round};
use crate::exit::Code;
use crate::output::Output;
use crate::signals::Signals;

/// Makes the drop that `options` ask for, or one after the other. `make` says what it is made of.
pub(super) fn carry_out(
    options: &DropOptions,
    output: &Output,
    make: &mut Make<'_>,
) -> Result<Code> {
    options.priority.apply()?;
    let schedule = options.schedule.schedule()?;
    let signals = Arc::new(Signals::catch_with(options.grace())?);
    let mut round = Round { options, output, signals, make, timer: SystemTimer::new() };
    match schedule {
        Some(schedule) => keep(&mut round, schedule),
        None => {
            let now = SystemClock.now();
            let since = options.once_per.map(|window| Window::beginning(now, window));
            let share = Share::open(options.share()?)?;
            let outcome = round.drop(&share, since)?;
            round.tell(&outcome)
        }
    }
}
