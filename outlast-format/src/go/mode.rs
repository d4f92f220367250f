//! Go's `os.FileMode`: its own bits for types and special permissions.

/// A file mode as Go keeps it: nine permission bits as in Unix, everything else in other places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct FileMode(pub u32);

const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const STICKY: u32 = 1 << 20;

/// Unix's special bits and Go's.
const SPECIAL: [(u32, u32); 3] = [(0o4000, SETUID), (0o2000, SETGID), (0o1000, STICKY)];

impl FileMode {
    pub const DIRECTORY: Self = Self(1 << 31);
    pub const SYMLINK: Self = Self(1 << 27);
    pub const DEVICE: Self = Self(1 << 26);
    pub const FIFO: Self = Self(1 << 25);
    pub const SOCKET: Self = Self(1 << 24);
    /// Together with [`DEVICE`](Self::DEVICE).
    pub const CHAR_DEVICE: Self = Self(1 << 26 | 1 << 21);

    /// The mode with the type bits of `kind` and Unix's permission bits (0 to 0o7777).
    pub fn from_unix(kind: Self, permissions: u32) -> Self {
        let special = SPECIAL.iter().filter(|(unix, _)| permissions & unix != 0);
        Self(kind.0 | permissions & 0o777 | special.fold(0, |bits, (_, go)| bits | go))
    }

    /// Unix's permission bits with setuid, setgid and sticky: 0 to 0o7777.
    pub fn permissions(self) -> u32 {
        let special = SPECIAL.iter().filter(|(_, go)| self.0 & go != 0);
        self.0 & 0o777 | special.fold(0, |bits, (unix, _)| bits | unix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_bit_survives() {
        for permissions in 0..=0o7777 {
            let mode = FileMode::from_unix(FileMode::DIRECTORY, permissions);
            assert_eq!(mode.permissions(), permissions);
            assert_eq!(mode.0 & FileMode::DIRECTORY.0, FileMode::DIRECTORY.0);
        }
    }
}
