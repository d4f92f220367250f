//! Receipts: what became of a drop, signed by whoever says it.

mod handed;
mod listing;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use outlast_types::{
    BlobId, ContentHash, Day, DropId, DropIdentity, RejectionCode, Safe, ShareId, SpoolId,
    Timestamp, Verdict, WorkloadName, hex,
};
use serde::{Deserialize, Serialize};

use crate::files::{Access, Directory, is_later};
use crate::layout::{DropAddress, RECEIPTS, WORKLOADS};
use crate::proof;
use crate::share::{Share, ShareError, hint};

pub use handed::{HandedJob, HandedOver};
pub(crate) use listing::parse_file_name;
pub use listing::{Found, States, find, list, oldest};

const RECEIPT_BYTES_MAX: u64 = 1 << 20;
const REASON_CHARS_MAX: usize = 4000;

/// A hop in the life of a drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReceiptState {
    /// The agent verified every hash.
    Accepted,
    /// The upstream holds all its objects durably.
    Shipped,
    /// The vault published the snapshot.
    Vaulted,
    /// Its writer died; it was never sealed.
    Abandoned,
    /// It cannot be taken; the reason is in the receipt.
    Rejected,
    /// Its data has left the share.
    Released,
    /// An existing backup product has been given it.
    HandedOver,
    /// That product confirmed that it has it.
    Confirmed,
    /// An operator accepted content that was rejected as no whole backup.
    Cleared,
}

const STATES: [(ReceiptState, &str); 9] = [
    (ReceiptState::Accepted, "accepted"),
    (ReceiptState::Shipped, "shipped"),
    (ReceiptState::Vaulted, "vaulted"),
    (ReceiptState::Abandoned, "abandoned"),
    (ReceiptState::Rejected, "rejected"),
    (ReceiptState::Released, "released"),
    (ReceiptState::HandedOver, "handed-over"),
    (ReceiptState::Confirmed, "confirmed"),
    (ReceiptState::Cleared, "cleared"),
];

impl fmt::Display for ReceiptState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = STATES.iter().find(|(state, _)| state == self).map_or("", |(_, word)| word);
        f.write_str(word)
    }
}

/// Why a text is no state of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a state of a receipt")]
pub struct UnknownState(String);

impl FromStr for ReceiptState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        let found = STATES.iter().find(|(_, word)| *word == text);
        found.map(|(state, _)| *state).ok_or_else(|| UnknownState(text.chars().take(80).collect()))
    }
}

/// The version of receipts that this program writes. It reads version 1, too, in which a receipt
/// named the drop's id alone; such a one tells people something and proves nothing.
pub const RECEIPT_VERSION: u64 = 2;

/// The content of a receipt: what it says, and of which drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// `None` only in some receipts of version 1.
    pub share: Option<ShareId>,
    pub workload: WorkloadName,
    /// The day under which the drop lies; `None` only in receipts of version 1.
    pub day: Option<Day>,
    pub drop: DropId,
    /// The digest of the drop's seal; `None` in version 1, and of a drop without a valid seal.
    pub seal: Option<ContentHash>,
    pub state: ReceiptState,
    /// By the clock of whoever signs.
    pub at: Timestamp,
    /// The signer's name and role; [`Receipt::sign`] sets both.
    pub by: String,
    pub role: String,
    /// Bytes of content.
    pub size: Option<u64>,
    /// The root tree of the snapshot: what the content is, in the repository's words.
    pub tree: Option<BlobId>,
    /// Where the content is.
    pub snapshot: Option<String>,
    pub repository: Option<String>,
    /// Counts what this vault has signed, from 1. A vault that is shown a higher number than it
    /// remembers was put back from an older copy.
    pub sequence: Option<u64>,
    /// Why, for `rejected` and `abandoned`.
    pub reason: Option<String>,
    /// Why, for programs, in a `rejected` receipt. Older receipts have the reason only.
    pub code: Option<RejectionCode>,
    /// What is thought of the content, in a `vaulted` receipt of a drop that is no recovery point.
    pub verdict: Option<Verdict>,
    /// What makes it a recovery point, by the vault's policy of then, in a `vaulted` receipt. Older ones do not say it.
    pub safe: Option<Safe>,
    /// How much of the drop its signer has taken, in a media server's `shipped` receipt: several of them may
    /// hold parts of it.
    pub spool: Option<Spooled>,
    /// Where it lay for another backup product, and which of its jobs this is about, in receipts `handed-over` and
    /// `confirmed`.
    pub handover: Option<HandedOver>,
}

/// The part of a drop that a media server has taken durably, whether it has been handed on since or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spooled {
    /// Where. Another one than before means that what was there is lost.
    pub id: SpoolId,
    /// Packs and indexes.
    pub objects: u64,
    pub bytes: u64,
}

impl Receipt {
    /// A receipt about the drop at `address` that says no more than its state.
    pub fn about(
        share: ShareId,
        address: &DropAddress,
        state: ReceiptState,
        at: Timestamp,
    ) -> Self {
        Self {
            share: Some(share),
            workload: address.workload.clone(),
            day: Some(address.day),
            drop: address.drop,
            seal: None,
            state,
            at,
            by: String::new(),
            role: String::new(),
            size: None,
            tree: None,
            snapshot: None,
            repository: None,
            sequence: None,
            reason: None,
            code: None,
            verdict: None,
            safe: None,
            spool: None,
            handover: None,
        }
    }

    /// The one drop that the receipt is about; `None` if it does not say enough to tell.
    pub fn identity(&self) -> Option<DropIdentity> {
        let (share, day, seal) = (self.share?, self.day?, self.seal?);
        Some(DropIdentity { share, workload: self.workload.clone(), day, drop: self.drop, seal })
    }

    /// Whether the receipt is about a drop in this place.
    pub fn is_about(&self, share: ShareId, address: &DropAddress) -> bool {
        self.share == Some(share)
            && self.workload == address.workload
            && self.day == Some(address.day)
            && self.drop == address.drop
    }
}

#[derive(Serialize, Deserialize)]
struct ReceiptJson {
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share: Option<ShareId>,
    workload: WorkloadName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    day: Option<Day>,
    drop: DropId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seal: Option<ContentHash>,
    state: String,
    at: Timestamp,
    by: String,
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tree: Option<BlobId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<RejectionCode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    /// A text: what a newer vault says, this program need not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    safe: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spool: Option<Spooled>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handover: Option<HandedOver>,
    certificate: String,
}

/// Signs receipts: an identity with a certificate. Implemented where the keys are.
pub trait Signer: Send + Sync {
    /// The name in the certificate.
    fn name(&self) -> String;
    /// The role in the certificate.
    fn role(&self) -> String;
    /// The certificate that the signature can be verified with, as PEM.
    fn certificate_pem(&self) -> String;
    /// Signs `message`.
    fn sign(&self, message: &[u8]) -> io::Result<Vec<u8>>;
}

/// Why a receipt cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    #[error("the receipt is torn: it ends before its last member \"signature\"")]
    Torn,
    #[error("the receipt is not of the form that the drop protocol asks for: {reason}")]
    Malformed { reason: String },
    #[error(
        "the receipt has format version {version}, and this program reads none above {RECEIPT_VERSION}"
    )]
    UnknownVersion { version: u64 },
    #[error("cannot read {path}: {source}{hint}", path = path.display(), hint = hint(source))]
    Io { path: PathBuf, source: io::Error },
}

impl ReceiptError {
    /// Whether to try again in a while: the share had a hiccup.
    pub fn is_later(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_later(source))
    }
}

/// A receipt with its signature, as it lies on the share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReceipt {
    receipt: Receipt,
    certificate_pem: String,
    bytes: Vec<u8>,
}

impl Receipt {
    /// Signs the receipt as `signer`.
    pub fn sign(mut self, signer: &dyn Signer) -> io::Result<SignedReceipt> {
        (self.by, self.role) = (signer.name(), signer.role());
        self.reason = self.reason.map(|reason| reason.chars().take(REASON_CHARS_MAX).collect());
        self.handover = self.handover.map(HandedOver::bounded);
        let certificate_pem = signer.certificate_pem();
        let receipt = self.clone();
        let json = ReceiptJson {
            version: RECEIPT_VERSION,
            share: self.share,
            workload: self.workload,
            day: self.day,
            drop: self.drop,
            seal: self.seal,
            state: self.state.to_string(),
            at: self.at,
            by: self.by,
            role: self.role,
            size: self.size,
            tree: self.tree,
            snapshot: self.snapshot,
            repository: self.repository,
            sequence: self.sequence,
            reason: self.reason,
            code: self.code,
            verdict: self.verdict,
            safe: self.safe.as_ref().map(Safe::to_string),
            spool: self.spool,
            handover: self.handover,
            certificate: certificate_pem.clone(),
        };
        let mut body = serde_json::to_vec(&json)?;
        // The brace comes back behind the signature.
        body.pop();
        let signature = hex::encode(&signer.sign(&body)?);
        let bytes = proof::join(body, "signature", &signature);
        Ok(SignedReceipt { receipt, certificate_pem, bytes })
    }
}

/// The code of a receipt that was written before there were codes. One reason only meant more than
/// its words, and its words were always these.
fn code_of_old(state: ReceiptState, reason: Option<&str>) -> Option<RejectionCode> {
    const TORN_SEAL: &str = "the seal is torn: sealed.json ends before its last member \"self\"";
    let is_torn = state == ReceiptState::Rejected && reason == Some(TORN_SEAL);
    is_torn.then_some(RejectionCode::TornSeal)
}

impl SignedReceipt {
    /// Reads a receipt; its signature is not verified yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let malformed = |reason: String| ReceiptError::Malformed { reason };
        let proven = proof::split(bytes, "signature").ok_or(ReceiptError::Torn)?;
        hex::decode(proven.proof).ok_or_else(|| malformed("the signature is not hex".into()))?;
        let json: ReceiptJson =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if !(1..=RECEIPT_VERSION).contains(&json.version) {
            return Err(ReceiptError::UnknownVersion { version: json.version });
        }
        if json.version >= 2 && (json.share.is_none() || json.day.is_none()) {
            return Err(malformed("it does not say of which share and day".to_owned()));
        }
        let state =
            json.state.parse().map_err(|error: UnknownState| malformed(error.to_string()))?;
        let receipt = Receipt {
            share: json.share,
            workload: json.workload,
            day: json.day,
            drop: json.drop,
            seal: json.seal,
            state,
            at: json.at,
            by: json.by,
            role: json.role,
            size: json.size,
            tree: json.tree,
            snapshot: json.snapshot,
            repository: json.repository,
            sequence: json.sequence,
            code: json.code.or_else(|| code_of_old(state, json.reason.as_deref())),
            reason: json.reason,
            verdict: json.verdict,
            safe: json.safe.and_then(|word| word.parse().ok()),
            spool: json.spool,
            handover: json.handover,
        };
        Ok(Self { receipt, certificate_pem: json.certificate, bytes: bytes.to_vec() })
    }

    /// Its content.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The certificate that came with it; whether to trust that is for the caller to decide.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Hands `(certificate PEM, signed bytes, signature)` to `check` and returns its verdict.
    pub fn verify<T>(&self, check: impl FnOnce(&str, &[u8], &[u8]) -> T) -> T {
        let (signed, signature) = proof::split(&self.bytes, "signature")
            .map_or((&[][..], Vec::new()), |proven| {
                (proven.body, hex::decode(proven.proof).unwrap_or_default())
            });
        check(&self.certificate_pem, signed, &signature)
    }
}

fn file_name(drop: DropId, state: ReceiptState) -> String {
    format!("{drop}.{state}.json")
}

/// Puts a receipt on the share. What lies there under its name is replaced, unless it is this very
/// receipt: whatever it says, whoever writes to the share may have put it there, and must not keep
/// the real one from landing. A crash in between leaves none, and the work that it proves is done again.
pub fn write(share: &Share, signed: &SignedReceipt) -> Result<(), ShareError> {
    let receipt = signed.receipt();
    let directory = share.workload_directory(&receipt.workload).join(RECEIPTS);
    let receipts = make_directory(share, &receipt.workload, &directory)?;
    let access = receipts.access().map_err(ShareError::io("look at", &directory))?;
    let name = file_name(receipt.drop, receipt.state);
    let path = directory.join(&name);
    match receipts.create_new(&name, signed.bytes(), access) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => return result.map_err(ShareError::io("write", &path)),
    }
    match receipts.read_bounded(&name, RECEIPT_BYTES_MAX) {
        // By whoever died before it was durable, maybe.
        Ok(bytes) if bytes == signed.bytes() => {
            let synced = receipts.file(name.as_bytes()).and_then(|(file, _)| file.sync_all());
            return synced.and_then(|()| receipts.sync()).map_err(ShareError::io("sync", &path));
        }
        // It may be whole, and must not be removed for a passing fault.
        Err(error) if is_later(&error) => return Err(ShareError::io("read", &path)(error)),
        _ => {}
    }
    receipts.remove_file(name.as_bytes()).map_err(ShareError::io("replace", &path))?;
    receipts.create_new(&name, signed.bytes(), access).map_err(ShareError::io("write", &path))
}

/// The receipts of a workload. They are no secret to whoever may see the workload: a writer must
/// find out whether it was given up, under whatever user the agent runs.
fn make_directory(
    share: &Share,
    workload: &WorkloadName,
    path: &Path,
) -> Result<Directory, ShareError> {
    let root = share.root_to_change()?;
    let made = root.make_directories(&[WORKLOADS, workload.as_str(), RECEIPTS], Access::readable);
    made.map_err(ShareError::io("open or make", path))
}

/// Takes a receipt back that turned out to be wrong in the moment it was written, or that a policy
/// wrote which has changed.
pub fn withdraw(
    share: &Share,
    workload: &WorkloadName,
    drop: DropId,
    state: ReceiptState,
) -> Result<(), ShareError> {
    let name = file_name(drop, state);
    let names = [WORKLOADS, workload.as_str(), RECEIPTS].map(str::to_owned);
    let path = share.workload_directory(workload).join(RECEIPTS).join(&name);
    let taken_back = match share.root_to_change()?.descend(&names) {
        Ok(directory) => directory.remove_file(name.as_bytes()).and_then(|()| directory.sync()),
        // Where there are no receipts, this one is not, either.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    taken_back.map_err(ShareError::io("take back", &path))
}

/// Reads the receipt of one state; `None` if there is none.
pub fn read(
    share: &Share,
    workload: &WorkloadName,
    drop: DropId,
    state: ReceiptState,
) -> Result<Option<SignedReceipt>, ReceiptError> {
    let name = file_name(drop, state);
    let names = [WORKLOADS, workload.as_str(), RECEIPTS].map(str::to_owned);
    let content = share
        .directory()
        .and_then(|root| root.descend(&names)?.read_bounded(&name, RECEIPT_BYTES_MAX));
    match content {
        Ok(bytes) => SignedReceipt::parse(&bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => {
            let path = share.workload_directory(workload).join(RECEIPTS).join(name);
            Err(ReceiptError::Io { path, source })
        }
    }
}

#[cfg(test)]
mod tests;
