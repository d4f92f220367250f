//! One prune under way, and the marks that it reads and writes.

use std::time::Duration;

use outlast_format::index::{Condemned, IndexFile, Notes};
use outlast_format::{IndexId, PackId};
use outlast_store::{Object, StoreError};
use outlast_types::{Clock, Monitor, Random};

use super::options::Options;
use crate::error::Flaw;
use crate::lock::Here;
use crate::{Index, RepoError, Repository, index_file};

/// Marks, each with the index file that it is.
pub(super) type Marks = Vec<(IndexId, Condemned)>;

/// A repository, the holder of its lock, and how to prune it.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a Options,
    pub(super) here: &'a Here<'a>,
    pub(super) clock: &'a dyn Clock,
    pub(super) random: &'a dyn Random,
    pub(super) monitor: &'a dyn Monitor,
}

impl Work<'_> {
    /// The marks in the repository, as they are now.
    pub(super) fn marks(&self) -> Result<Marks, RepoError> {
        Ok(whole_index(&self.repository.afresh())?.condemned())
    }

    /// How long ago a mark was made, by the store's time: whoever wrote it may have dated it as he
    /// liked. Where the store does not tell, what it says itself is all there is.
    pub(super) fn age_of(&self, mark: IndexId, noted: &Condemned) -> Result<Duration, RepoError> {
        match self.repository.store().written(&Object::Index(mark)) {
            Ok(Some(written)) => Ok(written.age()),
            Ok(None) => Ok(self.clock.now().since(noted.since)),
            // Somebody else swept it meanwhile.
            Err(StoreError::NotFound { .. }) => Ok(Duration::ZERO),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a mark is from the future, by the same time.
    pub(super) fn is_future(&self, mark: IndexId, noted: &Condemned) -> Result<bool, RepoError> {
        match self.repository.store().written(&Object::Index(mark)) {
            Ok(Some(written)) => Ok(written.at > written.now),
            Ok(None) => Ok(noted.since > self.clock.now()),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is something to sweep: all marks that wait have waited for the grace time, or
    /// a sweep was begun. A mark that is younger protects what the index files of a sweep list, so
    /// the older ones wait for it.
    pub(super) fn is_due(&self, marks: &Marks) -> Result<bool, RepoError> {
        for (id, mark) in marks.iter().filter(|(_, mark)| !mark.sweeping) {
            if self.age_of(*id, mark)? < self.options.grace {
                return Ok(false);
            }
        }
        Ok(!marks.is_empty() && !self.is_awaited(marks)?)
    }

    /// Whether a mark was made since something is on its way that may rest on what it condemns. One of
    /// before was seen by whoever began since.
    pub(super) fn is_awaited(&self, marks: &Marks) -> Result<bool, RepoError> {
        let Some(since) = self.options.awaited_since else { return Ok(false) };
        for (id, mark) in marks.iter().filter(|(_, mark)| !mark.sweeping) {
            let made = match self.repository.store().written(&Object::Index(*id)) {
                Ok(written) => written.map_or(mark.since, |written| written.at),
                Err(StoreError::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if made >= since {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a pack came since something is on its way that may have brought it, or rest on it.
    pub(super) fn is_young(&self, pack: &PackId) -> Result<bool, RepoError> {
        let Some(since) = self.options.awaited_since else { return Ok(false) };
        match self.repository.store().written(&Object::Data(*pack)) {
            // Where the store does not tell, it may have.
            Ok(written) => Ok(written.is_none_or(|written| written.at >= since)),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a mark; when it returns, the mark is durable.
    pub(super) fn write_mark(&self, mark: Condemned) -> Result<IndexId, RepoError> {
        let notes = Notes { chunk_average: None, condemned: Some(mark) };
        let file = IndexFile { notes, ..IndexFile::default() };
        Ok(index_file::write(self.repository.opened(), &file, self.random)?.0)
    }

    /// Removes an object; one that is gone is removed.
    pub(super) fn remove(&self, object: &Object) -> Result<(), RepoError> {
        match self.repository.store().remove(object) {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The index, of which no file is damaged.
pub(super) fn whole_index(repository: &Repository) -> Result<&Index, RepoError> {
    let index = repository.index()?;
    let problem = index.problems().first().and_then(RepoError::object);
    if let Some(file) = problem.and_then(|object| object.index()) {
        // Read once more, because an error cannot be taken out of an index.
        if let Err(error) = index_file::read(repository.opened(), file) {
            return Err(RepoError::not_whole(repository.location(), Flaw::Object(error)));
        }
    }
    Ok(index)
}
