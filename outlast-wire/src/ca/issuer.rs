//! The issuer, which says who is who.

use std::path::Path;
use std::time::Duration;

use outlast_types::{Clock, Random, Timestamp};
use rcgen::{
    CustomExtension, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType,
};
use zeroize::Zeroizing;

use super::error::{CaError, read};
use super::making::{Life, host_name, parameters};
use crate::authorities::{Authorities, CA_FILE};
use crate::certificate::{self, Certified, Fingerprint, GRANTS_OID, InvalidCertificate, Validity};
use crate::grants::Grants;
use crate::identity::{Identity, InvalidIdentity};
use crate::peer::{Peer, Role};
use crate::request::CertificateRequest;
use crate::sealed_key::BoxKey;

/// The issuer's chain and private key in one file, so that another one replaces both or neither.
pub const ISSUER_FILE: &str = "issuer.pem";
/// Where an authority's directory has its issuer.
pub const ISSUER_DIRECTORY: &str = "issuer";
/// The private key of a root, or of an authority of earlier releases.
pub(super) const KEY_FILE: &str = "ca.key";

/// What to certify.
#[derive(Debug, Clone)]
pub struct Request {
    pub peer: Peer,
    /// The workloads that the certificate lets its holder touch.
    pub grants: Grants,
    /// How long the certificate is valid from now; no longer than the issuer's own.
    pub lifetime: Duration,
    /// Host names and IP addresses under which a vault or media server is reached. Empty for
    /// those that nothing connects to.
    pub hosts: Vec<String>,
    /// When it begins at the earliest; else, it is dated back a little.
    pub begins: Option<Timestamp>,
}

impl Request {
    /// All workloads, and no hosts.
    pub fn new(peer: Peer, lifetime: Duration) -> Self {
        Self { peer, grants: Grants::all(), lifetime, hosts: Vec::new(), begins: None }
    }
}

/// A certificate that was made for somebody else's key.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certified: Certified,
    /// The certificate, and those that lead from it to the root.
    pub chain_pem: String,
    /// The authorities that its holder is to believe.
    pub authorities: Authorities,
}

/// The authority, opened for issuing.
pub struct CertificateAuthority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// What leads from an issued certificate to the root: nothing, if the issuer is the root.
    pub(super) chain_pem: String,
    authorities: Authorities,
    validity: Validity,
}

impl CertificateAuthority {
    /// Opens the authority in `directory`: an issuer, a directory with one in it, or an authority of
    /// earlier releases.
    pub fn open(directory: &Path) -> Result<Self, CaError> {
        let inner = directory.join(ISSUER_DIRECTORY);
        let both = if directory.join(ISSUER_FILE).exists() {
            Some(directory)
        } else if inner.join(ISSUER_FILE).exists() {
            Some(inner.as_path())
        } else {
            None
        };
        match both {
            Some(directory) => {
                let path = directory.join(ISSUER_FILE);
                let (chain_pem, key) = certificate::split(&read(directory, ISSUER_FILE)?);
                Self::of(directory, chain_pem, &key, &path, &path)
            }
            None => {
                let (path, key_path) = (directory.join(CA_FILE), directory.join(KEY_FILE));
                let own = read(directory, CA_FILE)?;
                let key = read(directory, KEY_FILE)?;
                let mut authority = Self::of(directory, own.to_string(), &key, &path, &key_path)?;
                authority.chain_pem.clear();
                Ok(authority)
            }
        }
    }

    fn of(
        directory: &Path,
        chain_pem: String,
        key: &str,
        path: &Path,
        key_path: &Path,
    ) -> Result<Self, CaError> {
        let authorities = Authorities::load(directory)?;
        let invalid = |source| CaError::Certificate { path: path.to_owned(), source };
        let failed = |source| CaError::Key { path: key_path.to_owned(), source };
        let key = KeyPair::from_pem(key).map_err(failed)?;
        certificate::check_issuer(&chain_pem, &key).map_err(invalid)?;
        let validity = certificate::validity_of_pem(&chain_pem).map_err(invalid)?;
        let issuer = Issuer::from_ca_cert_pem(&chain_pem, key).map_err(failed)?;
        Ok(Self { issuer, chain_pem, authorities, validity })
    }

    /// Whether the authority in `directory` is one of earlier releases, which allows no issuer.
    pub fn is_of_before(directory: &Path) -> bool {
        directory.join(CA_FILE).exists() && directory.join(KEY_FILE).exists()
    }

    /// How long the issuer's certificate is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The certificates of the authorities for connections, which every identity trusts.
    pub fn ca_pem(&self) -> &str {
        &self.authorities.ca_pem
    }

    /// What every identity is to believe.
    pub fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// The name of the issuer, as [`Certified::issuer`] of what it issued shows it.
    pub fn name(&self) -> Result<String, InvalidCertificate> {
        let own = if self.chain_pem.is_empty() { self.ca_pem() } else { &self.chain_pem };
        certificate::subject_of_pem(own)
    }

    /// Which root it is by whose word it issues.
    pub fn root_fingerprint(&self) -> Result<Fingerprint, InvalidCertificate> {
        let root = match self.chain_pem.is_empty() {
            // The issuer is its own root.
            true => self.ca_pem().to_owned(),
            false => certificate::authority_of(&self.chain_pem, self.ca_pem())?,
        };
        certificate::fingerprint_of_pem(&root)
    }

    /// Whether that is one of the authorities for connections.
    pub fn is_believed_as(&self, fingerprint: Fingerprint) -> bool {
        certificate::fingerprints(self.ca_pem()).is_ok_and(|known| known.contains(&fingerprint))
    }

    /// Whether this very issuer issued the certificate that a chain begins with, and the chain goes on as
    /// it does.
    pub fn has_issued(&self, chain_pem: &str) -> bool {
        let holder = certificate::first(chain_pem);
        holder.is_ok_and(|holder| match self.chain_pem.is_empty() {
            true => certificate::check_issued(&[holder], self.ca_pem()).is_ok(),
            false => {
                let issuer = certificate::each_pem(&self.chain_pem).into_iter().next();
                issuer.is_some_and(|it| certificate::check_issued(&[holder], &it).is_ok())
            }
        })
    }

    /// Signs as the authority. What it signs begins with words that no certificate begins with.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        rcgen::SigningKey::sign(self.issuer.key(), message)
    }

    /// A new identity with new keys.
    pub fn issue(
        &self,
        request: &Request,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Identity, CaError> {
        let peer = &request.peer;
        let key =
            KeyPair::generate().map_err(|source| CaError::Issue { peer: peer.clone(), source })?;
        let (_, chain_pem) = self.certify(&key, request, clock, random)?;
        Identity::from_parts(
            chain_pem,
            Zeroizing::new(key.serialize_pem()),
            self.authorities.clone(),
            BoxKey::generate(random),
        )
        .map_err(|source| CaError::Unusable { peer: peer.clone(), source })
    }

    /// A certificate for the key of a request. Everything else is what `request` decides.
    pub fn sign_request(
        &self,
        key: &CertificateRequest,
        request: &Request,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Issued, CaError> {
        let (certified, chain_pem) = self.certify(key.key(), request, clock, random)?;
        Ok(Issued { certified, chain_pem, authorities: self.authorities.clone() })
    }

    /// A new certificate for `key`, and the chain that begins with it.
    fn certify(
        &self,
        key: &impl PublicKeyData,
        request: &Request,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<(Certified, String), CaError> {
        let Request { peer, grants, lifetime, hosts, begins } = request;
        let failed = |source| CaError::Issue { peer: peer.clone(), source };
        let life = Life::within(self.validity, *lifetime, clock.now()).not_before(*begins);
        let mut params = parameters(life, random);
        params.distinguished_name.push(DnType::CommonName, peer.to_string());
        let uri = peer.uri().try_into().map_err(failed)?;
        params.subject_alt_names.push(SanType::URI(uri));
        for host in hosts {
            params.subject_alt_names.push(host_name(host)?);
        }
        if let Some(content) = certificate::grants_content(grants) {
            let extension = CustomExtension::from_oid_content(&GRANTS_OID, content);
            params.custom_extensions.push(extension);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if matches!(peer.role(), Role::Vault | Role::Media) {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let certificate = params.signed_by(key, &self.issuer).map_err(failed)?;
        let chain_pem = certificate.pem() + &self.chain_pem;
        // By the rules of whoever will judge it, such as those of a chain that is too long.
        let unusable = |source| CaError::Unusable {
            peer: peer.clone(),
            source: InvalidIdentity::Certificate(source),
        };
        let chain = certificate::chain(&chain_pem).map_err(unusable)?;
        certificate::check_issued(&chain, self.ca_pem()).map_err(unusable)?;
        let facts = certificate::facts(certificate.der()).map_err(unusable)?;
        Ok((facts.certified, chain_pem))
    }
}
