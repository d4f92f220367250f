//! Tar archives in a stream: walked from header to header, up to the two zero blocks at the end.

use outlast_types::ContentKind;

use super::found::{End, Found, Inspector};
use crate::tar::{BLOCK, Records, parse_field};

/// A longer extended header is passed over.
const EXTENDED_MAX: u64 = 64 << 10;
const MAGIC: &[u8] = b"ustar";
const MAGIC_AT: usize = 257;

pub(super) fn of(head: &[u8]) -> Option<Box<dyn Inspector>> {
    let block: &[u8; BLOCK] = head.get(..BLOCK)?.try_into().ok()?;
    let is_tar = block[MAGIC_AT..].starts_with(MAGIC) && is_header(block);
    is_tar.then(|| Box::new(Archive::default()) as Box<dyn Inspector>)
}

fn is_header(block: &[u8; BLOCK]) -> bool {
    // The checksum counts its own field as spaces.
    let counted =
        |(at, &byte): (usize, &u8)| i64::from(if (148..156).contains(&at) { b' ' } else { byte });
    let sum: i64 = block.iter().enumerate().map(counted).sum();
    parse_field(&block[148..156]) == Some(sum)
}

/// What the next block is.
#[derive(Default, PartialEq, Eq)]
enum Next {
    #[default]
    Header,
    /// Of a sparse file of GNU's old form: more of its map. Behind it come so many bytes.
    Map(u64),
    /// Of an extended header of so many bytes, which counts for the next entry.
    Extended(u64),
    /// Nothing: it has ended.
    Nothing,
}

#[derive(Default)]
struct Archive {
    next: Next,
    /// What is there of the next block, or of the extended header.
    held: Vec<u8>,
    /// Bytes of content to pass over.
    skip: u64,
    entries: u64,
    zero_blocks: u8,
    /// The size that an extended header gives for the next entry.
    size: Option<u64>,
    flaw: Option<String>,
}

impl Inspector for Archive {
    fn feed(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() && self.flaw.is_none() && self.next != Next::Nothing {
            if self.skip > 0 {
                let skipped = piece.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                self.skip -= skipped as u64;
                piece = &piece[skipped..];
                continue;
            }
            let wanted = match self.next {
                Next::Extended(size) => usize::try_from(padded(size)).unwrap_or(BLOCK),
                _ => BLOCK,
            };
            let taken = piece.len().min(wanted - self.held.len());
            self.held.extend_from_slice(&piece[..taken]);
            piece = &piece[taken..];
            if self.held.len() == wanted {
                let held = std::mem::take(&mut self.held);
                self.step(&held);
            }
        }
    }

    fn finish(self: Box<Self>) -> Found {
        let end = match (self.flaw, self.next) {
            (Some(flaw), _) => End::Damaged(flaw),
            (None, Next::Nothing) => End::Whole,
            (None, _) => End::cut_off(format!(
                "it ends after {} entries without the two zero blocks that end an archive",
                self.entries
            )),
        };
        Found { entries: Some(self.entries), ..Found::of(ContentKind::Tar, end) }
    }
}

impl Archive {
    fn step(&mut self, held: &[u8]) {
        match std::mem::take(&mut self.next) {
            Next::Header => self.header(held),
            Next::Map(size) if held[504] != 0 => self.next = Next::Map(size),
            Next::Map(size) => self.skip = padded(size),
            Next::Extended(size) => {
                let content = &held[..usize::try_from(size).unwrap_or(0).min(held.len())];
                let records = Records::parse(content).unwrap_or_default();
                self.size = records.number("size").flatten();
            }
            Next::Nothing => {}
        }
    }

    fn header(&mut self, block: &[u8]) {
        if block.iter().all(|byte| *byte == 0) {
            self.zero_blocks += 1;
            if self.zero_blocks == 2 {
                self.next = Next::Nothing;
            }
            return;
        }
        self.zero_blocks = 0;
        let is_header = block.try_into().is_ok_and(is_header);
        let stated = parse_field(&block[124..136]).and_then(|size| u64::try_from(size).ok());
        let (true, Some(stated)) = (is_header, stated) else {
            self.flaw = Some(format!("what follows its entry {} is no entry", self.entries));
            return;
        };
        match block[156] {
            b'x' if stated <= EXTENDED_MAX && stated > 0 => self.next = Next::Extended(stated),
            b'x' | b'g' | b'L' | b'K' => self.skip = padded(stated),
            flag => {
                self.entries += 1;
                let size = self.size.take().unwrap_or(stated);
                match flag {
                    // What has no content may still state a size.
                    b'2'..=b'6' => {}
                    b'S' if block[482] != 0 => self.next = Next::Map(size),
                    _ => self.skip = padded(size),
                }
            }
        }
    }
}

fn padded(size: u64) -> u64 {
    size.checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX)
}
