//! Entries as nodes, with the fields that stock restic gives each kind.

use outlast_format::go::{FileMode, GoTime};
use outlast_format::tree::{Node, NodeKind};
use outlast_format::{BlobId, Sha256Id};
use outlast_fs::{EntryPath, FileTime, Kind, Metadata};

/// The device number of files whose source knows neither device nor inode, but knows that they
/// are one file with several names.
const SYNTHETIC_DEVICE: u64 = 0x006f_7574_6c61_7374;

/// The permissions of a directory that a source only implies.
const IMPLIED_MODE: u32 = 0o755;

/// The node of an entry, its content or subtree still missing. Hard links have none of their own.
pub(super) fn node_of(name: Vec<u8>, kind: Kind, metadata: Metadata) -> Option<Node> {
    let (kind, device, target) = match kind {
        Kind::File { .. } => (NodeKind::File, 0, Vec::new()),
        Kind::Directory => (NodeKind::Directory, 0, Vec::new()),
        Kind::Symlink { target } => (NodeKind::Symlink, 0, target),
        Kind::CharDevice { major, minor } => {
            (NodeKind::CharDevice, device_number(major, minor), Vec::new())
        }
        Kind::BlockDevice { major, minor } => {
            (NodeKind::BlockDevice, device_number(major, minor), Vec::new())
        }
        Kind::Fifo => (NodeKind::Fifo, 0, Vec::new()),
        Kind::Socket => (NodeKind::Socket, 0, Vec::new()),
        Kind::HardLink { .. } => return None,
    };
    let time = |time: FileTime| GoTime::utc(time.seconds, time.nanos);
    let counts_links = !matches!(kind, NodeKind::Directory | NodeKind::Fifo | NodeKind::Socket);
    let mut node = Node::new(name, kind);
    node.mode = FileMode::from_unix(node.kind.mode_bits(), metadata.mode);
    node.modified = time(metadata.modified);
    // Reading changes the time of the last access: recorded, it would make every tree a new one.
    // Stock restic leaves it out, too, unless asked.
    node.accessed = node.modified;
    node.changed = metadata.changed.map_or(node.modified, time);
    (node.uid, node.gid) = (metadata.uid, metadata.gid);
    (node.user, node.group) = (metadata.user, metadata.group);
    (node.inode, node.device_id) = (metadata.inode, metadata.device);
    node.links = if counts_links { metadata.links } else { 0 };
    node.link_target = target;
    node.device = device;
    node.xattrs = metadata.xattrs;
    Some(node)
}

/// The node of a directory that no entry describes: owned by whoever makes the backup, as old as
/// the `newest` of its members, so that the same input gives the same tree.
pub(super) fn implied_directory(name: Vec<u8>, uid: u32, gid: u32, newest: Option<GoTime>) -> Node {
    let newest = newest.unwrap_or(GoTime::utc(0, 0));
    let mut node = Node::new(name, NodeKind::Directory);
    node.mode = FileMode::from_unix(FileMode::DIRECTORY, IMPLIED_MODE);
    (node.uid, node.gid) = (uid, gid);
    (node.modified, node.accessed, node.changed) = (newest, newest, newest);
    node
}

/// The latest time at which one of `members` was modified.
pub(super) fn newest<'n>(members: impl Iterator<Item = &'n Node>) -> Option<GoTime> {
    members.map(|member| member.modified).max_by_key(|time| (time.seconds, time.nanos))
}

/// Makes sure that readers see that `node`, which lies at `path`, has other names: they look for
/// several links and the same device and inode. What the source says of that stays.
pub(super) fn number_linked(node: &mut Node, path: &EntryPath) {
    // The exact count decides nothing, and is not known before the source ends.
    node.links = node.links.max(2);
    if node.inode == 0 {
        // From the path, so that another link elsewhere does not change this node.
        let [a, b, c, d, e, f, g, ..] = BlobId::of(&path.to_bytes()).0;
        node.inode = u64::from_le_bytes([a, b, c, d, e, f, g, 0]).max(1);
        node.device_id = SYNTHETIC_DEVICE;
    }
}

/// A device number as Linux has it in `st_rdev`.
fn device_number(major: u32, minor: u32) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    (major & 0xffff_f000) << 32 | (major & 0xfff) << 8 | (minor & 0xffff_ff00) << 12 | minor & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_those_of_linux() {
        assert_eq!(device_number(1, 3), 0x103);
        assert_eq!(device_number(259, 300), 0x11_032c);
        assert_eq!(device_number(0x12345, 0x6789a), 0x1_2000_6783_459a);
    }
}
