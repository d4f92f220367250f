//! What is packed: gzip and zstd are unpacked, and what is in them looked at; of xz, whose own
//! unpacking costs ten times as much, the end alone.

use flate2::{Decompress, FlushDecompress, Status};
use outlast_types::ContentKind;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::ending::Ending;
use super::found::{End, Found, Inspector, Probe};
use super::plain;

const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: u32 = 0xfd2f_b528;
/// Sixteen magic numbers of frames that hold no content.
const ZSTD_SKIPPABLE: u32 = 0x184d_2a50;

/// Unpacked at a time.
const BLOCK_BYTES: usize = 128 << 10;
/// The largest window of a zstd frame, as the zstd program has it by default.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// The window of gzip, 32 KiB.
const GZIP_WINDOW_LOG: u8 = 15;
/// No more is unpacked: beyond that it would cost a day and more.
const UNPACKED_MAX: u64 = 4 << 40;
/// Nor what unpacks absurdly, which would cost its writer nothing and us hours.
const ABSURD_FROM: u64 = 16 << 30;
const ABSURD_RATIO: u64 = 1000;

pub(super) fn of(head: &[u8]) -> Option<Box<dyn Inspector>> {
    if head.starts_with(GZIP) {
        return Some(Box::new(Packed::new(Gzip::default())));
    }
    if head.starts_with(XZ) {
        let flags = head.get(XZ.len()..XZ.len() + 2)?.try_into().ok()?;
        return Some(Box::new(Xz { flags, ending: Ending::new(XZ_ENDING_BYTES) }));
    }
    let magic = u32::from_le_bytes(head.get(..4)?.try_into().ok()?);
    if magic == ZSTD || magic & !0xf == ZSTD_SKIPPABLE {
        return Some(Box::new(Packed::new(Zstd::new()?)));
    }
    None
}

/// Why nothing more is unpacked.
enum Halt {
    Untold(String),
    Damaged(String),
}

/// Unpacks one format, a step at a time.
trait Unpack: Send {
    const KIND: ContentKind;
    /// How many bytes of `input` it took, and how many came of them. It takes or gives some, while
    /// there is input.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), Halt>;
    /// Whether what it took ends with a member.
    fn is_at_end(&self) -> bool;
}

struct Packed<U> {
    unpack: U,
    /// What is packed twice is looked into once.
    inner: Probe,
    block: Vec<u8>,
    taken: u64,
    given: u64,
    halt: Option<Halt>,
}

impl<U: Unpack> Packed<U> {
    fn new(unpack: U) -> Self {
        let block = vec![0; BLOCK_BYTES];
        Self { unpack, inner: Probe::new(plain::of), block, taken: 0, given: 0, halt: None }
    }

    fn is_absurd(&self) -> bool {
        let ratio = self.given / self.taken.max(1);
        self.given > UNPACKED_MAX || (self.given > ABSURD_FROM && ratio > ABSURD_RATIO)
    }
}

impl<U: Unpack> Inspector for Packed<U> {
    fn feed(&mut self, mut piece: &[u8]) {
        let mut is_full = false;
        while self.halt.is_none() && (!piece.is_empty() || is_full) {
            match self.unpack.step(piece, &mut self.block) {
                Ok((taken, given)) => {
                    piece = &piece[taken..];
                    self.inner.feed(&self.block[..given]);
                    // More may be on its way without more input.
                    is_full = given == self.block.len();
                    self.taken += taken as u64;
                    self.given += given as u64;
                    if taken == 0 && given == 0 {
                        break;
                    }
                }
                Err(halt) => self.halt = Some(halt),
            }
            if self.is_absurd() {
                let text = format!("it is not unpacked beyond {} bytes", self.given);
                self.halt.get_or_insert(Halt::Untold(text));
            }
        }
    }

    fn finish(self: Box<Self>) -> Found {
        let Self { unpack, inner, halt, .. } = *self;
        let is_at_end = unpack.is_at_end();
        let inner = inner.found();
        let (is_known, packed) = (!inner.kind.is_none(), U::KIND);
        let end = match halt {
            Some(Halt::Damaged(text)) => End::Damaged(text),
            None if !is_at_end => {
                End::cut_off(format!("it ends in the midst of what is packed in {packed}"))
            }
            Some(Halt::Untold(text)) => End::Untold(text),
            None if is_known => inner.end,
            // What is in it has no end that can be told; what it is packed in has, and it is there.
            None => End::Whole,
        };
        if is_known {
            Found { kind: inner.kind, packed, entries: inner.entries, end }
        } else {
            Found::of(packed, end)
        }
    }
}

/// Members, one after the other; zeroes may follow.
#[derive(Default)]
struct Gzip {
    member: Option<Decompress>,
    is_padding: bool,
}

impl Unpack for Gzip {
    const KIND: ContentKind = ContentKind::Gzip;

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), Halt> {
        let Some(member) = &mut self.member else {
            match input {
                [] => return Ok((0, 0)),
                [0, ..] => {
                    self.is_padding = true;
                    return Ok((input.iter().take_while(|byte| **byte == 0).count(), 0));
                }
                [0x1f, ..] if !self.is_padding => {
                    self.member = Some(Decompress::new_gzip(GZIP_WINDOW_LOG));
                    return self.step(input, output);
                }
                _ => return Err(Halt::Untold("something follows its last member".to_owned())),
            }
        };
        let (taken, given) = (member.total_in(), member.total_out());
        let status = member.decompress(input, output, FlushDecompress::None);
        let moved = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        let moved = (moved(member.total_in(), taken), moved(member.total_out(), given));
        match status {
            Ok(Status::StreamEnd) => self.member = None,
            Ok(Status::Ok | Status::BufError) => {}
            Err(error) => return Err(Halt::Damaged(format!("it cannot be unpacked: {error}"))),
        }
        Ok(moved)
    }

    fn is_at_end(&self) -> bool {
        self.member.is_none()
    }
}

struct Zstd {
    decoder: Decoder<'static>,
    is_at_end: bool,
}

impl Zstd {
    fn new() -> Option<Self> {
        let mut decoder = Decoder::new().ok()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).ok()?;
        Some(Self { decoder, is_at_end: false })
    }
}

impl Unpack for Zstd {
    const KIND: ContentKind = ContentKind::Zstd;

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), Halt> {
        if input.is_empty() && self.is_at_end {
            return Ok((0, 0));
        }
        let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(output));
        match self.decoder.run(&mut from, &mut to) {
            Ok(hint) => {
                self.is_at_end = hint == 0;
                Ok((from.pos(), to.pos()))
            }
            Err(error) if error.to_string().contains("too much memory") => {
                let text =
                    format!("its window is larger than {} MiB", 1 << (ZSTD_WINDOW_LOG_MAX - 20));
                Err(Halt::Untold(text))
            }
            Err(error) => Err(Halt::Damaged(format!("it cannot be unpacked: {error}"))),
        }
    }

    fn is_at_end(&self) -> bool {
        self.is_at_end
    }
}

/// Its footer: a checksum, the length of its index, the flags of its header, and its magic.
const XZ_FOOTER_BYTES: usize = 12;
const XZ_FOOTER_MAGIC: &[u8] = b"YZ";
/// With the zeroes that may follow.
const XZ_ENDING_BYTES: usize = 4096;

static CRC_32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

struct Xz {
    flags: [u8; 2],
    ending: Ending,
}

impl Xz {
    fn has_footer(&self) -> bool {
        let ending = self.ending.bytes();
        let zeroes = ending.iter().rev().take_while(|byte| **byte == 0).count();
        let Some((_, footer)) =
            ending[..ending.len() - zeroes].split_last_chunk::<XZ_FOOTER_BYTES>()
        else {
            return false;
        };
        let (checksum, rest) = footer.split_at(4);
        let (index, rest) = rest.split_at(4);
        let index = u32::from_le_bytes(index.try_into().unwrap_or_default());
        let index_bytes = (u64::from(index) + 1) * 4;
        zeroes.is_multiple_of(4)
            && rest.ends_with(XZ_FOOTER_MAGIC)
            && rest.starts_with(&self.flags)
            && checksum == CRC_32.checksum(&footer[4..10]).to_le_bytes()
            && index_bytes < self.ending.total()
    }
}

impl Inspector for Xz {
    fn feed(&mut self, piece: &[u8]) {
        self.ending.push(piece);
    }

    fn finish(self: Box<Self>) -> Found {
        let end = match self.has_footer() {
            true => End::Whole,
            false => End::cut_off("it does not end in a footer of xz"),
        };
        Found::of(ContentKind::Xz, end)
    }
}
