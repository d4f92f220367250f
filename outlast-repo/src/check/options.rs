//! How thorough a check is.

use super::state::Resume;
use super::subset::Subset;

/// How thorough to be.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Read every pack and verify every blob in it, not only that it is there with its size.
    pub read_data: bool,
    /// Read the packs of this part only. The structure is checked as a whole at all events.
    pub subset: Option<Subset>,
    /// Leave out packs that an interrupted check has read.
    pub resume: Option<Resume>,
}
