//! One classic header, with what the extended header before it says.

use outlast_fs::{Entry, EntryPath, Kind, Metadata};
use tar::Header;

use super::super::acl::{self, KnownNames};
use super::super::number::{parse_field, parse_time};
use super::super::pax::Records;
use super::super::{BLOCK, TarError};

/// A header with a valid checksum.
pub(super) struct RawHeader {
    header: Header,
    /// The type of the entry, `0` also for the ways in which old programs write it.
    pub(super) flag: u8,
    pub(super) size: u64,
}

impl RawHeader {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, TarError> {
        let header = Header::from_byte_slice(block).clone();
        let stored = header.cksum().map_err(|_| TarError::NoHeader)?;
        // The checksum counts its own field as spaces.
        let counted = |(at, &byte): (usize, &u8)| {
            u32::from(if (148..156).contains(&at) { b' ' } else { byte })
        };
        if stored != block.iter().enumerate().map(counted).sum::<u32>() {
            return Err(TarError::NoHeader);
        }
        let size = parse_field(&header.as_old().size)
            .and_then(|size| u64::try_from(size).ok())
            .ok_or(TarError::NoHeader)?;
        let flag = match block[156] {
            // Before POSIX a directory was a file whose name ends in a slash.
            0 | b'0' if header.path_bytes().ends_with(b"/") => b'5',
            0 | b'7' => b'0',
            flag => flag,
        };
        Ok(Self { header, flag, size })
    }

    /// Bytes of content behind the header.
    pub(super) fn stored_size(&self, records: &Records) -> Result<u64, TarError> {
        match self.flag {
            // What has no content may still state a size.
            b'2' | b'3' | b'4' | b'5' | b'6' => Ok(0),
            _ => match records.number("size") {
                None => Ok(self.size),
                Some(Some(size)) => Ok(size),
                Some(None) => Err(TarError::ExtendedHeader { reason: "\"size\" is not a number" }),
            },
        }
    }

    /// The path; `None` for the root of the archive itself.
    pub(super) fn path(
        &self,
        records: &Records,
        depth_max: usize,
    ) -> Result<Option<EntryPath>, TarError> {
        let classic = self.header.path_bytes();
        let path = records.value("GNU.sparse.name").or(records.value("path")).unwrap_or(&classic);
        let is_root = path.split(|&byte| byte == b'/').all(|name| matches!(name, b"" | b"."));
        if is_root && path.first() == Some(&b'.') {
            return Ok(None);
        }
        parse_path(path, depth_max).map(Some)
    }

    pub(super) fn entry(
        &self,
        path: EntryPath,
        records: &Records,
        names: &mut KnownNames,
    ) -> Result<Entry, TarError> {
        let fail =
            |reason: &str| TarError::Entry { path: path.to_string(), reason: reason.to_owned() };
        let link = || {
            let classic = self.header.link_name_bytes().unwrap_or_default();
            records.value("linkpath").unwrap_or(&classic).to_vec()
        };
        let device = || {
            let major = self.header.device_major().ok().flatten();
            let minor = self.header.device_minor().ok().flatten();
            major.zip(minor).ok_or_else(|| fail("its device numbers cannot be read"))
        };
        let kind = match self.flag {
            // The size comes when the data is looked at.
            b'0' | b'S' => Kind::File { size: 0 },
            b'1' => Kind::HardLink { target: parse_path(&link(), usize::MAX)? },
            b'2' => {
                let target = link();
                if target.is_empty() || target.contains(&0) {
                    return Err(fail("its link target is empty or has a NUL byte"));
                }
                Kind::Symlink { target }
            }
            b'3' => device().map(|(major, minor)| Kind::CharDevice { major, minor })?,
            b'4' => device().map(|(major, minor)| Kind::BlockDevice { major, minor })?,
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Fifo,
            flag => return Err(TarError::UnknownType { flag: char::from(flag) }),
        };
        let metadata =
            self.metadata(records, names).ok_or_else(|| fail("a number in its header is none"))?;
        Ok(Entry { path, kind, metadata })
    }

    /// Everything else; `None` if a number cannot be read.
    fn metadata(&self, records: &Records, names: &mut KnownNames) -> Option<Metadata> {
        let fields = self.header.as_old();
        let id = |key, field: &[u8]| match records.number(key) {
            Some(number) => u32::try_from(number?).ok(),
            None => u32::try_from(parse_field(field)?).ok(),
        };
        let time = |key| match records.text(key) {
            Some(text) => parse_time(text).map(Some),
            None => Some(None),
        };
        let owner = |key, classic: Option<&[u8]>| {
            let name = records.value(key).or(classic).unwrap_or_default();
            String::from_utf8_lossy(name).into_owned()
        };
        let mode = u32::try_from(parse_field(&fields.mode)?).ok()? & 0o7777;
        let (uid, gid) = (id("uid", &fields.uid)?, id("gid", &fields.gid)?);
        let user = owner("uname", self.header.username_bytes());
        let group = owner("gname", self.header.groupname_bytes());
        remember(&mut names.users, &user, uid);
        remember(&mut names.groups, &group, gid);
        let seconds = parse_field(&fields.mtime)?;
        let classic_time = outlast_fs::FileTime { seconds, nanos: 0 };
        Some(Metadata {
            mode,
            uid,
            gid,
            user,
            group,
            modified: time("mtime")?.unwrap_or(classic_time),
            accessed: time("atime")?,
            changed: time("ctime")?,
            xattrs: xattrs(records, names),
            ..Metadata::default()
        })
    }

    /// The four pieces that an old GNU sparse header has room for.
    pub(super) fn old_sparse_fields(&self) -> &[u8] {
        &self.header.as_bytes()[386..482]
    }

    pub(super) fn old_sparse_continues(&self) -> bool {
        self.header.as_bytes()[482] != 0
    }

    pub(super) fn old_sparse_size(&self) -> Result<u64, TarError> {
        parse_field(&self.header.as_bytes()[483..495])
            .and_then(|size| u64::try_from(size).ok())
            .ok_or(TarError::ExtendedHeader { reason: "the size of a sparse file is not a number" })
    }
}

/// More names than any host has; a hostile archive must not fill the memory with them.
const KNOWN_NAMES_MAX: usize = 100_000;

fn remember(known: &mut std::collections::HashMap<String, u32>, name: &str, id: u32) {
    if !name.is_empty() && known.len() < KNOWN_NAMES_MAX && !known.contains_key(name) {
        known.insert(name.to_owned(), id);
    }
}

fn parse_path(path: &[u8], depth_max: usize) -> Result<EntryPath, TarError> {
    let shown = || outlast_fs::entry::show(&path[..path.len().min(200)]);
    let parsed = EntryPath::parse(path)
        .map_err(|error| TarError::Entry { path: shown(), reason: error.to_string() })?;
    if parsed.names().len() > depth_max {
        let reason = format!("it is deeper than {depth_max} directories");
        return Err(TarError::Entry { path: shown(), reason });
    }
    Ok(parsed)
}

fn xattrs(records: &Records, names: &KnownNames) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut xattrs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (key, value) in records.iter() {
        let name = match key.strip_prefix(b"SCHILY.xattr.") {
            Some(name) => unescape_key(name),
            None if key == b"RHT.security.selinux" => b"security.selinux".to_vec(),
            None => continue,
        };
        // The last one counts, as for all records.
        xattrs.retain(|(known, _)| *known != name);
        xattrs.push((name, value.to_vec()));
    }
    for (attribute, key) in acl::ATTRIBUTES {
        let given = xattrs.iter().any(|(name, _)| name == attribute);
        if !given && let Some(list) = records.text(key).and_then(|text| acl::from_text(text, names))
        {
            xattrs.push((attribute.to_vec(), list));
        }
    }
    xattrs
}

fn unescape_key(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, others)) = rest.split_first() {
        let (byte, after) = match rest {
            [b'%', b'2', b'5', after @ ..] => (b'%', after),
            [b'%', b'3', b'D' | b'd', after @ ..] => (b'=', after),
            _ => (first, others),
        };
        plain.push(byte);
        rest = after;
    }
    plain
}
