//! Restoring: a snapshot, or a part of it, as files below a target directory.
//!
//! The tree is walked once. What files need is gathered in windows, fetched pack by pack in large
//! ranges, and decoded and written by several threads to many files at once; memory holds the
//! plan of a window and, for each thread, one range and one blob, whatever the snapshot's size.
//!
//! Everything is written through [`outlast_fs::place::Target`], so that nothing a repository says
//! can lead outside the target. One damaged thing never costs another one: what cannot be had is a
//! [`Problem`] that names the file and the cause, and the rest is restored.
//!
//! A file whose content is not complete never gets its own name, so that nobody takes it for
//! whole. What could be had of it is written to `<name>.damaged`, with zeroes in the place of what
//! is lost, because the rest of a database dump is worth much to its owner; if nothing of it could
//! be had, there is no file. Hard links to such a file are made to the `.damaged` one, and are
//! called so, too.
//!
//! A restore that was killed is resumed from what lies in the target, and from nothing else: the
//! pieces of each file are compared with their hashes, which costs less than to fetch them again,
//! and only those that are not there are fetched and written. There is no record that could be
//! out of step with the files after a crash, and what somebody changed in between is found.

mod compare;
mod entry;
mod file;
mod filling;
mod layout;
mod links;
mod outcome;
mod run;
mod window;

pub use outcome::{Options, Problem, Summary};

use std::path::Path;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use outlast_format::BlobId;
use outlast_format::tree::{Node, NodeKind};
use outlast_fs::place::Target;
use outlast_fs::{Entry, EntryPath, Kind};
use outlast_types::Monitor;

use crate::read::copies::Copies;
use crate::read::fetch::{Batch, Fetcher, Wanted};
use crate::read::{BlobError, Found, TreeWalk, find, pool};
use crate::{Index, RepoError, Repository};

use entry::entry_of;
use file::{File, Left, Ties};
use filling::Way;
use layout::{Gap, Layout};
use links::{Links, Name};
use run::Run;
use window::{Use, Window};

/// Restores what is below `tree` into the directory `target`, which is made if it is missing.
///
/// An error means that the restore ended early: the target cannot be written to or is full, or
/// the store does not answer any more. Everything less is in [`Summary::problems`].
pub fn restore(
    repository: &Repository,
    tree: BlobId,
    target: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Summary, RepoError> {
    let start = Start::find(repository, tree, options)?;
    let index = repository.index()?;
    let copies = Copies::new(repository)?;
    let target = Target::open(target, options.overwrite || options.resume)?;
    let target = target.privileged(options.privileged);
    monitor.begin("restore", None);
    let run = Run::new(&target, options, monitor);
    let (mut links, mut way) = thread::scope(|scope| {
        let (jobs, queue) = bounded(pool::workers());
        for _ in 0..pool::workers() {
            let mut fetcher = Fetcher::new(&copies)?;
            let (queue, run) = (queue.clone(), &run);
            scope.spawn(move || work(&mut fetcher, queue, run));
        }
        drop(queue);
        let mut planner = Planner::new(index, &run, options, jobs);
        match start {
            Start::Entry(found) => planner.entry(*found),
            Start::Tree(tree) => planner.tree(TreeWalk::new(repository, tree)?),
        }
        Ok::<_, RepoError>(planner.finish())
    })?;
    // All files are complete now, and with the links, so are all directories.
    links.settle(&run);
    way.leave_all();
    run.close(&way.filled());
    let mut summary = run.finish()?;
    let report = target.finish()?;
    summary.problems.extend(report.problems.into_iter().map(|error| {
        monitor.problem(&error.to_string());
        Problem::Place(error)
    }));
    (summary.withheld, summary.copied) = (report.withheld, report.copied);
    Ok(summary)
}

/// Where a restore begins.
enum Start {
    Tree(BlobId),
    Entry(Box<Found>),
}

impl Start {
    fn find(repository: &Repository, tree: BlobId, options: &Options) -> Result<Self, RepoError> {
        let start = match &options.subpath {
            None => Self::Tree(tree),
            Some(path) => {
                let node = find(repository, tree, path)?;
                match (&node.kind, node.subtree) {
                    (NodeKind::Directory, Some(subtree)) => Self::Tree(subtree),
                    _ => Self::Entry(Box::new(Found { path: alone(path), node })),
                }
            }
        };
        // A mistyped path must not end as a restore of nothing that calls itself a success.
        if let Self::Tree(tree) = start {
            for path in &options.include {
                find(repository, tree, path)?;
            }
        }
        Ok(start)
    }
}

/// The last name of a path, by itself.
fn alone(path: &EntryPath) -> EntryPath {
    EntryPath::from_names(vec![path.name().to_vec()]).unwrap_or_else(|_| path.clone())
}

/// Fetches, decodes and writes until there is nothing more to do.
fn work(fetcher: &mut Fetcher<'_>, queue: Receiver<Batch<Vec<Use>>>, run: &Run<'_>) {
    for batch in queue {
        if run.stopped() {
            return;
        }
        let mut answered = false;
        let mut failure = None;
        fetcher.fetch(batch, |Wanted { located, purpose }, result| match result {
            Ok(content) => {
                answered = true;
                for Use { file, offset } in purpose {
                    file.take(run, offset, content);
                }
            }
            Err(error) => {
                let length = located.entry.plaintext_length().into();
                let cause = error.to_string();
                for Use { file, offset } in purpose {
                    file.miss(run, offset, length, &cause);
                }
                failure = Some(error);
            }
        });
        run.answered(if answered { None } else { failure });
    }
}

/// Walks the tree: makes what has no content, and gathers what files need.
struct Planner<'p, 'r> {
    index: &'p Index,
    run: &'p Run<'r>,
    include: &'p [EntryPath],
    jobs: Sender<Batch<Vec<Use>>>,
    window: Window,
    links: Links,
    way: Way,
}

impl<'p, 'r> Planner<'p, 'r> {
    fn new(
        index: &'p Index,
        run: &'p Run<'r>,
        options: &'p Options,
        jobs: Sender<Batch<Vec<Use>>>,
    ) -> Self {
        let (window, links, way) = (Window::default(), Links::default(), Way::default());
        Self { index, run, include: &options.include, jobs, window, links, way }
    }

    fn tree(&mut self, mut walk: TreeWalk<'_>) {
        while let Some(step) = walk.next() {
            if self.run.stopped() {
                return;
            }
            match step {
                Err(error) => match error.cache_failure() {
                    Some(failure) => return self.run.cache_failed(failure.clone()),
                    None => self.run.problem(Problem::Walk(error)),
                },
                Ok(found) if self.is_wanted(&found.path) => self.entry(found),
                Ok(_) => drop(walk.skip_directory()),
            }
        }
    }

    /// Whether a path is included, or leads to one that is.
    fn is_wanted(&self, path: &EntryPath) -> bool {
        let names = path.names();
        self.include.is_empty()
            || self.include.iter().any(|wanted| {
                names.starts_with(wanted.names()) || wanted.names().starts_with(names)
            })
    }

    fn entry(&mut self, found: Found) {
        let entry = match entry_of(found.path.clone(), &found.node) {
            Ok(entry) => entry,
            Err(reason) => {
                return self.run.problem(Problem::Unsupported { path: found.path, reason });
            }
        };
        match entry.kind {
            Kind::File { .. } => self.file(entry, found.node),
            Kind::Directory => {
                self.run.place(&entry);
                self.way.enter(&entry.path);
                self.run.close(&self.way.filled());
            }
            _ => {
                self.way.to(&entry.path);
                self.run.place(&entry);
            }
        }
    }

    fn file(&mut self, entry: Entry, node: Node) {
        let directory = self.way.to(&entry.path);
        match self.links.name(&entry.path, &node, directory.as_ref()) {
            Name::First(landing) => {
                let content = node.content.unwrap_or_default();
                self.content(entry, Ties { _directory: directory, landing }, &content, node.size);
            }
            Name::Further if self.links.are_many() => self.flush(),
            Name::Further => {}
        }
    }

    /// Gathers the pieces of a file.
    fn content(&mut self, entry: Entry, ties: Ties, content: &[BlobId], recorded: u64) {
        let mut layout = Layout::of(self.index, content, recorded);
        if layout.size != recorded {
            let (path, restored) = (entry.path.clone(), layout.size);
            self.run.problem(Problem::Size { path, recorded, restored });
        }
        let pieces = if self.run.verifies() { layout.compared() } else { Vec::new() };
        let left = if layout.gaps.is_empty() { self.left(&entry, &mut layout) } else { None };
        let parts = layout.pieces.len() + layout.gaps.len();
        let mut file = File::new(entry, ties, layout.size, layout.pieces.len(), parts > 1);
        if self.run.verifies() {
            file.verify(pieces);
        }
        let stays_open = parts > 1 || left.is_some();
        if let Some(left) = left {
            file.resume(self.run, left);
        }
        let file = Arc::new(file);
        for Gap { offset, length, cause } in layout.gaps {
            if let BlobError::Cache(failure) = &cause {
                self.run.cache_failed(failure.clone());
            }
            file.lose(offset, length, &cause.to_string());
        }
        if layout.pieces.is_empty() {
            file.complete(self.run);
        } else if stays_open {
            self.window.begin_file();
        }
        for (offset, located) in layout.pieces {
            self.window.add(located, &file, offset);
            if self.window.is_full() {
                self.flush();
            }
        }
    }

    /// The part of a file that an earlier run left. Its pieces that are there are taken out of
    /// `layout`.
    fn left(&self, entry: &Entry, layout: &mut Layout) -> Option<Left> {
        if !self.run.resumes() || layout.pieces.is_empty() {
            return None;
        }
        let placed = self.run.left(entry)?;
        // What cannot be read is written anew.
        let there = compare::matching(placed.content(), &layout.compared()).ok()?;
        if !there.contains(&true) {
            return None;
        }
        let is_whole = placed.left() == layout.size && !there.contains(&false);
        if !is_whole && !placed.is_writable() {
            return None;
        }
        let mut there = there.into_iter();
        layout.pieces.retain(|_| !there.next().unwrap_or(false));
        let missing: u64 =
            layout.pieces.iter().map(|(_, at)| u64::from(at.entry.plaintext_length())).sum();
        Some(Left { placed, kept: layout.size - missing })
    }

    fn flush(&mut self) {
        for batch in self.window.take() {
            // The workers are gone only if the run was stopped.
            if self.jobs.send(batch).is_err() {
                return;
            }
        }
        self.links.settle(self.run);
        self.run.close(&self.way.filled());
    }

    /// Sends off the rest; the links and directories that wait for it.
    fn finish(mut self) -> (Links, Way) {
        self.flush();
        (self.links, self.way)
    }
}
