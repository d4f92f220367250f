//! Signs of life while a drop is written.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::files::{Access, Directory};
use crate::layout::BEAT_PREFIX;

/// A thread that leaves a new tiny file in the drop's directory now and then.
#[derive(Debug)]
pub(super) struct Heart {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    pub(super) fn start(
        directory: Arc<Directory>,
        access: Access,
        interval: Duration,
    ) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let thread = std::thread::Builder::new().name("drop-beat".to_owned()).spawn(move || {
            let mut count = 0_u64;
            // Until the other end is gone, whether by `stop` or because the writer was dropped.
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                count += 1;
                beat(&directory, access, count);
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
fn beat(directory: &Directory, access: Access, count: u64) {
    let name = |count: u64| format!("{BEAT_PREFIX}{count}");
    let made = directory.create_new(&name(count), format!("{count}\n").as_bytes(), access);
    if made.is_ok() && count > 1 {
        // Only the newest says anything.
        let _ = directory.remove_file(name(count - 1).as_bytes());
    }
}
