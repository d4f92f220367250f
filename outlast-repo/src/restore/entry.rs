//! Nodes of a tree as entries of a file system.

use outlast_format::go::GoTime;
use outlast_format::tree::{Node, NodeKind};
use outlast_fs::{Entry, EntryPath, FileTime, Kind, Metadata};

/// The entry that `node` describes, to be placed at `path`; `Err` says why there can be none.
pub(super) fn entry_of(path: EntryPath, node: &Node) -> Result<Entry, &'static str> {
    let (major, minor) = device_numbers(node.device);
    let kind = match &node.kind {
        NodeKind::File => Kind::File { size: node.size },
        NodeKind::Directory => Kind::Directory,
        NodeKind::Symlink if node.link_target.is_empty() || node.link_target.contains(&0) => {
            return Err("it is a symbolic link with a target that no link can have");
        }
        NodeKind::Symlink => Kind::Symlink { target: node.link_target.clone() },
        NodeKind::BlockDevice => Kind::BlockDevice { major, minor },
        NodeKind::CharDevice => Kind::CharDevice { major, minor },
        NodeKind::Fifo => Kind::Fifo,
        NodeKind::Socket => Kind::Socket,
        NodeKind::Irregular => return Err("it is of a kind that its writer could not tell"),
        NodeKind::Other(_) => return Err("it is of a kind that this program does not know"),
    };
    let metadata = Metadata {
        mode: node.mode.permissions(),
        uid: node.uid,
        gid: node.gid,
        user: node.user.clone(),
        group: node.group.clone(),
        modified: file_time(node.modified),
        accessed: Some(file_time(node.accessed)),
        changed: None,
        device: 0,
        inode: 0,
        links: 0,
        xattrs: node.xattrs.clone(),
    };
    Ok(Entry { path, kind, metadata })
}

fn file_time(time: GoTime) -> FileTime {
    FileTime { seconds: time.seconds, nanos: time.nanos }
}

/// Takes apart a device number as Linux puts it together (`makedev(3)`); the inverse of what the
/// kernel reports as `st_rdev`.
fn device_numbers(device: u64) -> (u32, u32) {
    let low = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(0);
    (
        low(device >> 8 & 0xfff | device >> 32 & 0xffff_f000),
        low(device & 0xff | device >> 12 & 0xffff_ff00),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_come_apart_as_linux_puts_them_together() {
        assert_eq!(device_numbers(0x0103), (1, 3));
        assert_eq!(device_numbers(0x0801), (8, 1));
        // makedev(511, 300_000), as the C library computes it.
        let (major, minor) = (511_u64, 300_000_u64);
        let device = (major & 0xfff) << 8
            | (major & 0xffff_f000) << 32
            | minor & 0xff
            | (minor & 0xffff_ff00) << 12;
        assert_eq!(device_numbers(device), (511, 300_000));
    }
}
