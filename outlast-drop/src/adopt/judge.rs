//! Whether files that have settled were taken before: is there a drop, or a receipt, of an id that
//! they make?

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io;

use outlast_types::{Day, RejectionCode, WorkloadName, human};

use super::find::{Found, open};
use super::identity::{ATTEMPTS, Identity, Sample};
use crate::files::{Directory, NAMES_MAX, is_later};
use crate::layout::{DROPS, DropAddress, WORKLOADS};
use crate::proven::Verifier;
use crate::reader::{DropLimits, DropReadError, read_seal};
use crate::receipt::{self, ReceiptState, States};
use crate::rejection::Rejection;
use crate::share::{Share, ShareError};

/// Files that were not taken yet, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub(super) found: Found,
    pub(super) workload: WorkloadName,
    pub(super) identity: Identity,
    pub(super) attempt: u8,
    /// Whether all of it is compressed already.
    pub(super) is_packed: bool,
}

impl Candidate {
    /// The drop that is made of them.
    pub fn address(&self) -> DropAddress {
        self.identity.address(&self.workload, self.attempt)
    }

    /// Whether the others are the same files, under whatever names.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.workload, &self.identity) == (&other.workload, &other.identity)
    }
}

/// What is to be done with files that have settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// They are this drop already.
    Taken(DropAddress),
    /// They are to be taken.
    Free(Box<Candidate>),
    /// They are not what was looked at any more.
    Changed,
    /// They cannot be taken as they are, and their owner can change that.
    Refused(String),
    /// Nothing can be said of them now.
    Later(String),
}

/// What was found out about files of one workload.
#[derive(Debug)]
pub struct Judgement {
    /// Of each, in the order in which they were given.
    pub judged: Vec<Judged>,
    /// Whether the workload is on the share already.
    pub is_there: bool,
}

/// A file that has the facts that it had, open.
pub(super) enum Opened {
    Same(File),
    Changed,
    Refused(String),
    Later(String),
}

/// Opens a member of what was found, if it is still what it was.
pub(super) fn open_member(directory: &Directory, found: &Found, index: usize) -> Opened {
    let member = &found.members[index];
    match directory.file(&member.name) {
        Ok((file, facts)) if facts == member.facts => Opened::Same(file),
        Ok(_) => Opened::Changed,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => Opened::Changed,
            io::ErrorKind::PermissionDenied => Opened::Refused(
                "the agent may not read it; let its group read it (umask 027, chmod g+r), as \
                 docs/share-permissions.md says"
                    .to_owned(),
            ),
            _ => Opened::Later(error.to_string()),
        },
    }
}

/// The directory that holds what was found.
pub(super) fn home(share: &Share, found: &Found) -> io::Result<Directory> {
    let names = found.path.names();
    let above = names[..names.len() - 1].iter();
    let above: Option<Vec<String>> =
        above.map(|name| String::from_utf8(name.clone()).ok()).collect();
    open(share, &above.ok_or(io::ErrorKind::InvalidInput)?)
}

/// Finds out which of these files of `workload` were taken before. Of each only the beginning and the
/// end are read. With a verifier, only receipts that somebody signed who may say so count.
///
/// # Errors
/// If nothing can be said of any of them.
pub fn judge(
    share: &Share,
    workload: &WorkloadName,
    found: &[Found],
    limits: &DropLimits,
    verifier: Option<&dyn Verifier>,
) -> Result<Judgement, ShareError> {
    let identified: Vec<_> =
        found.iter().map(|found| identify(share, workload, found, limits)).collect();
    let ids = identified.iter().flatten();
    let wanted: BTreeSet<_> =
        ids.flat_map(|it| (0..ATTEMPTS).map(|attempt| it.identity.drop_id(attempt))).collect();
    let receipts = receipt::find(share, workload, &wanted, NAMES_MAX)?.states;
    let home = [WORKLOADS, workload.as_str()].map(str::to_owned);
    let is_there = match open(share, &home) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            return Err(ShareError::io("open", &share.workload_directory(workload))(error));
        }
    };
    let mut known = Known { share, workload, receipts, days: BTreeMap::new(), verifier };
    // Of the same content, what comes second is what comes first.
    let mut first: BTreeMap<DropAddress, DropAddress> = BTreeMap::new();
    let mut judged = Vec::with_capacity(found.len());
    for identified in identified {
        let verdict = match identified {
            Err(verdict) => verdict,
            Ok(candidate) => {
                let key = candidate.identity.address(workload, 0);
                let verdict = match first.get(&key) {
                    Some(taken) => Judged::Taken(taken.clone()),
                    None => known.judge(candidate)?,
                };
                if let Judged::Free(candidate) = &verdict {
                    first.insert(key, candidate.address());
                }
                verdict
            }
        };
        judged.push(verdict);
    }
    Ok(Judgement { judged, is_there })
}

/// What files are, or why that cannot be said.
fn identify(
    share: &Share,
    workload: &WorkloadName,
    found: &Found,
    limits: &DropLimits,
) -> Result<Candidate, Judged> {
    let later = |error: &io::Error| Judged::Later(error.to_string());
    let directory = home(share, found).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Judged::Changed,
        _ => later(&error),
    })?;
    if let Some(reason) = refusal(&directory, found, limits).map_err(|error| later(&error))? {
        return Err(Judged::Refused(reason));
    }
    let mut samples = Vec::new();
    for (index, member) in found.members.iter().enumerate() {
        let mut file = match open_member(&directory, found, index) {
            Opened::Same(file) => file,
            Opened::Changed => return Err(Judged::Changed),
            Opened::Refused(reason) => return Err(Judged::Refused(reason)),
            Opened::Later(reason) => return Err(Judged::Later(reason)),
        };
        let sample = Sample::of(&mut file, member.facts.size).map_err(|error| later(&error))?;
        samples.push(sample);
    }
    let facts = found.members.iter().map(|member| &member.facts);
    let identity = Identity::of(share.id(), workload, facts.zip(&samples));
    let is_packed = !samples.is_empty() && samples.iter().all(|sample| sample.is_packed);
    let (found, workload) = (found.clone(), workload.clone());
    Ok(Candidate { found, workload, identity, attempt: 0, is_packed })
}

/// Why files are not taken as they are, by what is known without reading them.
fn refusal(
    directory: &Directory,
    found: &Found,
    limits: &DropLimits,
) -> io::Result<Option<String>> {
    let bytes = found.bytes();
    if bytes > limits.bytes_max {
        let (bytes, max) = (human::bytes(bytes), human::bytes(limits.bytes_max));
        return Ok(Some(format!(
            "it has {bytes}, and the limit for one drop of this workload is {max} (drop_max of the agent)"
        )));
    }
    for member in &found.members {
        if member.facts.links > 1 {
            // Whoever can make a link can make one to what it may not read, and we may.
            return Ok(Some(format!(
                "{} has {} names (hard links), so it may be somebody else's file; copy it there instead",
                outlast_fs::entry::show(&member.name),
                member.facts.links
            )));
        }
        let size = member.facts.size;
        if limits.is_absurd(size, member.facts.allocated)
            && let Ok(Some(held)) = directory.bytes_held(&member.name)
            && limits.is_absurd(size, held)
        {
            let max = limits.ratio_max;
            return Ok(Some(format!(
                "it is {size} bytes long, and the share holds {held} bytes of it: the rest are holes, more than {max} bytes for one (ratio_max of the agent)"
            )));
        }
    }
    Ok(None)
}

/// What is on the share of one workload.
struct Known<'a> {
    share: &'a Share,
    workload: &'a WorkloadName,
    receipts: States,
    /// The names in the directories of its days.
    days: BTreeMap<Day, HashSet<Vec<u8>>>,
    verifier: Option<&'a dyn Verifier>,
}

/// What is known of one id.
enum Use {
    /// Nothing: it is free.
    None,
    /// There is, or was, a drop of it.
    Taken,
    /// It was begun, and never sealed.
    Burnt,
}

impl Known<'_> {
    fn judge(&mut self, candidate: Candidate) -> Result<Judged, ShareError> {
        let mut free = None;
        // All of them: what was taken the second time stays taken when the first is forgotten.
        for attempt in 0..ATTEMPTS {
            let address = candidate.identity.address(self.workload, attempt);
            match self.used(&address) {
                Ok(Use::Taken) => return Ok(Judged::Taken(address)),
                Ok(Use::None) => {
                    free.get_or_insert(attempt);
                }
                Ok(Use::Burnt) => {}
                Err(Unknown::Later(reason)) => return Ok(Judged::Later(reason)),
                Err(Unknown::Share(error)) => return Err(error),
            }
        }
        Ok(match free {
            Some(attempt) => Judged::Free(Box::new(Candidate { attempt, ..candidate })),
            None => Judged::Later(format!(
                "it was begun {ATTEMPTS} times and never sealed; what was begun is removed after the grace time"
            )),
        })
    }

    fn used(&mut self, address: &DropAddress) -> Result<Use, Unknown> {
        let states = self.receipts.get(&address.drop).cloned().unwrap_or_default();
        let held = [ReceiptState::Vaulted, ReceiptState::Confirmed];
        for state in held.into_iter().filter(|state| states.contains(state)) {
            if self.says(address, state)? {
                return Ok(Use::Taken);
            }
        }
        if states.contains(&ReceiptState::Rejected) && self.is_in_quarantine(address)? {
            return Ok(Use::Taken);
        }
        if !self.day(address.day)?.contains(address.drop.to_string().as_bytes()) {
            return Ok(if states.is_empty() { Use::None } else { Use::Burnt });
        }
        let path = self.share.drop_directory(address);
        let sealed = open(self.share, &address.components()).map(|directory| read_seal(&directory));
        match sealed {
            Ok(Ok(None) | Err(DropReadError::Refused(Rejection::TornSeal))) => Ok(Use::Burnt),
            // One that is refused is told of as any other.
            Ok(Ok(Some(_)) | Err(DropReadError::Refused(_))) => Ok(Use::Taken),
            Ok(Err(error @ DropReadError::Later { .. })) => Err(Unknown::Later(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Use::Burnt),
            Err(error) => Err(Unknown::Share(ShareError::io("open", &path)(error))),
        }
    }

    /// Whether a receipt says of this drop what its name says, by somebody who may say so.
    fn says(&self, address: &DropAddress, state: ReceiptState) -> Result<bool, Unknown> {
        match receipt::read(self.share, self.workload, address.drop, state) {
            Ok(Some(signed)) => {
                let receipt = signed.receipt();
                let is_it = receipt.state == state && receipt.is_about(self.share.id(), address);
                Ok(is_it && self.verifier.is_none_or(|it| it.check(&signed).is_ok()))
            }
            Ok(None) => Ok(false),
            Err(error) if error.is_later() => Err(Unknown::Later(error.to_string())),
            Err(_) => Ok(false),
        }
    }

    /// Whether the drop was rejected, and for more than a seal that its writer tore by dying.
    fn is_in_quarantine(&self, address: &DropAddress) -> Result<bool, Unknown> {
        if !self.says(address, ReceiptState::Rejected)? {
            return Ok(false);
        }
        let read = receipt::read(self.share, self.workload, address.drop, ReceiptState::Rejected);
        let code = read.ok().flatten().and_then(|signed| signed.receipt().code.clone());
        Ok(code != Some(RejectionCode::TornSeal))
    }

    /// The names in the directory of a day.
    fn day(&mut self, day: Day) -> Result<&HashSet<Vec<u8>>, Unknown> {
        if !self.days.contains_key(&day) {
            let path = [WORKLOADS, self.workload.as_str(), DROPS].map(str::to_owned);
            let path: Vec<String> = path.into_iter().chain([day.to_string()]).collect();
            let mut names = HashSet::new();
            let listed = open(self.share, &path).and_then(|directory| {
                directory.each_name(NAMES_MAX, |name| {
                    names.insert(name.to_vec());
                })
            });
            match listed {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if is_later(&error) => return Err(Unknown::Later(error.to_string())),
                Err(error) => {
                    let path = self.share.path().join(path.join("/"));
                    return Err(Unknown::Share(ShareError::io("list", &path)(error)));
                }
            }
            self.days.insert(day, names);
        }
        Ok(&self.days[&day])
    }
}

/// Why it is not known whether an id is used.
enum Unknown {
    /// The share answers badly about this one.
    Later(String),
    Share(ShareError),
}

/// Removes files that were adopted as `address`, if they still are what was adopted; whether they were
/// removed. That the vault holds that drop at this moment is for the caller to know.
///
/// Between the last look and the removal, somebody may put another file in a file's place: no file
/// system can remove a file on the condition that it still is the one. What was there is in the vault; so a
/// rule that removes is for directories in which names are not used again at once.
pub fn remove(share: &Share, found: &Found, address: &DropAddress) -> Result<bool, ShareError> {
    // Not on another share that is mounted in its place since.
    share.check()?;
    let path = share.path().join(found.path.to_string());
    let failed = |action| ShareError::io(action, &path);
    let limits = DropLimits { bytes_max: u64::MAX, ratio_max: 0, ..DropLimits::default() };
    let is_it = match identify(share, &address.workload, found, &limits) {
        Ok(candidate) => {
            let identity = candidate.identity;
            (0..ATTEMPTS).any(|attempt| identity.drop_id(attempt) == address.drop)
        }
        Err(Judged::Later(reason)) => return Err(failed("look at")(io::Error::other(reason))),
        Err(_) => false,
    };
    if !is_it {
        return Ok(false);
    }
    let directory = home(share, found).map_err(failed("open the directory of"))?;
    for member in &found.members {
        // The last look is the shortest before it goes.
        match directory.facts(&member.name) {
            Ok(facts) if facts == member.facts => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("look at")(error)),
        }
        directory.remove_file(&member.name).map_err(failed("remove"))?;
    }
    directory.sync().map_err(failed("sync the directory of"))?;
    Ok(true)
}
