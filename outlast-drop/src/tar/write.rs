//! Writing a tree as a POSIX pax archive.

use std::collections::HashSet;
use std::io::{self, Write};

use outlast_fs::{Entry, EntrySource, Kind, Metadata, SourceError};
use outlast_types::Monitor;
use tar::{EntryType, Header};

use super::pax::Records;
use super::{BLOCK, TarError, acl, number, sparse};

const BUFFER_BYTES: usize = 256 << 10;
/// Bytes of the classic fields for names, link targets, and names of users and groups; the last
/// keep one for a NUL.
const NAME_BYTES: usize = 100;
const OWNER_BYTES: usize = 31;
/// The largest numbers that octal digits have room for in the fields of 8 and 12 bytes.
const SMALL_NUMBER_MAX: u64 = 0o777_7777;
const LARGE_NUMBER_MAX: u64 = 0o777_7777_7777;
/// Holes that together are smaller stay zeroes: their description would be no gain.
const HOLES_MIN: u64 = 4096;

/// The sum of all that was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeSummary {
    pub entries: u64,
    pub files: u64,
    /// Bytes of files, holes included.
    pub bytes: u64,
    /// All that is missing in the archive or not as it should be: whole sentences, the first thousand.
    pub problems: Vec<String>,
    /// How many there were.
    pub problem_count: u64,
    /// Remarks that are worth a word and no gap, the first thousand.
    pub remarks: Vec<String>,
}

/// The most sentences that are kept of each kind.
const SENTENCES_MAX: usize = 1000;

/// Writes all entries of `source` as one archive. An entry that cannot be read is told to
/// `monitor` and in the summary, and the work goes on.
pub fn write_tree(
    source: &mut dyn EntrySource,
    out: &mut dyn Write,
    monitor: &dyn Monitor,
) -> Result<TreeSummary, TarError> {
    let (summary, left_out, buffer) = Default::default();
    let mut writer = TreeWriter { out, monitor, summary, left_out, buffer };
    writer.buffer.resize(BUFFER_BYTES, 0);
    loop {
        match source.next_entry() {
            Ok(Some(entry)) => {
                monitor.item(&entry.path.to_string());
                writer.entry(&entry, source)?;
            }
            Ok(None) => break,
            Err(error @ SourceError::Entry { .. }) => writer.problem(error.to_string()),
            Err(error) => return Err(TarError::Source(error)),
        }
    }
    writer.put(&[0; 2 * BLOCK])?;
    writer.out.flush().map_err(TarError::Write)?;
    Ok(writer.summary)
}

struct TreeWriter<'a> {
    out: &'a mut dyn Write,
    monitor: &'a dyn Monitor,
    summary: TreeSummary,
    /// Files with several names that could not be read: a link to them would be a link to nothing.
    left_out: HashSet<Vec<u8>>,
    buffer: Vec<u8>,
}

/// The beginning of a file's content, in the buffer.
#[derive(Default)]
struct Begun {
    length: usize,
    /// Whether that is all.
    ended: bool,
    failed: Option<io::Error>,
}

impl TreeWriter<'_> {
    fn problem(&mut self, message: String) {
        self.monitor.problem(&message);
        self.summary.problem_count += 1;
        if self.summary.problems.len() < SENTENCES_MAX {
            self.summary.problems.push(message);
        }
    }

    fn remark(&mut self, message: String) {
        if self.summary.remarks.len() < SENTENCES_MAX {
            self.summary.remarks.push(message);
        }
    }

    /// Leaves out a file that cannot be read.
    fn leave_out(&mut self, entry: &Entry, error: &io::Error) {
        self.problem(format!("cannot read {}: {error}", entry.path));
        if entry.metadata.links > 1 {
            self.left_out.insert(entry.path.to_bytes());
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), TarError> {
        self.out.write_all(bytes).map_err(TarError::Write)
    }

    fn pad(&mut self, length: u64) -> Result<(), TarError> {
        self.put(&[0; BLOCK][..padding(length)])
    }

    fn entry(&mut self, entry: &Entry, source: &mut dyn EntrySource) -> Result<(), TarError> {
        let mut name = entry.path.to_bytes();
        let mut link: &[u8] = &[];
        let target;
        let kind = match &entry.kind {
            Kind::File { size } => return self.file(entry, *size, source),
            Kind::HardLink { target: path } => {
                target = path.to_bytes();
                if self.left_out.contains(&target) {
                    let what = &entry.path;
                    self.problem(format!("{what} was left out: it is {path}, which was, too"));
                    return Ok(());
                }
                link = &target;
                EntryType::Link
            }
            Kind::Directory => {
                name.push(b'/');
                EntryType::Directory
            }
            Kind::Symlink { target } => {
                link = target;
                EntryType::Symlink
            }
            Kind::CharDevice { .. } => EntryType::Char,
            Kind::BlockDevice { .. } => EntryType::Block,
            Kind::Fifo => EntryType::Fifo,
            Kind::Socket => {
                self.remark(format!("{} was skipped: a socket holds no data", entry.path));
                return Ok(());
            }
        };
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        if let Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } = entry.kind {
            let set = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
            set.map_err(TarError::Write)?;
        }
        self.summary.entries += 1;
        self.headers(header, &name, link, &entry.metadata, Records::default(), 0)
    }

    fn file(
        &mut self,
        entry: &Entry,
        size: u64,
        source: &mut dyn EntrySource,
    ) -> Result<(), TarError> {
        let extents = match source.extents() {
            Ok(extents) => extents,
            Err(error) => {
                self.leave_out(entry, &error);
                return Ok(());
            }
        };
        let map = extents.map(|extents| sparse::fit(extents, size)).filter(|map| {
            let data: u64 = map.iter().map(|(_, length)| length).sum();
            size - data >= HOLES_MIN
        });
        let begun = if map.is_some() { Begun::default() } else { self.begin(source) };
        if let Begun { length: 0, failed: Some(error), .. } = &begun {
            self.leave_out(entry, error);
            return Ok(());
        }
        // What is there counts, and not what was said of it: the sizes of some file systems lie.
        let size = if begun.ended { begun.length as u64 } else { size };
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        let name = entry.path.to_bytes();
        let mut records = Records::default();
        match &map {
            None => {
                self.headers(header, &name, &[], &entry.metadata, records, size)?;
                self.content(entry, size, &[(0, size)], begun, source)?;
                self.pad(size)?;
            }
            Some(map) => {
                let description = sparse::describe(map, size);
                let data: u64 = map.iter().map(|(_, length)| length).sum();
                records.push("GNU.sparse.major", "1");
                records.push("GNU.sparse.minor", "0");
                records.push("GNU.sparse.name", name.as_slice());
                records.push("GNU.sparse.realsize", size.to_string());
                let stored = description.len() as u64 + data;
                let plain = sparse::plain_name(&name);
                self.headers(header, &plain, &[], &entry.metadata, records, stored)?;
                self.put(&description)?;
                self.content(entry, size, map, begun, source)?;
                self.pad(stored)?;
            }
        }
        self.summary.entries += 1;
        self.summary.files += 1;
        self.summary.bytes += size;
        Ok(())
    }

    /// Reads the beginning of a file, as far as there is room.
    fn begin(&mut self, source: &mut dyn EntrySource) -> Begun {
        let mut begun = Begun::default();
        while begun.length < self.buffer.len() {
            match source.read(&mut self.buffer[begun.length..]) {
                Ok(0) => {
                    begun.ended = true;
                    break;
                }
                Ok(length) => begun.length += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    begun.failed = Some(error);
                    break;
                }
            }
        }
        begun
    }

    /// Writes the pieces of the content that `map` names, of which the first bytes were `begun`.
    /// The header has promised their length, so a file that has shrunk is filled up with zeroes,
    /// and what has grown is left out.
    fn content(
        &mut self,
        entry: &Entry,
        size: u64,
        map: &[(u64, u64)],
        mut begun: Begun,
        source: &mut dyn EntrySource,
    ) -> Result<(), TarError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        // Where the source stands, and whether it has more.
        let (mut at, mut ended) = (0, false);
        let longer = !begun.ended && begun.length as u64 > size;
        for &(start, piece) in map {
            if start > at && !ended {
                ended = self.skip(entry, at, start, source);
            }
            at = start;
            while at < start + piece {
                let left = usize::try_from(start + piece - at).unwrap_or(usize::MAX);
                let wanted = buffer.len().min(left);
                let failed = match begun.length {
                    0 => begun.failed.take(),
                    _ => None,
                };
                let read = if ended {
                    buffer[..wanted].fill(0);
                    Ok(wanted)
                } else if let Some(error) = failed {
                    Err(error)
                } else if begun.length > 0 {
                    Ok(std::mem::take(&mut begun.length).min(wanted))
                } else {
                    source.read(&mut buffer[..wanted])
                };
                match read {
                    Ok(0) => {
                        self.problem(format!("{}: the file shrank while it was read", entry.path));
                        ended = true;
                    }
                    Ok(length) => {
                        self.put(&buffer[..length])?;
                        at += length as u64;
                        self.monitor.advance(length as u64);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.zeroes(entry, at, &error);
                        ended = true;
                    }
                }
            }
        }
        if at < size && !ended {
            ended = self.skip(entry, at, size, source);
        }
        let is_more = |source: &mut dyn EntrySource, buffer: &mut [u8]| {
            longer || matches!(source.read(&mut buffer[..1]), Ok(1))
        };
        if !ended && !begun.ended && is_more(source, &mut buffer) {
            self.longer(entry, size, source);
        }
        self.buffer = buffer;
        Ok(())
    }

    /// Passes over a hole; whether the file cannot be read beyond it.
    fn skip(&mut self, entry: &Entry, from: u64, to: u64, source: &mut dyn EntrySource) -> bool {
        self.monitor.advance(to - from);
        let failed = source.skip(to - from).err();
        if let Some(error) = &failed {
            self.zeroes(entry, from, error);
        }
        failed.is_some()
    }

    fn zeroes(&mut self, entry: &Entry, at: u64, error: &io::Error) {
        let what = &entry.path;
        self.problem(format!(
            "cannot read {what} beyond byte {at}: {error}; zeroes stand for the rest"
        ));
    }

    /// A file has more than its header says. What was appended since is for the next backup.
    fn longer(&mut self, entry: &Entry, size: u64, source: &mut dyn EntrySource) {
        let what = &entry.path;
        if source.length().is_some_and(|length| length > size) {
            self.remark(format!("{what} grew while it was read; it is kept as it was at first"));
        } else {
            self.problem(format!("{what} has more than the {size} bytes that are said of it"));
        }
    }

    /// Writes the extended header, if one is needed, and the classic one.
    fn headers(
        &mut self,
        mut header: Header,
        name: &[u8],
        link: &[u8],
        metadata: &Metadata,
        mut records: Records,
        size: u64,
    ) -> Result<(), TarError> {
        fill(&mut header, name, link, metadata, size, &mut records);
        if !records.is_empty() {
            let utf8 = records.iter().all(|(key, value)| {
                key.starts_with(b"SCHILY.xattr.") || std::str::from_utf8(value).is_ok()
            });
            let mut all = Records::default();
            if !utf8 {
                all.push("hdrcharset", "BINARY");
            }
            let extended = all.overridden_by(records).to_bytes();
            let mut before = Header::new_ustar();
            before.set_entry_type(EntryType::XHeader);
            before.set_mode(0o644);
            set_bytes(&mut before.as_old_mut().name, &[b"PaxHeaders/", last_name(name)].concat());
            before.set_size(extended.len() as u64);
            before.set_cksum();
            self.put(before.as_bytes())?;
            self.put(&extended)?;
            self.pad(extended.len() as u64)?;
        }
        header.set_cksum();
        self.put(header.as_bytes())
    }
}

/// Fills the classic fields as far as they have room, and puts the rest into `records`.
fn fill(
    header: &mut Header,
    name: &[u8],
    link: &[u8],
    metadata: &Metadata,
    size: u64,
    records: &mut Records,
) {
    set_bytes(&mut header.as_old_mut().name, name);
    let is_sparse = records.value("GNU.sparse.name").is_some();
    if needs_record(name, NAME_BYTES) && !is_sparse {
        records.push("path", name);
    }
    set_bytes(&mut header.as_old_mut().linkname, link);
    if needs_record(link, NAME_BYTES) {
        records.push("linkpath", link);
    }
    header.set_mode(metadata.mode & 0o7777);
    header.set_uid(u64::from(metadata.uid).min(SMALL_NUMBER_MAX));
    header.set_gid(u64::from(metadata.gid).min(SMALL_NUMBER_MAX));
    for (key, id) in [("uid", metadata.uid), ("gid", metadata.gid)] {
        if u64::from(id) > SMALL_NUMBER_MAX {
            records.push(key, id.to_string());
        }
    }
    if let Some(ustar) = header.as_ustar_mut() {
        set_bytes(&mut ustar.uname[..OWNER_BYTES], metadata.user.as_bytes());
        set_bytes(&mut ustar.gname[..OWNER_BYTES], metadata.group.as_bytes());
    }
    for (key, owner) in [("uname", &metadata.user), ("gname", &metadata.group)] {
        if needs_record(owner.as_bytes(), OWNER_BYTES) {
            records.push(key, owner.as_bytes());
        }
    }
    let time = metadata.modified;
    let seconds = u64::try_from(time.seconds).unwrap_or(0).min(LARGE_NUMBER_MAX);
    header.set_mtime(seconds);
    if time.nanos != 0 || i64::try_from(seconds) != Ok(time.seconds) {
        records.push("mtime", number::time_text(time));
    }
    header.set_size(size.min(LARGE_NUMBER_MAX));
    if size > LARGE_NUMBER_MAX {
        records.push("size", size.to_string());
    }
    for (key, value) in &metadata.xattrs {
        records.push([b"SCHILY.xattr.", escape_key(key).as_slice()].concat(), value.as_slice());
        let text = acl::ATTRIBUTES.iter().find(|(attribute, _)| attribute == key);
        if let Some((_, text_key)) = text
            && let Some(text) = acl::to_text(value)
        {
            records.push(*text_key, text);
        }
    }
}

/// Whether a text must be in the extended header: too long for its field, or in letters whose
/// meaning the classic header does not tell.
fn needs_record(text: &[u8], room: usize) -> bool {
    text.len() > room || !text.is_ascii()
}

/// Keys end at their first `=`, so one inside is escaped, as GNU tar does it.
fn escape_key(key: &[u8]) -> Vec<u8> {
    key.iter().fold(Vec::with_capacity(key.len()), |mut escaped, &byte| {
        match byte {
            b'%' => escaped.extend(b"%25"),
            b'=' => escaped.extend(b"%3D"),
            byte => escaped.push(byte),
        }
        escaped
    })
}

fn set_bytes(field: &mut [u8], text: &[u8]) {
    let length = field.len().min(text.len());
    field[..length].copy_from_slice(&text[..length]);
}

fn last_name(name: &[u8]) -> &[u8] {
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let last = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    &last[..last.len().min(80)]
}

/// Zero bytes that fill the last block of `length` bytes.
pub(super) fn padding(length: u64) -> usize {
    let over = usize::try_from(length % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}
