//! The directory of an authority: root, issuer, and the identities of the vault and of an operator.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outlast_fs::durable;
use outlast_types::{Random, SystemClock, SystemRandom};
use outlast_wire::ca::{CaError, ISSUER_DIRECTORY, ISSUER_FILE, ROOT_DIRECTORY, Request};
use outlast_wire::{Authorities, CertificateAuthority, Identity, Peer, Role, RootAuthority};

/// How long the identities of vault and operator last, unless they are renewed.
const LIFETIME: Duration = Duration::from_secs(365 * 86_400);
/// A longer file is no certificate.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Where the root before is kept until it is let go.
const BEFORE_SUFFIX: &str = "-before";
const RANDOM: &dyn Random = &SystemRandom;

const VAULT: &str = "vault";
const OPERATOR: &str = "operator";

/// Makes an authority in `dir`, or takes over one that exists: an intermediate with its key, and roots.
pub(super) fn init(
    dir: &Path,
    vault: &str,
    hosts: &[String],
    operator: &str,
    given: Option<(&Path, &Path)>,
) -> Result<()> {
    let vault = Peer::new(Role::Vault, vault)?;
    let operator = Peer::new(Role::Operator, operator)?;
    let authority = match given {
        None => CertificateAuthority::create(dir, &SystemClock, RANDOM)?,
        Some((issuer, roots)) => take_over(dir, issuer, roots)?,
    };
    let issued = issue(&authority, operator, &[], &dir.join(OPERATOR))
        .and_then(|()| issue(&authority, vault, hosts, &dir.join(VAULT)));
    if issued.is_err() && given.is_some() {
        // So that another try does not find what cannot be used.
        let _ = fs::remove_file(dir.join(ISSUER_DIRECTORY).join(ISSUER_FILE));
    }
    issued
}

fn take_over(dir: &Path, issuer: &Path, roots: &Path) -> Result<CertificateAuthority> {
    if CertificateAuthority::exists(dir) {
        bail!("there is already a certificate authority in {}", dir.display());
    }
    let text = |path: &Path| -> Result<String> {
        let content = durable::read_bounded(path, FILE_BYTES_MAX)
            .with_context(|| format!("cannot read {}", path.display()))?;
        String::from_utf8(content).with_context(|| format!("{} is no text", path.display()))
    };
    let authorities = Authorities::new(&text(roots)?)
        .with_context(|| format!("{} holds no certificates of authorities", roots.display()))?;
    let directory = dir.join(ISSUER_DIRECTORY);
    durable::create_directories(&directory, 0o700)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    authorities.save(&directory)?;
    let path = directory.join(ISSUER_FILE);
    durable::replace(&path, text(issuer)?.as_bytes(), 0o600)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let opened = CertificateAuthority::open(&directory);
    if opened.is_err() {
        let _ = fs::remove_file(&path);
    }
    Ok(opened?)
}

fn issue(
    authority: &CertificateAuthority,
    peer: Peer,
    hosts: &[String],
    directory: &Path,
) -> Result<()> {
    let request = Request { hosts: hosts.to_vec(), ..Request::new(peer, LIFETIME) };
    Ok(authority.issue(&request, &SystemClock, RANDOM)?.save(directory)?)
}

/// Makes a new root and issuer. Whom they certify trusts those before, too; and so do vault and operator,
/// who keep their certificates. The root before vouches for the new one, so that hosts that know only
/// that one believe what is issued from now on.
pub(super) fn begin_rotation(dir: &Path) -> Result<()> {
    let (root, issuer) = (dir.join(ROOT_DIRECTORY), dir.join(ISSUER_DIRECTORY));
    let before = CertificateAuthority::open(dir)?;
    let aside = dir.join(format!("{ROOT_DIRECTORY}{BEFORE_SUFFIX}"));
    if aside.exists() {
        // Begun before, and broken off or not finished: the root that is there is the new one.
        if before.authorities().ca_pem.matches("BEGIN CERTIFICATE").count() > 1 && root.exists() {
            bail!(
                "a rotation is under way: end it with --finish, or remove {} if it was done by hand",
                aside.display()
            );
        }
    } else if root.exists() {
        durable::rename_beside(&root, aside.file_name().unwrap_or_default())
            .with_context(|| format!("cannot move {}", root.display()))?;
    } else {
        // The root is offline; that there is one is remembered all the same.
        durable::create_directories(&aside, 0o700)
            .with_context(|| format!("cannot make {}", aside.display()))?;
    }
    let new = RootAuthority::open_or_create(&root, &SystemClock, RANDOM)?;
    let voucher = match RootAuthority::open(&aside) {
        Ok(old) => Some(new.vouched_by(&old, &SystemClock, RANDOM)?),
        Err(CaError::Missing { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let others = Some(before.authorities());
    let new = new.make_issuer(&issuer, others, voucher.as_ref(), &SystemClock, RANDOM)?;
    for name in [VAULT, OPERATOR] {
        let directory = dir.join(name);
        if directory.exists() {
            new.authorities().save(&directory)?;
        }
    }
    Ok(())
}

/// Renews vault and operator, and lets the roots before go.
pub(super) fn finish_rotation(dir: &Path, hosts: &[String]) -> Result<()> {
    let root = RootAuthority::open(&dir.join(ROOT_DIRECTORY))?;
    let issuer = dir.join(ISSUER_DIRECTORY);
    let mut authorities = Authorities::load(&issuer)?;
    if authorities.retire_all_but(root.certificate_pem())? == 0 {
        bail!("no rotation is under way in {}: there is one root", dir.display());
    }
    // Its chains need no voucher any more.
    let authority = root.make_issuer(&issuer, Some(&authorities), None, &SystemClock, RANDOM)?;
    for (name, hosts) in [(OPERATOR, &[][..]), (VAULT, hosts)] {
        let directory = dir.join(name);
        if directory.exists() {
            let peer = Identity::load(&directory)?.peer().clone();
            issue(&authority, peer, hosts, &directory)?;
        }
    }
    let aside = dir.join(format!("{ROOT_DIRECTORY}{BEFORE_SUFFIX}"));
    if aside.exists() {
        fs::remove_dir_all(&aside).with_context(|| format!("cannot remove {}", aside.display()))?;
    }
    Ok(())
}
