//! Archives of `pg_dump`: the custom format, and the table of contents of the directory format.
//!
//! Both begin with a head and a table of contents of the same form. In the custom format, blocks of
//! data follow, each of the entry whose number it bears; the table says of which entries there must be
//! some. All of it is walked, and nothing is kept: which entries have data is summed up as a count and
//! a sum of hashes of their numbers, which must be the same in the table and in what follows.

use outlast_types::ContentKind;

use super::found::{End, Found, Inspector};

const MAGIC: &[u8] = b"PGDMP";
const FORMAT_CUSTOM: u8 = 1;
/// What the directory format says of itself in its table of contents.
const FORMAT_TAR: u8 = 3;

/// Versions of the format by what came with them.
const WITH_SERVER: u16 = version(1, 10);
const WITH_SECTION: u16 = version(1, 11);
const WITH_ACCESS_METHOD: u16 = version(1, 14);
const WITH_ALGORITHM: u16 = version(1, 15);
const WITH_RELATION_KIND: u16 = version(1, 16);
/// Newer ones may have another form.
const NEWEST: u16 = WITH_RELATION_KIND;

/// A block of the data of a table, and one of large objects.
const BLOCK_DATA: u8 = 1;
const BLOCK_OBJECTS: u8 = 3;
/// An offset that says that an entry has no data.
const OFFSET_NONE: u8 = 3;

/// Integers and offsets are no longer.
const WORD_MAX: u8 = 8;
/// Files of one directory that are remembered; beyond, each is taken to be there.
const FILES_MAX: usize = 500_000;

const fn version(major: u8, minor: u8) -> u16 {
    ((major as u16) << 8) | minor as u16
}

pub(super) fn of(head: &[u8]) -> Option<Box<dyn Inspector>> {
    // A table of contents alone is one of a directory, whose files are not here.
    let is_custom = head.starts_with(MAGIC) && head.get(10) == Some(&FORMAT_CUSTOM);
    is_custom.then(|| Box::new(Custom(Walk::default())) as Box<dyn Inspector>)
}

/// Whether a file begins as the table of contents of a directory.
pub(super) fn is_contents(head: &[u8]) -> bool {
    head.starts_with(MAGIC) && head.get(10) == Some(&FORMAT_TAR)
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Magic,
    /// The one byte of the compression's algorithm.
    Algorithm,
    /// So many integers, of which nothing is of use, then what follows the head's.
    HeadInts(u8),
    HeadStrings(u8),
    Count,
    /// A field of an entry.
    Field(usize),
    /// The length of the name of an entry's file, and the name.
    FileName,
    FileText(u8),
    Offset,
    /// The kind of a block, if there is one more.
    Block,
    BlockEntry(u8),
    /// The number of a large object; 0 ends them.
    Object,
    /// The length of a piece of data; 0 ends it.
    Piece(bool),
    Done,
}

/// A field of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Number,
    Int,
    Text,
    /// The statement by which a table's data is copied in.
    CopyStatement,
    /// Texts until there is none.
    Dependencies,
}

/// What a table of contents wants of the files beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: Vec<u8>,
    /// Whether it is copied, and so ends in the mark of that.
    pub(super) is_copied: bool,
}

/// Entries with data: as many as there are, and which.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Entries {
    count: u64,
    sum: u64,
}

impl Entries {
    fn add(&mut self, number: u64) {
        // A finalizer of a hash: sums of other numbers differ.
        let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.count += 1;
        self.sum = self.sum.wrapping_add(mixed ^ (mixed >> 31));
    }
}

/// A walk through an archive.
pub(super) struct Walk {
    next: Next,
    held: Vec<u8>,
    /// Bytes of a text or of data to pass over.
    skip: u64,
    version: u16,
    int_bytes: u8,
    offset_bytes: u8,
    format: u8,
    fields: Vec<Field>,
    /// Entries of the table that were not read, and all of them.
    left: u64,
    entries: u64,
    number: u64,
    is_copied: bool,
    wanted: Entries,
    found: Entries,
    /// The files that a directory must have.
    pub(super) files: Vec<Wanted>,
    flaw: Option<End>,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            next: Next::Magic,
            held: Vec::new(),
            skip: 0,
            version: 0,
            int_bytes: 4,
            offset_bytes: 8,
            format: 0,
            fields: Vec::new(),
            left: 0,
            entries: 0,
            number: 0,
            is_copied: false,
            wanted: Entries::default(),
            found: Entries::default(),
            files: Vec::new(),
            flaw: None,
        }
    }
}

impl Walk {
    pub(super) fn feed(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() && self.flaw.is_none() && self.next != Next::Done {
            if self.skip > 0 {
                let skipped = piece.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                self.skip -= skipped as u64;
                piece = &piece[skipped..];
                continue;
            }
            let wanted = self.bytes_of_next();
            let taken = piece.len().min(wanted - self.held.len().min(wanted));
            self.held.extend_from_slice(&piece[..taken]);
            piece = &piece[taken..];
            if self.held.len() == wanted {
                let held = std::mem::take(&mut self.held);
                self.step(&held);
                self.held = held;
                self.held.clear();
            }
        }
    }

    /// How it ends here, and how many entries its table has.
    pub(super) fn end(&self) -> (End, u64) {
        let end = match (&self.flaw, self.next) {
            (Some(flaw), _) => flaw.clone(),
            (None, Next::Done) => End::Whole,
            (None, Next::Block) if self.held.is_empty() && self.skip == 0 => {
                if self.found == self.wanted {
                    End::Whole
                } else {
                    End::cut_off(format!(
                        "its table of contents names data of {} entries, and that of {} is there",
                        self.wanted.count, self.found.count
                    ))
                }
            }
            (None, Next::Block | Next::BlockEntry(_) | Next::Object | Next::Piece(_)) => {
                End::cut_off(format!(
                    "it ends in the midst of data, after {} of {} entries that have some",
                    self.found.count.saturating_sub(1),
                    self.wanted.count
                ))
            }
            (None, _) => End::cut_off("it ends within its table of contents"),
        };
        (end, self.entries)
    }

    fn bytes_of_next(&self) -> usize {
        let int = 1 + usize::from(self.int_bytes);
        match self.next {
            Next::Magic => 11,
            Next::Algorithm | Next::Block | Next::Done => 1,
            Next::Offset => 1 + usize::from(self.offset_bytes),
            Next::FileText(length) => usize::from(length),
            _ => int,
        }
    }

    /// The integer at the beginning of `held`: a sign, and its bytes, the lowest first.
    fn int_of(&self, held: &[u8]) -> Option<i64> {
        let bytes = held.get(1..1 + usize::from(self.int_bytes))?;
        let value = bytes.iter().rev().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
        let value = i64::try_from(value).ok()?;
        Some(if held.first() == Some(&0) { value } else { -value })
    }

    fn step(&mut self, held: &[u8]) {
        let int = self.int_of(held);
        let value = int.and_then(|int| u64::try_from(int).ok());
        match self.next {
            Next::Magic => self.head(held),
            Next::Algorithm => self.next = Next::HeadInts(7),
            Next::HeadInts(left) => {
                self.next = if left > 1 { Next::HeadInts(left - 1) } else { Next::HeadStrings(3) };
            }
            Next::HeadStrings(left) => {
                self.text(int);
                self.next = if left > 1 { Next::HeadStrings(left - 1) } else { Next::Count };
            }
            Next::Count => {
                (self.left, self.entries) = (value.unwrap_or(0), value.unwrap_or(0));
                self.begin_entry();
            }
            Next::Field(at) => self.field(at, int),
            Next::FileName => match value.map(u8::try_from) {
                Some(Ok(length @ 1..)) => self.next = Next::FileText(length),
                Some(Err(_)) => self.is_no_archive("the name of a file is too long"),
                Some(Ok(0)) | None => self.end_entry(),
            },
            Next::FileText(_) => {
                if self.files.len() < FILES_MAX {
                    let (name, is_copied) = (held.to_owned(), self.is_copied);
                    self.files.push(Wanted { name, is_copied });
                }
                self.end_entry();
            }
            Next::Offset => {
                if held.first() != Some(&OFFSET_NONE) {
                    self.wanted.add(self.number);
                }
                self.end_entry();
            }
            Next::Block => self.next = Next::BlockEntry(held.first().copied().unwrap_or(0)),
            Next::BlockEntry(kind) => {
                self.found.add(value.unwrap_or(u64::MAX));
                self.next = match kind {
                    BLOCK_DATA => Next::Piece(false),
                    BLOCK_OBJECTS => Next::Object,
                    _ => {
                        return self
                            .is_no_archive("a block of data is of a kind that there is not");
                    }
                };
            }
            Next::Object => {
                self.next = if value == Some(0) { Next::Block } else { Next::Piece(true) };
            }
            Next::Piece(is_object) => match value {
                Some(0) => self.next = if is_object { Next::Object } else { Next::Block },
                Some(length) => self.skip = length,
                None => self.is_no_archive("a piece of data has a length below zero"),
            },
            Next::Done => {}
        }
    }

    fn is_no_archive(&mut self, why: &str) {
        self.flaw = Some(End::damaged(why));
    }

    fn head(&mut self, held: &[u8]) {
        let &[_, _, _, _, _, major, minor, _, int_bytes, offset_bytes, format] = held else {
            return;
        };
        self.version = version(major, minor);
        (self.int_bytes, self.offset_bytes, self.format) = (int_bytes, offset_bytes, format);
        let is_word = |bytes: u8| (1..=WORD_MAX).contains(&bytes);
        if !(WITH_SERVER..=NEWEST).contains(&self.version) {
            let text = format!("its format has version {major}.{minor}, which is not known here");
            self.flaw = Some(End::Untold(text));
        } else if !is_word(int_bytes) || !is_word(offset_bytes) {
            self.is_no_archive("its head gives no length of numbers");
        }
        self.fields = fields_of(self.version);
        // The level of compression, and the date in seven parts.
        let is_newer = self.version >= WITH_ALGORITHM;
        self.next = if is_newer { Next::Algorithm } else { Next::HeadInts(8) };
    }

    fn end_entry(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.begin_entry();
    }

    fn begin_entry(&mut self) {
        (self.is_copied, self.number) = (false, 0);
        self.next = match (self.left, self.format) {
            (1.., _) => Next::Field(0),
            (0, FORMAT_CUSTOM) => Next::Block,
            (0, _) => Next::Done,
        };
    }

    fn field(&mut self, at: usize, int: Option<i64>) {
        let is_text = matches!(int, Some(1..));
        match self.fields.get(at) {
            Some(Field::Number) => {
                self.number = int.and_then(|int| u64::try_from(int).ok()).unwrap_or(0);
            }
            Some(Field::Int) | None => {}
            Some(Field::Text) => self.text(int),
            Some(Field::CopyStatement) => {
                self.is_copied = is_text;
                self.text(int);
            }
            Some(Field::Dependencies) => {
                self.text(int);
                // A text of no length is one, too; what ends them is none at all.
                if matches!(int, Some(0..)) {
                    return;
                }
            }
        }
        self.next = if at + 1 < self.fields.len() {
            Next::Field(at + 1)
        } else if self.format == FORMAT_CUSTOM {
            Next::Offset
        } else {
            Next::FileName
        };
    }

    /// A text follows, unless its length says that there is none.
    fn text(&mut self, length: Option<i64>) {
        self.skip = length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
    }
}

/// The fields of an entry up to where its data is.
fn fields_of(version: u16) -> Vec<Field> {
    use Field::{CopyStatement, Dependencies, Int, Number, Text};
    // Its number, whether it had data, the catalog's two numbers, its name and what it is.
    let mut fields = vec![Number, Int, Text, Text, Text, Text];
    if version >= WITH_SECTION {
        fields.push(Int);
    }
    // How it is made and dropped; its schema and tablespace.
    fields.extend([Text, Text, CopyStatement, Text, Text]);
    if version >= WITH_ACCESS_METHOD {
        fields.push(Text);
    }
    if version >= WITH_RELATION_KIND {
        fields.push(Int);
    }
    // Its owner, and whether it has numbers of rows.
    fields.extend([Text, Text, Dependencies]);
    fields
}

struct Custom(Walk);

impl Inspector for Custom {
    fn feed(&mut self, piece: &[u8]) {
        self.0.feed(piece);
    }

    fn finish(self: Box<Self>) -> Found {
        let (end, entries) = self.0.end();
        Found { entries: Some(entries), ..Found::of(ContentKind::PgDumpCustom, end) }
    }
}
