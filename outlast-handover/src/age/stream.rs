//! The content: chunks, each encrypted and proved, of which the last one says that it is.

use std::io::{self, BufRead, BufReader, Read, Write};

use outlast_types::Random;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce};

use super::header;
use super::key::{Identities, Recipient};

const CHUNK_BYTES: usize = 64 << 10;

/// The bytes of the nonce and of so many bytes of content, encrypted.
pub(super) fn size(content: u64) -> u64 {
    let chunks = content.div_ceil(CHUNK_BYTES as u64).max(1);
    let proofs = chunks.saturating_mul(CHACHA20_POLY1305.tag_len() as u64);
    content.saturating_add(proofs).saturating_add(16)
}

/// The number of a chunk and whether it is the last, in eleven bytes and one.
#[derive(Default)]
struct Counter(u64);

impl Counter {
    fn next(&mut self, is_last: bool) -> Nonce {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.0.to_be_bytes());
        nonce[11] = u8::from(is_last);
        self.0 += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Encrypts what is written to it. What was not [finished](Self::finish) is seen to be cut off.
pub struct Encryptor<W: Write> {
    inner: W,
    key: LessSafeKey,
    counter: Counter,
    /// What is not written yet: at most a chunk, since the last one must be known to be it.
    chunk: Vec<u8>,
}

impl<W: Write> Encryptor<W> {
    /// Begins a file for these recipients.
    pub fn new(mut inner: W, recipients: &[Recipient], random: &dyn Random) -> io::Result<Self> {
        let (header, file_key) = header::write(recipients, random)?;
        let mut nonce = [0; 16];
        random.fill(&mut nonce);
        inner.write_all(&header)?;
        inner.write_all(&nonce)?;
        let key = header::content_key(&file_key, &nonce)?;
        let chunk = Vec::with_capacity(CHUNK_BYTES + CHACHA20_POLY1305.tag_len());
        Ok(Self { inner, key, counter: Counter::default(), chunk })
    }

    /// Writes what is left, as the end.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.inner)
    }

    fn seal(&mut self, is_last: bool) -> io::Result<()> {
        let nonce = self.counter.next(is_last);
        self.key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut self.chunk)
            .map_err(|_| io::Error::other("a chunk cannot be encrypted"))?;
        self.inner.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.chunk.len() == CHUNK_BYTES {
            self.seal(false)?;
        }
        let length = buffer.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&buffer[..length]);
        Ok(length)
    }

    /// What is in the current chunk stays there until it is full.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Decrypts what it reads; an end that was not written as one is an error.
pub struct Decryptor<R: Read> {
    inner: BufReader<R>,
    key: LessSafeKey,
    counter: Counter,
    /// What was decrypted, and how much of it was handed out.
    chunk: Vec<u8>,
    given: usize,
    is_over: bool,
}

impl<R: Read> Decryptor<R> {
    /// Opens a file with whichever key does.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] if it is for none of them, [`io::ErrorKind::InvalidData`] if it is
    /// no such file, or a changed one.
    pub fn new(inner: R, identities: &Identities) -> io::Result<Self> {
        let mut inner = BufReader::with_capacity(CHUNK_BYTES, inner);
        let file_key = header::read(&mut inner, identities)?;
        let mut nonce = [0; 16];
        inner.read_exact(&mut nonce)?;
        let key = header::content_key(&file_key, &nonce)?;
        let (counter, chunk) = (Counter::default(), Vec::new());
        Ok(Self { inner, key, counter, chunk, given: 0, is_over: false })
    }

    fn fill(&mut self) -> io::Result<()> {
        self.chunk.clear();
        self.given = 0;
        let full = CHUNK_BYTES + CHACHA20_POLY1305.tag_len();
        (&mut self.inner).take(full as u64).read_to_end(&mut self.chunk)?;
        let is_last = self.inner.fill_buf()?.is_empty();
        let is_first = self.counter.0 == 0;
        let nonce = self.counter.next(is_last);
        let opened = self.key.open_in_place(nonce, Aad::empty(), &mut self.chunk);
        let changed = || {
            let text = "it was cut off or changed: a chunk of it is not what was encrypted";
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let length = opened.map_err(|_| changed())?.len();
        // Only what is empty as a whole ends in an empty chunk.
        if length == 0 && !is_first {
            return Err(changed());
        }
        self.chunk.truncate(length);
        self.is_over = is_last;
        Ok(())
    }
}

impl<R: Read> Read for Decryptor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.chunk.len() && !self.is_over {
            self.fill()?;
        }
        let length = buffer.len().min(self.chunk.len() - self.given);
        buffer[..length].copy_from_slice(&self.chunk[self.given..self.given + length]);
        self.given += length;
        Ok(length)
    }
}
