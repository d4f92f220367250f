//! The door to randomness.

/// Fills buffers with unpredictable bytes. Passed in, so that tests can be repeated exactly.
pub trait Random: Send + Sync {
    /// Overwrites `buffer` with random bytes, fit for keys and nonces.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::expect_used, reason = "a host without randomness can do nothing safely")]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system's random generator answers");
    }
}
