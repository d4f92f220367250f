//! A local file that remembers packs which are uploaded but not indexed yet.
//!
//! A backup that is killed leaves packs in the store that no index lists. With the journal the next
//! backup knows what is in them and refers to them instead of uploading them again. It is a hint,
//! not a truth: losing it costs uploads, never data, so its lines are written without fsync; and
//! what it says is believed only of packs that the store still has in the same size.
//!
//! The file is text. Its first line is `outlast-journal 1 <repository id>`; each further line is
//! one pack: `<BLAKE3 of the rest> <bytes of the pack> <index document of this pack alone>`. The
//! first line that does not fit its hash ends it: a torn write.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use outlast_format::RepositoryId;
use outlast_format::index::IndexFile;

use crate::RepoError;
use crate::index::UnsavedPack;

/// The longest journal that is read, in bytes. Checkpoints clear it long before.
const JOURNAL_MAX: u64 = 256 << 20;

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    header: String,
}

impl Journal {
    /// Opens the journal in `path` for the repository with this id, or makes it; returns the packs
    /// in it. A journal of another repository, or one that cannot be understood, is started anew.
    pub(crate) fn open(
        path: &Path,
        repository: RepositoryId,
    ) -> Result<(Self, Vec<UnsavedPack>), RepoError> {
        let failed = |source| RepoError::Journal { path: path.to_owned(), source };
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let header = format!("outlast-journal 1 {repository}\n");
        let mut journal = Self { path: path.to_owned(), file, header };
        let packs = journal.recover().map_err(failed)?;
        Ok((journal, packs))
    }

    /// Reads what is whole and cuts off the rest.
    fn recover(&mut self) -> io::Result<Vec<UnsavedPack>> {
        let mut content = Vec::new();
        (&self.file).take(JOURNAL_MAX).read_to_end(&mut content)?;
        let Some(records) = content.strip_prefix(self.header.as_bytes()) else {
            self.restart()?;
            return Ok(Vec::new());
        };
        let mut packs = Vec::new();
        let mut whole = self.header.len();
        for line in records.split_inclusive(|&byte| byte == b'\n') {
            let Some(pack) = parse_record(line) else { break };
            packs.push(pack);
            whole += line.len();
        }
        self.file.set_len(whole as u64)?;
        Ok(packs)
    }

    /// Remembers a pack.
    pub(crate) fn append(&mut self, pack: &UnsavedPack) -> Result<(), RepoError> {
        let file =
            IndexFile { packs: vec![(pack.id, pack.entries.clone())], ..IndexFile::default() };
        let document = file
            .serialize()
            .map_err(|source| RepoError::Encode { what: "journal record", source })?;
        let mut rest = format!("{} ", pack.size).into_bytes();
        // One line, whatever ends the document.
        rest.extend_from_slice(document.trim_ascii_end());
        let mut line = format!("{} ", blake3::hash(&rest).to_hex()).into_bytes();
        line.extend_from_slice(&rest);
        line.push(b'\n');
        self.file.write_all(&line).map_err(|source| self.failed(source))
    }

    /// Forgets everything: an index file lists it now.
    pub(crate) fn clear(&mut self) -> Result<(), RepoError> {
        self.restart().map_err(|source| self.failed(source))
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(self.header.as_bytes())
    }

    fn failed(&self, source: io::Error) -> RepoError {
        RepoError::Journal { path: self.path.clone(), source }
    }
}

fn parse_record(line: &[u8]) -> Option<UnsavedPack> {
    let line = line.strip_suffix(b"\n")?;
    let (hash, rest) = line.split_at_checked(64)?;
    let rest = rest.strip_prefix(b" ")?;
    if blake3::hash(rest).to_hex().as_bytes() != hash {
        return None;
    }
    let space = rest.iter().position(|&byte| byte == b' ')?;
    let size = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
    let mut file = IndexFile::parse(&rest[space + 1..]).ok()?;
    let (id, entries) = file.packs.pop()?;
    Some(UnsavedPack { id, size, entries })
}

#[cfg(test)]
mod tests {
    use outlast_format::pack::{BlobType, PackEntry};
    use outlast_format::{BlobId, PackId};

    use super::*;

    const REPOSITORY: RepositoryId = RepositoryId([7; 32]);

    fn pack(n: u8) -> UnsavedPack {
        let entry = PackEntry {
            kind: BlobType::Tree,
            id: BlobId([n; 32]),
            offset: 3,
            length: 99,
            uncompressed_length: Some(5),
        };
        UnsavedPack { id: PackId([n; 32]), size: 1000, entries: vec![entry] }
    }

    fn ids(packs: &[UnsavedPack]) -> Vec<u8> {
        packs.iter().map(|pack| pack.id.0[0]).collect()
    }

    #[test]
    fn what_was_appended_is_there_after_a_crash_until_it_is_cleared() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, packs) = Journal::open(&path, REPOSITORY).unwrap();
        assert!(packs.is_empty());
        journal.append(&pack(1)).unwrap();
        journal.append(&pack(2)).unwrap();
        drop(journal);
        let (mut journal, packs) = Journal::open(&path, REPOSITORY).unwrap();
        assert_eq!(ids(&packs), [1, 2]);
        assert_eq!((packs[0].size, &packs[0].entries), (1000, &pack(1).entries));
        journal.append(&pack(3)).unwrap();
        assert_eq!(ids(&Journal::open(&path, REPOSITORY).unwrap().1), [1, 2, 3]);
        journal.clear().unwrap();
        journal.append(&pack(4)).unwrap();
        assert_eq!(ids(&Journal::open(&path, REPOSITORY).unwrap().1), [4]);
    }

    #[test]
    fn a_torn_end_costs_only_itself() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, _) = Journal::open(&path, REPOSITORY).unwrap();
        journal.append(&pack(1)).unwrap();
        let whole = journal.file.metadata().unwrap().len();
        journal.append(&pack(2)).unwrap();
        let end = journal.file.metadata().unwrap().len();
        for length in (whole..end).rev() {
            journal.file.set_len(length).unwrap();
            let (mut again, packs) = Journal::open(&path, REPOSITORY).unwrap();
            assert_eq!(ids(&packs), [1], "cut at {length}");
            again.append(&pack(3)).unwrap();
            assert_eq!(ids(&Journal::open(&path, REPOSITORY).unwrap().1), [1, 3]);
        }
    }

    #[test]
    fn the_journal_of_another_repository_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, _) = Journal::open(&path, REPOSITORY).unwrap();
        journal.append(&pack(1)).unwrap();
        assert!(Journal::open(&path, RepositoryId([8; 32])).unwrap().1.is_empty());
        assert!(Journal::open(&path, REPOSITORY).unwrap().1.is_empty());
    }
}
