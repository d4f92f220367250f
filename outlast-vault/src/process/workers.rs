//! The threads of a vault's jobs.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use outlast_types::Interrupt;

use crate::core::upkeep::Job;
use crate::core::vault::Vault;

/// Something that is done until the end is asked for.
pub(super) type Work = Box<dyn FnOnce(&Interrupt) + Send>;

/// One thread for each job.
pub(super) struct Workers {
    stop: Interrupt,
    threads: Vec<(String, JoinHandle<()>)>,
    /// Closed when all of them have let go of the vault.
    ended: mpsc::Receiver<()>,
}

impl Workers {
    pub(super) fn start(
        vault: &Arc<Vault>,
        jobs: impl IntoIterator<Item = Job>,
        others: impl IntoIterator<Item = (String, Work)>,
    ) -> std::io::Result<Self> {
        let work = |job: Job| {
            let vault = Arc::clone(vault);
            let work = move |stop: &Interrupt| job.keep_doing(&vault, stop);
            (job.name().to_owned(), Box::new(work) as Work)
        };
        Self::start_each(jobs.into_iter().map(work).chain(others))
    }

    /// Starts a thread for each of `jobs`, which works until the end is asked for.
    fn start_each(jobs: impl IntoIterator<Item = (String, Work)>) -> std::io::Result<Self> {
        let (ending, ended) = mpsc::channel::<()>();
        let mut workers = Self { stop: Interrupt::default(), threads: Vec::new(), ended };
        for (name, work) in jobs {
            let (stop, ending) = (workers.stop.clone(), ending.clone());
            let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
                work(&stop);
                drop(ending);
            });
            match thread {
                Ok(thread) => workers.threads.push((name, thread)),
                Err(error) => {
                    workers.stop.request();
                    return Err(error);
                }
            }
        }
        Ok(workers)
    }

    /// Whether any of them has ended by itself.
    pub(super) fn has_lost_one(&self) -> bool {
        self.threads.iter().any(|(_, thread)| thread.is_finished())
    }

    /// Asks all to end, and waits for them together; those that had not ended by `limit`.
    pub(super) fn end(self, limit: Duration) -> Vec<String> {
        self.stop.request();
        let in_time = self.ended.recv_timeout(limit) != Err(RecvTimeoutError::Timeout);
        let mut hanging = Vec::new();
        for (name, thread) in self.threads {
            if !in_time && !thread.is_finished() {
                hanging.push(name);
            } else if thread.join().is_err() {
                tracing::error!(job = name, "a thread of the vault ended badly");
            }
        }
        hanging
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_hangs_keeps_the_vault_from_ending_for_no_longer_than_the_limit() {
        let (let_go, hang) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel::<()>();
        let hanging: Work = Box::new(move |_| {
            begun.send(()).unwrap();
            hang.recv().ok();
        });
        let pausing: Work = Box::new(|stop| {
            let timer = outlast_types::SystemTimer::new();
            outlast_types::Timer::pause(&timer, Duration::from_secs(3600), stop);
        });
        let workers =
            Workers::start_each([("hanging".to_owned(), hanging), ("pausing".to_owned(), pausing)])
                .unwrap();
        has_begun.recv().unwrap();
        assert!(!workers.has_lost_one());
        assert_eq!(workers.end(Duration::from_secs(3)), ["hanging"]);
        drop(let_go);
    }
}
