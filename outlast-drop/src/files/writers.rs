//! Who may write into a directory, by its owner and permissions.

use rustix::fs::Stat;

const OWNER_WRITES: u32 = 0o200;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
/// The user whom no permissions keep out.
const ROOT: u32 = 0;

/// Those who may write into a directory, root aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Writers {
    pub user: Option<u32>,
    pub group: Option<u32>,
    /// Whether everybody may.
    pub everybody: bool,
}

impl Writers {
    /// Those of a directory. A file system without owners gives those of its mount.
    #[expect(clippy::unnecessary_cast, reason = "the kernel's types differ between processors")]
    pub(super) fn below(directory: &Stat) -> Self {
        Self::of(directory.st_mode as u32, directory.st_uid, directory.st_gid)
    }

    fn of(mode: u32, user: u32, group: u32) -> Self {
        let allows = |bit: u32| mode & bit != 0;
        Self {
            user: Some(user).filter(|user| allows(OWNER_WRITES) && *user != ROOT),
            group: Some(group).filter(|_| allows(GROUP_WRITES)),
            everybody: allows(OTHERS_WRITE),
        }
    }

    /// Whether whoever writes here is known to be none of those who write into `above`, of which this
    /// is a part: somebody has given it to its writers alone. `own` is the user that asks, who may
    /// write everywhere.
    pub fn are_apart(&self, above: &Self, own: u32) -> bool {
        let is_shared = |user: u32| user != own && above.user == Some(user);
        let has_others = self.user.is_some_and(|user| user != own) || self.group.is_some();
        !self.everybody
            && has_others
            && !self.user.is_some_and(is_shared)
            && self.group.is_none_or(|group| above.group != Some(group) && !above.everybody)
            && !above.everybody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_its_writers_own_if_none_of_them_writes_into_the_one_above() {
        const AGENT: u32 = 900;
        let is_apart = |above: (u32, u32, u32), own: (u32, u32, u32)| {
            let [above, own] =
                [above, own].map(|(mode, user, group)| Writers::of(mode, user, group));
            own.are_apart(&above, AGENT)
        };
        // As docs/share-permissions.md has it for instances that must not see each other.
        assert!(is_apart((0o755, 0, 0), (0o2770, 0, 4001)));
        assert!(is_apart((0o755, AGENT, 900), (0o2770, AGENT, 4001)));
        assert!(is_apart((0o2775, 0, 4000), (0o2770, 1001, 4001)));
        assert!(is_apart((0o755, 0, 0), (0o700, 1001, 4000)));
        // As it is made by itself: with the permissions of what is above.
        assert!(!is_apart((0o2775, 0, 4000), (0o2775, 1001, 4000)));
        assert!(!is_apart((0o755, 1001, 4000), (0o755, 1001, 4000)), "one user for all");
        assert!(!is_apart((0o777, 0, 0), (0o777, 1001, 1001)));
        assert!(!is_apart((0o777, 0, 0), (0o700, 1001, 1001)), "whoever came first");
        assert!(!is_apart((0o755, 0, 0), (0o777, 1001, 1001)));
        assert!(!is_apart((0o755, AGENT, 0), (0o755, AGENT, 0)), "nobody but the agent");
        assert!(!is_apart((0o755, 0, 0), (0o755, 0, 0)), "nobody but root");
    }
}
