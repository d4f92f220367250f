//! What the media server does with what comes: it takes it, or it is being emptied, or worked on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use outlast_fs::durable;
use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::MediaError;

const VERSION: u32 = 1;
const BYTES_MAX: u64 = 64 << 10;

/// What operators told it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "mode")]
pub enum Mode {
    #[default]
    Taking,
    /// It takes nothing new, and forwards what it has.
    Draining,
    /// The same, and its silence is expected; until then.
    Maintenance { until: Timestamp, reason: String },
}

impl Mode {
    /// What is in force at `now`.
    pub(crate) fn at(&self, now: Timestamp) -> Self {
        match self {
            Self::Maintenance { until, .. } if *until <= now => Self::Taking,
            mode => mode.clone(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    #[serde(flatten)]
    mode: Mode,
}

/// The mode, which outlives the process: who was told to drain does not begin to take after a restart.
pub(crate) struct KeptMode {
    path: PathBuf,
    mode: Mutex<Mode>,
}

impl KeptMode {
    pub(crate) fn open(directory: &Path) -> Result<Self, MediaError> {
        let path = directory.join("mode.json");
        let mode = match durable::read_bounded(&path, BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Mode::default(),
            Err(error) => return Err(MediaError::io("read", &path)(error)),
            Ok(text) => {
                let document: Document = serde_json::from_slice(&text).map_err(|error| {
                    MediaError::Malformed { path: path.clone(), reason: error.to_string() }
                })?;
                let version = document.version;
                if version > VERSION {
                    return Err(MediaError::Newer { path, version });
                }
                document.mode
            }
        };
        Ok(Self { path, mode: Mutex::new(mode) })
    }

    pub(crate) fn get(&self, now: Timestamp) -> Mode {
        self.lock().at(now)
    }

    pub(crate) fn set(&self, mode: Mode) -> Result<(), MediaError> {
        let mut kept = self.lock();
        let document = Document { version: VERSION, mode: mode.clone() };
        let text = serde_json::to_vec(&document).map_err(|error| MediaError::Malformed {
            path: self.path.clone(),
            reason: error.to_string(),
        })?;
        durable::replace(&self.path, &text, 0o600).map_err(MediaError::io("write", &self.path))?;
        *kept = mode;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_outlives_the_process_and_maintenance_ends_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let at = |seconds| Timestamp::from_unix(seconds, 0).unwrap();
        let open = || KeptMode::open(directory.path()).unwrap();
        assert_eq!(open().get(at(0)), Mode::Taking);
        open().set(Mode::Draining).unwrap();
        assert_eq!(open().get(at(0)), Mode::Draining);
        let work = Mode::Maintenance { until: at(100), reason: "a new disk".to_owned() };
        open().set(work.clone()).unwrap();
        assert_eq!((open().get(at(99)), open().get(at(100))), (work, Mode::Taking));
        let newer = br#"{"version":2,"mode":"taking"}"#;
        durable::replace(&directory.path().join("mode.json"), newer, 0o600).unwrap();
        assert!(matches!(KeptMode::open(directory.path()), Err(MediaError::Newer { .. })));
    }
}
