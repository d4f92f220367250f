//! Carrying one drop to the vault.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outlast_drop::tar::{TarLimits, TarSource, TarWatch};
use outlast_drop::{
    Content, DropAddress, DropReadError, ReadOptions, ReadWatch, Receipt, ReceiptState, Rejection,
    Seal, SealedDrop, Share, SignedReceipt,
};
use outlast_fs::FileTime;
use outlast_repo::backup::{self, Input, Options, Outcome, StreamInput};
use outlast_repo::{RepoError, Repository};
use outlast_store::Object;
use outlast_types::{Clock, ContentHash, Environment, RejectionCode, Silent, Timestamp};
use outlast_wire::api::{BILL_VERSION, Base64, BilledName, BilledObject, ErrorCode, Shipment};
use outlast_wire::client::OpenError;
use outlast_wire::{CallError, Identity, Role};

use crate::custody::Vaulted;
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
    pub(crate) environment: &'a Environment,
    pub(crate) shutdown: &'a Shutdown,
    /// How often the vault must hear of us.
    pub(crate) report_interval: Duration,
}

/// A drop whose content is durable upstream, and not published.
pub(crate) struct Loaded {
    seal: Seal,
    seal_digest: ContentHash,
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
            (_, Some(ErrorCode::MissingObjects | ErrorCode::UnknownWorkload)) => Self::Lost(text),
            (_, Some(ErrorCode::Contested)) => {
                Self::Refused(Rejection::Contested { difference: text.chars().take(300).collect() })
            }
            _ => Self::Workload(text),
        }
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::Open(OpenError::Call(error)) => error.into(),
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
        let (seal, seal_digest) = (sealed.seal().clone(), sealed.seal_digest());
        let reader = sealed.content(ReadOptions::default());
        let watch = reader.watch();
        let reader = Attentive {
            inner: reader,
            shutdown: self.shutdown.clone(),
            clock: &*self.environment.clock,
            interval: self.report_interval,
            shown: self.environment.clock.now(),
            // Its answer does not matter: if the vault is gone, the engine notices.
            show: || drop(repository.store().size(&Object::Config)),
        };
        let now = self.environment.clock.now();
        let (input, tar) = match &seal.content {
            Content::Stream { name } => (stream(name, &seal, reader), None),
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
            expected_bytes: Some(seal.raw_bytes()),
            journal: Some(journal.to_owned()),
            ..Options::new(now)
        };
        let (clock, random) = (&*self.environment.clock, &*self.environment.random);
        let outcome = backup::backup(repository, input, &options, clock, random, &Silent)
            .map_err(|error| self.cause(&watch, tar.as_ref(), &error))?;
        if let Some(problem) = outcome.problems.first() {
            // The engine goes on with the next entry when one breaks off, whatever the cause. A
            // share that answered badly, or our own end, is none to condemn the drop for.
            if self.shutdown.is_requested() {
                return Err(Failure::Stopped);
            }
            if let Some(failure) = watch.failure() {
                return Err(failure.into());
            }
            // A snapshot that lacks something would pass for the drop.
            let reason = format!("{problem} ({} such problems)", outcome.problem_count);
            return Err(Failure::Refused(Rejection::BadTree { reason }));
        }
        Ok(Loaded { seal, seal_digest, outcome })
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

    /// Hands in the bill of lading; the vault's receipt, verified, and what it says.
    pub(crate) fn deliver(&self, loaded: &Loaded) -> Result<(SignedReceipt, Vaulted), Failure> {
        let Loaded { seal, seal_digest, outcome } = loaded;
        let packs = outcome.packs.iter().map(|(id, size)| (BilledName::Data(*id), *size));
        let indexes = outcome.indexes.iter().map(|(id, size)| (BilledName::Index(*id), *size));
        let shipment = Shipment {
            version: BILL_VERSION,
            share: self.share.id(),
            workload: self.address.workload.clone(),
            day: self.address.day,
            drop: self.address.drop,
            seal: *seal_digest,
            size: seal.raw_bytes(),
            tree: outcome.snapshot.tree,
            snapshot_id: outcome.snapshot_id,
            snapshot: Base64(outcome.sealed_snapshot.to_vec()),
            objects: packs.chain(indexes).map(|(name, size)| BilledObject { name, size }).collect(),
            claims: claims(seal),
            other: BTreeMap::new(),
        };
        let answer = self.upstream.ship(&shipment)?;
        let refuse = |reason: String| {
            Failure::Workload(format!(
                "the vault's receipt for {} is no good: {reason}",
                self.address
            ))
        };
        let signed = SignedReceipt::parse(answer.receipt.as_bytes())
            .map_err(|error| refuse(error.to_string()))?;
        custody::verify(&signed, self.identity.ca_pem(), Role::Vault).map_err(refuse)?;
        let vaulted = Vaulted::of(signed.receipt())
            .filter(|_| signed.receipt().state == ReceiptState::Vaulted)
            .ok_or_else(|| refuse("it does not say which drop is vaulted".to_owned()))?;
        // The snapshot may be another: a drop that was read again makes one, and the first stays.
        let held = &vaulted.held;
        let found = (&held.drop, held.size, held.tree);
        if found != (&shipment.identity(), shipment.size, shipment.tree) {
            return Err(refuse(format!(
                "it is of {} with the seal {}, {} bytes and the tree {}",
                held.drop, held.drop.seal, held.size, held.tree
            )));
        }
        Ok((signed, vaulted))
    }

    /// A receipt of our own about this drop.
    pub(crate) fn receipt(
        &self,
        state: ReceiptState,
        loaded: &Loaded,
    ) -> Result<SignedReceipt, String> {
        let word =
            Word { seal: Some(loaded.seal_digest), size: Some(loaded.bytes()), ..state.into() };
        sign(self.share, self.address, self.identity, self.environment, word)
    }
}

/// What an agent says of a drop.
pub(crate) struct Word {
    pub(crate) state: ReceiptState,
    pub(crate) reason: Option<String>,
    /// Why it is refused, for programs.
    pub(crate) code: Option<RejectionCode>,
    pub(crate) size: Option<u64>,
    /// The digest of its seal, if it has a good one.
    pub(crate) seal: Option<ContentHash>,
}

impl From<ReceiptState> for Word {
    fn from(state: ReceiptState) -> Self {
        Self { state, reason: None, code: None, size: None, seal: None }
    }
}

/// Makes a receipt in which the agent says `word` of a drop.
pub(crate) fn sign(
    share: &Share,
    address: &DropAddress,
    identity: &Identity,
    environment: &Environment,
    word: Word,
) -> Result<SignedReceipt, String> {
    let Word { state, reason, code, size, seal } = word;
    let at = environment.clock.now();
    let receipt =
        Receipt { reason, code, size, seal, ..Receipt::about(share.id(), address, state, at) };
    receipt
        .sign(identity)
        .map_err(|error| format!("cannot sign the {state} receipt of {address}: {error}"))
}

impl Loaded {
    /// Bytes of content.
    pub(crate) fn bytes(&self) -> u64 {
        self.seal.raw_bytes()
    }
}

fn stream<'a>(name: &str, seal: &Seal, reader: impl Read + Send + 'a) -> Input<'a> {
    // The time of the file in the snapshot is content, as a file's time in a tar is: a claim. Never
    // our own clock: a drop that is read again must give the same tree, which its receipt names.
    let modified = seal.sealed.unwrap_or_else(|| seal.drop.claimed_time());
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

/// A reader that fails when the agent is asked to stop, because a large drop takes hours, and
/// that shows the vault a sign of life while it goes on: a drop of which all is known already
/// sends nothing for as long as it is read, and a silent agent is an incident. A share that hangs
/// lets the agent fall silent, as it should.
struct Attentive<'a, R, F> {
    inner: R,
    shutdown: Shutdown,
    clock: &'a dyn Clock,
    interval: Duration,
    shown: Timestamp,
    show: F,
}

impl<R: Read, F: FnMut()> Read for Attentive<'_, R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.shutdown.is_requested() {
            return Err(io::Error::other("the agent is stopping"));
        }
        let now = self.clock.now();
        if now < self.shown || now.since(self.shown) >= self.interval {
            self.shown = now;
            (self.show)();
        }
        self.inner.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A clock that goes ten seconds forward whenever somebody looks.
    struct Hasty(Mutex<Timestamp>);

    impl Clock for Hasty {
        fn now(&self) -> Timestamp {
            let mut now = self.0.lock().unwrap();
            *now = now.saturating_add(Duration::from_secs(10));
            *now
        }
    }

    #[test]
    fn whoever_reads_for_long_shows_signs_of_life_and_can_be_stopped() {
        let shutdown = Shutdown::default();
        let mut signs = 0;
        let mut reader = Attentive {
            inner: io::repeat(7),
            shutdown: shutdown.clone(),
            clock: &Hasty(Mutex::new(Timestamp::EPOCH)),
            interval: Duration::from_secs(30),
            shown: Timestamp::EPOCH,
            show: || signs += 1,
        };
        let mut buffer = [0; 16];
        for _ in 0..12 {
            reader.read_exact(&mut buffer).unwrap();
        }
        shutdown.request();
        assert!(reader.read(&mut buffer).is_err());
        assert_eq!(signs, 4, "one every 30 seconds of 120");
    }
}
