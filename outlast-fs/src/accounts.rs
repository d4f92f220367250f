//! Users and groups of this host by name, as far as its files tell them. Those that only a directory service knows
//! are not found: asking it takes the C library, and may take for ever.

use std::path::Path;

use crate::durable;

/// A database longer than this is not worth its memory.
const DATABASE_BYTES_MAX: u64 = 16 << 20;

/// The number of a user, by `/etc/passwd`.
pub fn user(name: &str) -> Option<u32> {
    number(Path::new("/etc/passwd"), name)
}

/// The number of a group, by `/etc/group`.
pub fn group(name: &str) -> Option<u32> {
    number(Path::new("/etc/group"), name)
}

fn number(database: &Path, asked: &str) -> Option<u32> {
    rows(database).into_iter().find_map(|(name, number)| (name == asked).then_some(number))
}

/// All names of a database with their numbers; what cannot be read has none.
pub(crate) fn rows(database: &Path) -> Vec<(String, u32)> {
    let content = durable::read_bounded(database, DATABASE_BYTES_MAX).unwrap_or_default();
    let row = |line: &str| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        Some((name.to_owned(), number.parse().ok()?))
    };
    String::from_utf8_lossy(&content).lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_a_group_are_found_by_name_and_of_two_lines_the_first_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        let lines =
            "root:x:0:0::/root:/bin/sh\n+nis\nbackup:x:34:34\nbackup:x:35:35\nodd:x:many:1\n";
        durable::replace(&path, lines.as_bytes(), 0o600).unwrap();
        assert_eq!(number(&path, "backup"), Some(34));
        for none in ["odd", "+nis", "", "roo"] {
            assert_eq!(number(&path, none), None, "{none}");
        }
        assert_eq!(number(&directory.path().join("none"), "root"), None);
        assert_eq!((user("root"), group("root")), (Some(0), Some(0)));
    }
}
