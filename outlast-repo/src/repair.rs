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
mod outcome;
mod review;

pub use outcome::{Options, Outcome, PackTrouble, Remains};

use outlast_store::{Object, StoreError};
use outlast_types::{Clock, Monitor, Random};

use crate::index_file::IndexWriter;
use crate::lock::{Held, Here};
use crate::{RepoError, Repository};
use review::{Review, Verdict};

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
    let mut review = Review::make(repository, options.read_all_packs, &mut outcome, &keep_going)?;
    let mut writer = IndexWriter::new(repository.opened(), review.chunk_average, random)
        .dry_run(options.dry_run);
    // What a replaced file says of a pack is as good as the pack's header and is at hand, unless
    // the headers are what shall be believed.
    if !options.read_all_packs {
        review.list_fitting(&mut writer, &keep_going)?;
    }
    monitor.begin("read headers of packs", None);
    headers::list(repository, &mut review, &mut writer, &mut outcome, monitor, &keep_going)?;
    review.list_authentic(&mut writer, &mut outcome, &keep_going)?;
    outcome.unlisted.retain(|trouble| !review.inventory.is_listed(&trouble.pack()));
    outcome.remains.retain(|remains| remains.kept > 0);
    review.keep_marks(&mut writer, &keep_going)?;
    let written = writer.finish_beside(review.kept_average)?;
    outcome.written = written.files.into_iter().map(|(index, _)| index).collect();
    (outcome.packs, outcome.blobs) = (written.packs, written.blobs);
    for (index, verdict) in review.files {
        if verdict == Verdict::Replaced {
            let object = Object::Index(index);
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
