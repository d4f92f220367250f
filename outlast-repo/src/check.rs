//! Checking: is everything there that snapshots need, and is it what its name says?
//!
//! The structure is checked from the listings, indexes, snapshots and trees; with
//! [`Options::read_data`] every pack is read from end to end as well. A problem is named by the
//! object that has it and by the entries of snapshots that it hits, and the check goes on: one
//! run finds all there is to find. Packs and trees are verified by several threads.
//!
//! The data of a large repository need not be read at once: a [`Subset`] of the packs is read each
//! time, or an interrupted check goes on where it was ([`Resume`]). How fast it may be read is
//! for the store to say ([`outlast_store::Paced`]).
//!
//! Memory is bounded by the number of packs, whatever their sizes: 48 bytes for each, a segment
//! of 4 MiB for each thread, 24 MiB of trees, and one bit for each blob.

mod data;
mod listed;
mod options;
mod packs;
mod report;
mod state;
mod subset;
mod touched;
mod trees;

pub use options::Options;
pub use report::{Affected, Counts, Defect, Problem, Report};
pub use state::Resume;
pub use subset::{InvalidSubset, Subset};
pub use touched::{Touched, touched};

use outlast_format::key_file::KeyFile;
use outlast_format::{config::Config, sha256};
use outlast_store::{Kind, Object};
use outlast_types::Monitor;

use crate::inventory::Inventory;
use crate::{RepoError, Repository, read};

/// Checks a repository. An error means that the check could not be made, for example because the
/// store does not answer; whatever is wrong with the repository itself is in the report.
///
/// A backup may go on at the same time, if `repository` was opened for this check: an index that
/// was loaded earlier does not know the blobs of younger snapshots.
pub fn check(
    repository: &Repository,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, RepoError> {
    let mut report = report::Builder::new(monitor);
    config(repository, &mut report)?;
    keys(repository, &mut report)?;
    // In the order opposite to that of a backup, which may go on at the same time: what a listed
    // snapshot or index refers to is then listed, too.
    let snapshots = read::snapshots(repository)?;
    let inventory = Inventory::take(repository.opened())?;
    packs::check(repository, options, inventory, &mut report, monitor)?;
    trees::check(repository, snapshots, &mut report, monitor)?;
    Ok(report.finish())
}

/// The config was good when the repository was opened, which may be long ago.
fn config(repository: &Repository, report: &mut report::Builder<'_>) -> Result<(), RepoError> {
    let sealed = repository.store().read(&Object::Config)?;
    let parsed = repository.key().open(&sealed).and_then(|document| Config::parse(&document));
    if let Err(source) = parsed {
        let location = repository.location();
        let error = RepoError::Damaged { object: Object::Config, location, source };
        report.add(Defect::Object(error));
    }
    Ok(())
}

/// Every key file, also those that other passwords open.
fn keys(repository: &Repository, report: &mut report::Builder<'_>) -> Result<(), RepoError> {
    let keys = repository.store().list(Kind::Key)?;
    report.counts().keys = keys.len() as u64;
    for (object, _) in keys {
        let location = repository.location();
        let bytes = match repository.store().read(&object) {
            Ok(bytes) => bytes,
            Err(error) => {
                report.add(Defect::Object(error.into()));
                continue;
            }
        };
        if object.name().is_some_and(|name| name != sha256(&bytes)) {
            report.add(Defect::Object(RepoError::HashMismatch { object, location }));
        } else if let Err(source) = KeyFile::parse(&bytes) {
            report.add(Defect::Object(RepoError::Damaged { object, location, source }));
        }
    }
    Ok(())
}
