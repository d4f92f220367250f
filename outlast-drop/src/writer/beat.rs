//! Signs of life while a drop is written.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use outlast_fs::durable;

use crate::layout::{BEAT_PREFIX, FILE_MODE};

/// A thread that leaves a new tiny file in the drop's directory now and then.
#[derive(Debug)]
pub(super) struct Heart {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    pub(super) fn start(directory: PathBuf, interval: Duration) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let thread = std::thread::Builder::new().name("drop-beat".to_owned()).spawn(move || {
            let mut count = 0_u64;
            // Until the other end is gone, whether by `stop` or because the writer was dropped.
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                count += 1;
                beat(&directory, count);
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Ends the beats; after this returns, none appears any more.
    pub(super) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and if it did: beats are only hints.
            let _ = thread.join();
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A beat is a hint to the agent, so its errors are left to the writes that matter.
fn beat(directory: &Path, count: u64) {
    let name = |count: u64| directory.join(format!("{BEAT_PREFIX}{count}"));
    let made = durable::create_new(&name(count), format!("{count}\n").as_bytes(), FILE_MODE);
    if made.is_ok() && count > 1 {
        // Only the newest says anything.
        let _ = std::fs::remove_file(name(count - 1));
    }
}
