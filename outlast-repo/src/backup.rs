//! Backup: content into a repository, read once, by stages side by side.
//!
//! ```text
//!  reader ──blocks──► workers ──scanned──► selector ──batches──► workers ──blobs──► open packs
//!    │                (candidates)         (cuts, serial)        (BLAKE3, known?        │ full
//!    │                                                            SHA-256, zstd,        ▼
//!    │                                                            encrypt)          uploaders
//!    └──────────entries──────► assembler ◄────────ids──────────────┘               (store, index)
//!                              (trees, bottom-up) ────────tree blobs──► open packs
//! ```
//!
//! Every arrow is a bounded queue, and no stage waits for one that waits for it: blocks are
//! limited by those that the [`Engine`] lends, and the queues between reader, workers and selector have
//! room for all of them; whoever has a blob only ever waits for room in the packs, and with it for
//! the uploaders.
//!
//! **Memory**, whatever the input: at most 20 blocks of 1 MiB with as many joined chunks of up to
//! 256 KiB, one sealed blob for each worker, and room for five data packs (one filling, one waiting, three
//! uploading) of 16 MiB and as many tree packs of 4 MiB: about 110 MiB with the default
//! [`Tuning`] on two cores, and less in practice. On top come what the index keeps in memory, and
//! of a tree its open directories and a bounded number of things besides. Several backups side by side
//! share all that, if they are given one [`Engine`], and take about as much together.
//!
//! **Order** (I5): a blob is referred to when it is claimed, but nobody can see a reference before
//! the snapshot; packs are durable before the index file that lists them, and all index files
//! before [`backup`] returns; the snapshot comes last, by [`publish`] or by the vault.
//!
//! **After a crash** the packs that were durable are known from checkpointed index files and, since
//! the last checkpoint, from the local journal; they are referred to and not uploaded again.
//!
//! The first failure of a stage stops all: everybody who waits, waits for that, too, the input's own
//! waits included. Only a read that blocks in the kernel cannot be interrupted, so the end comes when
//! it returns.

mod block;
mod checkpoint;
mod chunk_history;
mod chunking;
mod compression_policy;
mod context;
mod counters;
mod engine;
mod feed;
mod known_blobs;
mod node;
mod options;
mod packing;
mod publish_guard;
mod reader;
mod referenced;
mod sealer;
mod segment_scan;
mod select;
mod stop;
mod tree;
mod tuning;
mod upload;
mod work;

use std::thread;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use outlast_format::chunker::Gear;
use outlast_format::snapshot::{Snapshot, Summary};
use outlast_format::{BlobId, IndexId, PackId, SnapshotId};
use outlast_fs::{EntryPath, EntrySource};
use outlast_store::{Object, StoreError, create_or_find};
use outlast_types::{Clock, Monitor, Random};

pub use self::counters::Stats;
pub use self::engine::Engine;
pub use self::options::{Input, Options, StreamInput};
pub use self::tuning::{Compression, Tuning};

use self::block::Event;
use self::checkpoint::Checkpoint;
use self::chunk_history::ChunkHistory;
use self::compression_policy::CompressionPolicy;
use self::context::Context;
use self::counters::Counters;
use self::engine::Seat;
use self::known_blobs::KnownBlobs;
use self::packing::Packing;
use self::publish_guard::PublishGuard;
use self::reader::Reader;
use self::referenced::ReferencedPacks;
use self::stop::Stop;
use self::tree::{Assembled, Assembler};
use self::work::Worker;
use crate::chunk_id_cache::ChunkIdCache;
use crate::journal::Journal;
use crate::{Index, RepoError, Repository};

/// A backup whose content is durable and whose snapshot nobody can see yet.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub snapshot: Snapshot,
    pub snapshot_id: SnapshotId,
    /// The snapshot's object as it must be stored.
    pub sealed_snapshot: Bytes,
    /// How much was read and how much of it was new.
    pub stats: Stats,
    /// Packs that index files of this backup list, with their sizes in bytes.
    pub packs: Vec<(PackId, u64)>,
    /// Index files of this backup, with their sizes in bytes.
    pub indexes: Vec<(IndexId, u64)>,
    /// Entries that could not be read and are not in the snapshot: whole sentences, the first
    /// thousand. If there is any, the backup is partial.
    pub problems: Vec<String>,
    /// How many problems there were.
    pub problem_count: u64,
    /// The packs that it refers to, for a look when it is published.
    guard: PublishGuard,
}

/// Stores `input`. When it returns, all packs and index files are durable and the snapshot is
/// ready to be published, but not in the store.
///
/// Files that cannot be read are problems of the outcome. A stream that fails, a tree that cannot
/// be read to its end or a store that fails are errors; the packs that were uploaded by then are
/// used by the next backup. A repository that lost what it had when it was opened is refused
/// ([`RepoError::Outdated`]): open it anew.
pub fn backup(
    repository: &Repository,
    input: Input<'_>,
    options: &Options,
    clock: &dyn Clock,
    random: &dyn Random,
    monitor: &dyn Monitor,
) -> Result<Outcome, RepoError> {
    let started = clock.now();
    let (source, paths) = source_of(input, options)?;
    let engine = options.engine.clone().unwrap_or_else(|| Engine::alone(&options.tuning));
    let seat = engine.enter();
    let relying =
        (!repository.index()?.check_current(repository.opened())?).then(|| repository.relying());
    let repository = relying.as_ref().unwrap_or(repository);
    let context = begin(repository, options, seat, clock, random, monitor)?;
    monitor.begin("backup", None);
    let assembled = run(&context, source, options.expected_bytes);
    tell_unsound(&context);
    // Also of a backup that failed: the next one reads the same again.
    context.chunk_ids.flush();
    if let Some(cause) = context.stop.take_cause() {
        return Err(cause);
    }
    let assembled = assembled.ok_or(RepoError::Unfinished)?;
    let root = assembled.root.ok_or(RepoError::Unfinished)?;
    let durable = context.checkpoint.close(&context.known_blobs)?;
    context.history.finish();
    let stats = counted(&assembled, &context.counters);
    let summary = stats.summary(started, clock.now());
    let snapshot = Snapshot { paths, ..snapshot_of(root, options, summary) };
    let (snapshot_id, sealed_snapshot) = seal(repository, &snapshot, random)?;
    Ok(Outcome {
        snapshot,
        snapshot_id,
        sealed_snapshot,
        stats,
        packs: durable.packs,
        indexes: durable.indexes,
        problems: assembled.problems,
        problem_count: assembled.problem_count,
        guard: durable.guard,
    })
}

/// Looks at what is there and what may be relied on, before the first byte is read.
fn begin<'a>(
    repository: &'a Repository,
    options: &'a Options,
    seat: Seat,
    clock: &'a dyn Clock,
    random: &'a dyn Random,
    monitor: &'a dyn Monitor,
) -> Result<Context<'a>, RepoError> {
    let index = repository.index()?;
    let chunking =
        chunking::params(options.expected_bytes.unwrap_or(0), index.blobs(), index.chunk_average());
    let referenced = ReferencedPacks::begin(repository, index)?;
    let journal = resume(repository, index, &referenced, options)?;
    let work = checkpoint::Work {
        repository,
        index,
        limits: &options.tuning,
        chunk_average: chunking.average,
        is_looked_over: options.is_looked_over,
        clock,
        random,
    };
    let checkpoint = Checkpoint::new(work, journal);
    Ok(Context {
        repository,
        index,
        history: ChunkHistory::open(repository, chunking.average),
        chunk_ids: ChunkIdCache::open(repository),
        known_blobs: KnownBlobs::new(index, referenced, options.doubted.clone()),
        compression: CompressionPolicy::new(options.tuning.compression),
        checkpoint,
        counters: Counters::default(),
        stop: Stop::new(),
        seat,
        tuning: &options.tuning,
        chunking,
        owner: (options.uid, options.gid),
        clock,
        random,
        monitor,
    })
}

/// Names the packs of which the store has less than the index says.
fn tell_unsound(context: &Context<'_>) {
    for pack in context.known_blobs.referenced().unsound() {
        let location = context.repository.location();
        tracing::warn!(%pack, location, "a pack is missing or cut off");
        context.monitor.problem(&format!(
            "data/{pack} is missing or cut off; what this backup needs of it is stored anew, and a \
             check tells what else that costs"
        ));
    }
}

fn counted(assembled: &Assembled, counters: &Counters) -> Stats {
    let (files, directories) = (assembled.files, assembled.directories);
    Stats { files, directories, bytes: assembled.bytes, ..counters.read() }
}

/// Makes the snapshot of a backup visible. Doing it twice is doing it once. If packs that it needs
/// are being removed, because too much time has passed since the backup, the snapshot is taken back
/// ([`RepoError::Outdated`]).
pub fn publish(repository: &Repository, outcome: &Outcome) -> Result<SnapshotId, RepoError> {
    let object = Object::Snapshot(outcome.snapshot_id);
    create_or_find(repository.store(), &object, outcome.sealed_snapshot.clone())?;
    outcome.guard.confirm(repository).inspect_err(|error| {
        if matches!(error, RepoError::Outdated { .. }) {
            let _gone = repository.store().remove(&object);
        }
    })?;
    Ok(outcome.snapshot_id)
}

enum Source<'a> {
    Stream(EntryPath, StreamInput<'a>),
    Tree(Box<dyn EntrySource + 'a>),
}

/// Where content comes from, and the paths that the snapshot names.
fn source_of<'a>(
    input: Input<'a>,
    options: &Options,
) -> Result<(Source<'a>, Vec<String>), RepoError> {
    match input {
        Input::Tree(source) => Ok((Source::Tree(source), options.paths.clone())),
        Input::Stream(stream) => {
            let path = stream_path(&stream.name)?;
            let paths = vec![format!("/{path}")];
            Ok((Source::Stream(path, stream), paths))
        }
    }
}

fn stream_path(name: &[u8]) -> Result<EntryPath, RepoError> {
    EntryPath::from_names(vec![name.to_vec()])
        .map_err(|_| RepoError::InputName { name: outlast_fs::entry::show(name) })
}

/// Opens the journal and takes over the packs in it that the store has and no index lists.
fn resume(
    repository: &Repository,
    index: &Index,
    referenced: &ReferencedPacks<'_>,
    options: &Options,
) -> Result<Option<Journal>, RepoError> {
    let Some(path) = &options.journal else { return Ok(None) };
    let (journal, packs) = Journal::open(path, repository.config().id)?;
    for pack in packs {
        if index.has_pack(&pack.id) {
            continue;
        }
        match repository.store().size(&Object::Data(pack.id)) {
            Ok(size) if size == pack.size && referenced.rely(pack.id, size) => {
                index.add_unsaved(pack);
            }
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(journal))
}

/// Runs all stages until each has ended; `None` if the tree is not whole.
fn run(context: &Context<'_>, source: Source<'_>, expected: Option<u64>) -> Option<Assembled> {
    let tuning = context.tuning;
    // Little content needs few threads.
    let blocks = expected.unwrap_or(u64::MAX) / tuning.block_bytes.max(1) as u64 + 1;
    let few = usize::try_from(blocks).unwrap_or(usize::MAX);
    let workers = tuning.workers.min(few).clamp(1, 256);
    let uploads = tuning.uploads.min(few.saturating_add(1)).clamp(1, 64);
    let buffers = context.seat.block_count();
    let gear = Gear::derive(context.repository.key(), context.chunking);
    let stop = &context.stop;
    stop.wakes(Box::new(context.seat.waker()));
    let comes_back = match &source {
        Source::Stream(..) => false,
        Source::Tree(source) => {
            stop.wakes(source.interrupter());
            source.comes_back()
        }
    };
    let (block_sender, blocks) = bounded(buffers);
    let (scanned_sender, scanned) = bounded(buffers);
    let (batch_sender, batches) = bounded(buffers);
    let (event_sender, events): (Sender<Event>, Receiver<Event>) = bounded(32);
    let (packing, packs) = Packing::new(context);
    let (gear, packing) = (&gear, &packing);
    thread::scope(|scope| {
        let reader = Reader::new(context, gear, block_sender, event_sender.clone());
        scope.spawn(move || {
            stop.run(|| match source {
                Source::Stream(path, input) => reader.stream(path, input),
                Source::Tree(source) => reader.tree(source),
            })
        });
        let worker = Worker {
            context,
            gear,
            blocks,
            scanned: scanned_sender,
            batches,
            events: event_sender,
            packing,
        };
        for _ in 0..workers {
            let worker = worker.clone();
            scope.spawn(move || stop.run(|| worker.run()));
        }
        drop(worker);
        scope.spawn(move || stop.run(|| select::select(context, gear, &scanned, &batch_sender)));
        for _ in 0..uploads {
            let packs = packs.clone();
            scope.spawn(move || stop.run(|| upload::upload(context, packing, &packs)));
        }
        // Or who has a full pack would leave it to uploaders that are gone.
        drop(packs);
        let assembled = stop.run(|| Assembler::new(context, packing, comes_back).run(&events));
        // The assembler heard of every chunk, so the workers are done.
        stop.run(|| packing.finish(context));
        assembled
    })
}

fn snapshot_of(root: BlobId, options: &Options, summary: Summary) -> Snapshot {
    Snapshot {
        parent: options.parent,
        hostname: options.hostname.clone(),
        username: options.username.clone(),
        uid: options.uid,
        gid: options.gid,
        tags: options.tags.clone(),
        program_version: options.program_version.clone(),
        summary: Some(summary),
        ..Snapshot::new(options.time, root)
    }
}

fn seal(
    repository: &Repository,
    snapshot: &Snapshot,
    random: &dyn Random,
) -> Result<(SnapshotId, Bytes), RepoError> {
    let document =
        snapshot.serialize().map_err(|source| RepoError::Encode { what: "snapshot", source })?;
    repository.seal_unpacked("snapshot", &document, random)
}

#[cfg(test)]
mod tests;
