//! `notice.json` in a workload's directory: the agent's word to writers that there is no room, or little.
//!
//! A notice proves its own form, as a seal does, and nothing else: it is a courtesy between those who share the
//! share, and whoever can write one for a workload could remove its drops as well. So it may keep a writer
//! from beginning, and never touches what is there.
//!
//! A dead agent must not refuse writers for ever: a notice counts only for a while after it was written, and the
//! agent writes it anew as long as it holds. How long ago that was is seen by one clock, the file server's, which also
//! dates a file that the writer makes for that. What is in doubt (a notice that cannot be read, one of a later
//! version, a time in the future) keeps nobody from dropping.

use std::fmt;
use std::io;
use std::time::Duration;

use outlast_types::{Random, ShareId, Timestamp, WorkloadName, hex};
use serde::{Deserialize, Serialize};

use crate::files::Directory;
use crate::hash::{Algorithm, Digest};
use crate::layout::{NOTICE_FILE, WORKLOADS};
use crate::proof;
use crate::share::{Share, ShareError};

const VERSION: u64 = 1;
const BYTES_MAX: u64 = 64 << 10;
const REASON_CHARS_MAX: usize = 500;
/// For how long a notice counts after it was written, however long it says.
const VALID_MAX: Duration = Duration::from_secs(900);
/// A notice that is newer than now by more than this has a time that cannot be believed.
const AHEAD_MAX: i64 = 60;

/// What follows from a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeLevel {
    /// There is little room left.
    Warn,
    /// There is none: nobody begins a drop.
    Refuse,
}

/// Whose room it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeCode {
    /// The workload has used up what it may have.
    WorkloadBudget,
    /// All together have used up what there is, and this workload has more than its part of it.
    ShareBudget,
}

/// What the agent tells the writers of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub workload: WorkloadName,
    pub level: NoticeLevel,
    pub code: NoticeCode,
    /// In words.
    pub reason: String,
    /// Bytes that the workload has on the share, and that it may have.
    pub used: u64,
    pub budget: u64,
    /// For how long it counts after it was written.
    pub valid: Duration,
}

#[derive(Serialize, Deserialize)]
struct NoticeJson {
    version: u64,
    share: ShareId,
    workload: WorkloadName,
    level: NoticeLevel,
    code: NoticeCode,
    reason: String,
    used: u64,
    budget: u64,
    /// For who reads it without us.
    left: u64,
    valid_seconds: u64,
}

impl Notice {
    /// Bytes that the workload may still write.
    pub fn left(&self) -> u64 {
        self.budget.saturating_sub(self.used)
    }

    /// The bytes of the file.
    fn to_bytes(&self, share: ShareId) -> serde_json::Result<Vec<u8>> {
        let json = NoticeJson {
            version: VERSION,
            share,
            workload: self.workload.clone(),
            level: self.level,
            code: self.code,
            reason: self.reason.chars().take(REASON_CHARS_MAX).collect(),
            used: self.used,
            budget: self.budget,
            left: self.left(),
            valid_seconds: self.valid.as_secs(),
        };
        let mut body = serde_json::to_vec(&json)?;
        body.pop();
        let digest = Digest::of(Algorithm::Blake3, &body).to_string();
        Ok(proof::join(body, "self", &digest))
    }

    /// The notice in `bytes`, if it is one for `workload`; `None` if there is any doubt.
    fn parse(bytes: &[u8], share: ShareId, workload: &WorkloadName) -> Option<Self> {
        let proven = proof::split(bytes, "self")?;
        let digest: Digest = proven.proof.parse().ok()?;
        if Digest::of(digest.algorithm(), proven.body) != digest {
            return None;
        }
        let json: NoticeJson = serde_json::from_slice(bytes).ok()?;
        let is_ours = json.version == VERSION && json.share == share && json.workload == *workload;
        is_ours.then(|| Self {
            workload: json.workload,
            level: json.level,
            code: json.code,
            reason: json.reason.chars().take(REASON_CHARS_MAX).collect(),
            used: json.used,
            budget: json.budget,
            valid: Duration::from_secs(json.valid_seconds).min(VALID_MAX),
        })
    }

    /// Whether it counts `age` seconds after it was written.
    fn counts_at(&self, age: i64) -> bool {
        u64::try_from(age.saturating_add(AHEAD_MAX)).is_ok()
            && age <= i64::try_from(self.valid.as_secs()).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {} bytes are left", self.reason, self.left())
    }
}

/// Writes a notice in place of the one that is there. Between the two there is none for a moment, which keeps nobody
/// from dropping.
pub fn write(share: &Share, notice: &Notice) -> Result<(), ShareError> {
    let path = share.workload_directory(&notice.workload).join(NOTICE_FILE);
    let failed = |error| ShareError::io("write", &path)(error);
    let bytes = notice.to_bytes(share.id()).map_err(|error| failed(error.into()))?;
    let home = home(share, &notice.workload).map_err(failed)?;
    home.remove_file(NOTICE_FILE.as_bytes()).map_err(failed)?;
    home.access().and_then(|access| home.create_new(NOTICE_FILE, &bytes, access)).map_err(failed)
}

/// Takes back the notice of a workload, if there is one.
pub fn withdraw(share: &Share, workload: &WorkloadName) -> Result<(), ShareError> {
    let path = share.workload_directory(workload).join(NOTICE_FILE);
    match home(share, workload).and_then(|home| home.remove_file(NOTICE_FILE.as_bytes())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(ShareError::io("remove", &path)),
    }
}

/// The notice of a workload, if there is one that counts now.
pub fn in_force(share: &Share, workload: &WorkloadName, random: &dyn Random) -> Option<Notice> {
    let home = home(share, workload).ok()?;
    let bytes = home.read_bounded(NOTICE_FILE, BYTES_MAX).ok()?;
    let notice = Notice::parse(&bytes, share.id(), workload)?;
    let written = home.facts(NOTICE_FILE.as_bytes()).ok()?.modified.0;
    let now = server_time(&home, random).ok()?;
    notice.counts_at(now.saturating_sub(written)).then_some(notice)
}

/// The notice of a workload as it lies there, and when it was written, by the clock of whoever keeps the share. For people:
/// whether it still counts is not asked.
pub fn read(share: &Share, workload: &WorkloadName) -> Option<(Notice, Option<Timestamp>)> {
    let home = home(share, workload).ok()?;
    let bytes = home.read_bounded(NOTICE_FILE, BYTES_MAX).ok()?;
    let notice = Notice::parse(&bytes, share.id(), workload)?;
    let written = home.facts(NOTICE_FILE.as_bytes()).ok()?.modified_at();
    Some((notice, written))
}

fn home(share: &Share, workload: &WorkloadName) -> io::Result<Directory> {
    share.directory()?.descend(&[WORKLOADS, workload.as_str()].map(str::to_owned))
}

/// The time of now by the clock of whoever keeps the share: that of a file which is made for it. Its name is none of
/// ours, so that one that stays behind is ignored.
pub(crate) fn server_time(home: &Directory, random: &dyn Random) -> io::Result<i64> {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    let name = format!(".now-{}", hex::encode(&bytes));
    drop(home.create_file(&name, home.access()?)?);
    let facts = home.facts(name.as_bytes());
    // Whoever may not remove it could make it, and leaves an empty file.
    let _ = home.remove_file(name.as_bytes());
    Ok(facts?.modified.0)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, FileTimes};
    use std::io::Write;

    use outlast_types::{SystemClock, SystemRandom};

    use super::*;

    fn notice() -> Notice {
        Notice {
            workload: WorkloadName::new("shop").unwrap(),
            level: NoticeLevel::Refuse,
            code: NoticeCode::WorkloadBudget,
            reason: "it has 12 GiB of 10 GiB".to_owned(),
            used: 12 << 30,
            budget: 10 << 30,
            valid: Duration::from_secs(300),
        }
    }

    fn share() -> (tempfile::TempDir, Share) {
        let directory = tempfile::tempdir().unwrap();
        let share = Share::init(directory.path(), &SystemClock, &SystemRandom).unwrap();
        fs::create_dir_all(share.workload_directory(&notice().workload)).unwrap();
        (directory, share)
    }

    #[test]
    fn a_notice_is_read_as_it_was_written_and_one_in_doubt_keeps_nobody_from_dropping() {
        let (_directory, share) = share();
        let notice = notice();
        let read = || in_force(&share, &notice.workload, &SystemRandom);
        assert_eq!(read(), None);
        write(&share, &notice).unwrap();
        write(&share, &notice).unwrap();
        assert_eq!(read(), Some(notice.clone()));
        assert_eq!(notice.to_string(), "it has 12 GiB of 10 GiB; 0 bytes are left");
        let home = share.workload_directory(&notice.workload);
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "nothing is left behind");
        let whole = notice.to_bytes(share.id()).unwrap();
        let replace = |bytes: &[u8]| {
            fs::remove_file(home.join(NOTICE_FILE)).unwrap();
            File::create(home.join(NOTICE_FILE)).unwrap().write_all(bytes).unwrap();
        };
        for length in 0..whole.len() {
            replace(&whole[..length]);
            assert_eq!(read(), None, "{length}");
        }
        for (from, to) in [("version\":1", "version\":2"), ("shop", "blog"), ("refuse", "burn")] {
            let text = String::from_utf8(whole.clone()).unwrap().replacen(from, to, 1);
            let body = proof::split(text.as_bytes(), "self").unwrap().body.to_vec();
            let digest = Digest::of(Algorithm::Blake3, &body).to_string();
            replace(&proof::join(body, "self", &digest));
            assert_eq!(read(), None, "{to}");
        }
        withdraw(&share, &notice.workload).unwrap();
        withdraw(&share, &notice.workload).unwrap();
        assert_eq!(read(), None);
    }

    #[test]
    fn a_notice_of_an_agent_that_died_expires_by_the_share_s_own_clock() {
        let (_directory, share) = share();
        let notice = notice();
        let path = share.workload_directory(&notice.workload).join(NOTICE_FILE);
        for (ago, counts) in [(0, true), (290, true), (310, false), (-30, true), (-100, false)] {
            write(&share, &notice).unwrap();
            let now = fs::metadata(&path).unwrap().modified().unwrap();
            let span = Duration::from_secs(u64::try_from(i64::abs(ago)).unwrap());
            let time = if ago < 0 { now + span } else { now - span };
            let file = File::options().write(true).open(&path).unwrap();
            file.set_times(FileTimes::new().set_modified(time)).unwrap();
            let found = in_force(&share, &notice.workload, &SystemRandom);
            assert_eq!(found.is_some(), counts, "{ago}");
        }
        let long = Notice { valid: Duration::from_secs(u64::MAX), ..notice };
        assert!(long.counts_at(900) || long.valid > VALID_MAX, "as it is made");
        let bytes = long.to_bytes(share.id()).unwrap();
        let read = Notice::parse(&bytes, share.id(), &long.workload).unwrap();
        assert!(read.counts_at(900) && !read.counts_at(901), "none counts for long");
    }
}
