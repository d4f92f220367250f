//! Proof that blobs lie where an index says they do: they are read, authenticated, decompressed and
//! hashed, there and nowhere else.

use outlast_format::PackId;
use outlast_format::pack::PackEntry;
use outlast_store::{Object, StoreError};

use crate::read::blob::{self, Located, Opener};
use crate::{RepoError, Repository};

/// The most that one read asks for, unless one blob alone is larger, and the longest gap between
/// two blobs that is read and dropped rather than asking once more.
const READ_BYTES_MAX: u64 = 4 << 20;
const GAP_BYTES_MAX: u64 = 128 << 10;

/// The result of a look at the place of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The blob is there.
    Sound,
    /// Something else is there, or nothing.
    Unsound,
    /// The store did not give the bytes, which may be there.
    Unknown,
}

/// Looks at blobs, one pack after the other.
pub(crate) struct Prover<'r> {
    repository: &'r Repository,
    opener: Opener<'r>,
    /// Bytes that were read so far.
    pub(crate) bytes: u64,
}

impl<'r> Prover<'r> {
    pub(crate) fn new(repository: &'r Repository) -> Result<Self, RepoError> {
        Ok(Self { repository, opener: Opener::new(repository)?, bytes: 0 })
    }

    /// A finding for each of these blobs in a pack of `size` bytes.
    pub(crate) fn look(
        &mut self,
        pack: PackId,
        size: u64,
        entries: &[PackEntry],
    ) -> Vec<(PackEntry, Finding)> {
        let located = entries.iter().map(|&entry| Located { pack, entry });
        let (mut inside, outside): (Vec<_>, Vec<_>) =
            located.partition(|place| place.end() <= size && blob::accept(place).is_ok());
        inside.sort_by_key(Located::start);
        let mut findings: Vec<_> =
            outside.into_iter().map(|place| (place.entry, Finding::Unsound)).collect();
        let mut rest = &inside[..];
        while !rest.is_empty() {
            let (range, after) = rest.split_at(neighbours(rest));
            self.look_at_range(range, &mut findings);
            rest = after;
        }
        findings
    }

    fn look_at_range(&mut self, range: &[Located], findings: &mut Vec<(PackEntry, Finding)>) {
        let Some(first) = range.first() else { return };
        let start = first.start();
        let end = range.iter().map(Located::end).max().unwrap_or(start);
        // One blob, or READ_BYTES_MAX.
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        match self.repository.store().read_range(&Object::Data(first.pack), start, length) {
            Ok(bytes) => {
                self.bytes += length as u64;
                for place in range {
                    let from = usize::try_from(place.start() - start).unwrap_or(usize::MAX);
                    let sealed = bytes.get(from..from.saturating_add(place.entry.length as usize));
                    let mut sealed = sealed.unwrap_or_default().to_vec();
                    let is_sound = self.opener.open_within(place, &mut sealed).is_ok();
                    let finding = if is_sound { Finding::Sound } else { Finding::Unsound };
                    findings.push((place.entry, finding));
                }
            }
            // A part of it may be readable.
            Err(_) if range.len() > 1 => {
                range.iter().for_each(|place| {
                    self.look_at_range(std::slice::from_ref(place), findings);
                });
            }
            Err(StoreError::NotFound { .. }) => findings.push((first.entry, Finding::Unsound)),
            Err(_) => findings.push((first.entry, Finding::Unknown)),
        }
    }
}

/// How many blobs from the beginning of `rest`, which is sorted by pack and place, come with one
/// read: at least one, if there is any.
pub(crate) fn neighbours(rest: &[Located]) -> usize {
    let Some(first) = rest.first() else { return 0 };
    let mut end = first.end();
    let together = rest.iter().take_while(|next| {
        let fits = next.pack == first.pack
            && next.start() <= end + GAP_BYTES_MAX
            && next.end().max(end) - first.start() <= READ_BYTES_MAX;
        end = end.max(next.end());
        fits
    });
    // The first belongs to its own read, however long it is.
    together.count().max(1)
}
