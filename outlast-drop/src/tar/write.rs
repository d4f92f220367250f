//! Writing a tree as a POSIX pax archive.

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

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeSummary {
    pub entries: u64,
    pub files: u64,
    /// Bytes of files, holes included.
    pub bytes: u64,
    /// What could not be written, or changed while it was read; one sentence each.
    pub problems: Vec<String>,
}

/// Writes all entries of `source` as one archive. An entry that cannot be read is told to
/// `monitor` and in the summary, and the work goes on.
pub fn write_tree(
    source: &mut dyn EntrySource,
    out: &mut dyn Write,
    monitor: &dyn Monitor,
) -> Result<TreeSummary, TarError> {
    let mut writer =
        TreeWriter { out, monitor, summary: TreeSummary::default(), buffer: vec![0; BUFFER_BYTES] };
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
    buffer: Vec<u8>,
}

impl TreeWriter<'_> {
    fn problem(&mut self, message: String) {
        self.monitor.problem(&message);
        self.summary.problems.push(message);
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
                self.problem(format!("{}: a socket cannot be kept in a tar archive", entry.path));
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
                self.problem(format!("cannot read {}: {error}", entry.path));
                return Ok(());
            }
        };
        let map = extents.map(|extents| sparse::fit(extents, size)).filter(|map| {
            let data: u64 = map.iter().map(|(_, length)| length).sum();
            size - data >= HOLES_MIN
        });
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        let name = entry.path.to_bytes();
        let mut records = Records::default();
        let whole = [(0, size)];
        match &map {
            None => {
                self.headers(header, &name, &[], &entry.metadata, records, size)?;
                self.content(entry, size, &whole, source)?;
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
                self.content(entry, size, map, source)?;
                self.pad(stored)?;
            }
        }
        self.summary.entries += 1;
        self.summary.files += 1;
        self.summary.bytes += size;
        Ok(())
    }

    /// Writes the pieces of the content that `map` names. The header has promised their length,
    /// so a file that has shrunk is filled up with zeroes, and what has grown is left out.
    fn content(
        &mut self,
        entry: &Entry,
        size: u64,
        map: &[(u64, u64)],
        source: &mut dyn EntrySource,
    ) -> Result<(), TarError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        let mut pieces = map.iter().copied().peekable();
        let mut ended = false;
        while at < size {
            let wanted = buffer.len().min(usize::try_from(size - at).unwrap_or(usize::MAX));
            let length = if ended {
                buffer[..wanted].fill(0);
                wanted
            } else {
                match source.read(&mut buffer[..wanted]) {
                    Ok(0) => {
                        self.problem(format!("{}: the file shrank while it was read", entry.path));
                        ended = true;
                        continue;
                    }
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => {
                        self.problem(format!(
                            "cannot read {} beyond byte {at}: {error}; zeroes stand for the rest",
                            entry.path
                        ));
                        ended = true;
                        continue;
                    }
                }
            };
            let block = at..at + length as u64;
            while let Some(&(start, piece)) = pieces.peek() {
                let (from, to) = (start.max(block.start), (start + piece).min(block.end));
                if from < to {
                    #[expect(clippy::cast_possible_truncation, reason = "within the buffer")]
                    let range = (from - block.start) as usize..(to - block.start) as usize;
                    self.out.write_all(&buffer[range]).map_err(TarError::Write)?;
                }
                if start + piece > block.end {
                    break;
                }
                pieces.next();
            }
            at = block.end;
            self.monitor.advance(length as u64);
        }
        if !ended && matches!(source.read(&mut buffer[..1]), Ok(1)) {
            self.problem(format!("{}: the file grew while it was read", entry.path));
        }
        self.buffer = buffer;
        Ok(())
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
