//! The authority of an `up`, and the identities of its roles.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use outlast_types::{Clock, Random, SystemRandom};
use outlast_wire::ca::{CaError, ISSUER_DIRECTORY, ROOT_DIRECTORY, Request};
use outlast_wire::{
    Authorities, CertificateAuthority, Identity, Peer, Role, RootAuthority, Validity,
};

use crate::home::Home;

/// Certificates of the roles; made anew at a start that finds half of it gone.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(365 * 86400);
const RANDOM: &dyn Random = &SystemRandom;
const ROLES: [Role; 3] = [Role::Vault, Role::Agent, Role::Operator];

/// Gives each role an identity of our own authority that is valid now, and for as long as half a
/// lifetime is left. With `new_authority`, an authority that is gone is begun anew.
pub(super) fn prepare(
    home: &Home,
    listen: SocketAddr,
    name: Option<&str>,
    new_authority: bool,
    clock: &dyn Clock,
) -> Result<()> {
    let Some(authority) = authority(home, new_authority, clock)? else {
        return go_on_without(home, clock);
    };
    for role in ROLES {
        let directory = home.identity(role.as_str());
        // The vault's certificate names where it listens, which may have changed.
        let is_usable = |found: Identity| {
            lasts(found.validity(), 2, clock) && found.authorities() == authority.authorities()
        };
        if role != Role::Vault && Identity::load(&directory).is_ok_and(is_usable) {
            continue;
        }
        let hosts = if role == Role::Vault { host_names(listen, name) } else { Vec::new() };
        let peer = Peer::new(role, "up")?;
        let request = Request { hosts, ..Request::new(peer, CERTIFICATE_LIFETIME) };
        authority.issue(&request, clock, RANDOM)?.save(&directory)?;
    }
    Ok(())
}

/// Gives the media server an identity that is valid now, as `prepare` does for the others; whether it has
/// one. An authority that is gone gives none, and everything works without a media server, too.
pub(super) fn prepare_media(home: &Home, clock: &dyn Clock) -> Result<bool> {
    let directory = home.identity(Role::Media.as_str());
    let found = Identity::load(&directory);
    if !CertificateAuthority::exists(&home.authority()) {
        let is_valid = |found: &Identity| found.validity().trouble(clock.now()).is_none();
        let has_one = found.as_ref().is_ok_and(is_valid);
        if !has_one {
            tracing::warn!("there is no media server: nothing is left to issue its certificate");
        }
        return Ok(has_one);
    }
    let authority = CertificateAuthority::open(&home.authority())?;
    let is_usable = |found: Identity| {
        lasts(found.validity(), 2, clock) && found.authorities() == authority.authorities()
    };
    if !found.is_ok_and(is_usable) {
        let hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let peer = Peer::new(Role::Media, "up")?;
        let request = Request { hosts, ..Request::new(peer, CERTIFICATE_LIFETIME) };
        authority.issue(&request, clock, RANDOM)?.save(&directory)?;
    }
    Ok(true)
}

/// The authority, valid now; `None` if it is gone and the identities that it issued are there.
fn authority(
    home: &Home,
    new_authority: bool,
    clock: &dyn Clock,
) -> Result<Option<CertificateAuthority>> {
    let directory = home.authority();
    if CertificateAuthority::exists(&directory) {
        if new_authority {
            bail!(
                "there is a certificate authority in {}, so none is begun anew; leave out \
                 --new-authority",
                directory.display()
            );
        }
        return lasting(&directory, clock).map(Some);
    }
    let is_known = home.serving().exists() || ROLES.iter().any(|role| exists(home, *role));
    if is_known && !new_authority {
        return Ok(None);
    }
    // What the one before certified and signed goes on to count.
    let mut before: Option<Authorities> = None;
    for role in ROLES {
        let path = home.identity(role.as_str());
        if let Ok(found) = Authorities::load(&path) {
            tracing::warn!(path = %path.display(), "trusting the authority before this one, too");
            match &mut before {
                Some(before) => before.adopt(&found.ca_pem)?,
                None => before = Some(found),
            }
        }
    }
    let root = RootAuthority::open_or_create(&directory.join(ROOT_DIRECTORY), clock, RANDOM)?;
    let issuer = directory.join(ISSUER_DIRECTORY);
    Ok(Some(root.make_issuer(&issuer, before.as_ref(), None, clock, RANDOM)?))
}

/// The authority that is there, with an issuer that lasts, and without those before it whose time is
/// over.
fn lasting(directory: &Path, clock: &dyn Clock) -> Result<CertificateAuthority> {
    let (root, issuer) = (directory.join(ROOT_DIRECTORY), directory.join(ISSUER_DIRECTORY));
    let authority = CertificateAuthority::open(directory)?;
    let is_of_before = !issuer.exists() && CertificateAuthority::is_of_before(directory);
    let authority = if is_of_before {
        tracing::warn!(
            "making a root and an issuer: the authority of an earlier release allows no issuer; \
             what it certified and signed goes on to count"
        );
        let root = RootAuthority::open_or_create(&root, clock, RANDOM)?;
        // Hosts that know the one before only believe the new one by its word.
        let voucher = root.vouched_by(&RootAuthority::open(directory)?, clock, RANDOM)?;
        root.make_issuer(&issuer, Some(authority.authorities()), Some(&voucher), clock, RANDOM)?
    } else if lasts(authority.validity(), 3, clock) {
        authority
    } else {
        let Validity { from, until } = authority.validity();
        match RootAuthority::open(&root) {
            Ok(found) => {
                tracing::warn!(%from, %until, "renewing the issuer");
                let found = match lasts(found.validity(), 3, clock) {
                    true => found,
                    false => RootAuthority::renew(&root, clock, RANDOM)?,
                };
                found.make_issuer(&issuer, Some(authority.authorities()), None, clock, RANDOM)?
            }
            Err(CaError::Missing { .. }) if authority.validity().trouble(clock.now()).is_none() => {
                tracing::warn!(
                    %until, "the issuer ends some day, and the root is not in {}: put it there, so \
                    that another one is made", root.display()
                );
                authority
            }
            Err(error) => return Err(error.into()),
        }
    };
    let ended =
        |root: &RootAuthority| clock.now().since(root.validity().from) > CERTIFICATE_LIFETIME;
    match RootAuthority::open(&root) {
        // Whatever one before it certified has ended since.
        Ok(root) if ended(&root) => {
            let mut authorities = authority.authorities().clone();
            if authorities.retire_all_but(root.certificate_pem())? == 0 {
                return Ok(authority);
            }
            tracing::warn!(
                "an earlier authority is of the past now: its signatures stay checkable"
            );
            authorities.save(&issuer)?;
            Ok(CertificateAuthority::open(directory)?)
        }
        _ => Ok(authority),
    }
}

/// The authority is gone, and making another one would make what it signed worthless: the
/// identities that are there must do, as long as they are valid.
fn go_on_without(home: &Home, clock: &dyn Clock) -> Result<()> {
    let ca = home.authority();
    let (ca, advice) = (
        ca.display(),
        "put it back from a copy; if it is lost for good, `outlast up --new-authority` begins anew",
    );
    for role in ROLES {
        let directory = home.identity(role.as_str());
        let shown = directory.display();
        let trouble = match Identity::load(&directory) {
            Ok(identity) => identity.validity().trouble(clock.now()),
            Err(error) => Some(format!("cannot be used ({error})")),
        };
        if let Some(trouble) = trouble {
            bail!(
                "the certificate authority in {ca} is gone, and the identity in {shown} {trouble}: \
                 {advice}"
            );
        }
    }
    tracing::warn!(
        "the certificate authority in {ca} is gone; going on with the identities that are there, \
         which end some day: {advice}"
    );
    Ok(())
}

/// Whether a certificate is valid now, and more than one part in `parts` of its life is left.
fn lasts(validity: Validity, parts: u32, clock: &dyn Clock) -> bool {
    let now = clock.now();
    let life = validity.until.since(validity.from);
    validity.trouble(now).is_none() && validity.until.since(now) > life / parts
}

fn exists(home: &Home, role: Role) -> bool {
    let is_used =
        |path: &Path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    is_used(&home.identity(role.as_str()))
}

/// The names under which the vault is reached.
fn host_names(listen: SocketAddr, name: Option<&str>) -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), host];
    if !listen.ip().is_unspecified() {
        names.push(listen.ip().to_string());
    }
    names.extend(name.map(str::to_owned));
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use outlast_types::{SystemClock, Timestamp};

    use super::*;

    struct Stopped(Timestamp);

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    /// The present with so many days added.
    fn days(days: u64) -> Stopped {
        Stopped(SystemClock.now().saturating_add(Duration::from_secs(days * 86400)))
    }

    fn prepare_at(home: &Home, clock: &dyn Clock) -> Result<()> {
        prepare(home, "127.0.0.1:8443".parse().unwrap(), None, false, clock)
    }

    fn identities(home: &Home) -> Vec<Identity> {
        ROLES.map(|role| Identity::load(&home.identity(role.as_str())).unwrap()).into()
    }

    #[test]
    fn certificates_of_another_time_are_made_anew_and_what_was_signed_counts_on() {
        for (before, after) in [(400, 0), (0, 400), (0, 21 * 366), (21 * 366, 0)] {
            let directory = tempfile::tempdir().unwrap();
            let home = Home::new(directory.path());
            prepare_at(&home, &days(before)).unwrap();
            let vault = identities(&home).remove(0);
            let now = days(after);
            prepare_at(&home, &now).unwrap();
            for identity in identities(&home) {
                assert_eq!(identity.validity().trouble(now.now()), None, "{before} {after}");
                let receipt = vault.sign(b"vaulted");
                let pem = vault.certificate_pem();
                outlast_wire::signature::verify(pem, identity.ca_pem(), b"vaulted", &receipt)
                    .unwrap();
            }
            let authority = CertificateAuthority::open(&home.authority()).unwrap();
            assert_eq!(authority.validity().trouble(now.now()), None, "restic looks at it");
        }
    }

    #[test]
    fn what_is_valid_for_long_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path());
        prepare_at(&home, &days(0)).unwrap();
        let before = identities(&home);
        prepare_at(&home, &days(100)).unwrap();
        for (before, after) in before.iter().zip(identities(&home)).skip(1) {
            assert_eq!(before.certificate_pem(), after.certificate_pem());
        }
    }

    #[test]
    fn an_authority_that_is_gone_is_not_begun_anew_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path());
        prepare_at(&home, &days(0)).unwrap();
        let before = identities(&home);
        fs::remove_dir_all(home.authority()).unwrap();
        // What it issued goes on to work.
        prepare_at(&home, &days(1)).unwrap();
        assert!(!home.authority().exists());
        assert_eq!(identities(&home)[0].certificate_pem(), before[0].certificate_pem());
        let ended = prepare_at(&home, &days(400)).unwrap_err().to_string();
        assert!(ended.contains("was valid until") && ended.contains("put it back"), "{ended}");
        fs::remove_dir_all(home.identity("agent")).unwrap();
        let error = prepare_at(&home, &days(1)).unwrap_err().to_string();
        assert!(error.contains("is gone") && error.contains("agent"), "{error}");
        // Somebody says that it is lost, and what it signed is believed all the same.
        let listen = "127.0.0.1:8443".parse().unwrap();
        prepare(&home, listen, None, true, &days(1)).unwrap();
        for identity in identities(&home) {
            let (vault, receipt) = (&before[0], before[0].sign(b"vaulted"));
            let pem = vault.certificate_pem();
            outlast_wire::signature::verify(pem, identity.ca_pem(), b"vaulted", &receipt).unwrap();
        }
        assert!(prepare(&home, listen, None, true, &days(1)).is_err(), "there is one now");
    }

    #[test]
    fn identities_that_are_gone_are_issued_again_by_the_authority_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(directory.path());
        prepare_at(&home, &days(0)).unwrap();
        let issuer = home.authority().join("issuer/issuer.pem");
        let before = fs::read(&issuer).unwrap();
        fs::remove_dir_all(directory.path().join("identity")).unwrap();
        prepare_at(&home, &days(1)).unwrap();
        assert_eq!(identities(&home).len(), 3);
        assert_eq!(fs::read(issuer).unwrap(), before);
    }
}
