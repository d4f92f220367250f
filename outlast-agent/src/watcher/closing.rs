//! Old days of workloads in which nothing is: their directories go.

use std::io;
use std::time::Duration;

use outlast_drop::{Closing, Share, close_days};
use outlast_types::{Day, Environment, WorkloadName};

use crate::Shutdown;
use crate::crew::Crew;

/// Days that are closed in one pass, in all and of one workload.
const CLOSED_MAX: usize = 50_000;
const CLOSED_OF_ONE_MAX: usize = 64;

/// Days of one workload to be closed.
struct Close {
    share: Share,
    workload: WorkloadName,
    days: Vec<Day>,
}

pub(super) type Closed = (WorkloadName, io::Result<Vec<(Day, Closing)>>);

/// Those who close days, several workloads at a time.
pub(super) struct Closers {
    crew: Crew<Close, Closed>,
}

impl Closers {
    pub(super) fn new(environment: &Environment, places: usize, long: Duration) -> Self {
        let crew = Crew::new(environment.clone(), places, long, |close: Close| {
            let Close { share, workload, days } = close;
            let closed = close_days(&share, &workload, &days);
            (workload, closed)
        });
        Self { crew }
    }

    /// Closes days, and says what came of it, also of what an earlier call has begun.
    pub(super) fn close(
        &mut self,
        share: &Share,
        closable: Vec<(WorkloadName, Vec<Day>)>,
        shutdown: &Shutdown,
    ) -> Vec<Closed> {
        let mut room = CLOSED_MAX;
        let mut jobs = Vec::new();
        for (workload, mut days) in closable {
            days.truncate(room.min(CLOSED_OF_ONE_MAX));
            room -= days.len();
            if !days.is_empty() {
                jobs.push(Close { share: share.clone(), workload, days });
            }
        }
        self.crew.run(jobs, shutdown).done
    }
}
