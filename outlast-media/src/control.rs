//! What operators of this host ask of a media server that is at work: a socket in its directory, which
//! nobody but its user can open. One line of JSON asks, one answers.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_types::Interrupt;
use serde::{Deserialize, Serialize};

use crate::error::MediaError;
use crate::media::Media;
use crate::mode::Mode;
use crate::status::MediaStatus;

/// The socket's name in the directory.
const SOCKET: &str = "control";
/// The longest path that the address of a socket surely has room for, in bytes.
const ADDRESS_BYTES: usize = 100;
/// For a question, and for its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest question, in bytes.
const QUESTION_BYTES_MAX: u64 = 64 << 10;
/// The longest answer: ten thousand rows and more.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// After an accept that failed because the host is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub enum Ask {
    Status,
    /// To do something else with what comes from now on.
    Set {
        #[serde(flatten)]
        mode: Mode,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Status(Box<MediaStatus>),
    Failed(String),
}

/// Why a media server on this host does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error(
        "no media server is at work in {}: start it, or name its configuration by --config",
        directory.display()
    )]
    Nobody { directory: PathBuf },
    #[error("this user may not ask the media server in {}: run this as its user", directory.display())]
    NotAllowed { directory: PathBuf },
    #[error("the media server in {} does not answer: {source}", directory.display())]
    Silent { directory: PathBuf, source: io::Error },
    #[error("the media server cannot do that: {0}")]
    Failed(String),
}

/// Asks the media server that is at work in a directory; how it is doing after that.
pub fn ask(directory: &Path, question: &Ask) -> Result<MediaStatus, ControlError> {
    let silent = |source| ControlError::Silent { directory: directory.to_owned(), source };
    let connected = Address::of(directory).and_then(|at| UnixStream::connect(&at.path));
    let stream = connected.map_err(|error| {
        let directory = directory.to_owned();
        match error.kind() {
            io::ErrorKind::PermissionDenied => ControlError::NotAllowed { directory },
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ControlError::Nobody { directory }
            }
            _ => silent(error),
        }
    })?;
    match exchange(&stream, question).map_err(silent)? {
        Reply::Status(status) => Ok(*status),
        Reply::Failed(reason) => Err(ControlError::Failed(reason)),
    }
}

fn exchange(stream: &UnixStream, question: &Ask) -> io::Result<Reply> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    (&*stream).write_all(&line)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}

/// What leads to the socket of a directory, however long the path of that is.
struct Address {
    path: PathBuf,
    /// Open as long as the path is of use.
    _directory: Option<File>,
}

impl Address {
    fn of(directory: &Path) -> io::Result<Self> {
        let path = directory.join(SOCKET);
        if path.as_os_str().len() <= ADDRESS_BYTES {
            return Ok(Self { path, _directory: None });
        }
        let opened = File::open(directory)?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()).into();
        Ok(Self { path, _directory: Some(opened) })
    }
}

/// Where questions are heard.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens in the directory of a media server, which this process has locked.
    pub(crate) fn listen(directory: &Path) -> Result<Self, MediaError> {
        let path = directory.join(SOCKET);
        // One of a process that is gone.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(MediaError::io("remove", &path)(error));
            }
            _ => {}
        }
        let failed = || MediaError::io("listen on", &path);
        let bound = Address::of(directory).and_then(|at| UnixListener::bind(&at.path));
        let listener = bound.map_err(failed())?;
        let only_we = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, only_we).map_err(failed())?;
        Ok(Self { listener, path })
    }

    /// Answers until the end is asked for; [`wake`] lets it see that.
    pub(crate) fn keep_answering(&self, media: &Media, stop: &Interrupt) {
        while !stop.is_requested() {
            match self.listener.accept() {
                Ok((stream, _)) if !stop.is_requested() => {
                    if let Err(error) = answer(&stream, media) {
                        tracing::debug!(%error, "a question on this host was not answered");
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot hear questions on this host; trying on");
                    media.environment.timer.pause(ACCEPT_PAUSE, stop);
                }
            }
        }
        // The next start removes what cannot be removed now.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Lets whoever listens in a directory look up.
pub(crate) fn wake(directory: &Path) {
    // Nobody may listen any more.
    drop(Address::of(directory).and_then(|at| UnixStream::connect(&at.path)));
}

fn answer(stream: &UnixStream, media: &Media) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    BufReader::new(stream.take(QUESTION_BYTES_MAX)).read_until(b'\n', &mut line)?;
    let reply = match serde_json::from_slice(&line) {
        Ok(Ask::Status) => Reply::Status(Box::new(media.status())),
        Ok(Ask::Set { mode }) => match media.set_mode(mode) {
            Ok(()) => Reply::Status(Box::new(media.status())),
            Err(error) => Reply::Failed(error.to_string()),
        },
        Err(error) => Reply::Failed(format!("the question cannot be understood: {error}")),
    };
    let reply = serde_json::to_vec(&reply)?;
    (&*stream).write_all(&reply)
}
