//! A crew that does many small jobs on a share, some at a time.
//!
//! A far file server takes milliseconds for each call, so one after the other would take too long; and one
//! directory of it that hangs must not keep the others waiting. So a job that takes longer than the crew's patience
//! goes on alone, another takes its place, and what comes of it is collected by a later run. Both, places and jobs that go on
//! alone, are bounded: if all of them hang, the share does, and what was not begun is given back.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use outlast_types::Environment;

use crate::Shutdown;

/// How often it is looked whether a job takes long.
const LOOK: Duration = Duration::from_millis(20);

/// Does jobs of one kind.
pub(crate) struct Crew<J, R> {
    shared: Arc<Shared<J, R>>,
    environment: Environment,
    /// Jobs at a time, and as many again that go on alone.
    places: usize,
    patience: Duration,
}

struct Shared<J, R> {
    work: Box<dyn Fn(J) -> R + Send + Sync>,
    state: Mutex<State<J, R>>,
    changed: Condvar,
}

struct State<J, R> {
    waiting: VecDeque<J>,
    running: BTreeMap<u64, Running>,
    done: Vec<thread::Result<R>>,
    /// Threads that take jobs.
    takers: usize,
    begun: u64,
}

#[derive(Clone, Copy)]
struct Running {
    since: Duration,
    /// Whether another has its place.
    is_alone: bool,
}

/// The outcome of a run.
pub(crate) struct Run<J, R> {
    /// What came of jobs that have ended, also of ones that an earlier run had begun.
    pub(crate) done: Vec<R>,
    /// Jobs that were not begun.
    pub(crate) left: Vec<J>,
}

impl<J: Send + 'static, R: Send + 'static> Crew<J, R> {
    pub(crate) fn new(
        environment: Environment,
        places: usize,
        patience: Duration,
        work: impl Fn(J) -> R + Send + Sync + 'static,
    ) -> Self {
        let (waiting, running, done) = Default::default();
        let state = Mutex::new(State { waiting, running, done, takers: 0, begun: 0 });
        let shared = Shared { work: Box::new(work), state, changed: Condvar::new() };
        Self { shared: Arc::new(shared), environment, places, patience }
    }

    /// Does `jobs`, and waits for all that do not take long.
    pub(crate) fn run(&self, jobs: Vec<J>, shutdown: &Shutdown) -> Run<J, R> {
        self.shared.state().waiting.extend(jobs);
        let mut run = Run { done: Vec::new(), left: Vec::new() };
        loop {
            let can_begin = self.begin();
            let mut state = self.shared.state();
            let ended = std::mem::take(&mut state.done);
            let now = self.environment.timer.elapsed();
            let is_long = |job: &Running| now.saturating_sub(job.since) >= self.patience;
            let all_hang = state.running.values().all(is_long);
            let is_over = if state.waiting.is_empty() { all_hang } else { all_hang && !can_begin };
            if is_over || shutdown.is_requested() {
                run.left.extend(std::mem::take(&mut state.waiting));
            }
            let is_over = (is_over || shutdown.is_requested()) && ended.is_empty();
            if !is_over && ended.is_empty() {
                let waited = self.shared.changed.wait_timeout(state, LOOK);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                self.environment.pulse.beat();
            }
            drop(state);
            for result in ended {
                // A panic is the agent's, as if there were no other thread.
                run.done.push(result.unwrap_or_else(|panic| resume_unwind(panic)));
            }
            if is_over {
                return run;
            }
        }
    }

    /// Starts as many threads as there is work and room for; whether there is a thread for what waits.
    fn begin(&self) -> bool {
        let mut state = self.shared.state();
        self.let_go(&mut state);
        let busy = state.running.values().filter(|job| !job.is_alone).count();
        let wanted = self.places.min(busy + state.waiting.len());
        while state.takers < wanted {
            let (shared, timer) = (Arc::clone(&self.shared), Arc::clone(&self.environment.timer));
            let thread = thread::Builder::new().name("look".to_owned());
            match thread.spawn(move || shared.work(&|| timer.elapsed())) {
                Ok(_) => state.takers += 1,
                Err(error) => {
                    tracing::error!(%error, "cannot start a thread that looks at the share");
                    break;
                }
            }
        }
        state.takers > busy
    }

    /// Lets jobs that take long go on alone, as far as there is room for them.
    fn let_go(&self, state: &mut State<J, R>) {
        let now = self.environment.timer.elapsed();
        let mut room = self.places - state.running.values().filter(|job| job.is_alone).count();
        for job in state.running.values_mut().filter(|job| !job.is_alone) {
            if room > 0 && now.saturating_sub(job.since) >= self.patience {
                job.is_alone = true;
                state.takers -= 1;
                room -= 1;
            }
        }
    }

    /// How many jobs go on alone.
    #[cfg(test)]
    fn alone(&self) -> usize {
        self.shared.state().running.values().filter(|job| job.is_alone).count()
    }
}

impl<J, R> Shared<J, R> {
    fn state(&self) -> MutexGuard<'_, State<J, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one job after the other until there are none, or another has taken this place.
    fn work(&self, elapsed: &dyn Fn() -> Duration) {
        loop {
            let mut state = self.state();
            let Some(job) = state.waiting.pop_front() else {
                state.takers -= 1;
                return;
            };
            let number = state.begun;
            state.begun += 1;
            state.running.insert(number, Running { since: elapsed(), is_alone: false });
            drop(state);
            let result = catch_unwind(AssertUnwindSafe(|| (self.work)(job)));
            let mut state = self.state();
            state.done.push(result);
            let ended = state.running.remove(&number);
            self.changed.notify_all();
            if ended.is_none_or(|job| job.is_alone) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use outlast_testing::ManualTime;
    use outlast_types::Timestamp;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Jobs from `hang` on do not end before they are told to.
    #[derive(Default)]
    struct Gate {
        open: Mutex<bool>,
        changed: Condvar,
        most: AtomicUsize,
        now: AtomicUsize,
    }

    impl Gate {
        fn open(&self) {
            *self.open.lock().unwrap() = true;
            self.changed.notify_all();
        }

        fn pass(&self) {
            let mut open = self.open.lock().unwrap();
            while !*open {
                open = self.changed.wait(open).unwrap();
            }
        }
    }

    fn crew(gate: &Arc<Gate>, hang: usize, time: &ManualTime) -> Crew<usize, usize> {
        let (gate, clock) = (Arc::clone(gate), time.clone());
        Crew::new(time.environment(), 4, PATIENCE, move |job| {
            let now = gate.now.fetch_add(1, Ordering::SeqCst) + 1;
            gate.most.fetch_max(now, Ordering::SeqCst);
            if job >= hang {
                // Time passes for whoever waits for it.
                clock.advance(PATIENCE);
                gate.pass();
            }
            gate.now.fetch_sub(1, Ordering::SeqCst);
            job
        })
    }

    #[test]
    fn all_jobs_are_done_a_few_at_a_time() {
        let (gate, time) = (Arc::new(Gate::default()), ManualTime::new(Timestamp::EPOCH));
        let crew = crew(&gate, usize::MAX, &time);
        for _ in 0..3 {
            let run = crew.run((0..1000).collect(), &Shutdown::default());
            assert_eq!(run.done.into_iter().collect::<BTreeSet<_>>().len(), 1000);
            assert!(run.left.is_empty());
        }
        assert!(gate.most.load(Ordering::SeqCst) <= 4);
        assert!(crew.run(Vec::new(), &Shutdown::default()).done.is_empty());
    }

    #[test]
    fn a_job_that_hangs_keeps_no_other_waiting_and_is_collected_later() {
        let (gate, time) = (Arc::new(Gate::default()), ManualTime::new(Timestamp::EPOCH));
        let crew = crew(&gate, 1000, &time);
        let mut jobs = (1000..1003).chain(0..100).collect();
        let mut done = Vec::new();
        while done.len() < 100 {
            // One that was at work when the time was over is collected by the next.
            let run = crew.run(std::mem::take(&mut jobs), &Shutdown::default());
            assert!(run.left.is_empty());
            done.extend(run.done);
        }
        assert!(done.iter().all(|job| *job < 100), "the others went on");
        assert_eq!(crew.alone(), 3);
        gate.open();
        let mut late = BTreeSet::new();
        while late.len() < 3 {
            late.extend(crew.run(Vec::new(), &Shutdown::default()).done);
        }
        assert_eq!(late, BTreeSet::from([1000, 1001, 1002]));
    }

    #[test]
    fn if_all_hang_the_rest_is_given_back() {
        let (gate, time) = (Arc::new(Gate::default()), ManualTime::new(Timestamp::EPOCH));
        let crew = crew(&gate, 0, &time);
        let run = crew.run((0..20).collect(), &Shutdown::default());
        assert_eq!(run.done.len() + run.left.len(), 12, "eight hang: four in place, four alone");
        assert!(crew.run(vec![7], &Shutdown::default()).left == [7]);
        gate.open();
        let mut late = 0;
        while late < 8 {
            late += crew.run(Vec::new(), &Shutdown::default()).done.len();
        }
        assert_eq!(crew.run(vec![7], &Shutdown::default()).done, [7]);
    }

    #[test]
    fn a_panic_of_a_job_is_that_of_whoever_runs_it() {
        let time = ManualTime::new(Timestamp::EPOCH);
        let crew: Crew<u8, u8> =
            Crew::new(time.environment(), 2, PATIENCE, |job| if job > 0 { job } else { panic!() });
        let run = || crew.run(vec![1, 0], &Shutdown::default());
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    }
}
