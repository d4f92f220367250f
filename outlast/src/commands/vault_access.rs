//! The way to the vault: over mutual TLS, or on the disk of an `up` on this host.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use outlast_format::crypto::Key;
use outlast_repo::{Credential, Repository};
use outlast_types::{SystemClock, WorkloadName};
use outlast_wire::receipts::Authority;
use outlast_wire::{ApiClient, Credentials, Errand, Identity, Speaker};

use super::cache::CacheArgs;
use super::repo::retrying;
use crate::home::Home;
use crate::output::Output;
use crate::proxies::roads;

/// Which vault, and who asks.
#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("which vault").required(true))]
#[group(skip)]
pub(crate) struct VaultAccess {
    #[arg(help = "The vault's address, such as https://vault.example:8443/")]
    #[arg(long, value_name = "URL", requires = "identity", group = "which vault")]
    vault: Option<String>,
    /// The directory with the identity to use with --vault
    #[arg(long, value_name = "DIR", requires = "vault")]
    identity: Option<PathBuf>,
    /// The directory of an `outlast up` on this host
    #[arg(long, value_name = "DIR", group = "which vault")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArgs,
}

/// A vault that need not be named.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct MaybeVault {
    /// The vault's address, such as <https://vault.example:8443/>
    #[arg(long, value_name = "URL", requires = "identity", conflicts_with = "dir")]
    vault: Option<String>,
    /// The directory with the identity to use with --vault
    #[arg(long, value_name = "DIR", requires = "vault")]
    identity: Option<PathBuf>,
    /// The directory of an `outlast up` on this host
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArgs,
}

impl MaybeVault {
    /// The one that was named.
    pub(crate) fn access(&self) -> Option<VaultAccess> {
        let Self { vault, identity, dir, cache } = self.clone();
        let is_named = vault.is_some() || dir.is_some();
        is_named.then_some(VaultAccess { vault, identity, dir, cache })
    }
}

impl VaultAccess {
    /// Opens a workload's repository, with its key sealed to the identity that asks for it. The audit log keeps
    /// what for and why.
    pub(crate) fn open_repository(
        &self,
        workload: &WorkloadName,
        errand: Errand<'_>,
        output: &Output,
    ) -> Result<Repository> {
        let (address, identity) = self.address_and_identity()?;
        let client = ApiClient::over(&address, Credentials::Identity(&identity), &roads()?)?;
        let speaker = Speaker { identity: &identity, clock: &SystemClock };
        let opened = output
            .patiently(client.location(), || client.open_workload_for(workload, errand, speaker))?;
        let key = Key::from_bytes(&opened.key);
        let store = retrying(Arc::new(opened.store), output);
        let repository = output
            .patiently(client.location(), || Repository::open(store, Credential::Key(key)))?;
        Ok(self.cache.apply(repository))
    }

    /// A client for the vault's own calls.
    pub(crate) fn client(&self) -> Result<ApiClient> {
        let (address, identity) = self.address_and_identity()?;
        Ok(ApiClient::over(&address, Credentials::Identity(&identity), &roads()?)?)
    }

    /// Whose signatures count for who asks.
    pub(crate) fn authority(&self) -> Result<Authority> {
        Ok(Authority::of(&self.address_and_identity()?.1))
    }

    /// The certificates of the authorities whom who asks believes.
    pub(crate) fn ca_pem(&self) -> Result<String> {
        Ok(self.address_and_identity()?.1.ca_pem().to_owned())
    }

    fn address_and_identity(&self) -> Result<(String, Identity)> {
        match (&self.vault, &self.identity, &self.dir) {
            (Some(address), _, _) if !address.starts_with("https://") => {
                bail!("{address:?} is not an address such as https://vault.example:8443/")
            }
            (Some(address), Some(directory), _) => {
                Ok((address.clone(), Identity::load(directory)?))
            }
            (_, _, Some(directory)) => {
                let home = Home::new(directory);
                let serving = home.read_serving()?;
                Ok((serving.url, Identity::load(&home.identity("operator"))?))
            }
            _ => bail!("name the vault by --vault URL --identity DIR, or by --dir DIR"),
        }
    }
}
