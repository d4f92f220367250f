//! The root: it certifies issuers and nobody else, and may be taken offline.

use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_fs::durable;
use outlast_types::{Clock, Random};
use rcgen::{BasicConstraints, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use zeroize::Zeroizing;

use super::error::{CaError, read};
use super::issuer::{CertificateAuthority, ISSUER_FILE, KEY_FILE};
use super::making::{Life, authority_name, parameters};
use crate::authorities::{Authorities, CA_FILE};
use crate::certificate::{self, Validity};

/// How long a root lasts: replacing one touches every host, so seldom.
const ROOT_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// How long an issuer lasts: replacing one touches the vault, and needs the root.
const ISSUER_LIFETIME: Duration = Duration::from_secs(5 * 365 * 24 * 3600);

/// A root's certificate by the root before it.
#[derive(Debug, Clone)]
pub struct Voucher(String);

/// The root, opened to certify issuers.
pub struct RootAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    validity: Validity,
}

impl RootAuthority {
    /// Makes a root in `directory`, which is made if it is missing. The certificate is written last: a
    /// key without it is a leftover and is replaced.
    pub fn create(
        directory: &Path,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, CaError> {
        let file = |path: PathBuf| |source| CaError::File { path, source };
        durable::create_directories(directory, 0o700).map_err(file(directory.to_owned()))?;
        let path = directory.join(CA_FILE);
        if path.exists() {
            return Err(CaError::AlreadyExists { directory: directory.to_owned() });
        }
        let key_path = directory.join(KEY_FILE);
        let failed = |source| CaError::Key { path: key_path.clone(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let name = authority_name("root", random);
        let certificate = certify_itself(&key, &name, clock, random).map_err(failed)?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        durable::replace(&key_path, key_pem.as_bytes(), 0o600).map_err(file(key_path.clone()))?;
        durable::publish_new(&path, certificate.pem().as_bytes(), 0o644).map_err(file(path))?;
        Self::open(directory)
    }

    /// Opens the root that [`create`](Self::create) made in `directory`.
    pub fn open(directory: &Path) -> Result<Self, CaError> {
        let certificate_pem = read(directory, CA_FILE)?.to_string();
        let path = directory.join(CA_FILE);
        let invalid = |source| CaError::Certificate { path: path.clone(), source };
        let failed = |source| CaError::Key { path: directory.join(KEY_FILE), source };
        let key = KeyPair::from_pem(&read(directory, KEY_FILE)?).map_err(failed)?;
        certificate::check_issuer(&certificate_pem, &key).map_err(invalid)?;
        let validity = certificate::validity_of_pem(&certificate_pem).map_err(invalid)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(failed)?;
        Ok(Self { issuer, certificate_pem, validity })
    }

    /// Opens the root in `directory`, or makes it if there is none.
    pub fn open_or_create(
        directory: &Path,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, CaError> {
        match Self::open(directory) {
            Err(CaError::Missing { .. }) if !directory.join(CA_FILE).exists() => {
                Self::create(directory, clock, random)
            }
            result => result,
        }
    }

    /// Makes a new certificate for the root, with the same key and the same name: whatever it
    /// certified, and whoever trusts its old certificate, goes on as before.
    pub fn renew(
        directory: &Path,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, CaError> {
        let old = Self::open(directory)?;
        let path = directory.join(CA_FILE);
        let failed = |source| CaError::Key { path: directory.join(KEY_FILE), source };
        let invalid = |source| CaError::Certificate { path: path.clone(), source };
        let name = certificate::authority_name_of_pem(&old.certificate_pem).map_err(invalid)?;
        let renewed = certify_itself(old.issuer.key(), &name, clock, random).map_err(failed)?;
        durable::replace(&path, renewed.pem().as_bytes(), 0o644)
            .map_err(|source| CaError::File { path: path.clone(), source })?;
        Self::open(directory)
    }

    /// Its certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// How long its certificate is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The certificate by which the root before this one vouches for it: whoever believes that one
    /// believes what this one certifies, too, where the voucher is in the chain.
    pub fn vouched_by(
        &self,
        before: &Self,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Voucher, CaError> {
        let invalid = |source| CaError::Certificate { path: PathBuf::from(CA_FILE), source };
        let failed = |source| CaError::Key { path: PathBuf::from(KEY_FILE), source };
        let name = certificate::authority_name_of_pem(&self.certificate_pem).map_err(invalid)?;
        let life = Life::within(before.validity, ROOT_LIFETIME, clock.now());
        let mut params = parameters(life, random);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.signed_by(self.issuer.key(), &before.issuer).map_err(failed)?.pem();
        Ok(Voucher(pem))
    }

    /// Makes an issuer in `directory`, with a new key, in place of one that may be there. Whom it
    /// certifies believes this root, and after it those of `others`; with a voucher, those who only
    /// know the root before this one believe them.
    pub fn make_issuer(
        &self,
        directory: &Path,
        others: Option<&Authorities>,
        voucher: Option<&Voucher>,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<CertificateAuthority, CaError> {
        let file = |path: PathBuf| |source| CaError::File { path, source };
        durable::create_directories(directory, 0o700).map_err(file(directory.to_owned()))?;
        let path = directory.join(ISSUER_FILE);
        let failed = |source| CaError::Key { path: path.clone(), source };
        let invalid = |source| CaError::Certificate { path: path.clone(), source };
        let mut authorities = Authorities::new(&self.certificate_pem).map_err(invalid)?;
        if let Some(others) = others {
            authorities.adopt(&others.ca_pem).map_err(invalid)?;
            authorities.past.clone_from(&others.past);
        }
        let key = KeyPair::generate().map_err(failed)?;
        let life = Life::within(self.validity, ISSUER_LIFETIME, clock.now());
        let mut params = parameters(life, random);
        params.distinguished_name.push(DnType::CommonName, authority_name("issuer", random));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        let voucher = voucher.map_or("", |voucher| voucher.0.as_str());
        let both = Zeroizing::new(format!("{}{voucher}{}", certificate.pem(), *key_pem));
        authorities.save(directory)?;
        durable::replace(&path, both.as_bytes(), 0o600).map_err(file(path))?;
        CertificateAuthority::open(directory)
    }
}

/// The root's certificate of itself: it allows an issuer below it, and between the two the root after
/// it, for which it vouches.
fn certify_itself(
    key: &KeyPair,
    name: &str,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<rcgen::Certificate, rcgen::Error> {
    let mut params = parameters(Life::new(ROOT_LIFETIME, clock.now()), random);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(2));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.self_signed(key)
}
