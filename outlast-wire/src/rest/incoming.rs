//! Objects on their way into a repository.

use bytes::Bytes;

use super::HostError;

/// An object that comes piece by piece. Dropped before it is stored, it leaves nothing.
pub trait Incoming: Send {
    /// Takes the next piece.
    fn take(&mut self, piece: &[u8]) -> Result<(), HostError>;

    /// All of it came, and it hashes to its name: makes it durable, if it is what it must be.
    fn store(self: Box<Self>) -> Result<(), HostError>;
}

/// An object that is held in memory until it is whole: for documents.
pub struct Whole<F> {
    content: Vec<u8>,
    store: F,
}

impl<F: FnOnce(Bytes) -> Result<(), HostError> + Send> Whole<F> {
    /// Calls `store` with the content when all of it came.
    pub fn new(store: F) -> Self {
        Self { content: Vec::new(), store }
    }
}

impl<F: FnOnce(Bytes) -> Result<(), HostError> + Send> Incoming for Whole<F> {
    fn take(&mut self, piece: &[u8]) -> Result<(), HostError> {
        self.content.extend_from_slice(piece);
        Ok(())
    }

    fn store(self: Box<Self>) -> Result<(), HostError> {
        (self.store)(self.content.into())
    }
}
