//! Tokens, by which hosts get their first certificate.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use outlast_types::human;
use outlast_wire::api::{TokenOrder, TokenView};
use outlast_wire::enrollment::TokenId;
use outlast_wire::grants::WorkloadPattern;
use outlast_wire::{Grants, Role};
use serde_json::json;

use crate::commands::vault_access::VaultAccess;
use crate::output::{Output, table, whole_seconds};

/// Tokens hold a secret: nobody else on this host reads them.
const FILE_MODE: u32 = 0o600;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The token is printed once, and nobody can print it again. Bring it to the host in a file that
only its owner can read, never on a command line; `outlast enroll --token-file FILE` is all that the
host does with it. Its secret does not travel, so a media server may pass the enrolment on.

A reusable token serves one name again and again, for a host that replaces itself: each use revokes
that name's earlier certificate at once. It serves at most 24 times a day, and revoking the holder
(`outlast ca revoke NAME --role ROLE`) ends it, too.

Examples:
  outlast ca token --role agent --name eu-1 --workloads 'shop-*' --out eu-1.token --dir ./outlast-data
  outlast ca token --role agent --name eu-1 --reusable --ttl 365d --out eu-1.token \\
      --vault https://vault.example:8443/ --identity ./operator
  outlast ca token --role media --name cloud-1 --host media.example --ttl 1h --out media.token --dir ."
)]
pub(crate) struct Args {
    /// What the host may do: agent, media, vault, operator or reader
    #[arg(long)]
    role: Role,
    /// The name of the host, which stands in all that it does
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The workloads that it may touch, such as shop-*; several may follow [default: all]
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    workloads: Vec<WorkloadPattern>,
    /// A host name or IP address under which a vault or media server is reached; may be repeated
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// How long the token serves
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = human::parse_duration)]
    ttl: Duration,
    /// Let it serve again, each time in place of the time before
    #[arg(long)]
    reusable: bool,
    /// Where the host finds the vault, or a media server that leads to it [default: as given here]
    #[arg(long, value_name = "URL")]
    address: Vec<String>,
    /// Write the token to this new file, mode 0600, instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    vault: VaultAccess,
}

pub(super) fn make(arguments: &Args, output: &Output) -> Result<()> {
    let client = arguments.vault.client()?;
    let grants = match arguments.workloads.as_slice() {
        [] => Grants::all(),
        patterns => Grants::of(patterns.iter().cloned())?,
    };
    let addresses = match arguments.address.as_slice() {
        [] => vec![client.location().to_owned()],
        given => given.to_vec(),
    };
    // Before the token is made: one that cannot be written is lost.
    let file = arguments.out.as_deref().map(|path| new_file(path).map(|file| (path, file)));
    let file = file.transpose()?;
    let order = TokenOrder {
        role: arguments.role,
        name: arguments.name.clone(),
        grants,
        hosts: arguments.host.clone(),
        ttl_seconds: arguments.ttl.as_secs(),
        reusable: arguments.reusable,
        addresses,
    };
    let made = match output.patiently(client.location(), || client.make_token(&order)) {
        Ok(made) => made,
        Err(error) => {
            if let Some((path, _)) = &file {
                // It is empty, and ours.
                let _ = std::fs::remove_file(path);
            }
            return Err(error.into());
        }
    };
    if let Some((path, mut file)) = file {
        file.write_all(made.token.as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.sync_all())
            .with_context(|| format!("cannot write {}", path.display()))?;
        if output.is_json() {
            return output.json(&json!({ "file": path, "token": made.view }));
        }
        return output.line(format_args!(
            "token {} for {} is in {}, until {}",
            made.view.id,
            made.view.holder,
            path.display(),
            whole_seconds(made.view.until)
        ));
    }
    if output.is_json() {
        return output.json(&json!({ "text": made.token, "token": made.view }));
    }
    output.line(&made.token)
}

fn new_file(path: &Path) -> Result<File> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
        .with_context(|| format!("cannot make {}", path.display()))
}

pub(super) fn list(vault: &VaultAccess, output: &Output) -> Result<()> {
    let client = vault.client()?;
    tell(&output.patiently(client.location(), || client.tokens())?, output)
}

pub(super) fn revoke(id: TokenId, vault: &VaultAccess, output: &Output) -> Result<()> {
    tell(&[vault.client()?.revoke_token(id)?], output)
}

fn tell(tokens: &[TokenView], output: &Output) -> Result<()> {
    if output.is_json() {
        return output.json(&json!({ "tokens": tokens }));
    }
    let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
    table(output, &["ID", "HOLDER", "STATE", "UNTIL", "WORKLOADS", "LAST USE", "BY"], &rows)
}

fn row(view: &TokenView) -> Vec<String> {
    let kind = if view.reusable { ", reusable" } else { "" };
    vec![
        view.id.clone(),
        view.holder.to_string(),
        format!("{}{kind}", view.state),
        whole_seconds(view.until),
        view.grants.to_string(),
        view.last_use.map_or_else(|| "-".to_owned(), whole_seconds),
        view.by.clone(),
    ]
}
