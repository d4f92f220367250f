//! Files with several names: where the first one lies in the end, and the further ones.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, OnceLock};

use outlast_format::BlobId;
use outlast_format::tree::Node;
use outlast_fs::{Entry, EntryPath, Kind, Metadata};

use super::filling::Filling;
use super::outcome::Problem;
use super::run::{Run, damaged_name};

/// Where a file with further names lies, once it is complete. Small, because there may be as many
/// as there are files.
pub(super) struct Landing {
    path: Box<[u8]>,
    end: OnceLock<End>,
}

/// How the first name of a file ended.
pub(super) enum End {
    Here,
    /// Under another name, because parts of it are lost.
    Aside(Box<EntryPath>),
    Nowhere,
}

impl Landing {
    /// Tells how the file ended; once.
    pub(super) fn end(&self, end: End) {
        drop(self.end.set(end));
    }
}

/// The identity of a file with several names: device and inode on the host that was backed up.
type Identity = (u64, u64);

/// A file of which more names may come. How many is not to be known: a snapshot of an archive says
/// two of every such file, since an archive does not count names.
struct Known {
    /// One inode has one content; if not, it was used again while the backup ran.
    content: [u8; 32],
    landing: Arc<Landing>,
}

/// A further name, to be made when the file is complete.
struct Link {
    path: EntryPath,
    landing: Arc<Landing>,
    /// Where it belongs, which is not complete without it.
    _directory: Option<Arc<Filling>>,
}

/// How many more links wait each time before it is looked whether their files are complete.
const WAITING_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct Links {
    known: HashMap<Identity, Known>,
    waiting: VecDeque<Link>,
}

/// The part that an entry plays among the names of its file.
pub(super) enum Name {
    /// The first, whose end is to be told if further ones may come.
    First(Option<Arc<Landing>>),
    /// A further one of what is on its way.
    Further,
}

impl Links {
    /// Hears of a file at `path`. If it is a further name, it will be made.
    pub(super) fn name(
        &mut self,
        path: &EntryPath,
        node: &Node,
        directory: Option<&Arc<Filling>>,
    ) -> Name {
        if node.links < 2 || node.inode == 0 {
            return Name::First(None);
        }
        let content = digest(node.content.as_deref().unwrap_or_default());
        match self.known.entry((node.device_id, node.inode)) {
            Slot::Occupied(slot) if slot.get().content == content => {
                let landing = Arc::clone(&slot.get().landing);
                let (path, directory) = (path.clone(), directory.cloned());
                self.waiting.push_back(Link { path, landing, _directory: directory });
                Name::Further
            }
            Slot::Occupied(_) => Name::First(None),
            Slot::Vacant(slot) => {
                let path = path.to_bytes().into_boxed_slice();
                let landing = Arc::new(Landing { path, end: OnceLock::new() });
                slot.insert(Known { content, landing: Arc::clone(&landing) });
                Name::First(Some(landing))
            }
        }
    }

    /// Whether so many wait that their files should be completed.
    pub(super) fn are_many(&self) -> bool {
        !self.waiting.is_empty() && self.waiting.len().is_multiple_of(WAITING_MAX)
    }

    /// Makes the links whose files are complete.
    pub(super) fn settle(&mut self, run: &Run<'_>) {
        for _ in 0..self.waiting.len() {
            let Some(link) = self.waiting.pop_front() else { break };
            match link.landing.end.get() {
                Some(end) => make(run, &link, end),
                None => self.waiting.push_back(link),
            }
        }
    }
}

fn digest(content: &[BlobId]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for blob in content {
        hasher.update(&blob.0);
    }
    hasher.finalize().into()
}

fn make(run: &Run<'_>, link: &Link, end: &End) {
    let mut path = link.path.clone();
    // It was a path before, so it is one.
    let Ok(first) = EntryPath::parse(&link.landing.path) else { return };
    let target = match end {
        End::Here => first,
        End::Aside(kept) => {
            let kept = (**kept).clone();
            let made = damaged_name(&path, 1);
            let (first, kept_as) = (kept.clone(), made.clone());
            run.problem(Problem::DamagedLink { path, first, kept: kept_as });
            path = made;
            kept
        }
        End::Nowhere => {
            let cause = format!("it is the same file as /{first}");
            return run.problem(Problem::Lost { path, cause });
        }
    };
    let (kind, metadata) = (Kind::HardLink { target }, Metadata::default());
    run.place(&Entry { path, kind, metadata });
}
