//! The share: writing, sealing, scanning, reading and releasing drops; receipts.
//!
//! `docs/drop-protocol.md` is the specification; this crate is one implementation of it, and a
//! shell script can be another. The way of a drop through the modules:
//!
//! - [`share`] knows whether a directory is a share, and refuses everything else.
//! - [`writer`] makes a drop: `open.json`, segments, and last of all [`seal`].
//! - [`mod@scan`] finds what is new on the share, [`stillness`] tells the slow writer from the dead one,
//!   [`reader`] reads a sealed drop and believes nothing that no hash proves.
//! - [`schedule`] says when it is time to drop, [`recent`] whether somebody has done it, and [`lease`]
//!   who does; [`ending`] decides about the last drop of an instance that is told to go.
//! - [`sanity`] tells whether content is a whole backup, by its own bytes.
//! - [`bell`] tells the agent where something is new.
//! - [`notice`] keeps writers from dropping where there is no room.
//! - [`receipt`] says what became of a drop, [`mod@release`] lets its data go, [`mod@status`] tells people, and
//!   [`mod@clean`] tidies up.
//! - [`adopt`] makes drops of files that somebody wrote without us.
//! - [`tar`] carries trees through a stream; [`fetch`] brings a drop back to an instance, and [`asking`] is how
//!   that one asks for what has left the share.
//!
//! Rules that hold everywhere: the content of a share is input from strangers, so every file is
//! opened without following symbolic links, read with a bound, and refused with a typed
//! [`Rejection`]; no rename, lock or hard link is needed; and what may be a hiccup of a network
//! file system (`ESTALE`, `EIO`) is "again later", never a verdict about a drop.

pub mod adopt;
pub mod asking;
pub mod bell;
pub mod clean;
pub mod ending;
pub mod fetch;
pub mod files;
pub mod gate;
pub mod hash;
pub mod layout;
pub mod lease;
pub mod left;
pub mod notice;
pub mod open;
pub mod proof;
mod proven;
pub mod reader;
pub mod receipt;
pub mod recent;
pub mod rejection;
pub mod release;
pub mod sanity;
pub mod scan;
pub mod schedule;
pub mod seal;
pub mod sealing;
pub mod share;
pub mod status;
pub mod stillness;
pub mod tar;
pub mod tenure;
pub mod writer;

pub use clean::{CleanOptions, Cleaned, clean};
pub use layout::DropAddress;
pub use notice::{Notice, NoticeCode, NoticeLevel};
pub use open::{
    BroughtBack, Claims, Content, Databases, Gaps, InvalidStreamName, OpenRecord, Source,
};
pub use proven::{PolicyWord, Verifier};
pub use reader::{ContentReader, DropLimits, DropReadError, ReadOptions, ReadWatch, SealedDrop};
pub use receipt::{
    HandedJob, HandedOver, Receipt, ReceiptError, ReceiptState, SignedReceipt, Signer, Spooled,
};
pub use rejection::Rejection;
pub use release::{Closing, Freed, ReleaseError, abandon, close_days, quarantine, release};
pub use scan::{
    DropState, Scan, ScanLimits, ScanMemory, ScanProblem, Sighting, WorkloadMemory, WorkloadScan,
    scan, scan_one,
};
pub use seal::{Compression, Seal, SealSummary, Segment};
pub use share::{Opening, Share, ShareError};
pub use status::{ShareStatus, WorkloadStatus, status, status_of, status_up_to};
pub use stillness::{Fingerprint, StillnessTracker};
pub use writer::{DropWriter, WriteError, WriterOptions};
