//! How a vault is configured.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_fs::durable;
use outlast_promise::{Declaration, Promise, Settings};
use outlast_types::{WorkloadName, human};
use serde::Deserialize;

/// A configuration that is longer is a mistake.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// A shorter deadline would page for one lost request.
const AGENT_DEADLINE_MIN: Duration = Duration::from_secs(2);

/// Often enough to say within a minute that a volume is gone; a few calls of the file system for
/// each workload.
const LOOK_AFTER: Duration = Duration::from_secs(10);

/// A vault's configuration.
#[derive(Debug, Clone)]
pub struct VaultConfig {
    /// Where everything is kept: repositories, keys, catalog.
    pub dir: PathBuf,
    /// Where the vault listens; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// The directory of the vault's own identity.
    pub identity: PathBuf,
    /// How long an agent may stay silent before that is an incident.
    pub agent_deadline: Duration,
    /// How often it is looked whether all repositories are there.
    pub look_after: Duration,
    /// Policy for all workloads of which nobody says more.
    pub promise: Promise,
    /// Policy for single workloads; what a share declares may tighten it.
    pub workloads: BTreeMap<WorkloadName, Declaration>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the configuration of the vault is not right: {0}")]
    Syntax(#[from] Box<toml::de::Error>),
    #[error("the configuration of the vault is not right: {key}: {reason}")]
    Value { key: String, reason: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    vault: Section,
    #[serde(default)]
    promise: PromiseSection,
    #[serde(default)]
    workloads: BTreeMap<WorkloadName, PromiseSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    dir: PathBuf,
    listen: String,
    identity: PathBuf,
    agent_deadline: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PromiseSection {
    rpo: Option<String>,
    owner: Option<String>,
}

impl VaultConfig {
    /// A configuration with defaults for all but the places.
    pub fn new(dir: &Path, listen: SocketAddr, identity: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            listen,
            identity: identity.to_owned(),
            agent_deadline: Settings::default().agent_deadline,
            look_after: LOOK_AFTER,
            promise: Promise::default(),
            workloads: BTreeMap::new(),
        }
    }

    /// Reads the TOML file at `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let content = durable::read_bounded(path, CONFIG_BYTES_MAX).map_err(read)?;
        let invalid = |error| read(std::io::Error::new(std::io::ErrorKind::InvalidData, error));
        Self::parse(&String::from_utf8(content).map_err(invalid)?)
    }

    /// Reads a TOML text:
    ///
    /// ```toml
    /// [vault]
    /// dir = "/var/lib/outlast/vault"
    /// listen = "0.0.0.0:8443"  # or localhost:8443, or :8443, which is the same as 0.0.0.0:8443
    /// identity = "/etc/outlast/identity"
    /// agent_deadline = "5m"
    ///
    /// [promise]                # policy for all workloads; what a share declares may tighten it
    /// rpo = "26h"
    /// owner = "platform team"
    ///
    /// [workloads.shop-db]      # policy for one workload, over that for all
    /// rpo = "12h"
    /// owner = "team-shop"
    /// ```
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::from_toml(toml::Deserializer::parse(text).map_err(Box::new)?)
    }

    /// Reads a TOML document, wherever its parts are from.
    pub fn from_toml(document: toml::Deserializer<'_>) -> Result<Self, ConfigError> {
        let document = Document::deserialize(document).map_err(Box::new)?;
        let section = document.vault;
        let listen =
            listen_address(&section.listen).map_err(|error| value("vault.listen", error))?;
        let mut config = Self::new(&section.dir, listen, &section.identity);
        if let Some(text) = section.agent_deadline {
            config.agent_deadline = duration("vault.agent_deadline", &text)?;
        }
        if config.agent_deadline < AGENT_DEADLINE_MIN {
            return Err(value("vault.agent_deadline", "use 2s or more"));
        }
        config.promise = document.promise.declaration("promise")?.over(&config.promise);
        for (name, section) in document.workloads {
            let declared = section.declaration(&format!("workloads.{name}"))?;
            config.workloads.insert(name, declared);
        }
        Ok(config)
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            default_promise: self.promise.clone(),
            policy: self.workloads.clone(),
            agent_deadline: self.agent_deadline.max(AGENT_DEADLINE_MIN),
        }
    }
}

impl PromiseSection {
    fn declaration(self, key: &str) -> Result<Declaration, ConfigError> {
        let rpo = self.rpo.map(|text| duration(&format!("{key}.rpo"), &text)).transpose()?;
        let owner = self.owner.as_deref();
        Declaration::new(rpo, owner).map_err(|error| value(key, error))
    }
}

/// The address to listen at that `text` means: `127.0.0.1:8443`, `[::]:8443`, `localhost:8443`, or
/// `:8443` for all addresses of this host (of version 4 of the protocol).
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let explained = |why: &str| format!("{text:?} {why}; give one such as localhost:8443 or :8443");
    let (host, port) =
        text.rsplit_once(':').ok_or_else(|| explained("is no address with a port"))?;
    let port: u16 = port.parse().map_err(|_| explained("does not end with a port"))?;
    match host {
        "" => Ok((Ipv4Addr::UNSPECIFIED, port).into()),
        host => (host, port)
            .to_socket_addrs()
            .map_err(|error| explained(&format!("names no host that is known ({error})")))?
            // Names of this host stand for both versions; the clients of most speak the older.
            .min_by_key(SocketAddr::is_ipv6)
            .ok_or_else(|| explained("names a host without an address")),
    }
}

fn duration(key: &str, text: &str) -> Result<Duration, ConfigError> {
    human::parse_duration(text).map_err(|error| value(key, error))
}

fn value(key: &str, reason: impl ToString) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "[vault]\ndir = \"/v\"\nlisten = \"[::1]:0\"\nidentity = \"/i\"\n";

    #[test]
    fn what_is_not_said_has_a_default() {
        let config = VaultConfig::parse(MINIMAL).unwrap();
        assert_eq!(config.promise, Promise::default());
        assert_eq!(config.agent_deadline, Duration::from_secs(300));
    }

    #[test]
    fn policy_for_a_workload_builds_on_the_default_promise() {
        let text = format!(
            "{MINIMAL}[promise]\nowner = \"ops\"\n[workloads.shop-db]\nrpo = \"12h\"\n\
             [workloads.web]\nowner = \"team-web\"\n"
        );
        let config = VaultConfig::parse(&text).unwrap();
        let promise =
            |name| config.workloads[&WorkloadName::new(name).unwrap()].over(&config.promise);
        let shop = promise("shop-db");
        assert_eq!((shop.rpo(), shop.owner()), (Duration::from_secs(12 * 3600), "ops"));
        let web = promise("web");
        assert_eq!((web.rpo(), web.owner()), (Promise::RPO_DEFAULT, "team-web"));
    }

    #[test]
    fn an_address_to_listen_at_may_be_a_name_or_only_a_port() {
        for (text, wanted) in [
            ("127.0.0.1:8443", "127.0.0.1:8443"),
            ("[::1]:0", "[::1]:0"),
            (":8443", "0.0.0.0:8443"),
            ("localhost:8443", "127.0.0.1:8443"),
        ] {
            assert_eq!(listen_address(text).unwrap().to_string(), wanted);
        }
        for bad in ["8443", "localhost", ":", "localhost:https", "host.invalid:1", "::1:x"] {
            let words = listen_address(bad).unwrap_err();
            assert!(words.contains(bad) && words.contains(":8443"), "{words}");
        }
    }

    #[test]
    fn a_mistake_is_named() {
        let check = |addition: &str, expected: &str| {
            let error = VaultConfig::parse(&format!("{MINIMAL}{addition}")).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check("lisen = 1\n", "lisen");
        check("agent_deadline = \"5\"\n", "vault.agent_deadline: \"5\" is not a duration");
        check("[promise]\nrpo = \"10ms\"\n", "promise: a recovery point objective of 10 ms");
        check("[workloads.\"../x\"]\nrpo = \"1h\"\n", "cannot be a workload name");
        check("[workloads.a]\nrto = \"1h\"\n", "rto");
    }
}
