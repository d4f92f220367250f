//! What a vault goes by, out of its file and of what lies beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use outlast_vault::VaultConfig;

use super::policy_file::PolicyFile;
use crate::home::{self, Home};
use crate::proxies::proxies;
use crate::settings::Document;

/// The keys of a vault that it takes over without a restart.
pub(super) const VAULT_TAKES: [&str; 80] = [
    "vault.agent_deadline",
    "promise.rpo",
    "promise.owner",
    "promise.class",
    "promise.schedule",
    "promise.deadline",
    "promise.zone",
    "promise.weekdays",
    "promise.holidays",
    "promise.maintenance",
    "promise.safe",
    "promise.deploy_grace",
    "promise.restore_why",
    "promise.route",
    "classes.rpo",
    "classes.owner",
    "classes.schedule",
    "classes.deadline",
    "classes.zone",
    "classes.weekdays",
    "classes.holidays",
    "classes.maintenance",
    "classes.safe",
    "classes.deploy_grace",
    "classes.restore_why",
    "classes.route",
    "classes.keep",
    "classes.immutable_for",
    "classes.drill_every",
    "classes.drill_level",
    "classes.drill_pick",
    "classes.drill_recipe",
    "classes.drill_check",
    "classes.drill_command",
    "workloads.rpo",
    "workloads.owner",
    "workloads.class",
    "workloads.schedule",
    "workloads.deadline",
    "workloads.zone",
    "workloads.weekdays",
    "workloads.holidays",
    "workloads.maintenance",
    "workloads.safe",
    "workloads.deploy_grace",
    "workloads.restore_why",
    "workloads.route",
    "workloads.keep",
    "workloads.immutable_for",
    "workloads.drill_every",
    "workloads.drill_level",
    "workloads.drill_pick",
    "workloads.drill_recipe",
    "workloads.drill_check",
    "workloads.drill_command",
    "workloads.stored",
    "workloads.members",
    "workloads.fetch",
    "workloads.min_size",
    "workloads.shrink_max",
    "workloads.floor",
    "workloads.kinds",
    "sanity.min_size",
    "sanity.shrink_max",
    "sanity.floor",
    "sanity.kinds",
    "retention.keep",
    "retention.zone",
    "retention.min_age",
    "retention.immutable_for",
    "retention.hours",
    "drills.every",
    "drills.level",
    "drills.pick",
    "drills.rate",
    "agents.*",
    "limits.*",
    "handovers.*",
    "handover.*",
    "route.*",
];

/// The configuration of a vault in the file at `path`, with what is saved with its state: that file, and the
/// authority and the operator's identity where they lie beside it, as in the directory of an `up`.
pub(crate) fn vault_config(path: &Path) -> Result<VaultConfig> {
    finished(path, &Document::read(path)?)
}

/// The same of a document that is, or shall be, the file at `path`.
fn finished(path: &Path, document: &Document) -> Result<VaultConfig> {
    let mut config: VaultConfig = document.with_environment()?;
    config.proxies = proxies()?;
    config.file = Some(policy_file(path));
    config.save_too = saved_with_vault(path);
    // One that lies with the authority is saved with that.
    let is_saved = |issuer: &PathBuf| config.save_too.iter().any(|(_, at)| issuer.starts_with(at));
    let issuer = config.issuer.clone().filter(|issuer| !is_saved(issuer));
    config.save_too.extend(issuer.map(|issuer| (home::ISSUER.to_owned(), issuer)));
    Ok(config)
}

/// The file at `path`, in which operators may change the policy by a call.
pub(crate) fn policy_file(path: &Path) -> Arc<PolicyFile> {
    Arc::new(PolicyFile::at(path, &VAULT_TAKES, finished))
}

/// What is saved with the state of the vault that is configured at `path`, and goes into its kits.
pub(crate) fn saved_with_vault(path: &Path) -> Vec<(String, PathBuf)> {
    let home = Home::new(path.parent().unwrap_or(Path::new(".")));
    let places = [(home::AUTHORITY, home.authority()), (home::OPERATOR, home.identity("operator"))];
    let places = places.into_iter().filter(|(_, place)| place.is_dir());
    let config = (home::VAULT_CONFIG, path.to_owned());
    places.chain([config]).map(|(name, place)| (name.to_owned(), place)).collect()
}
