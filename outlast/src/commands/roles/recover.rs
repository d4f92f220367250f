//! `outlast vault recover` and `outlast vault resume`: a vault on an empty machine, from its repositories and
//! a kit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use outlast_fs::durable;
use outlast_types::Environment;
use outlast_vault::{IDENTITY_PLACE, Kit, Recovered, Recovery, VaultConfig};
use outlast_wire::api::ResumeReleases;
use serde_json::json;

use super::import::{ImportArgs, import};
use crate::commands::vault_access::VaultAccess;
use crate::exit::{Code, Usage};
use crate::home::{AUTHORITY, Home, ISSUER, OPERATOR, VAULT_CONFIG};
use crate::output::{Output, counted};
use crate::passphrase::PassphraseArgs;
use crate::settings::Document;
use crate::signals::Signals;

/// Where a vault listens of which nobody says.
const LISTEN: &str = ":8443";

/// What is done with a vault beside running it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Recover(RecoverArgs),
    Resume(ResumeArgs),
    Import(ImportArgs),
}

/// Bring a vault back on an empty machine, from its repositories and a recovery kit
///
/// The repositories stay where they are, and the new directory gets a link to them. Keys, identity and
/// authority, arrival records, orders and the audit log come back as the vault saved them last, beside the
/// repositories. Agents go on by themselves, if the machine is reached under the old name. Until each agent
/// that was known has reported, nothing leaves a share.
///
/// Whatever breaks it off, the same command begins anew; no vault starts in a directory in which it was not
/// finished.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outlast vault recover --from /mnt/repos --kit ./kit --passphrase-file F --dir /srv/outlast
  outlast vault --config /srv/outlast/vault.toml")]
pub(crate) struct RecoverArgs {
    /// The directory of the repositories: one directory per workload, and .vault
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The recovery kit that `outlast ca kit` made
    #[arg(long, value_name = "DIR")]
    kit: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Where everything is to be kept: the vault, its authority and identity, and vault.toml; a new directory
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Where the vault is to listen, if not where it did
    #[arg(long, value_name = "ADDR", value_parser = listen)]
    listen: Option<String>,
    /// Go on without repositories that the vault knew and that are not there
    #[arg(long)]
    accept_missing: bool,
    /// Go on without what the vault saved of itself, with the kit alone
    #[arg(long)]
    without_state: bool,
}

/// Let agents release again, though not all have reported since the vault was brought back
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outlast vault resume --reason \"eu-2 is gone for good\" --dir ./outlast-data")]
pub(crate) struct ResumeArgs {
    /// Why, for those who read it later
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    vault: VaultAccess,
}

fn listen(text: &str) -> Result<String, String> {
    outlast_vault::listen_address(text).map(|_| text.to_owned())
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Code> {
    match command {
        Command::Recover(arguments) => recover(arguments, output),
        Command::Resume(arguments) => resume(arguments, output),
        Command::Import(arguments) => {
            // Sent again, an object is there.
            Signals::end_first_process()?;
            import(arguments, output)
        }
    }
}

fn recover(arguments: &RecoverArgs, output: &Output) -> Result<Code> {
    // Begun anew whenever it is broken off, so a signal ends it as it ends other commands.
    Signals::end_first_process()?;
    let passphrase = arguments.passphrase.read()?;
    let kit = Kit::open(&arguments.kit, &passphrase)?;
    let dir = std::path::absolute(&arguments.dir).context("cannot find the directory")?;
    let home = Home::new(&dir);
    let configured = configured(&kit, &home);
    let mut recovered = outlast_vault::recover(
        &Recovery {
            kit: &kit,
            from: &arguments.from,
            dir: &home.vault(),
            places: &places(&home),
            configure: &|| {
                let done = configure(&home, arguments.listen.as_deref());
                done.map_err(|error| std::io::Error::other(format!("{error:#}")))
            },
            withhold: configured.withhold,
            accept_missing: arguments.accept_missing,
            without_state: arguments.without_state,
        },
        &Environment::system(),
    )?;
    // What lies with the authority comes with it.
    recovered.absent.retain(|name| !home.authority().join(name).exists());
    tell(&recovered, &home, output)?;
    Ok(Code::Done)
}

/// Where what was saved with the vault goes.
fn places(home: &Home) -> Vec<(String, PathBuf)> {
    let places = [
        (IDENTITY_PLACE, home.identity("vault")),
        (AUTHORITY, home.authority()),
        (ISSUER, issuer(home)),
        (OPERATOR, home.identity("operator")),
        (VAULT_CONFIG, home.config("vault")),
    ];
    places.map(|(name, place)| (name.to_owned(), place)).into()
}

/// That of an authority that is kept in parts, or by others.
fn issuer(home: &Home) -> PathBuf {
    home.authority().join(ISSUER)
}

/// The configuration of the lost vault, as far as the kit has it and it can be read.
fn configured(kit: &Kit, home: &Home) -> VaultConfig {
    let text = kit.file(VAULT_CONFIG).and_then(|content| String::from_utf8(content).ok());
    let read = |text: String| -> Result<VaultConfig> {
        Document::new(&home.config("vault"), text)?.with_environment()
    };
    match text.map(read).transpose() {
        Ok(Some(config)) => config,
        other => {
            if let Err(error) = other {
                tracing::warn!("the configuration in the kit cannot be used: {error:#}");
            }
            let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
            VaultConfig::new(&home.vault(), nowhere, &home.identity("vault"))
        }
    }
}

/// Makes the configuration that of this place.
fn configure(home: &Home, listen: Option<&str>) -> Result<()> {
    let path = home.config("vault");
    let mut document = match path.exists() {
        true => Document::read(&path)?,
        false => Document::new(&path, String::new())?,
    };
    document.set("vault", "dir", text(&home.vault())?)?;
    document.set("vault", "identity", text(&home.identity("vault"))?)?;
    if issuer(home).exists() {
        document.set("vault", "issuer", text(&issuer(home))?)?;
    }
    match listen {
        Some(listen) => document.set("vault", "listen", listen)?,
        None => document.set_default("vault", "listen", LISTEN)?,
    }
    durable::replace(&path, document.text().as_bytes(), 0o644)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn text(path: &Path) -> Result<&str> {
    let wrong = || Usage(format!("the path {} is not text", path.display()));
    Ok(path.to_str().ok_or_else(wrong)?)
}

fn tell(recovered: &Recovered, home: &Home, output: &Output) -> Result<()> {
    let Recovered { saved, head, repositories, younger, missing, agents, withheld_until, absent } =
        recovered;
    let config = home.config("vault");
    if output.is_json() {
        return output.json(&json!({
            "saved": saved,
            "head": head,
            "repositories": repositories,
            "younger": younger,
            "missing": missing,
            "waiting_for_agents": agents,
            "withheld_until": withheld_until,
            "absent": absent,
            "config": config,
        }));
    }
    let shown = home.path().display();
    let count = match repositories {
        1 => "1 repository".to_owned(),
        count => format!("{count} repositories"),
    };
    output.line(format_args!("the vault is back in {shown}, with {count}"))?;
    match saved {
        Some(saved) => output.line(format_args!("  its own state is of {saved}"))?,
        None => {
            output.line("  of its own state only what the kit has: arrivals and orders are lost")?
        }
    }
    if !younger.is_empty() {
        let younger = counted(younger.len() as u64, "workload");
        output.line(format_args!("  {younger} came after that, and were found"))?;
    }
    for name in missing {
        output.line(format_args!("  MISSING: the repository of {name}"))?;
    }
    for name in absent {
        output.line(format_args!("  not in kit or state: {name}"))?;
    }
    if !agents.is_empty() {
        output.line(format_args!(
            "  nothing leaves a share before these agents have reported, or {withheld_until}: {}",
            agents.join(", ")
        ))?;
    }
    output.line("Start it, under the name or address of the old one:")?;
    output.line(format_args!("  outlast vault --config {}", config.display()))
}

fn resume(arguments: &ResumeArgs, output: &Output) -> Result<Code> {
    let client = arguments.vault.client()?;
    let order = ResumeReleases { reason: arguments.reason.clone() };
    let resumed = output.patiently(client.location(), || client.resume_releases(&order))?;
    if output.is_json() {
        output.json(&resumed)?;
    } else if resumed.silent_agents.is_empty() {
        output.line("agents may release again what the vault holds")?;
    } else {
        let silent = resumed.silent_agents.join(", ");
        output.line(format_args!("agents may release again; never heard of: {silent}"))?;
    }
    Ok(Code::Done)
}
