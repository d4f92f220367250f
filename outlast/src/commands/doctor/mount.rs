//! What a directory is mounted from, by the kernel's own list.

use std::path::{Path, PathBuf};

/// File systems of other hosts.
const NETWORK: [&str; 12] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "glusterfs",
    "lustre",
    "afs",
    "9p",
    "beegfs",
    "virtiofs",
];

/// What is mounted where a directory lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) point: PathBuf,
    pub(super) kind: String,
}

impl Mount {
    /// Of the directory at `path`; `None` where the kernel does not tell.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let path = path.canonicalize().ok()?;
        Self::among(&std::fs::read_to_string("/proc/self/mountinfo").ok()?, &path)
    }

    fn among(list: &str, path: &Path) -> Option<Self> {
        let mounts = list.lines().filter_map(Self::parse);
        // Of two at one place the later one covers the other.
        mounts
            .filter(|mount| path.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.components().count())
    }

    /// `36 35 98:0 /dir /mnt rw,noatime shared:1 - ext4 /dev/sda1 rw`
    fn parse(line: &str) -> Option<Self> {
        let (front, back) = line.split_once(" - ")?;
        let point = unescaped(front.split(' ').nth(4)?);
        Some(Self { point: PathBuf::from(point), kind: back.split(' ').next()?.to_owned() })
    }

    pub(super) fn is_network(&self) -> bool {
        NETWORK.contains(&self.kind.as_str()) || self.kind.starts_with("fuse.")
    }
}

/// The kernel writes spaces and the like as `\040`.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/my\\040share rw,relatime shared:2 - nfs4 server:/x rw
31 22 0:41 / /mnt/my\\040share/w rw - tmpfs tmpfs rw
32 22 0:42 / /srv rw - fuse.s3fs s3fs rw
broken";

    #[test]
    fn the_innermost_mount_is_found_and_its_kind_told() {
        for (path, point, kind, is_network) in [
            ("/home/x", "/", "ext4", false),
            ("/mnt/my share", "/mnt/my share", "nfs4", true),
            ("/mnt/my share/w/a", "/mnt/my share/w", "tmpfs", false),
            ("/mnt/my shares", "/", "ext4", false),
            ("/srv/b", "/srv", "fuse.s3fs", true),
        ] {
            let mount = Mount::among(LIST, Path::new(path)).unwrap();
            assert_eq!((mount.point.to_str().unwrap(), &*mount.kind), (point, kind), "{path}");
            assert_eq!(mount.is_network(), is_network, "{path}");
        }
        assert_eq!(Mount::among("", Path::new("/")), None);
    }
}
