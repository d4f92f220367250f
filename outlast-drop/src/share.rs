//! The share itself: is this directory one, and is it still the same?

use std::convert::identity;
use std::io;
use std::path::{Path, PathBuf};

use outlast_types::{Clock, Random, ShareId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::files::{Directory, FileSystem, Meter, is_later};
use crate::layout::{self, AGENT, DropAddress, SHARE_FILE, WORKLOADS};

const SHARE_VERSION: u64 = 1;
const SHARE_BYTES_MAX: u64 = 64 << 10;
/// Permissions of the root of a share that is made where no directory was, less the umask.
const ROOT_MODE: u32 = 0o775;

/// A directory that is known to be a share.
#[derive(Debug, Clone)]
pub struct Share {
    root: PathBuf,
    id: ShareId,
    meter: Meter,
    /// What it was on when it was opened.
    file_system: Option<FileSystem>,
}

/// To whom a new share is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opening {
    /// The permissions of its directories; those of its root if there is none.
    pub mode: Option<u32>,
    /// The group of everything on it.
    pub group: Option<u32>,
    /// Whether other files may lie there, which stay as they are.
    pub among_others: bool,
}

impl Opening {
    /// The mode of a directory that has the mode `now`. One whose group may write hands its group
    /// down (the setgid bit), since programs that know nothing of this write to a share, too.
    fn mode(self, now: u32) -> Option<u32> {
        let mode = match (self.mode, self.group) {
            (Some(mode), _) => mode,
            (None, Some(_)) => now | 0o070,
            (None, None) => return None,
        };
        Some(if mode & 0o020 != 0 { mode | 0o2000 } else { mode })
    }
}

/// Why a share cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    #[error("{path} is not a share: it has no {SHARE_FILE}; is it mounted?", path = path.display())]
    NotAShare { path: PathBuf },
    #[error("there is no directory {path}; is the share mounted?", path = path.display())]
    NotADirectory { path: PathBuf },
    #[error("{path} is a share already, with the id {id}", path = path.display())]
    AlreadyAShare { path: PathBuf, id: ShareId },
    #[error("{path} is not empty ({found:?} is in it), so it does not become a share; use an empty directory", path = path.display())]
    NotEmpty { path: PathBuf, found: String },
    #[error("{path} is damaged: {reason}; restore it from another host's mount or ask whoever runs the share", path = path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{path} has format version {version}, and this program knows version {SHARE_VERSION} only; use a newer outlast", path = path.display())]
    UnknownVersion { path: PathBuf, version: u64 },
    #[error("{path} is another share than before: it was {expected} and is {found}; check the mount", path = path.display())]
    Replaced { path: PathBuf, expected: ShareId, found: ShareId },
    #[error("{path} is on another file system than before: it was {expected} and is {found}; check the mount", path = path.display())]
    Remounted { path: PathBuf, expected: FileSystem, found: FileSystem },
    #[error("cannot {action} {path}: {source}{hint}", path = path.display(), hint = hint(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl ShareError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// The same as an error of the file system, where that is all that is told.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Io { source, .. } => source,
            error => io::Error::other(error),
        }
    }

    /// Whether to try again in a while: the network or the server had a hiccup, or the share is
    /// not mounted at the moment.
    pub fn is_later(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_later(source),
            Self::NotAShare { .. } | Self::NotADirectory { .. } => true,
            _ => false,
        }
    }

    /// Whether the share is full, so that tidying up helps.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

/// Whether a file system has no room left, for anybody or for this user.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Advice about an error of the file system, as the end of a message. It knows no program: how to
/// follow it is for whoever shows the message to say.
pub(crate) fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if is_full(error) => "; free space on the share or make it larger, then try again",
        io::ErrorKind::ReadOnlyFilesystem => "; mount the share writable",
        // Ours say whose the permissions are.
        io::ErrorKind::PermissionDenied if error.get_ref().is_some() => "",
        io::ErrorKind::PermissionDenied => "; check the owner and permissions of the share",
        _ if is_later(error) => "; the share answers badly: check its mount, then try again",
        _ => "",
    }
}

#[derive(Serialize, Deserialize)]
struct ShareJson {
    version: u64,
    share: ShareId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
}

#[derive(Deserialize)]
struct VersionJson {
    version: u64,
}

impl Share {
    /// Makes a share in `path`, which is created if need be and must be empty otherwise (what
    /// file servers leave everywhere aside). The mark of the share is written last.
    pub fn init(path: &Path, clock: &dyn Clock, random: &dyn Random) -> Result<Self, ShareError> {
        Self::init_for(path, Opening::default(), clock, random)
    }

    /// The same, open to whom `opening` says.
    pub fn init_for(
        path: &Path,
        opening: Opening,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, ShareError> {
        let io = |action| ShareError::io(action, path);
        let directory = Directory::open_or_make(path, ROOT_MODE).map_err(io("create"))?;
        match Self::open(path) {
            Ok(share) => {
                return Err(ShareError::AlreadyAShare { path: path.to_owned(), id: share.id });
            }
            Err(ShareError::NotAShare { .. }) => {}
            Err(error) => return Err(error),
        }
        for name in directory.names().map_err(io("list"))? {
            // An interrupted init leaves empty directories.
            let unfinished = [WORKLOADS, AGENT].iter().any(|made| {
                let names = || directory.directory(made).and_then(|made| made.names());
                name == made.as_bytes() && names().is_ok_and(|names| names.is_empty())
            });
            let stays = opening.among_others && !layout::is_ours_at_root(&name);
            if !unfinished && !stays && !layout::is_foreign(&name) {
                let found = outlast_fs::entry::show(&name);
                return Err(ShareError::NotEmpty { path: path.to_owned(), found });
            }
        }
        let open = |directory: &Directory| {
            let mode = opening.mode(directory.access()?.mode());
            directory.open_to(mode, opening.group)
        };
        open(&directory).map_err(io("set the permissions of"))?;
        let access = directory.access().map_err(io("look at"))?;
        for name in [WORKLOADS, AGENT] {
            directory
                .make_directory(name, access)
                .and_then(|made| open(&made))
                .map_err(ShareError::io("create", &path.join(name)))?;
        }
        let id = ShareId::new(random);
        let json = ShareJson { version: SHARE_VERSION, share: id, created: Some(clock.now()) };
        let file = path.join(SHARE_FILE);
        let mut content = serde_json::to_vec(&json)
            .map_err(|error| ShareError::io("write", &file)(error.into()))?;
        content.push(b'\n');
        directory
            .create_new(SHARE_FILE, &content, access)
            .map_err(ShareError::io("write", &file))?;
        let (root, file_system) = (path.to_owned(), directory.file_system());
        Ok(Self { root, id, meter: Meter::default(), file_system })
    }

    /// Opens the share at `path`.
    pub fn open(path: &Path) -> Result<Self, ShareError> {
        Self::open_metered(path, Meter::default())
    }

    /// The same; `meter` hears of every call that is made to look at it, and to change it.
    pub fn open_metered(path: &Path, meter: Meter) -> Result<Self, ShareError> {
        Self::open_root(path, meter).map(|(share, _)| share)
    }

    /// The share at `path`, and its root, of which everything that is known was read.
    fn open_root(path: &Path, meter: Meter) -> Result<(Self, Directory), ShareError> {
        let directory = Directory::open_metered(path, meter.clone());
        let directory = directory.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                ShareError::NotADirectory { path: path.to_owned() }
            }
            _ => ShareError::io("open", path)(error),
        })?;
        let file = path.join(SHARE_FILE);
        let damaged = |reason: &dyn ToString| ShareError::Damaged {
            path: file.clone(),
            reason: reason.to_string(),
        };
        let content = match directory.read_bounded(SHARE_FILE, SHARE_BYTES_MAX) {
            Ok(content) => content,
            Err(error) => {
                return Err(match error.kind() {
                    io::ErrorKind::NotFound => ShareError::NotAShare { path: path.to_owned() },
                    io::ErrorKind::FileTooLarge => damaged(&"it is far too long"),
                    io::ErrorKind::InvalidInput => damaged(&"it is not a plain file"),
                    _ => ShareError::io("read", &file)(error),
                });
            }
        };
        let VersionJson { version } =
            serde_json::from_slice(&content).map_err(|error| damaged(&error))?;
        if version != SHARE_VERSION {
            return Err(ShareError::UnknownVersion { path: file, version });
        }
        let json: ShareJson = serde_json::from_slice(&content).map_err(|error| damaged(&error))?;
        let file_system = directory.file_system();
        Ok((Self { root: path.to_owned(), id: json.share, meter, file_system }, directory))
    }

    /// The id that was made with the share.
    pub fn id(&self) -> ShareId {
        self.id
    }

    /// The root directory.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The kind of file system that it was on when it was opened, where that is known.
    pub fn file_system(&self) -> Option<FileSystem> {
        self.file_system
    }

    /// Looks whether the share is still there and still the same one.
    pub fn check(&self) -> Result<(), ShareError> {
        self.root_to_change().map(drop)
    }

    /// The root, open, to change something below it: it has just been seen to be this share's. So
    /// nothing is made in an empty directory on which it is not mounted any more.
    pub(crate) fn root_to_change(&self) -> Result<Directory, ShareError> {
        let (found, root) = Self::open_root(&self.root, self.meter.clone())?;
        let path = self.root.clone();
        if found.id != self.id {
            return Err(ShareError::Replaced { path, expected: self.id, found: found.id });
        }
        match (self.file_system, found.file_system) {
            (Some(expected), Some(found)) if expected != found => {
                Err(ShareError::Remounted { path, expected, found })
            }
            _ => Ok(root),
        }
    }

    /// The directory of a drop.
    pub fn drop_directory(&self, address: &DropAddress) -> PathBuf {
        self.root.join(address.path())
    }

    /// The directory of a workload.
    pub fn workload_directory(&self, workload: &WorkloadName) -> PathBuf {
        self.root.join(WORKLOADS).join(workload.as_str())
    }

    /// The root, open, to look at something below it.
    pub fn directory(&self) -> io::Result<Directory> {
        Directory::open_metered(&self.root, self.meter.clone())
    }

    /// The directory of a workload, open; made if it is missing, and so is the one above it, which
    /// a copy of the share may have lost for being empty.
    pub(crate) fn make_workload(&self, workload: &WorkloadName) -> Result<Directory, ShareError> {
        let root = self.root_to_change()?;
        let path = self.workload_directory(workload);
        let made = root.make_directories(&[WORKLOADS, workload.as_str()], identity);
        made.map_err(ShareError::io("open or make", &path))
    }

    /// The names of all workloads that have a directory, in order.
    pub fn workloads(&self) -> Result<Vec<WorkloadName>, ShareError> {
        let path = self.root.join(WORKLOADS);
        let names = self.directory().and_then(|root| root.directory(WORKLOADS)?.names());
        let names = match names {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(ShareError::io("list", &path))?,
        };
        let name = |name: Vec<u8>| WorkloadName::new(std::str::from_utf8(&name).ok()?).ok();
        Ok(names.into_iter().filter_map(name).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use outlast_types::{SystemClock, SystemRandom};

    use super::*;

    fn init(path: &Path) -> Result<Share, ShareError> {
        Share::init(path, &SystemClock, &SystemRandom)
    }

    #[test]
    fn a_share_is_made_once_and_opens_with_its_id() {
        let directory = tempfile::tempdir().unwrap();
        let share = init(&directory.path().join("new/share")).unwrap();
        assert_eq!(Share::open(share.path()).unwrap().id(), share.id());
        assert!(matches!(init(share.path()), Err(ShareError::AlreadyAShare { .. })));
        share.check().unwrap();
    }

    #[test]
    fn a_share_can_be_made_among_files_of_others_which_stay_but_not_over_what_has_its_names() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("dumps/shop")).unwrap();
        let among = Opening { among_others: true, ..Opening::default() };
        let init =
            |opening| Share::init_for(directory.path(), opening, &SystemClock, &SystemRandom);
        assert!(matches!(init(Opening::default()), Err(ShareError::NotEmpty { .. })));
        std::fs::create_dir_all(directory.path().join("W/x")).unwrap();
        assert!(matches!(init(among), Err(ShareError::NotEmpty { found, .. }) if found == "W"));
        std::fs::remove_dir_all(directory.path().join("W")).unwrap();
        init(among).unwrap().check().unwrap();
        assert!(directory.path().join("dumps/shop").exists());
    }

    #[test]
    fn what_is_no_share_is_refused_with_the_question_whether_it_is_mounted() {
        let directory = tempfile::tempdir().unwrap();
        let message = Share::open(directory.path()).unwrap_err().to_string();
        assert!(message.contains("is it mounted?"), "{message}");
        assert!(message.contains(&directory.path().display().to_string()), "{message}");
        let missing = Share::open(&directory.path().join("missing")).unwrap_err();
        assert!(matches!(missing, ShareError::NotADirectory { .. }));
    }

    #[test]
    fn a_directory_with_other_things_in_it_does_not_become_a_share() {
        let directory = tempfile::tempdir().unwrap();
        drop(File::create(directory.path().join("thesis.odt")).unwrap());
        assert!(matches!(init(directory.path()), Err(ShareError::NotEmpty { .. })));
        std::fs::remove_file(directory.path().join("thesis.odt")).unwrap();
        std::fs::create_dir(directory.path().join("lost+found")).unwrap();
        drop(File::create(directory.path().join(".DS_Store")).unwrap());
        std::fs::create_dir(directory.path().join("w")).unwrap();
        init(directory.path()).unwrap();
    }

    #[test]
    fn another_share_under_the_same_path_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let share = init(&directory.path().join("share")).unwrap();
        std::fs::remove_dir_all(share.path()).unwrap();
        assert!(share.check().unwrap_err().is_later(), "not mounted at the moment");
        init(share.path()).unwrap();
        assert!(matches!(share.check(), Err(ShareError::Replaced { .. })));
    }

    #[test]
    fn a_share_of_the_future_is_refused_by_its_version() {
        let directory = tempfile::tempdir().unwrap();
        File::create(directory.path().join(SHARE_FILE))
            .unwrap()
            .write_all(b"{\"version\":2}")
            .unwrap();
        let error = Share::open(directory.path()).unwrap_err();
        assert!(matches!(error, ShareError::UnknownVersion { version: 2, .. }), "{error}");
    }
}
