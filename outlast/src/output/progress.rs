//! Progress on a terminal.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use outlast_types::Monitor;

use super::plain;

/// A monitor with a bar, or, where nobody watches, one that tells of problems only.
pub(crate) struct Progress {
    bar: ProgressBar,
    tells_problems: bool,
}

impl Progress {
    /// With `tells_problems` each problem is a line on standard error as it happens; without, the
    /// command's result has to name them.
    pub(super) fn new(visible: bool, tells_problems: bool) -> Self {
        let target =
            if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bar: ProgressBar::with_draw_target(None, target), tells_problems }
    }

    /// Takes the bar off the terminal.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Monitor for Progress {
    fn begin(&self, phase: &str, total_bytes: Option<u64>) {
        let template = match total_bytes {
            Some(total) => {
                self.bar.set_length(total);
                "{prefix} {bar:24} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left  {wide_msg}"
            }
            None => {
                "{prefix} {spinner} {binary_bytes} {binary_bytes_per_sec} in {elapsed}  {wide_msg}"
            }
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_position(0);
        self.bar.reset_elapsed();
        self.bar.set_prefix(plain(phase).into_owned());
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn item(&self, name: &str) {
        if !self.bar.is_hidden() {
            self.bar.set_message(plain(name).into_owned());
        }
    }

    fn problem(&self, message: &str) {
        if !self.tells_problems {
            return;
        }
        self.bar.suspend(|| {
            // A problem is also in the command's result; a closed stderr loses nothing else.
            let _ = writeln!(anstream::stderr(), "outlast: {}", plain(message));
        });
    }
}
