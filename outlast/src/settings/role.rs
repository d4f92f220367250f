//! The roles' configurations, from settings.

use std::collections::BTreeMap;

use anyhow::Result;
use outlast_agent::AgentConfig;
use outlast_drop::DropLimits;
use outlast_promise::{Declaration, Promise};
use outlast_vault::VaultConfig;
use outlast_wire::Proxies;

use super::key::{AGENT, RoleKeys, VAULT};
use super::resolve::Settings;

/// The configuration of a role.
pub(crate) trait Configured: Sized {
    /// The keys that it knows.
    const ROLE: &'static RoleKeys;

    fn build(settings: &Settings) -> Result<Self>;
}

impl Configured for AgentConfig {
    const ROLE: &'static RoleKeys = &AGENT;

    fn build(settings: &Settings) -> Result<Self> {
        let [share, state, identity] =
            ["share", "state", "identity"].map(|key| settings.path(&format!("agent.{key}")));
        let usual = Self::new(&share?, &state?, settings.text("agent.upstream")?, &identity?);
        let ratio_max = settings.count("agent.ratio_max")? as u64;
        let mut drop_max = BTreeMap::new();
        for workload in &settings.workloads {
            let key = format!("workloads.{workload}.drop_max");
            drop_max.insert(workload.clone(), settings.size(&key)?);
        }
        Ok(Self {
            // They have variables of their own.
            proxies: Proxies::default(),
            limits: DropLimits {
                bytes_max: settings.size("agent.drop_max")?,
                ratio_max,
                ..usual.limits
            },
            drop_max,
            textfile: settings.path_if_set("agent.textfile"),
            poll: settings.duration("agent.poll")?,
            grace: settings.duration("agent.grace")?,
            keep: settings.count("agent.keep")?,
            report: settings.duration("agent.report")?,
            patience: settings.duration("agent.patience")?,
            ..usual
        })
    }
}

impl Configured for VaultConfig {
    const ROLE: &'static RoleKeys = &VAULT;

    fn build(settings: &Settings) -> Result<Self> {
        let promise =
            Promise::new(settings.duration("promise.rpo")?, settings.text("promise.owner")?)?;
        let mut workloads = BTreeMap::new();
        for workload in &settings.workloads {
            // What a section does not say is open: it follows the policy for all workloads.
            let [rpo, owner] = ["rpo", "owner"].map(|key| format!("workloads.{workload}.{key}"));
            let rpo = settings.is_set(&rpo).then(|| settings.duration(&rpo)).transpose()?;
            let owner = settings.is_set(&owner).then(|| settings.text(&owner)).transpose()?;
            workloads.insert(workload.clone(), Declaration::new(rpo, owner)?);
        }
        let listen = settings.listen("vault.listen")?;
        let (dir, identity) = (settings.path("vault.dir")?, settings.path("vault.identity")?);
        Ok(Self {
            metrics_listen: settings.listen_if_set("vault.metrics_listen"),
            names: settings.identities.clone(),
            issuer: settings.path_if_set("vault.issuer"),
            agent_deadline: settings.duration("vault.agent_deadline")?,
            promise,
            workloads,
            ..Self::new(&dir, listen, &identity)
        })
    }
}
