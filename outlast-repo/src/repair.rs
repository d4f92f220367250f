//! Making the index anew from what the packs say of themselves.
//!
//! Every pack ends with a list of its blobs, so index files can be lost without losing data.
//! [`index`] lists the packs that no index file lists, and replaces index files that are damaged,
//! that list packs which are not there, or that give a pack other blobs than fit into it. It never
//! touches a pack. Of a pack that is not what it was, every blob stays listed that lies in it and is
//! authentic: what could be restored before a repair can be restored after it.
//!
//! Index files are only added until everything that the repository holds is listed; then those
//! that were replaced are removed. Whatever stops it, and wherever: all that was listed before is
//! listed still, and the next run goes on. If nothing is to be replaced nothing is removed, which
//! a store that refuses removal permits, too.
//!
//! Backups may go on at the same time; they look whether the index files that they rest on are
//! still there, and begin again if not. A prune would remove packs that are being listed: each holds
//! an exclusive lock, and so keeps the other away, and stock restic as well.
//!
//! Memory: 48 bytes for each pack, one index file, and the headers that are under way.

mod headers;
mod survey;
mod writer;

use std::fmt;

use outlast_format::{FormatError, IndexId, PackId};
use outlast_store::{Object, StoreError};
use outlast_types::{Clock, Monitor, Random};

use crate::lock::{Held, Here};
use crate::{RepoError, Repository};
use survey::{Survey, Verdict};
use writer::Writer;

/// What to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Read the header of every pack, and replace all index files.
    pub read_all_packs: bool,
    /// Find out what is to be done, and change nothing.
    pub dry_run: bool,
}

/// What was done, or would be.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Index files that were written; empty in a dry run.
    pub written: Vec<IndexId>,
    /// Index files that were replaced and removed.
    pub removed: Vec<Object>,
    /// Those of them that were damaged.
    pub damaged: Vec<RepoError>,
    /// Packs that index files listed and that are not there. What only they held is lost.
    pub missing: Vec<PackId>,
    /// Packs whose headers were read.
    pub headers_read: u64,
    /// Packs and blobs that the new index files list.
    pub packs: u64,
    pub blobs: u64,
    /// Packs that cannot be listed, because nothing says what is in them.
    pub unlisted: Vec<PackTrouble>,
    /// Packs that are not what they were, and what of them stays listed.
    pub remains: Vec<Remains>,
}

/// A pack with a damaged end, and what index files say of it that is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remains {
    pub pack: PackId,
    /// Blobs that stay listed.
    pub kept: usize,
    /// Blobs that are not there any more.
    pub lost: usize,
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pack, kept, lost } = self;
        write!(f, "data/{pack} is not what it was: ")?;
        match lost {
            0 => write!(
                f,
                "all {kept} blobs in it are sound and stay listed, but it does not end as a pack \
                 should; a prune copies them into one that does"
            ),
            _ => write!(
                f,
                "{kept} blobs in it are sound and stay listed, {lost} are lost; leave it where it \
                 is, and put back a whole copy of it or back up again what a check then names"
            ),
        }
    }
}

impl Outcome {
    /// Whether everything that is there is listed now, and nothing else, and nothing was lost.
    pub fn is_whole(&self) -> bool {
        self.unlisted.is_empty() && self.remains.iter().all(|remains| remains.lost == 0)
    }

    /// Whether there was nothing to do.
    pub fn is_unchanged(&self) -> bool {
        self.packs == 0 && self.removed.is_empty()
    }
}

/// Why a pack cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum PackTrouble {
    #[error(
        "the header of data/{pack} is damaged ({source}) and no index file lists it, so nobody can \
         say what is in it; leave it where it is, and put back a whole copy of it or back up again \
         what a check then names"
    )]
    Header { pack: PackId, source: FormatError },
    #[error(
        "data/{pack} cannot be read: {source}; leave it where it is, repair the disk, and run this \
         again"
    )]
    Unreadable { pack: PackId, source: Box<StoreError> },
}

/// Makes the index fit the packs. [`RepoError::Locked`] while somebody holds a lock, such as a prune.
pub fn index(
    repository: &Repository,
    options: Options,
    here: &Here<'_>,
    clock: &dyn Clock,
    random: &dyn Random,
    monitor: &dyn Monitor,
) -> Result<Outcome, RepoError> {
    let mut outcome = Outcome::default();
    // Before the first look: what is looked at must not be removed meanwhile.
    let lock = if options.dry_run {
        None
    } else {
        Some(Held::take(repository, true, here, clock, random)?)
    };
    let keep_going = || lock.as_ref().map_or(Ok(()), Held::keep);
    monitor.begin("read index files", None);
    let mut survey = Survey::make(repository, options.read_all_packs, &mut outcome, &keep_going)?;
    let mut writer = Writer::new(repository, random, options.dry_run, survey.chunk_average);
    // What a replaced file says of a pack is as good as the pack's header and is at hand, unless
    // the headers are what shall be believed.
    if !options.read_all_packs {
        survey.list_fitting(&mut writer, &keep_going)?;
    }
    monitor.begin("read headers of packs", None);
    headers::list(repository, &mut survey, &mut writer, &mut outcome, monitor, &keep_going)?;
    survey.list_authentic(&mut writer, &mut outcome, &keep_going)?;
    outcome.unlisted.retain(|trouble| !survey.is_listed(trouble.pack()));
    outcome.remains.retain(|remains| remains.kept > 0);
    survey.keep_marks(&mut writer, &keep_going)?;
    writer.finish(survey.kept_average, &mut outcome)?;
    for (object, verdict) in survey.files {
        if verdict == Verdict::Replaced {
            if !options.dry_run {
                keep_going()?;
                remove(repository, &object)?;
            }
            outcome.removed.push(object);
        }
    }
    for trouble in &outcome.unlisted {
        monitor.problem(&trouble.to_string());
    }
    for remains in &outcome.remains {
        monitor.problem(&remains.to_string());
    }
    Ok(outcome)
}

fn remove(repository: &Repository, object: &Object) -> Result<(), RepoError> {
    match repository.store().remove(object) {
        // Somebody else repairs, too; or an answer was lost.
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl PackTrouble {
    /// The pack.
    pub fn pack(&self) -> PackId {
        match self {
            Self::Header { pack, .. } | Self::Unreadable { pack, .. } => *pack,
        }
    }
}
