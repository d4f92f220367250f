//! The directory of an `outlast up`: what lies where in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use outlast_fs::durable;
use serde::{Deserialize, Serialize};

/// How what lies here is called in recovery kits, and in what a vault saves of itself.
pub(crate) const AUTHORITY: &str = "ca";
pub(crate) const ISSUER: &str = "issuer";
pub(crate) const OPERATOR: &str = "operator";
pub(crate) const VAULT_CONFIG: &str = "vault.toml";

/// A serving file longer than this is not one.
const SERVING_BYTES_MAX: u64 = 64 << 10;

/// The directory that `up --dir` was given, and the places in it.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

/// What `up` tells others when all its roles serve: `serving.json` in its directory, and the file
/// that `--ready-file` names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Serving {
    /// The vault's address.
    pub(crate) url: String,
    pub(crate) share: PathBuf,
    pub(crate) dir: PathBuf,
    /// The process that serves.
    pub(crate) process: u32,
}

impl Home {
    pub(crate) fn new(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The share, unless `up` was given one.
    pub(crate) fn share(&self) -> PathBuf {
        self.0.join("share")
    }

    /// The certificate authority's key and certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.0.join("ca")
    }

    /// The identity of `role`: `agent`, `media`, `vault` or `operator`.
    pub(crate) fn identity(&self, role: &str) -> PathBuf {
        self.0.join("identity").join(role)
    }

    /// What the vault keeps: repositories, their passwords, the catalog.
    pub(crate) fn vault(&self) -> PathBuf {
        self.0.join("vault")
    }

    /// What waits in the media server; it may be deleted.
    pub(crate) fn media(&self) -> PathBuf {
        self.0.join("media")
    }

    /// What the agent remembers; it may be deleted.
    pub(crate) fn agent_state(&self) -> PathBuf {
        self.0.join("agent")
    }

    /// The configuration with which a role can be run by itself.
    pub(crate) fn config(&self, role: &str) -> PathBuf {
        self.0.join(format!("{role}.toml"))
    }

    pub(crate) fn serving(&self) -> PathBuf {
        self.0.join("serving.json")
    }

    /// What the `up` on this directory said when it began to serve.
    pub(crate) fn read_serving(&self) -> Result<Serving> {
        let path = self.serving();
        let content = match durable::read_bounded(&path, SERVING_BYTES_MAX) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "no `outlast up` has served in {}: start one with `outlast up --dir {0}`",
                self.0.display()
            ),
            content => content.with_context(|| format!("cannot read {}", path.display()))?,
        };
        serde_json::from_slice(&content)
            .with_context(|| format!("cannot understand {}", path.display()))
    }
}
