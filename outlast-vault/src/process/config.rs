//! How a vault is configured. Who starts it reads that from wherever it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use outlast_civil::Zone;
use outlast_promise::{HandoverRule, Policy, Settings};
use outlast_types::WorkloadName;
use outlast_wire::names::Names;
use outlast_wire::outside::RouteConfig;
use outlast_wire::{Grants, Proxies};

use crate::core::drills::DrillPolicy;
use crate::core::limits::{AgentLimits, LimitPolicy};
use crate::core::policy::SanityPolicy;
use crate::core::retention::RetentionPolicy;
use crate::core::scrubs::ScrubPolicy;

/// A shorter deadline would page for one lost request.
const AGENT_DEADLINE_MIN: Duration = Duration::from_secs(2);

/// Often enough to say within a minute that a volume is gone; a few calls of the file system for
/// each workload.
const LOOK_AFTER: Duration = Duration::from_secs(10);

/// Nobody has to be asked again for what was done since, and it costs little where little changes.
const SAVE_STATE: Duration = Duration::from_secs(60);

/// Long enough for an agent whose host must be put back, too.
const WITHHOLD: Duration = Duration::from_secs(7 * 86400);

/// A server that hangs must not keep others from their drills for days.
const DRILL_TIME_MAX: Duration = Duration::from_secs(6 * 3600);

/// A vault's configuration.
#[derive(Debug, Clone)]
pub struct VaultConfig {
    /// Where everything is kept: repositories, keys, catalog.
    pub dir: PathBuf,
    /// Where the vault listens; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// Where metrics are shown without TLS, if anywhere: an address of this host.
    pub metrics_listen: Option<SocketAddr>,
    /// The directory of the vault's own identity.
    pub identity: PathBuf,
    /// The directory of the issuer by which the vault issues certificates; without one, it issues none.
    pub issuer: Option<PathBuf>,
    /// Whom certificates mean that others issued and that name no identity of ours.
    pub names: Names,
    /// How long an agent may stay silent before that is an incident.
    pub agent_deadline: Duration,
    /// How often it is looked whether all repositories are there.
    pub look_after: Duration,
    /// How often the vault's own state is saved beside its repositories, if it changed.
    pub save_state: Duration,
    /// What is saved with it, and goes into recovery kits: how each is called there, and where it lies, a
    /// directory or a file.
    pub save_too: Vec<(String, PathBuf)>,
    /// How long a vault that was brought back lets nothing be released while agents are silent.
    pub withhold: Duration,
    /// What is promised of workloads; what a share declares may tighten it.
    pub policy: Policy,
    /// What agents may have.
    pub limits: LimitPolicy,
    /// Workloads that consist of others; all of them are named in the policy, too.
    pub services: BTreeMap<WorkloadName, Vec<WorkloadName>>,
    /// What is asked of the content of drops.
    pub sanity: SanityPolicy,
    /// How long snapshots are kept, and when the vault forgets; by default it never does.
    pub retention: RetentionPolicy,
    /// The workloads whose instances may have their backups back over the share, and how old ones; of no
    /// others may they.
    pub fetch: BTreeMap<WorkloadName, Duration>,
    /// How often all data is read and verified, and how fast.
    pub scrub: ScrubPolicy,
    /// Which backups are brought back to see whether that works, and how often.
    pub drills: DrillPolicy,
    /// Space for that; else a folder of `dir`.
    pub scratch: Option<PathBuf>,
    /// In which months begin, for reports.
    pub zone: Zone,
    /// A drill that takes longer is ended.
    pub drill_time_max: Duration,
    /// What is expected of the backup products to which agents hand drops over, by the names of hand-overs, and of all
    /// others.
    pub handovers: BTreeMap<String, HandoverRule>,
    pub any_handover: HandoverRule,
    /// The workloads that are left to single agents, by name, of those that their certificates grant.
    pub agents: BTreeMap<String, Grants>,
    /// By which people are told of incidents.
    pub routes: Vec<RouteConfig>,
    /// Through which others are reached who are told.
    pub proxies: Proxies,
    /// The file that says all this, if operators may change the policy in it by a call.
    pub file: Option<Arc<dyn ConfigFile>>,
}

impl VaultConfig {
    /// A configuration with defaults for all but the places.
    pub fn new(dir: &Path, listen: SocketAddr, identity: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            listen,
            metrics_listen: None,
            identity: identity.to_owned(),
            issuer: None,
            names: Names::default(),
            agent_deadline: Settings::default().agent_deadline,
            look_after: LOOK_AFTER,
            save_state: SAVE_STATE,
            save_too: Vec::new(),
            withhold: WITHHOLD,
            policy: Policy::default(),
            limits: LimitPolicy::default(),
            services: BTreeMap::new(),
            sanity: SanityPolicy::default(),
            retention: RetentionPolicy::default(),
            fetch: BTreeMap::new(),
            scrub: ScrubPolicy::default(),
            drills: DrillPolicy::default(),
            scratch: None,
            zone: Zone::utc(),
            drill_time_max: DRILL_TIME_MAX,
            handovers: BTreeMap::new(),
            any_handover: HandoverRule::default(),
            agents: BTreeMap::new(),
            routes: Vec::new(),
            proxies: Proxies::default(),
            file: None,
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            policy: self.policy.clone(),
            services: self.services.clone(),
            agent_deadline: self.agent_deadline.max(AGENT_DEADLINE_MIN),
            stall: Settings::default().stall,
            reported_max: reported(&self.limits.default),
            reported_max_of: self
                .limits
                .agents
                .iter()
                .map(|(agent, limits)| (agent.clone(), reported(limits)))
                .collect(),
            handovers: self.handovers.clone(),
            any_handover: self.any_handover.clone(),
        }
    }
}

fn reported(limits: &AgentLimits) -> usize {
    usize::try_from(limits.reported_workloads).unwrap_or(usize::MAX)
}

/// The address to listen at that `text` means: `127.0.0.1:8443`, `[::]:8443`, `localhost:8443`, or
/// `:8443` for all addresses of this host (of version 4 of the protocol).
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let explained = |why: &str| format!("{text:?} {why}; give one such as localhost:8443 or :8443");
    let (host, port) =
        text.rsplit_once(':').ok_or_else(|| explained("is not an address with a port"))?;
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

/// A configuration file, as whoever runs the vault reads and writes it.
pub trait ConfigFile: fmt::Debug + Send + Sync {
    /// What the file would say if `text`, which somebody calls `name`, were its policy; or why it cannot, with
    /// line and key.
    fn with_policy(&self, name: &str, text: &str) -> Result<NewConfig, String>;

    /// Writes the file. It is on disk when this returns.
    fn write(&self, text: &str) -> io::Result<()>;

    /// Where it is, for messages.
    fn location(&self) -> String;
}

/// A configuration in place of the one in force.
pub struct NewConfig {
    pub config: VaultConfig,
    /// The whole file, then and now.
    pub text: String,
    pub before: String,
    /// The keys that say something else then.
    pub changes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
