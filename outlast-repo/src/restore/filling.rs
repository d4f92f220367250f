//! Directories that are being filled. Each gets its attributes when the last of what is in it is
//! complete, so that memory holds those that are being worked on and no others.

use std::sync::{Arc, Mutex, PoisonError};

use outlast_fs::EntryPath;

/// A directory in which something is still to be placed or completed. Whoever has that to do holds
/// on to it.
pub(super) struct Filling {
    path: EntryPath,
    /// Let go of after this one, which is therefore filled first.
    _above: Option<Arc<Self>>,
    filled: Filled,
}

/// The directories that nobody holds any more, those further down first.
#[derive(Clone, Default)]
pub(super) struct Filled(Arc<Mutex<Vec<EntryPath>>>);

impl Filled {
    pub(super) fn take(&self) -> Vec<EntryPath> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        let path = self.path.clone();
        self.filled.0.lock().unwrap_or_else(PoisonError::into_inner).push(path);
    }
}

/// The directories on the way to where a walk is.
#[derive(Default)]
pub(super) struct Way {
    open: Vec<Arc<Filling>>,
    filled: Filled,
}

impl Way {
    /// Leaves the directories that do not hold `path`; the one that does, unless that is the top.
    pub(super) fn to(&mut self, path: &EntryPath) -> Option<Arc<Filling>> {
        self.open.truncate(path.names().len() - 1);
        self.open.last().cloned()
    }

    /// Goes into the directory at `path`.
    pub(super) fn enter(&mut self, path: &EntryPath) {
        let above = self.to(path);
        let filled = self.filled.clone();
        self.open.push(Arc::new(Filling { path: path.clone(), _above: above, filled }));
    }

    pub(super) fn leave_all(&mut self) {
        self.open.clear();
    }

    pub(super) fn filled(&self) -> Vec<EntryPath> {
        self.filled.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_directory_is_filled_when_the_walk_left_it_and_nobody_holds_it() {
        let mut way = Way::default();
        way.enter(&path("a"));
        way.enter(&path("a/b"));
        let held = way.to(&path("a/b/file"));
        way.enter(&path("a/c"));
        assert_eq!(way.filled(), []);
        assert!(way.to(&path("top")).is_none());
        assert_eq!(way.filled(), [path("a/c")]);
        drop(held);
        assert_eq!(way.filled(), [path("a/b"), path("a")]);
        way.enter(&path("d"));
        way.leave_all();
        assert_eq!(way.filled(), [path("d")]);
    }
}
