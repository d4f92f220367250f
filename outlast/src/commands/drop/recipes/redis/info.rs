//! What a Redis server tells of itself.

use std::collections::BTreeMap;

/// The answer to `INFO`.
pub(super) struct Info(BTreeMap<String, String>);

impl Info {
    /// `None` if it is none, but a refusal.
    pub(super) fn parse(answer: &str) -> Option<Self> {
        let members: BTreeMap<String, String> = answer
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.trim_end().split_once(':'))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let info = Self(members);
        info.version().is_some().then_some(info)
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.get(key) == Some(value)
    }

    /// The version; a Valkey calls itself a Redis of the version that it began from.
    pub(super) fn version(&self) -> Option<String> {
        match self.get("valkey_version") {
            Some(version) => Some(format!("{version} (Valkey)")),
            None => self.get("redis_version").map(str::to_owned),
        }
    }

    pub(super) fn is_replica(&self) -> bool {
        self.is("role", "slave")
    }

    /// A part of the data only.
    pub(super) fn is_of_a_cluster(&self) -> bool {
        self.is("cluster_enabled", "1")
    }

    /// Why a dump of it now would be no backup.
    pub(super) fn trouble(&self) -> Option<&'static str> {
        if self.is("loading", "1") {
            return Some("the server is loading its data and has only a part of it");
        }
        if self.is_replica() && !self.is("master_link_status", "up") {
            return Some("the server is a replica that has lost its primary: its data is old");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_has_only_a_part_or_old_data_gives_no_backup() {
        let info = |text: &str| Info::parse(&format!("# Server\r\nredis_version:7.0.15\r\n{text}"));
        let sound = info("role:master\r\nloading:0\r\ncluster_enabled:0\r\n").unwrap();
        assert_eq!((sound.version().as_deref(), sound.trouble()), (Some("7.0.15"), None));
        assert!(!sound.is_replica() && !sound.is_of_a_cluster());
        assert!(info("loading:1\r\n").unwrap().trouble().is_some());
        let replica =
            |status| info(&format!("role:slave\r\nmaster_link_status:{status}\r\n")).unwrap();
        assert!(replica("down").trouble().is_some() && replica("up").trouble().is_none());
        assert!(info("cluster_enabled:1\r\n").unwrap().is_of_a_cluster());
        assert!(Info::parse("NOAUTH Authentication required.\n").is_none());
    }
}
