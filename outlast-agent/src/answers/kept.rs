//! The answers that this agent has made or makes, with their keys, in its own directory. May be lost: then what
//! lies on the share opens for nobody and is removed, and what is still asked for is read again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use outlast_format::crypto::Key;
use outlast_fs::durable;
use outlast_types::{Random, ShareId, Timestamp, WorkloadName, hex};
use outlast_wire::fetching::GrantedBackup;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

const VERSION: u32 = 1;
const BYTES_MAX: u64 = 64 << 10;
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const SUFFIX: &str = ".json";
/// Beside the content: config, index, headers of packs, and the last blocks of files.
const OVERHEAD: u64 = 1 << 20;

/// One answer.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) name: String,
    pub(super) share: ShareId,
    pub(super) workload: WorkloadName,
    pub(super) backup: GrantedBackup,
    pub(super) key: Key,
    /// When it was begun, by our clock: the order in which answers are made.
    pub(super) begun: Timestamp,
    pub(super) is_whole: bool,
}

impl Answer {
    /// The bytes that it takes on the share at most: content that does not compress.
    pub(super) fn bytes(&self) -> u64 {
        bytes_of(&self.backup)
    }
}

pub(super) fn bytes_of(backup: &GrantedBackup) -> u64 {
    backup.size.saturating_add(backup.size / 100).saturating_add(OVERHEAD)
}

#[derive(Serialize, Deserialize)]
struct AnswerJson {
    version: u32,
    name: String,
    share: ShareId,
    workload: WorkloadName,
    backup: GrantedBackup,
    /// Two halves, in hexadecimal digits.
    key: [String; 2],
    begun: Timestamp,
    is_whole: bool,
}

/// All of them, of one share.
pub(super) struct Kept {
    directory: PathBuf,
    answers: BTreeMap<String, Answer>,
}

impl Kept {
    /// What an earlier run left in `directory`; those of another share, and what cannot be read, are forgotten.
    pub(super) fn load(directory: &Path, share: ShareId) -> io::Result<Self> {
        durable::create_directories(directory, DIRECTORY_MODE)?;
        let mut kept = Self { directory: directory.to_owned(), answers: BTreeMap::new() };
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let answer = durable::read_bounded(&path, BYTES_MAX)
                .map(Zeroizing::new)
                .ok()
                .and_then(|bytes| parse(&bytes))
                .filter(|answer| answer.share == share && path == kept.path_of(&answer.name));
            match answer {
                Some(answer) => drop(kept.answers.insert(answer.name.clone(), answer)),
                None => durable::remove_file(&path)?,
            }
        }
        Ok(kept)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Answer> {
        self.answers.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Answer> {
        self.answers.values()
    }

    /// The one that brings this snapshot back.
    pub(super) fn of(&self, workload: &WorkloadName, backup: &GrantedBackup) -> Option<&Answer> {
        self.iter().find(|it| it.workload == *workload && it.backup.snapshot == backup.snapshot)
    }

    /// The bytes that are set aside for all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.iter().fold(0, |sum: u64, answer| sum.saturating_add(answer.bytes()))
    }

    /// Begins an answer.
    pub(super) fn begin(
        &mut self,
        share: ShareId,
        workload: &WorkloadName,
        backup: &GrantedBackup,
        now: Timestamp,
        random: &dyn Random,
    ) -> io::Result<&Answer> {
        let answer = Answer {
            name: outlast_drop::asking::answer_name(random),
            share,
            workload: workload.clone(),
            backup: backup.clone(),
            key: Key::generate(random),
            begun: now,
            is_whole: false,
        };
        self.write(&answer)?;
        let name = answer.name.clone();
        Ok(self.answers.entry(name).or_insert(answer))
    }

    /// Notes that all of it lies on the share.
    pub(super) fn is_whole(&mut self, name: &str) -> io::Result<()> {
        let Some(answer) = self.answers.get_mut(name) else { return Ok(()) };
        answer.is_whole = true;
        let answer = answer.clone();
        self.write(&answer)
    }

    /// Forgets one. Its key goes with it.
    pub(super) fn forget(&mut self, name: &str) -> io::Result<()> {
        if self.answers.remove(name).is_none() {
            return Ok(());
        }
        match durable::remove_file(&self.path_of(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}{SUFFIX}"))
    }

    fn write(&self, answer: &Answer) -> io::Result<()> {
        let mut bytes = Zeroizing::new(answer.key.to_bytes());
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let mut json = AnswerJson {
            version: VERSION,
            name: answer.name.clone(),
            share: answer.share,
            workload: answer.workload.clone(),
            backup: answer.backup.clone(),
            key: [hex::encode(first), hex::encode(second)],
            begun: answer.begun,
            is_whole: answer.is_whole,
        };
        let document = serde_json::to_vec(&json).map(Zeroizing::new);
        json.key.zeroize();
        bytes.zeroize();
        durable::replace(&self.path_of(&answer.name), &document?, FILE_MODE)
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let mut json: AnswerJson = serde_json::from_slice(bytes).ok()?;
    let halves = json.key.each_ref().map(|half| hex::decode_32(half));
    json.key.zeroize();
    let [Some(first), Some(second)] = halves else { return None };
    let mut key = Zeroizing::new([0; 64]);
    key[..32].copy_from_slice(&first);
    key[32..].copy_from_slice(&second);
    (json.version == VERSION).then(|| Answer {
        name: json.name,
        share: json.share,
        workload: json.workload,
        backup: json.backup,
        key: Key::from_bytes(&key),
        begun: json.begun,
        is_whole: json.is_whole,
    })
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;

    fn backup(number: u8, size: u64) -> GrantedBackup {
        GrantedBackup {
            drop: format!("01a2066b-8649-78cb-a8bc-a5af0e9525{number:02x}").parse().unwrap(),
            snapshot: format!("{number:02x}").repeat(32).parse().unwrap(),
            tree: "03".repeat(32).parse().unwrap(),
            size,
            received: Timestamp::EPOCH,
            counts: true,
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test that leaves garbage")]
    fn what_is_kept_survives_a_restart_and_nothing_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("answers");
        let share = ShareId::new(&SystemRandom);
        let shop = WorkloadName::new("shop").unwrap();
        let mut kept = Kept::load(&path, share).unwrap();
        let now = Timestamp::EPOCH;
        let [one, two] = [1, 2].map(|number| {
            let backup = backup(number, 1000);
            kept.begin(share, &shop, &backup, now, &SystemRandom).unwrap().clone()
        });
        kept.is_whole(&one.name).unwrap();
        std::fs::write(path.join("garbage.json"), b"{").unwrap();
        let again = Kept::load(&path, share).unwrap();
        assert_eq!(again.iter().count(), 2);
        let found = again.get(&one.name).unwrap();
        assert_eq!(found.key.to_bytes(), one.key.to_bytes());
        assert!(found.is_whole && !again.get(&two.name).unwrap().is_whole);
        assert_eq!(again.of(&shop, &backup(2, 1000)).unwrap().name, two.name);
        assert!(again.of(&shop, &backup(3, 1000)).is_none());
        assert_eq!(again.bytes(), 2 * bytes_of(&backup(1, 1000)));
        kept.forget(&one.name).unwrap();
        kept.forget(&one.name).unwrap();
        assert_eq!(Kept::load(&path, share).unwrap().iter().count(), 1);
        assert_eq!(Kept::load(&path, ShareId::new(&SystemRandom)).unwrap().iter().count(), 0);
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    }
}
