//! Where a repository is and what opens it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use outlast_fs::durable;
use outlast_repo::lock::Holder;
use outlast_repo::{Credential, Repository};
use outlast_store::retry::{Policy, Retry, Retrying};
use outlast_store::{DirectoryStore, Store, StoreError};
use outlast_types::Environment;
use outlast_vault::{Awaited, awaited_since};
use outlast_wire::RoadError;
use outlast_wire::client::{Credentials, RestStore};
use outlast_wire::identity::Identity;
use rustix::process::{Pid, getgid, getpid, getuid, test_kill_process};

use super::password::{self, Password, PasswordArgs};
use crate::commands::cache::CacheArgs;
use crate::exit::{Advised, Usage};
use crate::output::Output;
use crate::proxies::roads;

/// A certificate file longer than this is not one.
const CERTIFICATE_BYTES_MAX: u64 = 64 << 10;
/// How long a server that has never answered may refuse connections.
const REFUSED_MAX: Duration = Duration::from_secs(3);
/// That something is tried again is not told more often.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Storages that restic knows and we do not.
const FOREIGN_SCHEMES: [&str; 9] =
    ["s3", "sftp", "azure", "gs", "b2", "swift", "rclone", "http", "https"];

/// Which repository, and how to get in.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Access {
    /// The repository: a directory, or rest:http(s)://host:port/path/
    /// [env: OUTLAST_REPOSITORY, RESTIC_REPOSITORY]
    #[arg(short, long = "repo", value_name = "REPO")]
    repository: Option<String>,
    /// Read the repository's address from this file
    #[arg(long, value_name = "FILE", conflicts_with = "repository")]
    repository_file: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArgs,
    /// The directory with this host's identity, for a vault's rest: address
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
    /// The certificate authority of a rest: server (PEM) [env: RESTIC_CACERT]
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    cacert: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArgs,
}

impl Access {
    /// Opens the repository with the password.
    pub(super) fn open(&self, output: &Output) -> Result<Repository> {
        self.open_through(output, |store| store)
    }

    /// Like [`open`](Self::open), with what `wrap` makes of the store.
    pub(super) fn open_through(
        &self,
        output: &Output,
        wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
    ) -> Result<Repository> {
        let address = self.address()?;
        let store: Arc<dyn Store> = match self.rest_store(&address)? {
            Some(store) => retrying(Arc::new(store), output),
            None => Arc::new(DirectoryStore::open(directory(&address)?)?),
        };
        let password = self.password()?;
        let repository = output.patiently(&store.location(), || {
            Repository::open(wrap(Arc::clone(&store)), Credential::Password(&password))
        })?;
        Ok(self.cache.apply(repository))
    }

    /// What is on its way to the repository, if it lies in a vault's directory.
    pub(super) fn awaited(&self) -> Result<Option<Awaited>> {
        let address = self.address()?;
        if address.starts_with("rest:") {
            return Ok(None);
        }
        let path = directory(&address)?;
        awaited_since(path).with_context(|| {
            format!("cannot see whether drops are on their way to {}", path.display())
        })
    }

    /// Where this host keeps what commands remember of repositories.
    pub(super) fn cache_directory(&self) -> Option<PathBuf> {
        self.cache.directory()
    }

    /// The store for a new repository, with the layout that it needs.
    pub(super) fn create_store(&self, output: &Output) -> Result<Arc<dyn Store>> {
        let address = self.address()?;
        match self.rest_store(&address)? {
            Some(store) => {
                store.create_layout()?;
                Ok(retrying(Arc::new(store), output))
            }
            None => Ok(Arc::new(DirectoryStore::create_layout(directory(&address)?)?)),
        }
    }

    /// The repository's address: as the command line says, else as the environment does.
    pub(super) fn address(&self) -> Result<String> {
        if let Some(address) = &self.repository {
            return Ok(address.clone());
        }
        if let Some(file) = &self.repository_file {
            return password::repository_in_file(file);
        }
        password::repository_from_environment()?.ok_or_else(|| {
            let message = "no repository was named: give --repo, or set OUTLAST_REPOSITORY or \
                           RESTIC_REPOSITORY";
            Usage(message.to_owned()).into()
        })
    }

    fn rest_store(&self, address: &str) -> Result<Option<RestStore>> {
        if !address.starts_with("rest:") {
            return Ok(None);
        }
        let (identity, authority);
        let is_secure = address.starts_with("rest:https:");
        let stock = std::env::var_os("RESTIC_CACERT").filter(|file| is_secure && !file.is_empty());
        let authority_file = self.cacert.clone().or_else(|| stock.map(PathBuf::from));
        let credentials = if let Some(directory) = &self.identity {
            identity = Identity::load(directory)?;
            Credentials::Identity(&identity)
        } else if let Some(file) = authority_file {
            authority = read_text(&file)?;
            Credentials::Authority(&authority)
        } else {
            Credentials::None
        };
        Ok(Some(RestStore::over(address, credentials, &roads()?)?))
    }

    /// The password; never from the command line, which every user of the host can read.
    pub(super) fn password(&self) -> Result<Password> {
        self.password.find()?.ok_or_else(|| {
            Advised {
                message: "no password for the repository".to_owned(),
                hint:
                    "Set OUTLAST_PASSWORD, or name a file with --password-file, or a program that \
                       prints it with --password-command; restic's variables are read, too."
                        .to_owned(),
            }
            .into()
        })
    }
}

/// The directory at an address. `s3:bucket` and its like, which restic understands, must not be
/// taken for one.
fn directory(address: &str) -> Result<&Path> {
    let scheme = address.split_once(':').map(|(scheme, _)| scheme);
    let path = Path::new(address);
    if scheme.is_some_and(|scheme| FOREIGN_SCHEMES.contains(&scheme)) && !path.exists() {
        return Err(Advised {
            message: format!("{address} is on a storage that is not supported"),
            hint: "Give a directory, or an address such as rest:https://host:8443/path/."
                .to_owned(),
        }
        .into());
    }
    Ok(path)
}

fn read_text(file: &Path) -> Result<String> {
    let content = durable::read_bounded(file, CERTIFICATE_BYTES_MAX)
        .with_context(|| format!("cannot read {}", file.display()))?;
    String::from_utf8(content).with_context(|| format!("{} is not text", file.display()))
}

/// A store that tries again when the network fails for a moment, and says so. A server that refuses
/// to be reached at all is not waited for: somebody is watching, and may have mistyped its address.
pub(in crate::commands) fn retrying(store: Arc<dyn Store>, output: &Output) -> Arc<dyn Store> {
    let output = *output;
    let environment = Environment::system();
    let timer = Arc::clone(&environment.timer);
    let told: Mutex<Option<Duration>> = Mutex::new(None);
    let judge = Box::new(move |retry: &Retry<'_>| {
        let is_refused = matches!(retry.error, StoreError::Io { source, .. } | StoreError::List { source, .. }
            if source.get_ref().is_some_and(|inner| inner.is::<RoadError>()));
        if is_refused && !retry.answered && retry.waited >= REFUSED_MAX {
            return false;
        }
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = timer.elapsed();
        if told.is_none_or(|told| now.saturating_sub(told) >= TELL_INTERVAL) {
            output.warn(&format!("{}; trying again", retry.error));
            *told = Some(now);
        }
        true
    });
    Arc::new(Retrying::new(store, Policy::default(), &environment).asking(judge))
}

/// This host's name, as snapshots record it.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The user's name as the environment has it; empty when not known.
pub(super) fn user_name() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default()
}

/// This process, as its locks name it.
pub(super) fn holder() -> Holder {
    Holder {
        hostname: host_name(),
        username: user_name(),
        pid: getpid().as_raw_nonzero().get().unsigned_abs(),
        uid: getuid().as_raw(),
        gid: getgid().as_raw(),
    }
}

/// Whether a process with this number lives on this host.
pub(super) fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // Somebody else's process lives, too, though we may not signal it.
    pid.is_none_or(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
