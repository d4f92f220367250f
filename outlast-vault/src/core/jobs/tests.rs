use std::sync::mpsc;

use outlast_testing::ManualTime;
use outlast_types::WorkloadName;

use super::super::storage::Records as _;
use super::super::storage::memory::MemoryStorage;
use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const RARE: Schedule = Schedule { name: "rare", every: HOUR };
const FREQUENT: Schedule = Schedule { name: "frequent", every: MINUTE };

/// Storage and time, which outlive a vault.
struct World {
    storage: Arc<MemoryStorage>,
    time: ManualTime,
}

impl World {
    fn new() -> Self {
        let began = Timestamp::EPOCH.saturating_add(1000 * HOUR);
        Self { storage: Arc::default(), time: ManualTime::hurrying(began) }
    }

    fn jobs(&self) -> Jobs {
        Jobs::open(&(Arc::clone(&self.storage) as _), &self.time.environment())
    }

    /// Lets a job run until each of `results` was its result; when each run began.
    fn run(&self, jobs: &Jobs, schedule: Schedule, results: &[Result<&str, ()>]) -> Vec<Duration> {
        let (stop, mut begun) = (Interrupt::default(), Vec::new());
        jobs.keep_doing(schedule, &stop, |_| {
            let result = results.get(begun.len());
            begun.push(self.time.elapsed());
            match result {
                Some(Ok(said)) => Ok((*said).to_owned()),
                Some(Err(())) => Err(failure()),
                // One run more, which is broken off.
                None => {
                    stop.request();
                    Ok(String::new())
                }
            }
        });
        begun
    }
}

fn failure() -> VaultError {
    VaultError::UnknownWorkload { workload: WorkloadName::new("shop-db").unwrap() }
}

fn only(jobs: &Jobs) -> JobStatus {
    let mut statuses = jobs.statuses();
    assert_eq!(statuses.len(), 1);
    statuses.remove(0)
}

#[test]
fn a_job_runs_when_it_is_due() {
    let world = World::new();
    let begun = world.run(&world.jobs(), RARE, &[Ok(""), Ok("")]);
    assert_eq!(begun, [Duration::ZERO, HOUR, 2 * HOUR]);
    let world = World::new();
    let begun = world.run(&world.jobs(), FREQUENT, &[Ok("")]);
    assert_eq!(begun, [MINUTE, 2 * MINUTE], "a start does what is done every minute");
    assert!(!world.storage.has_any("jobs").unwrap());
}

#[test]
fn what_fails_is_tried_again_after_pauses_that_double_up_to_the_jobs_own() {
    let world = World::new();
    let jobs = world.jobs();
    let mut results = vec![Err(()); 9];
    results.extend([Ok("all is well"), Err(())]);
    let begun = world.run(&jobs, RARE, &results);
    let pauses: Vec<Duration> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (number, pause) in pauses[..9].iter().enumerate() {
        let longest = (MINUTE * (1 << number)).min(HOUR);
        assert!(*pause >= longest / 2 && *pause <= longest, "{number}: {pause:?}");
    }
    assert_eq!(pauses[9], HOUR, "what went well is done at its own pace");
    assert!(pauses[10] <= MINUTE, "failures are counted from the last success");
    let status = only(&jobs);
    assert_eq!(status.failures, 1);
    let last = status.last.unwrap();
    assert_eq!(last.error, Some(ErrorCode::UnknownWorkload));
    assert_eq!(last.result, failure().to_string());
    // A job of every few seconds is never left alone for longer than that.
    let begun = world.run(&world.jobs(), FREQUENT, &[Err(()), Err(()), Err(())]);
    assert!(begun.windows(2).all(|pair| pair[1] - pair[0] <= MINUTE), "{begun:?}");
}

#[test]
fn a_status_survives_a_restart_and_says_when_the_job_is_due() {
    let world = World::new();
    world.run(&world.jobs(), RARE, &[Ok("one"), Ok("two")]);
    // The last run that ended was at one hour, and a third was broken off at two.
    let jobs = world.jobs();
    let begun = world.run(&jobs, RARE, &[Ok("three")]);
    assert_eq!(begun, [2 * HOUR, 3 * HOUR], "what was broken off is done at once");
    world.time.advance(MINUTE);
    let stopped = Interrupt::default();
    stopped.request();
    let jobs = world.jobs();
    jobs.keep_doing(RARE, &stopped, |_| panic!("it was stopped before"));
    let last = only(&jobs).last.unwrap();
    assert_eq!((last.result.as_str(), last.error), ("three", None));
    let ended = last.ended;
    assert_eq!(ended, Timestamp::EPOCH.saturating_add(1002 * HOUR));

    let world = World { time: ManualTime::hurrying(ended.saturating_add(20 * MINUTE)), ..world };
    let begun = world.run(&world.jobs(), RARE, &[Err(())]);
    assert_eq!(begun[0], 40 * MINUTE);
    let begun = world.run(&world.jobs(), RARE, &[Ok("")]);
    assert!(begun[0] < 2 * HOUR, "what failed is tried again at the next start: {begun:?}");
    // By a clock that was wrong, or by nobody: it is done.
    let world = World { time: ManualTime::hurrying(Timestamp::EPOCH), ..world };
    assert_eq!(world.run(&world.jobs(), RARE, &[])[0], Duration::ZERO);
    world.storage.replace("jobs/rare.json", b"{\"started\":", Durability::Fast).unwrap();
    assert_eq!(world.run(&world.jobs(), RARE, &[]).len(), 1);
}

#[test]
fn a_panic_ends_a_run_and_no_job() {
    let world = World::new();
    let (jobs, stop, mut runs) = (world.jobs(), Interrupt::default(), 0);
    jobs.keep_doing(FREQUENT, &stop, |_| {
        runs += 1;
        match runs {
            1 => panic!("as asked"),
            2 => assert_eq!(only(&jobs).last.unwrap().error, Some(ErrorCode::Internal)),
            _ => stop.request(),
        }
        Ok(String::new())
    });
    assert_eq!(runs, 3);
    assert_eq!(only(&jobs).failures, 0);
}

#[test]
fn progress_is_seen_and_one_that_fails_keeps_no_other_from_its_turn() {
    let world = World::new();
    let (jobs, stop) = (world.jobs(), Interrupt::default());
    let mut seen = Vec::new();
    jobs.keep_doing(RARE, &stop, |progress| {
        if only(&jobs).last.is_some() {
            stop.request();
            return Ok(String::new());
        }
        let result = progress.each(vec![1, 2, 3], MINUTE, |number| {
            let (since, count) = only(&jobs).running.unwrap();
            seen.push((world.time.elapsed(), count));
            assert_eq!(since, Timestamp::EPOCH.saturating_add(1000 * HOUR));
            if *number == 1 { Err(failure()) } else { Ok(()) }
        });
        result.map(|()| "all done".to_owned())
    });
    let count = |done| Count { done, total: Some(3) };
    assert_eq!(seen, [(Duration::ZERO, count(0)), (MINUTE, count(1)), (2 * MINUTE, count(2))]);
    let last = only(&jobs).last.unwrap();
    assert_eq!(last.count, count(3));
    assert!(last.result.starts_with("1 of 3"), "{}", last.result);
    assert!(last.result.ends_with(&failure().to_string()), "{}", last.result);
}

#[test]
fn a_job_that_is_asked_to_end_ends_between_two_parts() {
    let world = World::new();
    let (jobs, stop) = (world.jobs(), Interrupt::default());
    let mut parts = Vec::new();
    jobs.keep_doing(RARE, &stop, |progress| {
        progress.each(vec![1, 2, 3], MINUTE, |number| {
            parts.push(*number);
            stop.request();
            Ok(())
        })?;
        Ok("all done".to_owned())
    });
    assert_eq!(parts, [1]);
    assert_eq!(only(&jobs).last, None, "it is done again at the next start");
    assert!(!world.storage.has_any("jobs").unwrap());
}

#[test]
fn a_job_that_hangs_keeps_no_other_from_running() {
    let time = ManualTime::new(Timestamp::EPOCH);
    let jobs = Jobs::open(&(Arc::<MemoryStorage>::default() as _), &time.environment());
    let (stop, (let_go, hang), (ran, runs)) =
        (Interrupt::default(), mpsc::channel::<()>(), mpsc::channel());
    let hangs = Schedule { name: "hangs", every: HOUR };
    std::thread::scope(|scope| {
        let begun = ran.clone();
        let (jobs, stop) = (&jobs, &stop);
        scope.spawn(move || {
            jobs.keep_doing(hangs, stop, |_| {
                begun.send("hangs").unwrap();
                hang.recv().ok();
                Ok(String::new())
            });
        });
        assert_eq!(runs.recv(), Ok("hangs"));
        scope.spawn(move || {
            jobs.keep_doing(FREQUENT, stop, |_| {
                ran.send("frequent").unwrap();
                Ok(String::new())
            });
        });
        for _ in 0..3 {
            time.finish_pause();
            assert_eq!(runs.recv(), Ok("frequent"));
        }
        let running = |status: &JobStatus| status.running.is_some();
        let hanging = jobs.statuses().into_iter().find(|status| status.name == "hangs");
        assert!(hanging.is_some_and(|status| running(&status)));
        stop.request();
        drop(let_go);
    });
}
