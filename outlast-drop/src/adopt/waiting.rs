//! `agent/adopting.json`: which files an agent's rules find that are not taken yet, and why. For people, in
//! `outlast share status`: nothing is decided by it, and whoever may write to `agent/` can write it.

use std::io;

use outlast_types::{ShareId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::layout::{ADOPTING_FILE, AGENT};
use crate::share::{Share, ShareError};

const VERSION: u64 = 1;
const BYTES_MAX: u64 = 1 << 20;
/// Files that are told one by one.
pub const TOLD_MAX: usize = 500;
const REASON_CHARS_MAX: usize = 500;

/// What waits on a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// When the agent said so, by its clock.
    pub at: Timestamp,
    /// Those that have waited longest come first.
    pub files: Vec<WaitingFile>,
    /// How many there are beside those.
    #[serde(default)]
    pub more: u64,
}

/// A file that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingFile {
    /// From the root of the share, as text that a terminal shows.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadName>,
    /// With those that belong to it.
    pub bytes: u64,
    /// When it was changed last, by the file server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Timestamp>,
    pub why: String,
}

#[derive(Serialize, Deserialize)]
struct WaitingJson {
    version: u64,
    share: ShareId,
    #[serde(flatten)]
    waiting: Waiting,
}

/// Puts it on the share in place of what was said before; nothing waits, and nothing is there.
pub fn write(share: &Share, waiting: &Waiting) -> Result<(), ShareError> {
    let path = share.path().join(AGENT).join(ADOPTING_FILE);
    let failed = |error| ShareError::io("write", &path)(error);
    let root = share.root_to_change()?;
    let access = root.access().map_err(failed)?;
    if waiting.files.is_empty() {
        return match root.directory(AGENT) {
            Ok(home) => home.remove_file(ADOPTING_FILE.as_bytes()).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
        };
    }
    let home = root.make_directory(AGENT, access).map_err(failed)?;
    let json = WaitingJson { version: VERSION, share: share.id(), waiting: waiting.clone() };
    let bytes = serde_json::to_vec(&json).map_err(|error| failed(error.into()))?;
    home.remove_file(ADOPTING_FILE.as_bytes()).map_err(failed)?;
    // It is no secret: what waits is there to be seen.
    let access = home.access().map_err(failed)?.readable();
    home.create_new(ADOPTING_FILE, &bytes, access).map_err(failed)
}

/// What an agent said last; nothing if that is not to be understood.
pub fn read(share: &Share) -> Option<Waiting> {
    let home = share.directory().ok()?.directory(AGENT).ok()?;
    let bytes = home.read_bounded(ADOPTING_FILE, BYTES_MAX).ok()?;
    let json: WaitingJson = serde_json::from_slice(&bytes).ok()?;
    if json.version != VERSION || json.share != share.id() {
        return None;
    }
    let mut waiting = json.waiting;
    waiting.files.truncate(TOLD_MAX);
    for file in &mut waiting.files {
        // Whoever wrote it, it goes to terminals.
        file.path = shown(&file.path);
        file.why = shown(&file.why);
    }
    Some(waiting)
}

fn shown(text: &str) -> String {
    let text: String = text.chars().take(REASON_CHARS_MAX).collect();
    outlast_fs::entry::show(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use outlast_types::{SystemClock, SystemRandom};

    use super::*;

    #[test]
    fn what_waits_is_read_back_and_goes_when_nothing_waits() {
        let directory = tempfile::tempdir().unwrap();
        let share = Share::init(&directory.path().join("s"), &SystemClock, &SystemRandom).unwrap();
        assert_eq!(read(&share), None);
        let file = |path: &str, why: &str| WaitingFile {
            path: path.to_owned(),
            workload: None,
            bytes: 7,
            changed: Some(Timestamp::EPOCH),
            why: why.to_owned(),
        };
        let files = vec![file("in/a.dump", "it grows"), file("in/\u{1b}[2J", &"x".repeat(3000))];
        let waiting = Waiting { at: Timestamp::EPOCH, files, more: 3 };
        write(&share, &waiting).unwrap();
        write(&share, &waiting).unwrap();
        let found = read(&share).unwrap();
        assert_eq!((found.at, found.more, &found.files[0]), (waiting.at, 3, &waiting.files[0]));
        assert_eq!(found.files[1].path, r"$'in/\x1b[2J'", "no terminal obeys it");
        assert_eq!(found.files[1].why.len(), REASON_CHARS_MAX);
        write(&share, &Waiting { files: Vec::new(), ..waiting }).unwrap();
        assert_eq!(read(&share), None);
    }
}
