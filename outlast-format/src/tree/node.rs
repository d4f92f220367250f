//! One member of a directory.

use serde_json::value::RawValue;

use crate::BlobId;
use crate::go::{FileMode, GoTime};

/// The kind of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NodeKind {
    File,
    Directory,
    Symlink,
    BlockDevice,
    CharDevice,
    Fifo,
    Socket,
    /// Something that the writer could not classify.
    Irregular,
    /// A type that this program does not know, with its name.
    Other(String),
}

impl NodeKind {
    /// The word in the JSON document.
    pub fn as_str(&self) -> &str {
        match self {
            Self::File => "file",
            Self::Directory => "dir",
            Self::Symlink => "symlink",
            Self::BlockDevice => "dev",
            Self::CharDevice => "chardev",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Irregular => "irregular",
            Self::Other(name) => name,
        }
    }

    pub(super) fn from_word(word: &str) -> Self {
        match word {
            "file" => Self::File,
            "dir" => Self::Directory,
            "symlink" => Self::Symlink,
            "dev" => Self::BlockDevice,
            "chardev" => Self::CharDevice,
            "fifo" => Self::Fifo,
            "socket" => Self::Socket,
            "irregular" => Self::Irregular,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The bits that Go's mode has for this kind.
    pub fn mode_bits(&self) -> FileMode {
        match self {
            Self::File | Self::Irregular | Self::Other(_) => FileMode(0),
            Self::Directory => FileMode::DIRECTORY,
            Self::Symlink => FileMode::SYMLINK,
            Self::BlockDevice => FileMode::DEVICE,
            Self::CharDevice => FileMode::CHAR_DEVICE,
            Self::Fifo => FileMode::FIFO,
            Self::Socket => FileMode::SOCKET,
        }
    }
}

/// One member of a directory.
///
/// Fields that restic leaves out when they are empty are zero or empty here.
#[derive(Debug, Clone)]
pub struct Node {
    /// Any bytes. They come from a repository: check them before they become part of a path.
    pub name: Vec<u8>,
    pub kind: NodeKind,
    pub mode: FileMode,
    pub modified: GoTime,
    pub accessed: GoTime,
    pub changed: GoTime,
    pub uid: u32,
    pub gid: u32,
    pub user: String,
    pub group: String,
    pub inode: u64,
    /// The file system it lies on; restic stores it for files with several links.
    pub device_id: u64,
    /// Bytes of content; files only.
    pub size: u64,
    pub links: u64,
    /// Where a symbolic link points to: any bytes.
    pub link_target: Vec<u8>,
    /// Full names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Attributes that other systems record (Windows), kept as they are.
    pub generic_attributes: Vec<(String, Box<RawValue>)>,
    /// Device number of a device node (as Linux encodes it in `st_rdev`).
    pub device: u64,
    /// The blobs of a file in order; `None` for everything else (and `null` in the document).
    pub content: Option<Vec<BlobId>>,
    /// The tree of a directory.
    pub subtree: Option<BlobId>,
    /// The error that the writer met when it read this.
    pub error: String,
}

impl Node {
    /// A node of this name and kind; everything else zero, empty or unknown. A file has empty
    /// content.
    pub fn new(name: Vec<u8>, kind: NodeKind) -> Self {
        Self {
            name,
            mode: kind.mode_bits(),
            content: (kind == NodeKind::File).then(Vec::new),
            kind,
            modified: GoTime::ZERO,
            accessed: GoTime::ZERO,
            changed: GoTime::ZERO,
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            inode: 0,
            device_id: 0,
            size: 0,
            links: 0,
            link_target: Vec::new(),
            xattrs: Vec::new(),
            generic_attributes: Vec::new(),
            device: 0,
            subtree: None,
            error: String::new(),
        }
    }
}
