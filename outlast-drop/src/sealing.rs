//! Content that only one reader can open: segments in chunks, each encrypted and authenticated.
//!
//! A fresh key for each drop encrypts its content, and is itself in the seal, wrapped for the
//! reader. How it is wrapped is for whoever makes and opens it ([`Opener`]); here it only has to be
//! the right one. A segment is a row of chunks in the manner of STREAM (Hoang, Reyhanitabar, Rogaway
//! and Vizár, 2015): the nonce of each has the number of its segment, its own number, and whether it
//! is the last of its segment or of the drop. So no chunk can be left out, put elsewhere or added,
//! and no end can be cut off, without the key. `docs/drop-protocol.md` has the format.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use outlast_types::{DropId, Random, ShareId, WorkloadName};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// Before each chunk stands its length.
pub(crate) const LENGTH_BYTES: usize = 4;
/// What a chunk takes beyond its content.
pub(crate) const CHUNK_EXTRA: usize = LENGTH_BYTES + TAG_BYTES;
/// More content of a chunk is refused unread.
const CHUNK_BYTES_MAX: usize = 4 << 20;
/// Longer words about a key are refused.
const WORDS_MAX: usize = 1024;

/// The key of one drop's content.
#[derive(Clone)]
pub struct ContentKey(Zeroizing<[u8; KEY_BYTES]>);

impl ContentKey {
    /// A fresh key, for one drop and no other.
    pub fn generate(random: &dyn Random) -> Self {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        random.fill(&mut *key);
        Self(key)
    }

    /// The key with these bytes, if they are as many as a key has.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        (bytes.len() == KEY_BYTES).then(|| key.copy_from_slice(bytes))?;
        Some(Self(key))
    }

    /// Its bytes, to be wrapped.
    pub fn bytes(&self) -> &[u8] {
        &*self.0
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey")
    }
}

/// The words of a seal about a key: for whom it is wrapped, and the wrapped key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedTo {
    /// The reader's public key, as text.
    pub key: String,
    /// The content's key, wrapped, as text.
    pub wrapped: String,
}

impl SealedTo {
    /// Whether the words are no longer than words about keys are.
    pub(crate) fn is_bounded(&self) -> bool {
        self.key.len() <= WORDS_MAX && self.wrapped.len() <= WORDS_MAX
    }
}

/// The purpose that a wrapped key is for: the content of one drop.
pub fn purpose(share: ShareId, workload: &WorkloadName, drop: DropId) -> String {
    format!("outlast drop content 1 {share} {workload} {drop}")
}

/// Unwraps the keys of contents.
pub trait Opener: Send + Sync {
    /// The key that `sealed` holds for this purpose; else why it cannot be had.
    fn open(&self, sealed: &SealedTo, purpose: &str) -> Result<ContentKey, String>;
}

/// How a drop is sealed to a reader.
#[derive(Debug, Clone)]
pub struct Sealing {
    pub key: ContentKey,
    pub sealed_to: SealedTo,
}

/// The place of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) segment: u32,
    pub(crate) chunk: u64,
    pub(crate) end: End,
}

/// What ends with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Nothing = 0,
    Segment = 1,
    Drop = 2,
}

impl Position {
    fn nonce(self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.segment.to_be_bytes());
        // A segment never has so many that the highest byte would count.
        nonce[4..11].copy_from_slice(&self.chunk.to_be_bytes()[1..]);
        nonce[11] = self.end as u8;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Encrypts and decrypts the chunks of one drop.
pub(crate) struct Chunks(LessSafeKey);

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chunks")
    }
}

impl Chunks {
    pub(crate) fn new(key: &ContentKey) -> io::Result<Self> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.bytes())
            .map_err(|_| io::Error::other("the key has not the right length"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Makes a chunk of the content that stands in `buffer` behind room for its length; the length of
    /// the whole chunk. Each position may be used once.
    pub(crate) fn close(
        &self,
        position: Position,
        buffer: &mut [u8],
        content_bytes: usize,
    ) -> io::Result<usize> {
        let whole = content_bytes + CHUNK_EXTRA;
        let failed = || io::Error::other("a chunk cannot be encrypted");
        let buffer = buffer.get_mut(..whole).ok_or_else(failed)?;
        let (length, rest) = buffer.split_at_mut(LENGTH_BYTES);
        let (content, tag) = rest.split_at_mut(content_bytes);
        let sealed = u32::try_from(content_bytes + TAG_BYTES).map_err(|_| failed())?;
        length.copy_from_slice(&sealed.to_le_bytes());
        let made = self
            .0
            .seal_in_place_separate_tag(position.nonce(), Aad::empty(), content)
            .map_err(|_| failed())?;
        tag.copy_from_slice(made.as_ref());
        Ok(whole)
    }

    /// The content of a chunk, in place.
    fn open<'a>(&self, position: Position, sealed: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let opened = self.0.open_in_place(position.nonce(), Aad::empty(), sealed);
        opened.map(|content| &*content).map_err(|_| broken())
    }
}

/// Why a chunk is refused.
#[derive(Debug, thiserror::Error)]
#[error("a chunk is not what was sealed to its reader: changed, moved, or cut off")]
pub(crate) struct BrokenChunk;

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, BrokenChunk)
}

/// The content of one segment, from its chunks.
pub(crate) struct Opened<R> {
    chunks: Arc<Chunks>,
    source: R,
    segment: u32,
    /// Whether the drop ends with this segment.
    is_last: bool,
    next: u64,
    /// The length of the next chunk; `None` behind the last one.
    ahead: Option<usize>,
    begun: bool,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl<R: Read> Opened<R> {
    pub(crate) fn new(chunks: Arc<Chunks>, source: R, segment: u32, is_last: bool) -> Self {
        let (next, ahead, begun, buffer, from, to) = Default::default();
        Self { chunks, source, segment, is_last, next, ahead, begun, buffer, from, to }
    }

    /// Opens the next chunk of this length. Which one is the last shows the end of the file, and the
    /// chunk itself must say the same.
    fn advance(&mut self, length: usize) -> io::Result<()> {
        self.buffer.resize(length, 0);
        self.source.read_exact(&mut self.buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => broken(),
            _ => error,
        })?;
        self.ahead = self.length()?;
        let end = match (self.ahead, self.is_last) {
            (Some(_), _) => End::Nothing,
            (None, false) => End::Segment,
            (None, true) => End::Drop,
        };
        let position = Position { segment: self.segment, chunk: self.next, end };
        self.to = self.chunks.open(position, &mut self.buffer)?.len();
        self.from = 0;
        self.next += 1;
        Ok(())
    }

    /// The length that the next chunk has; `None` at the end.
    fn length(&mut self) -> io::Result<Option<usize>> {
        let (mut bytes, mut read) = ([0; LENGTH_BYTES], 0);
        while read < LENGTH_BYTES {
            match self.source.read(&mut bytes[read..]) {
                Ok(0) if read == 0 => return Ok(None),
                Ok(0) => return Err(broken()),
                Ok(length) => read += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let length = usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        let allowed = TAG_BYTES..=CHUNK_BYTES_MAX + TAG_BYTES;
        if allowed.contains(&length) { Ok(Some(length)) } else { Err(broken()) }
    }
}

impl<R: Read> Read for Opened<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.from == self.to {
            if !std::mem::replace(&mut self.begun, true) {
                // Even a segment without content has a chunk that says so.
                self.ahead = Some(self.length()?.ok_or_else(broken)?);
            }
            match self.ahead {
                Some(length) => self.advance(length)?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.to - self.from);
        buffer[..length].copy_from_slice(&self.buffer[self.from..self.from + length]);
        self.from += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
