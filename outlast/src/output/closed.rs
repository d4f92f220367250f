//! Standard output that takes no more.

/// The reader of our standard output went away (`outlast ls … | head`), which is its right. A type
/// of its own, because a connection to a vault can break in the same way, and that is a failure.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct Closed;

/// Why a result could not be written to standard output.
pub(crate) fn not_written(error: &std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Closed.into(),
        _ => anyhow::anyhow!("cannot write to standard output: {error}"),
    }
}
