//! `outlast up`: all roles in one process, with everything they need made on the way.

mod identities;

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use outlast_drop::Share;
use outlast_fs::{DirectoryLock, durable};
use outlast_media::{MediaConfig, MediaHandle};
use outlast_types::{Environment, SystemClock, SystemRandom};
use outlast_vault::{VaultConfig, listen_address};
use outlast_wire::ca::ISSUER_DIRECTORY;

use super::roles::{self, AgentThread, ReadyFile};
use super::sources::settings_of;
use crate::exit::Code;
use crate::home::{Home, Serving};
use crate::log::{Log, LogArgs};
use crate::notify::Service;
use crate::output::Output;
use crate::proxies::proxies;
use crate::settings::Document;
use crate::signals::Signals;

/// Run agent, media server, vault and share on this host, with defaults for everything
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outlast up                                     everything in ./outlast-data
  outlast up --dir /srv/outlast --share /mnt/efs --listen 0.0.0.0:8443

Each key of DIR/agent.toml, DIR/media.toml and DIR/vault.toml can be set there or by the environment, for
example OUTLAST_AGENT_POLL=5s. `outlast agent --config DIR/agent.toml` runs the same role as a process of
its own; so do `outlast media` and `outlast vault`.")]
pub(crate) struct Args {
    /// Where everything is kept; made if missing
    #[arg(long, value_name = "DIR", default_value = "outlast-data")]
    dir: PathBuf,
    /// Use this share instead of DIR/share; made a share if it is an empty directory
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// Where the vault listens: 127.0.0.1:8443, localhost:8443, or :8443 for all addresses
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443", value_parser = listen)]
    listen: Listen,
    /// Leave the media server out: the agent ships straight to the vault
    #[arg(long)]
    no_media: bool,
    /// Make a new certificate authority in place of one that is lost for good
    #[arg(long)]
    new_authority: bool,
    /// Write the address and paths into this file as JSON when all roles serve; gone when not
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

/// Where to listen, and the name by which it was said.
#[derive(Debug, Clone)]
struct Listen {
    address: SocketAddr,
    name: Option<String>,
}

fn listen(text: &str) -> Result<Listen, String> {
    let address = listen_address(text)?;
    let host = text.rsplit_once(':').map_or("", |(host, _)| host);
    let is_name = !host.is_empty() && text.parse::<SocketAddr>().is_err();
    Ok(Listen { address, name: is_name.then(|| host.to_owned()) })
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let signals = Signals::catch(roles::PATIENCE)?;
    let _log = Log::start(&arguments.log);
    let mut ready = ReadyFile::new(arguments.ready_file.as_deref())?;
    durable::create_directories(&arguments.dir, 0o700)
        .with_context(|| format!("cannot make {}", arguments.dir.display()))?;
    let dir = arguments.dir.canonicalize().context("cannot find the directory")?;
    let home = Home::new(&dir);
    let _lock = lock(&home)?;
    let share = prepare_share(&home, arguments.share.as_deref())?;
    let (address, name) = (arguments.listen.address, arguments.listen.name.as_deref());
    identities::prepare(&home, address, name, arguments.new_authority, &SystemClock)?;
    let has_media = !arguments.no_media && identities::prepare_media(&home, &SystemClock)?;

    // Each has a pulse of its own.
    let (for_vault, for_agent) = (Environment::system(), Environment::system());
    let pulses = [for_vault.pulse.clone(), for_agent.pulse.clone()];
    let mut service = Service::of_environment(&pulses);
    let vault = start_vault(&home, arguments.listen.address, for_vault)?;
    let media = has_media.then(|| start_media(&home, &vault.url())).transpose()?;
    if media.is_none() {
        vault.dismiss_media_servers();
    }
    let upstream = media.as_ref().map_or_else(|| vault.url(), MediaHandle::url);
    let agent = start_agent(&home, &share, &upstream, for_agent, &arguments.log)?;
    let serving =
        Serving { url: vault.url(), share, dir: dir.clone(), process: std::process::id() };
    let document = serde_json::to_value(&serving).context("cannot describe what serves")?;
    let path = home.serving();
    let bytes = serde_json::to_vec_pretty(&document).context("cannot describe what serves")?;
    durable::replace(&path, &bytes, 0o644)
        .with_context(|| format!("cannot write {}", path.display()))?;
    ready.write(&document)?;
    if let Err(error) = greet(&serving, output) {
        // Whoever read the greeting may go; the backups go on.
        tracing::warn!("nobody took the greeting: {error:#}");
    }

    let fault_of_media = || media.as_ref().and_then(MediaHandle::fault);
    let fault = || agent.fault().or_else(fault_of_media).or_else(|| vault.fault());
    let fault = || {
        vault.begin_again_if_due();
        fault()
    };
    roles::attend(&signals, &mut service, fault)?;
    drop(ready);
    let stopped = agent.stop();
    // What waits in it is there again at the next start.
    drop(media);
    vault.shutdown();
    stopped?;
    tracing::info!("stopped; the same command goes on from here");
    Ok(Code::Done)
}

/// Keeps a second `up` from this directory before it changes anything; held while we run.
fn lock(home: &Home) -> Result<DirectoryLock> {
    DirectoryLock::take(home.path(), "up.lock")?.with_context(|| {
        format!(
            "another `outlast up` is running in {}: stop it first, or choose another --dir",
            home.path().display()
        )
    })
}

/// Opens the share, made first where that is safe: in our own directory, or an empty one.
fn prepare_share(home: &Home, given: Option<&Path>) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.canonicalize().with_context(|| {
            format!("cannot find the share {} (is it mounted?)", path.display())
        })?,
        None => {
            let path = home.share();
            durable::create_directories(&path, 0o755)
                .with_context(|| format!("cannot make {}", path.display()))?;
            path
        }
    };
    let is_foreign = |name: &OsString| outlast_drop::layout::is_foreign(name.as_bytes());
    let names: Vec<OsString> = fs::read_dir(&path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
        .with_context(|| format!("cannot list {}", path.display()))?;
    let empty = names.iter().all(is_foreign);
    // An empty directory that this `up` has used before is a share that is not mounted, or lost.
    let known = home.config("agent").exists();
    if empty && !known {
        Share::init(&path, &SystemClock, &SystemRandom)?;
    } else {
        Share::open(&path)?;
    }
    Ok(path)
}

fn start_vault(
    home: &Home,
    listen: SocketAddr,
    environment: Environment,
) -> Result<outlast_vault::VaultHandle> {
    let places = [
        ("dir", text(&home.vault())?),
        ("listen", listen.to_string()),
        ("identity", text(&home.identity("vault"))?),
    ];
    let issuer = text(&home.authority().join(ISSUER_DIRECTORY))?;
    let issues = home.authority().join(ISSUER_DIRECTORY).exists();
    let issuer = issues.then_some(("issuer", issuer));
    let places: Vec<_> = places.into_iter().chain(issuer).collect();
    let mut config: VaultConfig = configured(home, "vault", &places, &[])?.with_environment()?;
    config.proxies = proxies()?;
    config.file = Some(roles::policy_file(&home.config("vault")));
    config.save_too = roles::saved_with_vault(&home.config("vault"));
    let vault = outlast_vault::start(config, environment)?;
    // The port that it got, if any was good enough, so that the role can be run by itself.
    configured(home, "vault", &[("listen", vault.address().to_string())], &[])?;
    Ok(vault)
}

fn start_media(home: &Home, vault: &str) -> Result<MediaHandle> {
    let places = [
        ("dir", text(&home.media())?),
        // Any port that is free: nobody but the agent here needs to know it.
        ("listen", "127.0.0.1:0".to_owned()),
        ("identity", text(&home.identity("media"))?),
        ("upstream", vault.to_owned()),
    ];
    let config: MediaConfig = configured(home, "media", &places, &[])?.with_environment()?;
    let media = outlast_media::start(config, Environment::system())?;
    configured(home, "media", &[("listen", media.address().to_string())], &[])?;
    Ok(media)
}

fn start_agent(
    home: &Home,
    share: &Path,
    upstream: &str,
    environment: Environment,
    log: &LogArgs,
) -> Result<AgentThread> {
    let places = [
        ("share", text(share)?),
        ("state", text(&home.agent_state())?),
        ("upstream", upstream.to_owned()),
        ("identity", text(&home.identity("agent"))?),
    ];
    let document = configured(home, "agent", &places, &[("poll", "1s")])?;
    AgentThread::start(&settings_of(&document)?, &home.config("agent"), environment, log)
}

/// The configuration file of `role` with these keys set, and those defaults where it says nothing;
/// written back, so that the role can be run by itself. What else is in the file stays.
fn configured(
    home: &Home,
    role: &str,
    keys: &[(&str, String)],
    defaults: &[(&str, &str)],
) -> Result<Document> {
    let path = home.config(role);
    let exists = path.exists();
    let mut document =
        if exists { Document::read(&path)? } else { Document::new(&path, String::new())? };
    let before = document.text().to_owned();
    for (key, value) in keys {
        document.set(role, key, value)?;
    }
    for (key, value) in defaults {
        document.set_default(role, key, value)?;
    }
    if !exists || document.text() != before {
        durable::replace(&path, document.text().as_bytes(), 0o644)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(document)
}

/// A path as configuration text.
fn text(path: &Path) -> Result<String> {
    let text = path.to_str();
    Ok(text.with_context(|| format!("the path {} is not text", path.display()))?.to_owned())
}

fn greet(serving: &Serving, output: &Output) -> Result<()> {
    if output.is_json() {
        return output.json(serving);
    }
    let (share, dir) = (serving.share.display(), serving.dir.display());
    output.line(format_args!("Outlast is up."))?;
    output.line(format_args!("  share  {share}"))?;
    output.line(format_args!("  vault  {}", serving.url))?;
    output.gap()?;
    output.line("In another terminal, try:")?;
    output.line(format_args!("  outlast drop --share {share} --workload notes README.md"))?;
    output.line(format_args!("  outlast workload list --dir {dir}"))?;
    output.line(format_args!("  outlast restore notes --dir {dir} --into ./restored"))?;
    output.gap()?;
    output.line("Ctrl-C stops it; the same command starts it again where it was.")
}
