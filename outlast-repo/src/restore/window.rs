//! A window of the work: what is gathered from the tree before anything is fetched for it.

use std::collections::HashMap;
use std::sync::Arc;

use outlast_format::BlobId;

use super::file::File;
use crate::read::blob::Located;
use crate::read::fetch::{Batch, Wanted, plan};

/// How many pieces of files are gathered: some megabytes of plan, and with pieces of 64 KiB or
/// more at least 1 GiB of content, so that blobs that lie side by side come in one request.
const USES_MAX: usize = 16 << 10;
/// How many files of several blobs may begin in one window. Each is open from its first blob to
/// its last, and a process may commonly have 1024 files open.
const FILES_MAX: usize = 128;

/// Where a blob goes.
pub(super) struct Use {
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
}

#[derive(Default)]
pub(super) struct Window {
    wanted: HashMap<BlobId, Wanted<Vec<Use>>>,
    uses: usize,
    files: usize,
}

impl Window {
    /// Notes that a file of several blobs begins.
    pub(super) fn begin_file(&mut self) {
        self.files += 1;
    }

    /// Adds one use of a blob.
    pub(super) fn add(&mut self, located: Located, file: &Arc<File>, offset: u64) {
        let wanted = self
            .wanted
            .entry(located.entry.id)
            .or_insert_with(|| Wanted { located, purpose: Vec::new() });
        wanted.purpose.push(Use { file: Arc::clone(file), offset });
        self.uses += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.uses >= USES_MAX || self.files >= FILES_MAX
    }

    /// The batches to fetch for this window, which is empty afterwards.
    pub(super) fn take(&mut self) -> Vec<Batch<Vec<Use>>> {
        let window = std::mem::take(self);
        plan(window.wanted.into_values().collect())
    }
}
