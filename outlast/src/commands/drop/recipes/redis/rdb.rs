//! The form of a Redis database file, as far as it tells whether one is whole.

use std::io::{self, Read};

/// What it begins with, before the number of its version.
const MAGICS: [&[u8]; 2] = [b"REDIS", b"VALKEY"];
const MAGIC_BYTES: usize = 6;
/// Since version 5 it ends in this mark and 8 bytes of checksum.
const END: u8 = 0xff;
const TAIL_BYTES: usize = 9;

/// A server that sends without knowing how much ends with a word of its own, of so many hex digits.
/// redis-cli takes it out of a file and leaves it in its output.
const WORD_BYTES: usize = 40;

const READ_BYTES: usize = 64 << 10;
/// What is held back, because it may not be a part of the file.
const HELD_BYTES: usize = TAIL_BYTES + WORD_BYTES;

/// Gives what a reader gives without the server's last word, and the end only if it is that of a
/// whole file.
pub(super) struct Whole<R> {
    reader: R,
    /// Read, and not given yet; the end of it may not be for others.
    held: Vec<u8>,
    /// How much of that was given.
    given: usize,
    is_begun: bool,
    is_ended: bool,
}

impl<R: Read> Whole<R> {
    pub(super) fn of(reader: R) -> Self {
        Self { reader, held: Vec::new(), given: 0, is_begun: false, is_ended: false }
    }

    /// Reads a little more, and looks at the beginning and the end.
    fn fill(&mut self) -> io::Result<()> {
        self.held.drain(..std::mem::take(&mut self.given));
        let before = self.held.len();
        self.held.resize(before + READ_BYTES, 0);
        let read = self.reader.read(&mut self.held[before..]);
        self.held.truncate(before + *read.as_ref().unwrap_or(&0));
        if read? == 0 {
            self.is_ended = true;
            let length = file_length(&self.held);
            self.held.truncate(length.ok_or_else(|| wrong("was cut off"))?);
        }
        if !self.is_begun && (self.is_ended || self.held.len() >= MAGIC_BYTES) {
            self.is_begun = true;
            if !MAGICS.iter().any(|magic| self.held.starts_with(magic)) {
                return Err(wrong("is no database file"));
            }
        }
        Ok(())
    }

    /// What may be given now.
    fn ready(&self) -> &[u8] {
        let end = if self.is_ended { 0 } else { HELD_BYTES };
        let end = self.held.len().saturating_sub(end).max(self.given);
        &self.held[self.given..end]
    }
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.ready().is_empty() && !self.is_ended {
            self.fill()?;
        }
        let ready = self.ready();
        let length = ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&ready[..length]);
        self.given += length;
        Ok(length)
    }
}

/// How much of the last bytes belongs to the file, if it is whole. The word has only hex digits, so
/// the two ends cannot be taken for each other.
fn file_length(last: &[u8]) -> Option<usize> {
    let ends_at = |length: usize| length.checked_sub(TAIL_BYTES).is_some_and(|at| last[at] == END);
    if ends_at(last.len()) {
        return Some(last.len());
    }
    let without = last.len().checked_sub(WORD_BYTES)?;
    let is_word = last[without..].iter().all(u8::is_ascii_hexdigit);
    (is_word && ends_at(without)).then_some(without)
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(format!("what the server sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty database as Redis 7 writes it.
    fn file() -> Vec<u8> {
        let mut file = b"REDIS0010\xfa\tredis-ver\x067.0.15\xff".to_vec();
        file.extend([1, 2, 3, 4, 5, 6, 7, 0xff]);
        file
    }

    /// A reader that gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(self.1);
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn only_a_whole_file_comes_to_its_end_and_the_servers_last_word_does_not() {
        let short = file();
        // A part of it ends where the last word would begin to look like one.
        let long = [&short[..10], &[b'a'; 100_000], &short[10..]].concat();
        let word = [b'7'; WORD_BYTES];
        for (file, step) in [(&short, 1), (&short, 7), (&short, 1000), (&long, 977)] {
            for sent in [file.clone(), [&file[..], &word].concat()] {
                let mut read = Vec::new();
                Whole::of(Slow(&sent, step)).read_to_end(&mut read).unwrap();
                assert!(read == *file, "{} of {} bytes", read.len(), file.len());
            }
            for cut in file.len().saturating_sub(200)..file.len() {
                let error = Whole::of(Slow(&file[..cut], step)).read_to_end(&mut Vec::new());
                assert!(error.is_err(), "cut at {cut}");
            }
            let half_a_word = [&file[..], &word[..20]].concat();
            assert!(Whole::of(Slow(&half_a_word, step)).read_to_end(&mut Vec::new()).is_err());
        }
        let text = b"-NOAUTH Authentication required.\r\n\xff12345678";
        assert!(Whole::of(&text[..]).read_to_end(&mut Vec::new()).is_err());
        assert!(Whole::of(&b""[..]).read_to_end(&mut Vec::new()).is_err());
    }
}
