//! Waiting for the signal that ends a long-running role.

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// SIGTERM and SIGINT, caught from the moment this is made.
pub(crate) struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Begins to catch the signals.
    pub(crate) fn catch() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot prepare to hear signals")?;
        let context = runtime.enter();
        let terminate = signal(SignalKind::terminate()).context("cannot hear SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot hear SIGINT")?;
        drop(context);
        Ok(Self { runtime, terminate, interrupt })
    }

    /// Blocks until one of them comes.
    pub(crate) fn wait(mut self) {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        });
    }
}
