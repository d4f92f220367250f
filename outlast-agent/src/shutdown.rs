//! Asking the agent to stop.

/// A wish that the agent stops, shared between whoever asks and the agent. Pauses, retries and calls
/// to the upstream end with it.
pub use outlast_types::Interrupt as Shutdown;
