//! Carrying one drop to the vault.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use outlast_drop::tar::{TarLimits, TarSource, TarWatch};
use outlast_drop::{
    Content, DropAddress, DropReadError, ReadOptions, ReadWatch, Receipt, ReceiptState, Rejection,
    Seal, SealedDrop, Share, SignedReceipt,
};
use outlast_fs::FileTime;
use outlast_repo::backup::{self, Input, Options, Outcome, StreamInput};
use outlast_repo::{RepoError, Repository};
use outlast_store::ObjectName;
use outlast_types::{Silent, Timestamp};
use outlast_wire::api::{Base64, BilledKind, BilledObject, Shipment};
use outlast_wire::{CallError, Identity, Role};

use crate::agent::Doors;
use crate::signer::IdentitySigner;
use crate::upstream::{Upstream, UpstreamError};
use crate::{Shutdown, custody};

/// Permissions of a stream's file in the snapshot.
const STREAM_MODE: u32 = 0o644;

/// What it takes to ship a drop.
pub(crate) struct Shipping<'a> {
    pub(crate) share: &'a Share,
    pub(crate) address: &'a DropAddress,
    pub(crate) identity: &'a Identity,
    pub(crate) upstream: &'a dyn Upstream,
    pub(crate) doors: &'a Doors,
    pub(crate) shutdown: &'a Shutdown,
}

/// A drop whose content is durable upstream, and not published.
pub(crate) struct Loaded {
    seal: Seal,
    outcome: Outcome,
}

/// Why a drop could not be shipped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The drop is bad and stays so.
    Refused(Rejection),
    /// The share could not be read.
    Share(String),
    /// The upstream cannot be reached, which is so for all drops.
    Unreachable(String),
    /// The upstream does not have what we sent: what we remember of it is wrong.
    Lost(String),
    /// Something else, of this workload only.
    Workload(String),
    /// The agent was asked to stop.
    Stopped,
}

impl From<DropReadError> for Failure {
    fn from(error: DropReadError) -> Self {
        match error {
            DropReadError::Refused(rejection) => Self::Refused(rejection),
            later @ DropReadError::Later { .. } => Self::Share(later.to_string()),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        match (&error, error.code()) {
            (CallError::Unreachable { .. }, _) => Self::Unreachable(text),
            (_, Some("missing_objects" | "unknown_workload")) => Self::Lost(text),
            _ => Self::Workload(text),
        }
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::Call(error) => error.into(),
            other => Self::Workload(other.to_string()),
        }
    }
}

impl Shipping<'_> {
    /// Reads the drop once: verifies every hash and stores its content in `repository`.
    pub(crate) fn load(
        &self,
        repository: &Arc<Repository>,
        journal: &Path,
    ) -> Result<Loaded, Failure> {
        let sealed = SealedDrop::open(self.share, self.address)?;
        let seal = sealed.seal().clone();
        let reader = sealed.content(ReadOptions::default());
        let watch = reader.watch();
        let reader = Interruptible { inner: reader, shutdown: self.shutdown.clone() };
        let now = self.doors.clock.now();
        let (input, tar) = match &seal.content {
            Content::Stream { name } => (stream(name, &seal, now, reader), None),
            Content::Tree => {
                let source = TarSource::new(reader, TarLimits::default());
                let tar = source.watch();
                (Input::Tree(Box::new(source)), Some(tar))
            }
        };
        let options = Options {
            // Not an instance's name: the workload outlives them all, and so do its snapshots.
            hostname: self.address.workload.to_string(),
            username: self.identity.peer().name().to_owned(),
            paths: vec!["/".to_owned()],
            tags: vec![format!("drop:{}", self.address.drop)],
            program_version: concat!("outlast ", env!("CARGO_PKG_VERSION")).to_owned(),
            journal: Some(journal.to_owned()),
            ..Options::new(now)
        };
        let (clock, random) = (&*self.doors.clock, &*self.doors.random);
        let outcome = backup::backup(repository, input, &options, clock, random, &Silent)
            .map_err(|error| self.cause(&watch, tar.as_ref(), &error))?;
        if let Some(problem) = outcome.problems.first() {
            // A snapshot that lacks something would pass for the drop.
            let reason = format!("{problem} ({} such problems)", outcome.problem_count);
            return Err(Failure::Refused(Rejection::BadTree { reason }));
        }
        Ok(Loaded { seal, outcome })
    }

    /// Why the engine failed: it sees only that its input or its store broke.
    fn cause(&self, watch: &ReadWatch, tar: Option<&TarWatch>, error: &RepoError) -> Failure {
        if self.shutdown.is_requested() {
            Failure::Stopped
        } else if let Some(failure) = watch.failure() {
            failure.into()
        } else if let Some(rejection) = tar.and_then(TarWatch::failure) {
            Failure::Refused(rejection)
        } else {
            Failure::Workload(error.to_string())
        }
    }

    /// Hands in the bill of lading; the vault's receipt, verified.
    pub(crate) fn deliver(&self, loaded: &Loaded) -> Result<SignedReceipt, Failure> {
        let Loaded { seal, outcome } = loaded;
        let packs = outcome.packs.iter().map(|(id, size)| (BilledKind::Data, id.0, *size));
        let indexes = outcome.indexes.iter().map(|(id, size)| (BilledKind::Index, id.0, *size));
        let shipment = Shipment {
            workload: self.address.workload.clone(),
            drop: self.address.drop,
            share: self.share.id(),
            snapshot_id: ObjectName(outcome.snapshot_id.0),
            snapshot: Base64(outcome.sealed_snapshot.to_vec()),
            objects: packs
                .chain(indexes)
                .map(|(kind, name, size)| BilledObject { kind, name: ObjectName(name), size })
                .collect(),
            content_bytes: seal.raw_bytes(),
            claims: claims(seal),
        };
        let answer = self.upstream.ship(&shipment)?;
        let (workload, drop) = (&self.address.workload, self.address.drop);
        let refuse = |reason: String| {
            Failure::Workload(format!(
                "the vault's receipt for {} is no good: {reason}",
                self.address
            ))
        };
        let signed = SignedReceipt::parse(answer.receipt.as_bytes())
            .map_err(|error| refuse(error.to_string()))?;
        let ca_pem = self.identity.ca_pem();
        custody::verify(&signed, ca_pem, workload, drop, ReceiptState::Vaulted, Role::Vault)
            .map_err(refuse)?;
        Ok(signed)
    }

    /// A receipt of our own about this drop.
    pub(crate) fn receipt(
        &self,
        state: ReceiptState,
        reason: Option<String>,
        size: Option<u64>,
    ) -> io::Result<SignedReceipt> {
        let receipt = Receipt {
            share: Some(self.share.id()),
            drop: self.address.drop,
            workload: self.address.workload.clone(),
            state,
            at: self.doors.clock.now(),
            by: String::new(),
            role: String::new(),
            snapshot: None,
            repository: None,
            reason,
            size,
        };
        receipt.sign(&IdentitySigner(self.identity))
    }
}

impl Loaded {
    /// Bytes of content.
    pub(crate) fn bytes(&self) -> u64 {
        self.seal.raw_bytes()
    }
}

fn stream<'a>(name: &str, seal: &Seal, now: Timestamp, reader: impl Read + Send + 'a) -> Input<'a> {
    // The time of the file in the snapshot is content, as a file's time in a tar is: a claim.
    let modified = seal.sealed.unwrap_or(now);
    Input::Stream(StreamInput {
        name: name.as_bytes().to_vec(),
        mode: STREAM_MODE,
        modified: FileTime { seconds: modified.unix_seconds(), nanos: modified.nanos() },
        reader: Box::new(reader),
    })
}

/// What the writer says of itself, for the record.
fn claims(seal: &Seal) -> serde_json::Value {
    let mut claims = serde_json::to_value(&seal.claims).unwrap_or_default();
    if let (Some(members), Some(sealed)) = (claims.as_object_mut(), seal.sealed) {
        members.insert("sealed".to_owned(), sealed.to_string().into());
    }
    claims
}

/// A reader that fails when the agent is asked to stop, because a large drop takes hours.
struct Interruptible<R> {
    inner: R,
    shutdown: Shutdown,
}

impl<R: Read> Read for Interruptible<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.shutdown.is_requested() {
            return Err(io::Error::other("the agent is stopping"));
        }
        self.inner.read(buffer)
    }
}
