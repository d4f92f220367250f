//! `outlast ca …`: the authority that says who is who, the certificates that it issued, and which of
//! them count no more.

mod authority;
mod kit;
mod page;
mod token;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Subcommand;
use outlast_wire::Role;
use outlast_wire::api::{CertificateView, Holder, RevokeOrder};
use outlast_wire::enrollment::TokenId;
use serde_json::json;

use super::vault_access::VaultAccess;
use crate::exit::Code;
use crate::output::{Output, table, whole_seconds};

/// Make the authority that says who is who, show its certificates, and revoke them
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  outlast ca init --dir /etc/outlast/ca --vault hq --host vault.example
  outlast ca list --vault https://vault.example:8443/ --identity ./operator
  outlast ca token --role agent --name eu-1 --out eu-1.token --dir ./outlast-data
  outlast ca revoke eu-1 --role agent --reason \"its host was stolen\" --dir ./outlast-data
  outlast ca kit --dir ./outlast-data --passphrase-file F --into ./kit
  outlast ca rotate --dir /etc/outlast/ca --host vault.example")]
pub(crate) enum Command {
    /// Make an authority, and the identities of a vault and of its first operator
    ///
    /// DIR/root signs issuers and nothing else: take it offline when this is done. DIR/issuer is what the
    /// vault issues by, DIR/vault what it speaks by, DIR/operator what you order by.
    #[command(
        after_help = "An authority that exists goes on: with --issuer, the vault issues by its
intermediate (certificates, then the private key in PKCS #8, P-256, P-384 or Ed25519), and --root are
the certificates that everybody trusts. DIR/root is not made then.

In vault.toml: identity = \"DIR/vault\" and issuer = \"DIR/issuer\".

Examples:
  outlast ca init --dir /etc/outlast/ca --vault hq --host vault.example --host 10.1.2.3
  outlast ca init --dir ca --vault hq --host vault.example --issuer bank.pem --root bank-root.pem"
    )]
    Init {
        /// Where the authority is to be; made if missing
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// The name of the vault
        #[arg(long, value_name = "NAME")]
        vault: String,
        /// A host name or IP address under which the vault is reached; may be given several times
        #[arg(long, value_name = "HOST", required = true)]
        host: Vec<String>,
        /// The name of the first operator
        #[arg(long, value_name = "NAME", default_value = "admin")]
        operator: String,
        /// An intermediate of an authority that exists, with its private key
        #[arg(long, value_name = "FILE", requires = "root")]
        issuer: Option<PathBuf>,
        /// The root certificates of that authority
        #[arg(long, value_name = "FILE", requires = "issuer")]
        root: Option<PathBuf>,
    },
    /// The certificates that the vault issued or has met
    #[command(after_help = "Example:
  outlast ca list --dir ./outlast-data --json")]
    List {
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Let certificates count no more, from this moment on
    ///
    /// With a name, all certificates that its holder has now, whoever issued them; the name may be given
    /// a new one later. Connections that are open are shut out, too. It cannot be taken back.
    #[command(after_help = "Examples:
  outlast ca revoke eu-1 --role agent --reason \"its host was stolen\" --dir ./outlast-data
  outlast ca revoke 5f2b60c1d3e4a5968778695a4b3c2d1e --vault https://vault.example:8443/ --identity id")]
    Revoke {
        /// The name of the holder; or a certificate's serial number or fingerprint, without --role
        #[arg(value_name = "NAME|SERIAL")]
        what: String,
        /// The role of the holder
        #[arg(long)]
        role: Option<Role>,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Have a token made, by which one host gets its first certificate
    Token(token::Args),
    /// The tokens that were made, and what became of them
    #[command(after_help = "Example:
  outlast ca tokens --dir ./outlast-data")]
    Tokens {
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Let a token serve no more; certificates that it gave stay as they are
    #[command(after_help = "Example:
  outlast ca revoke-token 5f2b60c1d3e4a596 --dir ./outlast-data")]
    RevokeToken {
        /// The token's id, as `outlast ca tokens` shows it
        id: TokenId,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Replace the root and the issuer, without a gap
    ///
    /// The first run makes a new root and issuer; both roots are trusted from then on, and every
    /// certificate that is issued or renewed is of the new one. When all have one, the second run, with
    /// --finish, renews vault and operator and lets the old root go: it opens no connection any more, and
    /// what it signed stays checkable.
    #[command(after_help = "Examples:
  outlast ca rotate --dir /etc/outlast/ca
  outlast ca list --vault https://vault.example:8443/ --identity ./operator   # have all been renewed?
  outlast ca rotate --dir /etc/outlast/ca --finish --host vault.example")]
    Rotate {
        /// The directory that `outlast ca init` made
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// End it: the old root is trusted for connections no more
        #[arg(long, requires = "host")]
        finish: bool,
        /// With --finish: a host name or IP address under which the vault is reached
        #[arg(long, value_name = "HOST", requires = "finish")]
        host: Vec<String>,
    },
    Kit(kit::Args),
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Code> {
    match command {
        Command::Kit(arguments) => return kit::run(arguments, output),
        Command::Init { dir, vault, host, operator, issuer, root } => {
            let given = issuer.as_deref().zip(root.as_deref());
            authority::init(dir, vault, host, operator, given)?;
            tell_places(dir, "made the authority", output)?;
        }
        Command::Rotate { dir, finish: false, .. } => {
            authority::begin_rotation(dir)?;
            tell_places(dir, "made a new root and issuer, trusted beside those before", output)?;
        }
        Command::Rotate { dir, finish: true, host } => {
            authority::finish_rotation(dir, host)?;
            tell_places(dir, "let the old root go; what it signed stays checkable", output)?;
        }
        Command::Token(arguments) => token::make(arguments, output)?,
        Command::Tokens { vault } => token::list(vault, output)?,
        Command::RevokeToken { id, vault } => token::revoke(*id, vault, output)?,
        Command::List { vault } => {
            let client = vault.client()?;
            let certificates = output.patiently(client.location(), || client.certificates())?;
            tell(&certificates, output)?;
        }
        Command::Revoke { what, role, reason, vault } => {
            let (holder, certificate) = match role {
                Some(role) => (Some(Holder { role: *role, name: what.clone() }), None),
                None if what.len() < 16 => {
                    bail!("{what:?} is no serial number: give --role if it is the name of a holder")
                }
                None => (None, Some(what.clone())),
            };
            let order = RevokeOrder { holder, certificate, reason: reason.clone() };
            tell(&vault.client()?.revoke(&order)?, output)?;
        }
    }
    Ok(Code::Done)
}

fn tell_places(dir: &std::path::Path, what: &str, output: &Output) -> Result<()> {
    let place = |name: &str| dir.join(name).display().to_string();
    let (issuer, vault, operator) = (place("issuer"), place("vault"), place("operator"));
    if output.is_json() {
        return output.json(&json!({ "issuer": issuer, "vault": vault, "operator": operator }));
    }
    output.line(format_args!("{what}"))?;
    output.line(format_args!("  issuer    {issuer}"))?;
    output.line(format_args!("  vault     {vault}"))?;
    output.line(format_args!("  operator  {operator}"))
}

fn tell(certificates: &[CertificateView], output: &Output) -> Result<()> {
    if output.is_json() {
        return output.json(&json!({ "certificates": certificates }));
    }
    let rows: Vec<Vec<String>> = certificates.iter().map(row).collect();
    table(output, &["HOLDER", "STATE", "UNTIL", "WORKLOADS", "GROUNDS", "SERIAL"], &rows)
}

/// The grounds of one that this vault did not issue.
fn elsewhere(issuer: &str) -> String {
    match issuer {
        // It was met by an earlier release.
        "" => "met".to_owned(),
        issuer => format!("issued elsewhere: {issuer}"),
    }
}

fn row(view: &CertificateView) -> Vec<String> {
    let certified = &view.certified;
    let state = match (&view.revoked, &view.reason) {
        (Some(at), Some(reason)) => format!("revoked {}: {reason}", whole_seconds(*at)),
        (Some(at), None) => format!("revoked {}", whole_seconds(*at)),
        _ => view.state.clone(),
    };
    vec![
        certified.peer.to_string(),
        state,
        whole_seconds(certified.validity.until),
        certified.grants.to_string(),
        view.grounds.clone().unwrap_or_else(|| elsewhere(&certified.issuer)),
        certified.serial.clone(),
    ]
}
