//! Files of databases: SQLite, and Redis RDB.

use outlast_types::ContentKind;

use super::ending::Ending;
use super::found::{End, Found, Inspector};

const SQLITE: &[u8] = b"SQLite format 3\0";
const REDIS: &[u8] = b"REDIS";
/// The version of RDB files, in digits behind their magic.
const REDIS_HEAD: usize = 9;
/// From this version on, a checksum follows the end mark.
const REDIS_CHECKED: u32 = 5;
const REDIS_END: u8 = 0xff;
const CHECKSUM_BYTES: usize = 8;

static REDIS_CRC: crc::Crc<u64, crc::Table<16>> =
    crc::Crc::<u64, crc::Table<16>>::new(&crc::CRC_64_REDIS);

pub(super) fn of(head: &[u8]) -> Option<Box<dyn Inspector>> {
    if head.starts_with(SQLITE) {
        return Some(Box::new(Sqlite::of(head)));
    }
    let version = head.strip_prefix(REDIS)?.get(..REDIS_HEAD - REDIS.len())?;
    let version: u32 = std::str::from_utf8(version).ok()?.parse().ok()?;
    Some(Box::new(Redis::of(version)))
}

/// A database file: pages, as many as its header says.
struct Sqlite {
    page: u64,
    /// `None` if the header does not say: it was last written by a version that did not, or is short.
    pages: Option<u64>,
    size: u64,
}

impl Sqlite {
    fn of(head: &[u8]) -> Self {
        let word = |at: usize| {
            let bytes: [u8; 4] = head.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(bytes))
        };
        let page = match head.get(16..18) {
            Some(&[0, 1]) => 65_536,
            Some(&[high, low]) => u64::from(u16::from_be_bytes([high, low])),
            _ => 0,
        };
        // The count is of the moment of the change that "valid for" names.
        let is_valid = word(24).is_some() && word(24) == word(92);
        let pages = word(28).filter(|pages| is_valid && *pages > 0).map(u64::from);
        Self { page, pages, size: 0 }
    }
}

impl Inspector for Sqlite {
    fn feed(&mut self, piece: &[u8]) {
        self.size += piece.len() as u64;
    }

    fn finish(self: Box<Self>) -> Found {
        let Self { page, pages, size } = *self;
        let end = match pages {
            _ if !(page.is_power_of_two() && (512..=65_536).contains(&page)) => {
                End::damaged("its header gives no size of its pages")
            }
            _ if !size.is_multiple_of(page) => {
                End::cut_off(format!("it has {size} bytes, and its pages have {page} each"))
            }
            None => End::Untold("its header does not say how many pages it has".to_owned()),
            Some(pages) if size < pages * page => End::cut_off(format!(
                "its header says that it has {pages} pages of {page} bytes, and {} are there",
                size / page
            )),
            Some(pages) if size > pages * page => {
                End::Untold(format!("{} pages follow its last one", size / page - pages))
            }
            Some(_) => End::Whole,
        };
        Found::of(ContentKind::Sqlite, end)
    }
}

/// A dump of Redis: its end mark and the checksum of all before.
struct Redis {
    version: u32,
    digest: crc::Digest<'static, u64, crc::Table<16>>,
    /// The last bytes, which may be the checksum and are not in the digest.
    held: Vec<u8>,
    ending: Ending,
}

impl Redis {
    fn of(version: u32) -> Self {
        let (digest, held) = (REDIS_CRC.digest(), Vec::new());
        Self { version, digest, held, ending: Ending::new(1 + CHECKSUM_BYTES) }
    }

    fn end(&self) -> End {
        let cut_off = || End::cut_off("it does not end in its end mark and its checksum");
        let ending = self.ending.bytes();
        if self.version < REDIS_CHECKED {
            return if ending.last() == Some(&REDIS_END) { End::Whole } else { cut_off() };
        }
        let stored = self.held.as_slice().try_into().map(u64::from_le_bytes).ok();
        let (mark, is_off) = (ending.first() == Some(&REDIS_END), stored == Some(0));
        match stored {
            // A server with `rdbchecksum no` writes zeroes.
            Some(stored) if mark && (is_off || stored == self.digest.clone().finalize()) => {
                End::Whole
            }
            Some(_) if ending.ends_with(b"\r\n") => {
                End::Untold("commands follow its dump, as in an append-only file".to_owned())
            }
            _ => cut_off(),
        }
    }
}

impl Inspector for Redis {
    fn feed(&mut self, piece: &[u8]) {
        self.ending.push(piece);
        let ready = (self.held.len() + piece.len()).saturating_sub(CHECKSUM_BYTES);
        let of_held = ready.min(self.held.len());
        self.digest.update(&self.held[..of_held]);
        self.held.drain(..of_held);
        let (content, last) = piece.split_at(ready - of_held);
        self.digest.update(content);
        self.held.extend_from_slice(last);
    }

    fn finish(self: Box<Self>) -> Found {
        Found::of(ContentKind::RedisRdb, self.end())
    }
}
