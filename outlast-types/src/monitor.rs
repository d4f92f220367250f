//! The door to whoever watches: a terminal, a log, or nobody.

/// Hears how long work goes on. Methods are called from several threads and must be quick.
///
/// Libraries never print; they tell a monitor, and the binary decides what a person sees.
pub trait Monitor: Send + Sync {
    /// A phase begins, for example `("backup", Some(total bytes))`; `None` when not known ahead.
    fn begin(&self, phase: &str, total_bytes: Option<u64>) {
        let _ = (phase, total_bytes);
    }

    /// `bytes` more of the phase's input are done.
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }

    /// What is being worked on now, for example a path.
    fn item(&self, name: &str) {
        let _ = name;
    }

    /// One thing failed and the work goes on; the message is a whole sentence that names it.
    fn problem(&self, message: &str);
}

/// A monitor that drops everything it hears, for callers who look at the result only.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn problem(&self, _message: &str) {}
}
