//! Names of users and groups, read from this host's own files.

use std::collections::HashMap;

use crate::durable::read_bounded;

/// Beyond this size a user database is not worth reading for names that are a courtesy only.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The names behind numeric owners, as this host's `/etc/passwd` and `/etc/group` have them.
pub(crate) struct Owners {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Owners {
    /// The user's name; empty when not known.
    pub(crate) fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_default()
    }

    /// The group's name; empty when not known.
    pub(crate) fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_default()
    }
}

impl Default for Owners {
    fn default() -> Self {
        Self { users: names("/etc/passwd"), groups: names("/etc/group") }
    }
}

/// Both files have the name first and the number third.
fn names(path: &str) -> HashMap<u32, String> {
    let content = read_bounded(path.as_ref(), FILE_BYTES_MAX).unwrap_or_default();
    let mut names = HashMap::new();
    for line in String::from_utf8_lossy(&content).lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(id))) = (fields.next(), fields.nth(1).map(str::parse)) {
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_on_every_host() {
        assert_eq!(Owners::default().user(0), "root");
        assert_eq!(Owners::default().user(u32::MAX - 7), "");
    }
}
