//! Where a repository is and what opens it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use outlast_fs::durable;
use outlast_repo::lock::Holder;
use outlast_repo::{Credential, Repository};
use outlast_store::retry::{Policy, Retrying};
use outlast_store::{DirectoryStore, Store};
use outlast_types::SystemRandom;
use outlast_wire::client::{Credentials, RestStore};
use outlast_wire::identity::Identity;
use rustix::process::{Pid, getgid, getpid, getuid, test_kill_process};

use crate::commands::cache::CacheArgs;
use crate::exit::Advised;

/// The environment variable that holds a repository's password.
const PASSWORD_VARIABLE: &str = "OUTLAST_PASSWORD";
/// A password or certificate file longer than this is not one.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Storages that restic knows and we do not.
const FOREIGN_SCHEMES: [&str; 9] =
    ["s3", "sftp", "azure", "gs", "b2", "swift", "rclone", "http", "https"];

/// Which repository, and how to get in.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Access {
    /// The repository: a directory, or rest:http(s)://host:port/path/
    #[arg(short, long = "repo", value_name = "REPO", env = "OUTLAST_REPOSITORY")]
    repository: String,
    /// Read the password from this file instead of OUTLAST_PASSWORD
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The directory with this host's identity, for a vault's rest: address
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
    /// The certificate authority of a rest: server (PEM)
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    cacert: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArgs,
}

impl Access {
    /// Opens the repository with the password.
    pub(super) fn open(&self) -> Result<Repository> {
        self.open_through(|store| store)
    }

    /// Like [`open`](Self::open), with what `wrap` makes of the store.
    pub(super) fn open_through(
        &self,
        wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
    ) -> Result<Repository> {
        let store: Arc<dyn Store> = match self.rest_store()? {
            Some(store) => retrying(Arc::new(store)),
            None => Arc::new(DirectoryStore::open(self.directory()?)?),
        };
        let password = self.password()?;
        let repository = Repository::open(wrap(store), Credential::Password(&password))?;
        Ok(self.cache.apply(repository))
    }

    /// Where this host keeps what commands remember of repositories.
    pub(super) fn cache_directory(&self) -> Option<PathBuf> {
        self.cache.directory()
    }

    /// The store for a new repository, with the layout that it needs.
    pub(super) fn create_store(&self) -> Result<Arc<dyn Store>> {
        match self.rest_store()? {
            Some(store) => {
                store.create_layout()?;
                Ok(retrying(Arc::new(store)))
            }
            None => Ok(Arc::new(DirectoryStore::create_layout(self.directory()?)?)),
        }
    }

    /// The directory that is named. `s3:bucket` and its like, which restic understands, must not be
    /// taken for one.
    fn directory(&self) -> Result<&Path> {
        let scheme = self.repository.split_once(':').map(|(scheme, _)| scheme);
        let path = Path::new(&self.repository);
        if scheme.is_some_and(|scheme| FOREIGN_SCHEMES.contains(&scheme)) && !path.exists() {
            return Err(Advised {
                message: format!("{} is on a storage that is not supported", self.repository),
                hint: "Give a directory, or an address such as rest:https://host:8443/path/."
                    .to_owned(),
            }
            .into());
        }
        Ok(path)
    }

    fn rest_store(&self) -> Result<Option<RestStore>> {
        if !self.repository.starts_with("rest:") {
            return Ok(None);
        }
        let (identity, authority);
        let credentials = if let Some(directory) = &self.identity {
            identity = Identity::load(directory)?;
            Credentials::Identity(&identity)
        } else if let Some(file) = &self.cacert {
            authority = read_text(file)?;
            Credentials::Authority(&authority)
        } else {
            Credentials::None
        };
        Ok(Some(RestStore::with(&self.repository, credentials)?))
    }

    /// The password from the file or the environment; never from the command line, which every
    /// user of the host can read.
    pub(super) fn password(&self) -> Result<String> {
        let password = match &self.password_file {
            Some(file) => read_text(file)?.trim_end_matches(['\r', '\n']).to_owned(),
            None => std::env::var(PASSWORD_VARIABLE).unwrap_or_default(),
        };
        if password.is_empty() {
            return Err(Advised {
                message: format!("no password for the repository {}", self.repository),
                hint: format!("Set {PASSWORD_VARIABLE}, or name a file with --password-file."),
            }
            .into());
        }
        Ok(password)
    }
}

fn read_text(file: &Path) -> Result<String> {
    let content = durable::read_bounded(file, SECRET_BYTES_MAX)
        .with_context(|| format!("cannot read {}", file.display()))?;
    String::from_utf8(content).with_context(|| format!("{} is not text", file.display()))
}

/// A store that tries again when the network fails for a moment.
pub(in crate::commands) fn retrying(store: Arc<dyn Store>) -> Arc<dyn Store> {
    let sleep = Box::new(|pause| {
        std::thread::sleep(pause);
        true
    });
    Arc::new(Retrying::new(store, Policy::default(), Arc::new(SystemRandom), sleep))
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
