//! The state that the stages of one backup share.

use outlast_format::chunker::Params;
use outlast_types::{Clock, Monitor, Random};

use super::checkpoint::Checkpoint;
use super::chunk_history::ChunkHistory;
use super::compression_policy::CompressionPolicy;
use super::counters::Counters;
use super::engine::Seat;
use super::known_blobs::KnownBlobs;
use super::stop::Stop;
use super::tuning::Tuning;
use crate::chunk_id_cache::ChunkIdCache;
use crate::{Index, Repository};

/// Everything that more than one stage uses.
pub(super) struct Context<'a> {
    pub(super) repository: &'a Repository,
    pub(super) index: &'a Index,
    pub(super) chunk_ids: ChunkIdCache,
    pub(super) history: ChunkHistory,
    pub(super) known_blobs: KnownBlobs<'a>,
    pub(super) compression: CompressionPolicy,
    pub(super) checkpoint: Checkpoint<'a>,
    pub(super) counters: Counters,
    pub(super) stop: Stop,
    pub(super) seat: Seat,
    pub(super) tuning: &'a Tuning,
    pub(super) chunking: Params,
    /// User and group of directories that a source only implies.
    pub(super) owner: (u32, u32),
    pub(super) clock: &'a dyn Clock,
    pub(super) random: &'a dyn Random,
    pub(super) monitor: &'a dyn Monitor,
}
