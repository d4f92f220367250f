//! Asking for a backup that has left the share: requests by instances, and the agent's answers.
//!
//! ```text
//! SHARE/fetch/<workload>                        by instances: somebody asks
//! SHARE/w/<workload>/requests/<request>.json    by instances: what, and a public key
//! SHARE/w/<workload>/answers/<request>.json     by the agent: the reply
//!                            waiting.json       by the agent: why there is no reply yet
//!                            <answer>.progress.json, <answer>/…   by the agent: the content, encrypted
//! ```
//!
//! Each document ends with a hash of itself, so that a torn one is none. That proves its form and
//! nothing else: who asks is whoever may write into the workload's directory, and whether that says
//! anything is for the agent to judge; what a reply is worth, the vault's signature in it says; and what
//! the content is worth, its hashes below the tree that the vault names. Nothing here is renamed, locked
//! or written over. `docs/drop-protocol.md` has the format.

mod progress;
mod reply;
mod request;

use std::io;

use outlast_types::{Random, RequestId, ShareId, WorkloadName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files::{Access, Directory};
use crate::hash::{Algorithm, Digest};
use crate::layout::{ANSWERS, FETCH, REQUESTS, WORKLOADS};
use crate::proof;
use crate::share::{Share, ShareError};

pub use progress::{AnswerState, Progress};
pub use reply::Reply;
pub use request::Request;

const VERSION: u64 = 1;
/// A longer document is none of ours.
const BYTES_MAX: u64 = 256 << 10;
/// The member that proves a document.
const SELF: &str = "self";
const SUFFIX: &str = ".json";

/// What every document begins with.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Head {
    version: u64,
    share: ShareId,
    workload: WorkloadName,
}

impl Head {
    fn new(share: ShareId, workload: &WorkloadName) -> Self {
        Self { version: VERSION, share, workload: workload.clone() }
    }
}

/// A document with its head and its proof.
fn to_bytes(document: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut body = serde_json::to_vec(document)?;
    body.pop();
    let digest = Digest::of(Algorithm::Blake3, &body).to_string();
    Ok(proof::join(body, SELF, &digest))
}

/// The document in `bytes`, if they are whole.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let proven = proof::split(bytes, SELF)?;
    let digest: Digest = proven.proof.parse().ok()?;
    if Digest::of(digest.algorithm(), proven.body) != digest {
        return None;
    }
    serde_json::from_slice(bytes).ok()
}

/// Makes the place where instances tell that they ask: whoever may make a workload may do that. Where
/// there is none, nobody answers.
pub fn open(share: &Share) -> Result<(), ShareError> {
    let made = share.directory().and_then(|root| {
        let access = root.directory(WORKLOADS)?.access()?;
        root.make_directory(FETCH, access).map(drop)
    });
    made.map_err(ShareError::io("make", &share.path().join(FETCH)))
}

/// Whether an agent answers requests on this share.
pub fn is_open(share: &Share) -> Result<bool, ShareError> {
    match share.directory().and_then(|root| root.directory(FETCH)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(ShareError::io("open", &share.path().join(FETCH))(error)),
    }
}

/// Tells the agent that somebody asks. One that was told already has not done with it.
pub fn ring(share: &Share, workload: &WorkloadName) -> Result<(), ShareError> {
    let made = share.directory().and_then(|root| {
        let fetch = root.directory(FETCH)?;
        fetch.create_file(workload.as_str(), fetch.access()?).map(drop)
    });
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(ShareError::io("write", &share.path().join(FETCH))),
    }
}

/// The workloads of which somebody asks for a backup, as many as `max`, and whether these are all.
pub fn rung(share: &Share, max: usize) -> Result<(Vec<WorkloadName>, bool), ShareError> {
    let listed = share
        .directory()
        .and_then(|root| root.directory(FETCH)?.names_up_to(max))
        .map_err(ShareError::io("list", &share.path().join(FETCH)))?;
    let name = |name: Vec<u8>| WorkloadName::new(std::str::from_utf8(&name).ok()?).ok();
    Ok((listed.0.into_iter().filter_map(name).collect(), listed.1))
}

/// Takes away that somebody asks: nothing of this workload is to be answered, or tidied up.
pub fn unring(share: &Share, workload: &WorkloadName) -> Result<(), ShareError> {
    let path = share.path().join(FETCH).join(workload.as_str());
    let removed = share
        .directory()
        .and_then(|root| root.directory(FETCH)?.remove_file(workload.as_str().as_bytes()));
    removed.map_err(ShareError::io("remove", &path))
}

/// Whether who writes into a workload's directory is known to belong to it, by the permissions: it is none of
/// those who may write elsewhere. For who attends to the share.
pub fn is_of_its_own(share: &Share, workload: &WorkloadName) -> io::Result<bool> {
    let workloads = share.directory()?.directory(WORKLOADS)?;
    let of_it = workloads.directory(workload.as_str())?.writers()?;
    Ok(of_it.are_apart(&workloads.writers()?, rustix::process::geteuid().as_raw()))
}

/// One of the two directories of a workload, open.
#[derive(Debug)]
pub struct Desk {
    directory: Directory,
    share: ShareId,
    workload: WorkloadName,
}

impl Desk {
    /// The directory of requests, made if it is missing.
    pub fn of_requests(share: &Share, workload: &WorkloadName) -> Result<Self, ShareError> {
        Self::made(share, workload, REQUESTS)
    }

    /// The directory of answers, made if it is missing.
    pub fn of_answers(share: &Share, workload: &WorkloadName) -> Result<Self, ShareError> {
        Self::made(share, workload, ANSWERS)
    }

    /// The directory of requests, if there is one.
    pub fn find_requests(
        share: &Share,
        workload: &WorkloadName,
    ) -> Result<Option<Self>, ShareError> {
        Self::found(share, workload, REQUESTS)
    }

    /// The directory of answers, if there is one.
    pub fn find_answers(
        share: &Share,
        workload: &WorkloadName,
    ) -> Result<Option<Self>, ShareError> {
        Self::found(share, workload, ANSWERS)
    }

    fn made(share: &Share, workload: &WorkloadName, name: &str) -> Result<Self, ShareError> {
        let path = share.workload_directory(workload).join(name);
        let home = share.make_workload(workload)?;
        let made = home.access().and_then(|access| home.make_directory(name, access));
        let directory = made.map_err(ShareError::io("open or make", &path))?;
        Ok(Self { directory, share: share.id(), workload: workload.clone() })
    }

    fn found(
        share: &Share,
        workload: &WorkloadName,
        name: &str,
    ) -> Result<Option<Self>, ShareError> {
        let names = [WORKLOADS, workload.as_str(), name].map(str::to_owned);
        match share.directory().and_then(|root| root.descend(&names)) {
            Ok(directory) => {
                Ok(Some(Self { directory, share: share.id(), workload: workload.clone() }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let path = share.workload_directory(workload).join(name);
                Err(ShareError::io("open", &path)(error))
            }
        }
    }

    /// The ids of the documents in it that are named by one, as many as `max`, in order; and the names
    /// of its directories of answers.
    pub fn list(&self, max: usize) -> Result<Listed, ShareError> {
        let mut listed = Listed { is_whole: true, ..Listed::default() };
        let names = self.directory.names_up_to(max);
        let (names, is_whole) = names.map_err(ShareError::io("list", self.directory.path()))?;
        listed.is_whole = is_whole;
        for name in names.iter().filter_map(|name| std::str::from_utf8(name).ok()) {
            if let Some(id) = name.strip_suffix(SUFFIX).and_then(|id| id.parse().ok()) {
                listed.requests.push(id);
            } else if is_answer(name) {
                listed.answers.push(name.to_owned());
            }
        }
        Ok(listed)
    }

    /// How old a document of a request is, by the clock of whoever keeps the share, in seconds; `None`
    /// if it is gone.
    pub fn age(&self, request: RequestId, now: i64) -> Option<i64> {
        let facts = self.directory.facts(file_of(request).as_bytes()).ok()?;
        Some(now.saturating_sub(facts.modified.0))
    }

    /// The time of now by the clock of whoever keeps the share.
    pub fn now(&self, random: &dyn Random) -> Result<i64, ShareError> {
        let now = crate::notice::server_time(&self.directory, random);
        now.map_err(ShareError::io("learn the time of", self.directory.path()))
    }

    /// Removes the document of a request; fine if it is gone.
    pub fn remove(&self, request: RequestId) -> Result<(), ShareError> {
        self.remove_file(&file_of(request))
    }

    /// Makes the directory of an answer, or opens it.
    pub fn make_answer(&self, answer: &str) -> Result<Directory, ShareError> {
        let path = self.directory.path_of(answer.as_bytes());
        let made = self.directory.make_directory(answer, self.access()?);
        made.map_err(ShareError::io("open or make", &path))
    }

    /// Opens the directory of an answer.
    pub fn answer(&self, answer: &str) -> Result<Directory, ShareError> {
        let path = self.directory.path_of(answer.as_bytes());
        match is_answer(answer) {
            true => self.directory.directory(answer).map_err(ShareError::io("open", &path)),
            false => Err(ShareError::io("open", &path)(io::ErrorKind::InvalidInput.into())),
        }
    }

    /// Removes what lies there of an answer; fine if it is gone.
    pub fn remove_content(&self, answer: &str) -> Result<(), ShareError> {
        let path = self.directory.path_of(answer.as_bytes());
        let removed = match self.directory.directory(answer) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
            Ok(directory) => directory
                .names()
                .and_then(|names| names.iter().try_for_each(|name| directory.remove_file(name)))
                .and_then(|()| self.directory.remove_directory(answer)),
        };
        removed.map_err(ShareError::io("remove", &path))
    }

    fn access(&self) -> Result<Access, ShareError> {
        self.directory.access().map_err(ShareError::io("look at", self.directory.path()))
    }

    fn remove_file(&self, name: &str) -> Result<(), ShareError> {
        let path = self.directory.path_of(name.as_bytes());
        self.directory.remove_file(name.as_bytes()).map_err(ShareError::io("remove", &path))
    }

    /// The bytes of a document; `None` if there is none, or what has its name can be none.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ShareError> {
        match self.directory.read_bounded(name, BYTES_MAX) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::FileTooLarge => Ok(None),
                _ => {
                    let path = self.directory.path_of(name.as_bytes());
                    Err(ShareError::io("read", &path)(error))
                }
            },
        }
    }

    /// Writes a document in place of the one that is there. Between the two there is none for a moment.
    fn write(&self, name: &str, document: &impl Serialize) -> Result<(), ShareError> {
        let path = self.directory.path_of(name.as_bytes());
        let written = to_bytes(document).and_then(|bytes| {
            self.directory.remove_file(name.as_bytes())?;
            self.directory.create_own(name, &bytes, self.directory.access()?)
        });
        written.map_err(ShareError::io("write", &path))
    }

    fn head(&self) -> Head {
        Head::new(self.share, &self.workload)
    }
}

/// The names in a directory of requests or answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    pub requests: Vec<RequestId>,
    pub answers: Vec<String>,
    /// Whether these are all.
    pub is_whole: bool,
}

fn file_of(request: RequestId) -> String {
    format!("{request}{SUFFIX}")
}

/// The number of hexadecimal digits in an answer's name.
const ANSWER_DIGITS: usize = 32;

/// A name for a new answer, which nobody has used.
pub fn answer_name(random: &dyn Random) -> String {
    let mut bytes = [0; ANSWER_DIGITS / 2];
    random.fill(&mut bytes);
    outlast_types::hex::encode(&bytes)
}

fn is_answer(name: &str) -> bool {
    name.len() == ANSWER_DIGITS
        && name.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

#[cfg(test)]
mod tests;
