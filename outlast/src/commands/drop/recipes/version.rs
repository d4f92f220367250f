//! Versions of servers and of their clients, as they tell them.

/// A version of up to three numbers. Whatever follows them (`beta1`, `-MariaDB`) is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version([u32; 3]);

impl Version {
    /// The version with which `text` begins, if it begins with a number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut parts = text[..end].split('.').map_while(|part| part.parse().ok());
        let first = parts.next()?;
        Some(Self([first, parts.next().unwrap_or(0), parts.next().unwrap_or(0)]))
    }

    /// The first word of `text` that is a version.
    pub(super) fn find(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(Self::parse)
    }

    /// Major and minor number.
    pub(super) fn series(self) -> (u32, u32) {
        (self.0[0], self.0[1])
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [major, minor, 0] => write!(f, "{major}.{minor}"),
            [major, minor, patch] => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let found = |text| Version::find(text).map(|version| version.0);
        assert_eq!(found("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some([15, 18, 0]));
        assert_eq!(found("pg_dump (PostgreSQL) 17beta1"), Some([17, 0, 0]));
        assert_eq!(found("pg_dump (EnterpriseDB) 9.6.24"), Some([9, 6, 24]));
        assert_eq!(found("redis-cli 7.0.15"), Some([7, 0, 15]));
        assert_eq!(found("10.11.19-MariaDB-0+deb12u1"), Some([10, 11, 19]));
        assert_eq!(Version::find("x 15.18 y").unwrap().to_string(), "15.18");
        assert_eq!(found("no version"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn versions_compare_by_number() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("9.6") < version("10.1"));
        assert!(version("15.10") > version("15.9.9"));
        assert_eq!(Version::parse("99999999999999"), None);
    }
}
