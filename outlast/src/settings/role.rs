//! The roles' configurations, from settings.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use anyhow::Result;
use outlast_agent::answers::{AskedBy, FetchRules};
use outlast_agent::{AgentConfig, Budgets};
use outlast_civil::Zone;
use outlast_drop::DropLimits;
use outlast_promise::{HandoverRule, Policy, work_hours};
use outlast_types::SanityRule;
use outlast_vault::{
    AgentLimits, LimitPolicy, RetentionPolicy, RetentionRule, SanityPolicy, ScrubPolicy,
    VaultConfig,
};
use outlast_wire::Proxies;
use outlast_wire::outside::LookoutConfig;

use super::flaw::Flaw;
use super::handed::Confirmers;
use super::key::RoleKeys;
use super::routes;
use super::services::{self, Services};
use super::sources::{self, Sources};
use super::table::{AGENT, VAULT};
use super::values::Settings;
use super::{adopted, drills, handed, policy};

/// The configuration of a role.
pub(crate) trait Configured: Sized {
    /// The keys that it knows.
    const ROLE: &'static RoleKeys;

    /// What is wrong with settings that are right each by itself.
    fn judge(_settings: &Settings) -> Vec<Flaw> {
        Vec::new()
    }

    fn build(settings: &Settings) -> Result<Self>;
}

/// All that an agent is told.
#[derive(Debug, Clone)]
pub(crate) struct AgentSettings {
    pub(crate) config: AgentConfig,
    /// What it backs up itself.
    pub(crate) sources: Sources,
    /// How it watches over its vault.
    pub(crate) lookout: LookoutConfig,
    /// How the products of its hand-overs are asked for what they have.
    pub(crate) confirmers: BTreeMap<String, Confirmers>,
}

impl Configured for AgentSettings {
    const ROLE: &'static RoleKeys = &AGENT;

    fn judge(settings: &Settings) -> Vec<Flaw> {
        AgentConfig::judge(settings)
    }

    fn build(settings: &Settings) -> Result<Self> {
        let (config, sources) = (AgentConfig::build(settings)?, sources::build(settings)?);
        let (lookout, confirmers) =
            (routes::lookout(settings, "agent")?, handed::confirmers(settings)?);
        Ok(Self { config, sources, lookout, confirmers })
    }
}

impl Configured for AgentConfig {
    const ROLE: &'static RoleKeys = &AGENT;

    fn judge(settings: &Settings) -> Vec<Flaw> {
        let mut flaws = sources::judge(settings);
        flaws.extend(adopted::flaws(settings));
        flaws.extend(handed::judge(settings));
        flaws.extend(routes::judge(settings));
        flaws
    }

    fn build(settings: &Settings) -> Result<Self> {
        let [share, state, identity] =
            ["share", "state", "identity"].map(|key| settings.path(&format!("agent.{key}")));
        let usual = Self::new(&share?, &state?, settings.text("agent.upstream")?, &identity?);
        let ratio_max = settings.count("agent.ratio_max")? as u64;
        let mut drop_max = BTreeMap::new();
        let mut budgets = Budgets {
            workload: settings.size("agent.budget")?,
            share: settings.size("agent.share_budget")?,
            ..Budgets::default()
        };
        for workload in &settings.workloads {
            let size = |key: &str| settings.size(&format!("workloads.{workload}.{key}"));
            drop_max.insert(workload.clone(), size("drop_max")?);
            budgets.of.insert(workload.clone(), size("budget")?);
        }
        Ok(Self {
            // They have variables of their own.
            proxies: Proxies::default(),
            names: settings.identities.clone(),
            limits: DropLimits {
                bytes_max: settings.size("agent.drop_max")?,
                ratio_max,
                ..usual.limits
            },
            drop_max,
            budgets,
            receipts_keep: settings.duration("agent.receipts_keep")?,
            fetch: FetchRules {
                budget: settings.size("agent.fetch_budget")?,
                keep: settings.duration("agent.fetch_keep")?,
                asked_by: asked_by(settings.text("agent.fetch_from")?),
            },
            adopt: adopted::rules(settings)?,
            handover: handed::build(settings)?,
            seal_key: settings.path_if_set("agent.seal_key"),
            textfile: settings.path_if_set("agent.textfile"),
            poll: settings.duration("agent.poll")?,
            grace: settings.duration("agent.grace")?,
            keep: settings.count("agent.keep")?,
            loads_at_once: settings.count("agent.loads_at_once")?,
            report: settings.duration("agent.report")?,
            patience: settings.duration("agent.patience")?,
            ..usual
        })
    }
}

impl Configured for VaultConfig {
    const ROLE: &'static RoleKeys = &VAULT;

    fn judge(settings: &Settings) -> Vec<Flaw> {
        let mut flaws = services::judge(settings);
        flaws.extend(policy::judge(settings, Self::ROLE));
        // What cannot be read twice is told once.
        if let Some(dir) = settings.path_if_set("vault.dir").filter(|_| flaws.is_empty()) {
            flaws.extend(policy::judge_long_windows(settings, &dir));
        }
        flaws.extend(routes::judge(settings));
        if let Ok(zone) = settings.text("reports.zone")
            && let Err(error) = Zone::named(zone)
        {
            flaws.push(settings.flaw("reports.zone", &error.to_string()));
        }
        flaws
    }

    fn build(settings: &Settings) -> Result<Self> {
        let policy = policy::build(settings);
        let services = Services::of(settings);
        let mut sanity = SanityPolicy {
            default: sanity_rule(settings, |name| format!("sanity.{name}"))?,
            workloads: BTreeMap::new(),
        };
        let mut limits = LimitPolicy {
            default: agent_limits(settings, "limits")?,
            workload_stored: settings.size("limits.workload_stored")?,
            ..LimitPolicy::default()
        };
        let mut fetch = BTreeMap::new();
        for workload in services.workloads(settings) {
            let said = |name: &str| services.key(settings, &workload, name);
            let stored = said("stored").unwrap_or_else(|| "limits.workload_stored".to_owned());
            limits.workloads.insert(workload.clone(), settings.size(&stored)?);
            // What nobody says is no leave.
            if let Some(oldest) = said("fetch").and_then(|key| settings.duration(&key).ok()) {
                fetch.insert(workload.clone(), oldest);
            }
            let of_sanity = |name: &str| said(name).unwrap_or_else(|| format!("sanity.{name}"));
            sanity.workloads.insert(workload.clone(), sanity_rule(settings, of_sanity)?);
        }
        let retention = retention(settings, &policy)?;
        let drills = drills::policy(settings, &services)?;
        let mut agents = BTreeMap::new();
        for agent in &settings.agents {
            agents.insert(agent.clone(), settings.grants(&format!("agents.{agent}.workloads"))?);
            limits
                .agents
                .insert(agent.clone(), agent_limits(settings, &format!("agents.{agent}"))?);
        }
        let mut handovers = BTreeMap::new();
        for name in &settings.handovers {
            handovers.insert(name.clone(), handover(settings, &format!("handover.{name}"))?);
        }
        let listen = settings.listen("vault.listen")?;
        let (dir, identity) = (settings.path("vault.dir")?, settings.path("vault.identity")?);
        Ok(Self {
            metrics_listen: settings.listen_if_set("vault.metrics_listen"),
            names: settings.identities.clone(),
            issuer: settings.path_if_set("vault.issuer"),
            agent_deadline: settings.duration("vault.agent_deadline")?,
            save_state: settings.duration("vault.save_state")?,
            withhold: settings.duration("vault.withhold")?,
            policy,
            limits,
            services: services.members,
            sanity,
            retention,
            fetch,
            zone: Zone::named(settings.text("reports.zone")?)?,
            scrub: scrub(settings)?,
            drills,
            scratch: settings.path_if_set("drills.scratch"),
            drill_time_max: settings.duration("drills.time_max")?,
            agents,
            handovers,
            any_handover: handover(settings, "handovers")?,
            routes: routes::build(settings)?,
            ..Self::new(&dir, listen, &identity)
        })
    }
}

/// What is expected of a backup product, as a section says it.
fn handover(settings: &Settings, section: &str) -> Result<HandoverRule> {
    let key = |name: &str| format!("{section}.{name}");
    Ok(HandoverRule {
        owner: settings.text(&key("owner"))?.to_owned(),
        route: settings.text_if_set(&key("route")).map(str::to_owned),
        read_within: settings.duration(&key("read_within"))?,
        confirm_within: settings.duration(&key("confirm_within"))?,
    })
}

/// How often all data is read, and how fast.
fn scrub(settings: &Settings) -> Result<ScrubPolicy> {
    let rate = settings.size("scrub.rate")?;
    let rate = NonZeroU64::new(rate).filter(|rate| rate.get() != u64::MAX);
    Ok(ScrubPolicy { period: settings.duration("scrub.period")?, rate })
}

/// Who may ask for backups, by a word that was found right.
fn asked_by(word: &str) -> AskedBy {
    let known = AskedBy::ALL.into_iter().find(|known| known.as_str() == word);
    known.unwrap_or(AskedBy::Nobody)
}

/// What is asked of the content of drops, of one workload or of all, by the keys in which that stands.
fn sanity_rule(settings: &Settings, key: impl Fn(&str) -> String) -> Result<SanityRule> {
    Ok(SanityRule {
        min_size: Some(settings.size(&key("min_size"))?),
        shrink_max: u8::try_from(settings.count(&key("shrink_max"))?).ok(),
        floor: Some(settings.size(&key("floor"))?),
        kinds: settings.contents(&key("kinds"))?,
    })
}

/// How long snapshots are kept.
fn retention(settings: &Settings, policy: &Policy) -> Result<RetentionPolicy> {
    let keep = settings.text_if_set("retention.keep").map(str::parse).transpose()?;
    Ok(RetentionPolicy {
        default: RetentionRule {
            class: None,
            keep,
            immutable_for: settings.duration_if_set("retention.immutable_for").unwrap_or_default(),
            zone: settings.text("retention.zone")?.parse()?,
        },
        policy: policy.clone(),
        min_age: settings.duration("retention.min_age")?,
        hours: work_hours(settings.text("retention.hours")?)?,
    })
}

/// What an agent may have, or all of them, as a section says it.
fn agent_limits(settings: &Settings, section: &str) -> Result<AgentLimits> {
    let key = |name: &str| format!("{section}.{name}");
    Ok(AgentLimits {
        new_workloads: settings.count(&key("new_workloads"))? as u64,
        reported_workloads: settings.count(&key("reported_workloads"))? as u64,
        received: settings.size(&key("received"))?,
        objects: settings.count(&key("objects"))? as u64,
        stored: settings.size(&key("stored"))?,
        requests_per_second: u32::try_from(settings.count(&key("requests"))?).unwrap_or(u32::MAX),
    })
}
