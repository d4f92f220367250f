//! Who keeps the repositories behind the REST protocol.

use std::sync::Arc;

use axum::http::HeaderMap;
use bytes::Bytes;
use outlast_store::{Object, Store, StoreError, Verb};
use outlast_types::{DropId, WorkloadName};

use crate::access::{self, Action, Refused};
use crate::certificate::Certified;
use crate::peer::Peer;
use crate::protocol::TICKET_HEADER;

/// Who asks for something, and what it shows for it.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    pub certified: &'a Certified,
    /// What a media server shows of an agent for which it acts; nothing is known of it yet.
    pub ticket: Option<&'a str>,
}

impl<'a> Asker<'a> {
    /// Who asks, with what its request shows.
    pub fn of(certified: &'a Certified, headers: &'a HeaderMap) -> Self {
        let ticket = headers.get(TICKET_HEADER).and_then(|ticket| ticket.to_str().ok());
        Self { certified, ticket }
    }
}

/// Who sends an object, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    pub peer: &'a Peer,
    /// What it shows of an agent for which it acts, or of itself.
    pub ticket: Option<&'a str>,
    /// The drop for which the object is, if it says so.
    pub shipment: Option<DropId>,
}

/// Who keeps the repositories. Calls block; they run on threads for that.
pub trait RepositoryHost: Send + Sync + 'static {
    /// Lets `asker` do `action` with a workload, or says why not: by the table in
    /// [`access`](crate::access), and by what the host knows beside it. Asked before anything else,
    /// so that a refusal tells nothing of what is there.
    fn permit(
        &self,
        asker: Asker<'_>,
        action: Action,
        workload: &WorkloadName,
    ) -> Result<(), Refused> {
        access::check(asker.certified, action, workload)
    }

    /// Lets `asker`, who is permitted to read packs, read this very one, or says why not. May take a
    /// while.
    fn permit_pack(
        &self,
        asker: Asker<'_>,
        workload: &WorkloadName,
        pack: &Object,
    ) -> Result<(), HostError> {
        let _ = (asker, workload, pack);
        Ok(())
    }

    /// The store of a workload's repository for `peer`, who is about to do `verb`, which is permitted.
    fn store(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        verb: Verb,
    ) -> Result<Arc<dyn Store>, HostError>;

    /// Makes room for a new repository; harmless if there is one.
    fn create(&self, peer: &Peer, workload: &WorkloadName) -> Result<(), HostError>;

    /// Whether packs are proved before they are stored, which takes a processor: then few are at one time.
    /// While they are stored they wait for the disk, and the more wait together, the fewer syncs it takes.
    fn proves_packs(&self) -> bool {
        true
    }

    /// Begins to take in `object` from `sender`, who is permitted to create its kind. The host
    /// looks at what comes, and refuses what it does not believe.
    fn receive(
        &self,
        sender: Sender<'_>,
        workload: &WorkloadName,
        object: &Object,
    ) -> Result<Box<dyn Incoming>, HostError>;

    /// Removes `object` for `peer`, who is permitted to remove its kind. The host may know
    /// that this one is somebody else's.
    fn remove(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        object: &Object,
    ) -> Result<(), HostError>;
}

/// Why a host does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The content of an object is not what it must be. Sending it again does not help.
    #[error("{object} is not taken: {reason}")]
    Unacceptable { object: Object, reason: String, hint: String },
    /// An index that speaks of a pack which is not there, or not yet.
    #[error("{object} is not taken: {pack}, which it needs, is not here")]
    PackMissing { object: Object, pack: Object },
    /// Policy allows the peer no more, for now.
    #[error("{reason}")]
    OverLimit { reason: String },
    /// The same request may succeed later.
    #[error("{reason}")]
    Busy { reason: String },
    #[error("there is no repository of workload {workload}")]
    Unknown { workload: WorkloadName },
    #[error("{reason}")]
    Denied { reason: String },
    #[error("the repository of workload {workload} cannot be used now: {reason}")]
    Unable { workload: WorkloadName, reason: String },
}

/// An object that comes piece by piece. Dropped before it is stored, it leaves nothing.
pub trait Incoming: Send {
    /// Takes the next piece.
    fn take(&mut self, piece: &[u8]) -> Result<(), HostError>;

    /// All of it came, and it hashes to its name: looks whether it is what it must be, as far as that takes
    /// a processor and no disk. What was not proved is proved before it is stored.
    fn prove(&mut self) -> Result<(), HostError> {
        Ok(())
    }

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
