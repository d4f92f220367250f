//! A policy, applied at a running vault.

use std::path::Path;

use anyhow::Result;
use outlast_wire::api::ApplyPolicy;

use crate::commands::vault_access::VaultAccess;
use crate::exit::Usage;
use crate::output::Output;
use crate::settings::Document;

pub(super) fn run(
    file: &Path,
    reason: Option<&str>,
    vault: &VaultAccess,
    output: &Output,
) -> Result<()> {
    // Whatever is wrong with it is wrong with what was typed, and is told without a vault.
    let document = Document::read(file);
    let checked = document.and_then(|document| document.policy().map(|_| document));
    let document = checked.map_err(|error| Usage(format!("{error:#}")))?;
    let policy = ApplyPolicy {
        name: file.display().to_string(),
        text: document.text().to_owned(),
        reason: reason.map(str::to_owned),
    };
    let applied = vault.client()?.apply_policy(&policy)?;
    if output.is_json() {
        return output.json(&applied);
    }
    if applied.changes.is_empty() {
        return output.line("it holds already: the vault's file said the same");
    }
    applied.changes.iter().try_for_each(|change| output.line(change))
}
