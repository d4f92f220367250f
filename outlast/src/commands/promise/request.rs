//! Asking for what in a policy takes two operators.

use std::path::Path;

use anyhow::Result;
use outlast_types::human;
use outlast_wire::api::{AgreementOrder, AgreementView};

use crate::commands::vault_access::VaultAccess;
use crate::exit::Usage;
use crate::output::Output;
use crate::settings::Document;

pub(super) fn run(file: &Path, reason: &str, vault: &VaultAccess, output: &Output) -> Result<()> {
    let document = Document::read(file);
    let checked = document.and_then(|document| document.policy().map(|_| document));
    let document = checked.map_err(|error| Usage(format!("{error:#}")))?;
    let client = vault.client()?;
    let known = client.agreements()?;
    let mut asked = Vec::new();
    for long in document.long_windows()? {
        let windows: Vec<String> = long.run.windows.iter().map(ToString::to_string).collect();
        let is_it = |it: &&AgreementView| {
            it.section == long.section && windows.iter().all(|window| it.windows.contains(window))
        };
        if let Some(known) = known.iter().find(is_it) {
            output.remark(in_words(known));
            continue;
        }
        output.remark(format_args!(
            "{}.maintenance lets pages wait for {} without a break, from {} on",
            long.section,
            human::duration(long.run.length),
            long.run.begin
        ));
        let (section, reason) = (long.section, reason.to_owned());
        asked.push(client.order_agreement(&AgreementOrder::Ask { section, windows, reason })?);
    }
    if output.is_json() {
        return output.json(&asked);
    }
    if asked.is_empty() {
        return output.line("nothing in it has to be asked for");
    }
    asked.iter().try_for_each(|it| output.line(in_words(it)))?;
    output.remark("another operator agrees by: outlast approve policy:NUMBER --reason TEXT");
    Ok(())
}

/// `policy:3: classes.nightly: sat,sun 00:00-24:00 move: asked for by operator a …`.
pub(crate) fn in_words(of: &AgreementView) -> String {
    let AgreementView { agreement, section, windows, reason, by, at, .. } = of;
    let windows = windows.join("; ");
    let approved = match (&of.approved_by, of.approved_at) {
        (Some(by), Some(at)) => format!("approved by {by} at {at}: policy may say so"),
        _ => "waits for another operator".to_owned(),
    };
    format!(
        "policy:{agreement}: {section}.maintenance: {windows}: asked for by {by} at {at}, {reason}; {approved}"
    )
}
