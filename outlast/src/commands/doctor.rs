//! `outlast doctor`: looks at all that a role stands on, from where it runs, and says what to mend.

mod alerts;
mod certificate;
mod drills;
mod finding;
mod handover;
mod mount;
mod place;
mod source;
mod spool;
mod way;

use std::path::{Path, PathBuf};

use anyhow::Result;
use outlast_vault::VaultConfig;
use outlast_wire::Role;
use outlast_wire::names::Names;
use serde_json::json;

use super::sources::settings_of;
use crate::exit::{Code, Usage};
use crate::home::{Home, Serving};
use crate::output::Output;
use crate::proxies::proxies;
use crate::settings::{AgentSettings, Document, MediaSettings};

use finding::{Finding, Verdict};

/// Where the files of packages lie.
const FILES: [(RoleName, &str); 4] = [
    (RoleName::Agent, "/etc/outlast/agent.toml"),
    (RoleName::Media, "/etc/outlast/media.toml"),
    (RoleName::Vault, "/etc/outlast/vault.toml"),
    // Only where somebody asks for it: people are told.
    (RoleName::Alerts, "/etc/outlast/vault.toml"),
];

/// Look at all that a role stands on, and say what to mend
///
/// Configuration, share, spool, disk space, certificates, and the whole way to the vault: name, proxy, addresses,
/// TLS, role, clock and throughput. Run it on the host, as the user and with the environment of the role.
/// Nothing is changed. `outlast doctor alerts` sends a test, marked as one, by every route.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 all is well, or there are warnings only; 1 something is to be mended; 3 something cannot
be judged.

Examples:
  outlast doctor                                  by /etc/outlast/agent.toml, media.toml and vault.toml, if they are there
  outlast doctor agent --config /etc/outlast/agent.toml
  outlast doctor alerts --config /etc/outlast/vault.toml      (or agent.toml, media.toml)
  outlast doctor --dir ./outlast-data --json
  outlast doctor --vault https://vault.example:8443/ --identity ./id"
)]
pub(crate) struct Args {
    /// Whose configuration
    role: Option<RoleName>,
    /// The role's file
    #[arg(long, value_name = "FILE", requires = "role", conflicts_with_all = ["dir", "vault"])]
    config: Option<PathBuf>,
    /// The directory of an `outlast up` on this host
    #[arg(long, value_name = "DIR", conflicts_with = "vault")]
    dir: Option<PathBuf>,
    /// Only the way to this vault, such as `https://vault.example:8443/`
    #[arg(long, value_name = "URL", requires = "identity", conflicts_with = "role")]
    vault: Option<String>,
    /// The directory with the identity to use with --vault
    #[arg(long, value_name = "DIR", requires = "vault")]
    identity: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RoleName {
    Agent,
    Media,
    Vault,
    /// A marked test by every route of the configuration
    Alerts,
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let findings = findings(arguments, output)?;
    let worst = findings.iter().map(|finding| finding.verdict).max();
    let code = match worst {
        Some(Verdict::Bad) => Code::Failed,
        Some(Verdict::Unknown) | None => Code::Incomplete,
        Some(Verdict::Good | Verdict::Warning) => Code::Done,
    };
    if output.is_json() {
        output.json(&json!({ "code": code as u8, "findings": findings }))?;
        return Ok(code);
    }
    findings.iter().try_for_each(|finding| finding.tell(output))?;
    output.gap()?;
    output.line(match code {
        Code::Done => "nothing has to be mended",
        Code::Incomplete => "not all could be judged",
        _ => "there is something to mend",
    })?;
    Ok(code)
}

fn findings(arguments: &Args, output: &Output) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    if let (Some(vault), Some(identity)) = (&arguments.vault, &arguments.identity) {
        way::look(vault, identity, &Names::default(), None, output, &mut found);
        return Ok(found);
    }
    if let Some(dir) = &arguments.dir {
        let home = Home::new(dir);
        let is_asked = |role| arguments.role.is_none_or(|asked| asked == role);
        if is_asked(RoleName::Vault) {
            vault(&home.config("vault"), output, &mut found);
        }
        if arguments.role == Some(RoleName::Alerts) {
            routes(&home.config("vault"), &mut found);
        }
        if is_asked(RoleName::Agent) {
            agent(&home.config("agent"), output, &mut found);
        }
        if let Ok(Serving { url, .. }) = home.read_serving()
            && arguments.role.is_none()
        {
            let operator = home.identity("operator");
            let role = Some(Role::Operator);
            way::look(&url, &operator, &Names::default(), role, output, &mut found);
        }
        return Ok(found);
    }
    let files: Vec<(RoleName, PathBuf)> = match (arguments.role, &arguments.config) {
        (Some(role), Some(file)) => vec![(role, file.clone())],
        (asked, _) => FILES
            .iter()
            .filter(|(role, file)| match asked {
                Some(asked) => asked == *role,
                None => *role != RoleName::Alerts && Path::new(file).exists(),
            })
            .map(|(role, file)| (*role, PathBuf::from(file)))
            .collect(),
    };
    if files.is_empty() {
        let words = "there is no /etc/outlast/agent.toml, media.toml or vault.toml; name a role and its --config, the \
                     --dir of an `outlast up`, or --vault and --identity";
        return Err(Usage(words.to_owned()).into());
    }
    for (role, file) in files {
        match role {
            RoleName::Agent => agent(&file, output, &mut found),
            RoleName::Media => media(&file, output, &mut found),
            RoleName::Vault => vault(&file, output, &mut found),
            RoleName::Alerts => routes(&file, &mut found),
        }
    }
    Ok(found)
}

/// All that an agent stands on.
fn agent(file: &Path, output: &Output, found: &mut Vec<Finding>) {
    let settings = Document::read(file).and_then(|file| settings_of(&file));
    let Some(settings) = configured(settings, file, found) else { return };
    let AgentSettings { config, sources, lookout, .. } = settings;
    if sources.is_share_private {
        // The agent makes it.
        place::directory("share", &config.share, place::SHARE_BYTES_MIN, found);
    } else {
        place::share(&config.share, found);
    }
    place::directory("state", &config.state, place::STATE_BYTES_MIN, found);
    sources.all.iter().for_each(|source| source::look(source, &config.state, found));
    config.handover.iter().for_each(|it| handover::look(it, found));
    alerts::look_out(&lookout, found);
    for address in config.upstream.split(',') {
        way::look(address, &config.identity, &config.names, Some(Role::Agent), output, found);
    }
}

/// All that a media server stands on.
fn media(file: &Path, output: &Output, found: &mut Vec<Finding>) {
    let settings = Document::read(file).and_then(|file| file.with_environment::<MediaSettings>());
    if let Some(settings) = configured(settings, file, found) {
        alerts::look_out(&settings.lookout, found);
        spool::look(&settings.config, output, found);
    }
}

/// All that a vault stands on, and whether it serves.
fn vault(file: &Path, output: &Output, found: &mut Vec<Finding>) {
    let config = Document::read(file).and_then(|file| file.with_environment::<VaultConfig>());
    let Some(config) = configured(config, file, found) else { return };
    place::directory("vault", &config.dir, place::VAULT_BYTES_MIN, found);
    drills::look(&config, found);
    alerts::look(&config, found);
    let role = Some(Role::Vault);
    let Some(identity) = certificate::look(&config.identity, &config.names, role, found) else {
        return;
    };
    way::served(&config, &identity, output, found);
}

/// Sends a marked test by every route of whichever role the file configures.
fn routes(file: &Path, found: &mut Vec<Finding>) {
    let proxies = proxies().unwrap_or_default();
    let read = Document::read(file);
    let is_of = |role| read.as_ref().is_ok_and(|document| document.has_section(role));
    if is_of("agent") {
        let settings = read.and_then(|document| settings_of(&document));
        let Some(settings) = configured(settings, file, found) else { return };
        let (identity, routes) = (&settings.config.identity, &settings.lookout.routes);
        if routes.is_empty() {
            alerts::look_out(&settings.lookout, found);
        }
        alerts::send(alerts::Teller { role: Role::Agent, identity, proxies, routes }, found);
    } else if is_of("media") {
        let settings = read.and_then(|document| document.with_environment::<MediaSettings>());
        let Some(settings) = configured(settings, file, found) else { return };
        let (identity, routes) = (&settings.config.identity, &settings.lookout.routes);
        if routes.is_empty() {
            alerts::look_out(&settings.lookout, found);
        }
        alerts::send(alerts::Teller { role: Role::Media, identity, proxies, routes }, found);
    } else {
        let config = read.and_then(|document| document.with_environment::<VaultConfig>());
        let Some(config) = configured(config, file, found) else { return };
        if config.routes.is_empty() {
            alerts::look(&config, found);
        }
        let (identity, routes) = (&config.identity, &config.routes);
        alerts::send(alerts::Teller { role: Role::Vault, identity, proxies, routes }, found);
    }
}

/// The configuration, if it can be used, and what is to be said of it.
fn configured<C>(config: Result<C>, file: &Path, found: &mut Vec<Finding>) -> Option<C> {
    if let Err(error) = proxies() {
        found.push(Finding::bad("proxy", format!("{error:#}")).fix("correct or unset it"));
    }
    match config {
        Ok(config) => {
            found.push(Finding::good("configuration", format!("{} can be used", file.display())));
            Some(config)
        }
        Err(error) => {
            let fix =
                "docs/configuration.md has all keys; `outlast config show` prints what is in force";
            for line in format!("{error:#}").lines() {
                found.push(Finding::bad("configuration", line).fix(fix));
            }
            None
        }
    }
}
