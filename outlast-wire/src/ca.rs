//! The certificate authority of an installation: one P-256 key that says who is who.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_fs::durable;
use outlast_types::{Clock, Random, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::certificate::{self, Certified, GRANTS_OID, InvalidCertificate, Validity};
use crate::grants::Grants;
use crate::identity::{Identity, InvalidIdentity};
use crate::peer::{Peer, Role};
use crate::request::CertificateRequest;
use crate::sealed_key::BoxKey;

const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How long an authority lasts: replacing one touches every host, so seldom.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// Certificates are valid from a little before they are made, for hosts whose clock is late.
const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// Why an authority cannot be made, opened or asked.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("there is already a certificate authority in {}", directory.display())]
    AlreadyExists { directory: PathBuf },
    #[error("there is no certificate authority in {}", directory.display())]
    Missing { directory: PathBuf },
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Certificate { path: PathBuf, source: InvalidCertificate },
    #[error("{} holds no usable private key: {source}", path.display())]
    Key { path: PathBuf, source: rcgen::Error },
    #[error("{host:?} is neither a host name nor an IP address")]
    Host { host: String },
    #[error("cannot make a certificate for {peer}: {source}")]
    Issue { peer: Peer, source: rcgen::Error },
    #[error("the certificate just made for {peer} is not usable: {source}")]
    Unusable { peer: Peer, source: InvalidIdentity },
}

/// What to certify.
#[derive(Debug, Clone)]
pub struct Request {
    pub peer: Peer,
    /// The workloads that the certificate lets its holder touch.
    pub grants: Grants,
    /// How long the certificate is valid from now.
    pub lifetime: Duration,
    /// Host names and IP addresses under which a vault or media server is reached. Empty for
    /// those that nothing connects to.
    pub hosts: Vec<String>,
}

impl Request {
    /// All workloads, and no hosts.
    pub fn new(peer: Peer, lifetime: Duration) -> Self {
        Self { peer, grants: Grants::all(), lifetime, hosts: Vec::new() }
    }
}

/// A certificate that was made for somebody else's key.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certified: Certified,
    /// The certificate, and those that lead from it to the root.
    pub chain_pem: String,
    /// The authorities that its holder is to trust.
    pub ca_pem: String,
}

/// The authority, opened for issuing.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, and those of authorities before it whose signatures still count.
    certificate_pem: String,
    validity: Validity,
}

impl CertificateAuthority {
    /// Makes a new authority in `directory`, which is made if it is missing. The certificate is
    /// written last: a key without it is a leftover and is replaced.
    pub fn create(
        directory: &Path,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, CaError> {
        let file = |path: PathBuf| |source| CaError::File { path, source };
        durable::create_directories(directory, 0o700).map_err(file(directory.to_owned()))?;
        let certificate_path = directory.join(CERTIFICATE_FILE);
        if certificate_path.exists() {
            return Err(CaError::AlreadyExists { directory: directory.to_owned() });
        }
        let key_path = directory.join(KEY_FILE);
        let failed = |source| CaError::Key { path: key_path.clone(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = certify(&key, &authority_name(random), clock.now(), random);
        let certificate = certificate.map_err(failed)?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        durable::replace(&key_path, key_pem.as_bytes(), 0o600).map_err(file(key_path.clone()))?;
        durable::publish_new(&certificate_path, certificate.pem().as_bytes(), 0o644)
            .map_err(file(certificate_path))?;
        Self::open(directory)
    }

    /// Opens the authority that [`create`](Self::create) made in `directory`.
    pub fn open(directory: &Path) -> Result<Self, CaError> {
        let read = |name: &str| {
            let path = directory.join(name);
            match durable::read_bounded(&path, FILE_BYTES_MAX).map(String::from_utf8) {
                Ok(Ok(text)) => Ok(Zeroizing::new(text)),
                Ok(Err(error)) => {
                    let source = io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
                    Err(CaError::File { path, source })
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(CaError::Missing { directory: directory.to_owned() })
                }
                Err(source) => Err(CaError::File { path, source }),
            }
        };
        let certificate_pem = read(CERTIFICATE_FILE)?.to_string();
        let certificate_path = directory.join(CERTIFICATE_FILE);
        let invalid = |source| CaError::Certificate { path: certificate_path.clone(), source };
        certificate::check_authority(&certificate_pem).map_err(invalid)?;
        let failed = |source| CaError::Key { path: directory.join(KEY_FILE), source };
        let key = KeyPair::from_pem(&read(KEY_FILE)?).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(failed)?;
        let validity = certificate::validity_of_pem(&certificate_pem).map_err(invalid)?;
        Ok(Self { issuer, certificate_pem, validity })
    }

    /// Makes a new certificate for the authority, with the same key and the same name: whatever it
    /// signed, and whoever trusts its old certificate, goes on as before.
    pub fn renew(
        directory: &Path,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, CaError> {
        let old = Self::open(directory)?;
        let path = directory.join(CERTIFICATE_FILE);
        let failed = |source| CaError::Key { path: directory.join(KEY_FILE), source };
        let invalid = |source| CaError::Certificate { path: path.clone(), source };
        let name = certificate::authority_name_of_pem(&old.certificate_pem).map_err(invalid)?;
        let certificate = certify(old.issuer.key(), &name, clock.now(), random).map_err(failed)?;
        // Those of authorities before it stay.
        let others = certificate::without_first(&old.certificate_pem);
        let content = certificate.pem() + &others;
        durable::replace(&path, content.as_bytes(), 0o644)
            .map_err(|source| CaError::File { path: path.clone(), source })?;
        Self::open(directory)
    }

    /// Lets what an earlier authority signed count on, beside what this one signs: `certificate_pem`
    /// is added to the certificates that new identities trust.
    pub fn trust_also(directory: &Path, certificate_pem: &str) -> Result<Self, CaError> {
        let path = directory.join(CERTIFICATE_FILE);
        let own = Self::open(directory)?.certificate_pem;
        certificate::check_authority(certificate_pem)
            .map_err(|source| CaError::Certificate { path: path.clone(), source })?;
        if !own.contains(certificate_pem.trim()) {
            let content = format!("{}\n{}\n", own.trim_end(), certificate_pem.trim());
            durable::replace(&path, content.as_bytes(), 0o644)
                .map_err(|source| CaError::File { path: path.clone(), source })?;
        }
        Self::open(directory)
    }

    /// Whether there is an authority in `directory`.
    pub fn exists(directory: &Path) -> bool {
        directory.join(CERTIFICATE_FILE).exists()
    }

    /// How long its certificate is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Opens the authority in `directory`, or makes it if there is none.
    pub fn open_or_create(
        directory: &Path,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, CaError> {
        if directory.join(CERTIFICATE_FILE).exists() {
            Self::open(directory)
        } else {
            Self::create(directory, clock, random)
        }
    }

    /// The authority's own certificate, which every identity trusts, and those of authorities
    /// before it.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
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
        let chain_pem = self.certify(&key, request, clock, random)?;
        Identity::from_parts(
            chain_pem,
            Zeroizing::new(key.serialize_pem()),
            self.certificate_pem.clone(),
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
        let chain_pem = self.certify(key.key(), request, clock, random)?;
        let facts = certificate::facts_of_pem(&chain_pem);
        let unusable = |source| CaError::Unusable {
            peer: request.peer.clone(),
            source: InvalidIdentity::Certificate(source),
        };
        let certified = facts.map_err(unusable)?.certified;
        Ok(Issued { certified, chain_pem, ca_pem: self.certificate_pem.clone() })
    }

    /// The chain of a new certificate for `key`.
    fn certify(
        &self,
        key: &impl PublicKeyData,
        request: &Request,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<String, CaError> {
        let Request { peer, grants, lifetime, hosts } = request;
        let failed = |source| CaError::Issue { peer: peer.clone(), source };
        let mut params = parameters(*lifetime, clock.now(), random);
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
        Ok(params.signed_by(key, &self.issuer).map_err(failed)?.pem())
    }
}

/// The authority's certificate of itself.
fn certify(
    key: &KeyPair,
    name: &str,
    now: Timestamp,
    random: &dyn Random,
) -> Result<rcgen::Certificate, rcgen::Error> {
    let mut params = parameters(AUTHORITY_LIFETIME, now, random);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.self_signed(key)
}

fn parameters(lifetime: Duration, now: Timestamp, random: &dyn Random) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = moment(now.saturating_sub(BACKDATED));
    params.not_after = moment(now.saturating_add(lifetime));
    let mut serial = [0; 16];
    random.fill(&mut serial);
    // Positive and of one length, as RFC 5280 §4.1.2.2 wants it.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    params
}

fn moment(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.unix_seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Two installations' authorities differ in name too, which makes mistakes readable.
fn authority_name(random: &dyn Random) -> String {
    let mut tag = [0; 4];
    random.fill(&mut tag);
    format!("Outlast authority {:08x}", u32::from_be_bytes(tag))
}

fn host_name(host: &str) -> Result<SanType, CaError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refused = || CaError::Host { host: host.chars().take(80).collect() };
    rustls::pki_types::DnsName::try_from(host).map_err(|_| refused())?;
    Ok(SanType::DnsName(host.try_into().map_err(|_| refused())?))
}

#[cfg(test)]
pub(crate) mod tests {
    use outlast_types::{SystemClock, SystemRandom};

    use super::*;

    pub(crate) fn authority() -> (tempfile::TempDir, CertificateAuthority) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca");
        let authority = CertificateAuthority::create(&path, &SystemClock, &SystemRandom).unwrap();
        (directory, authority)
    }

    pub(crate) fn issue(authority: &CertificateAuthority, role: Role, name: &str) -> Identity {
        let peer = Peer::new(role, name).unwrap();
        let hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let request = Request { hosts, ..Request::new(peer, Duration::from_secs(3600)) };
        authority.issue(&request, &SystemClock, &SystemRandom).unwrap()
    }

    #[test]
    fn an_identity_survives_its_directory() {
        let (directory, authority) = authority();
        let vault = issue(&authority, Role::Vault, "hq");
        let path = directory.path().join("id");
        vault.save(&path).unwrap();
        let again = Identity::load(&path).unwrap();
        assert_eq!(again.peer(), vault.peer());
        assert_eq!(again.certificate_pem(), vault.certificate_pem());
        assert_eq!(again.box_key().public(), vault.box_key().public());
        vault.save(&path).unwrap();
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (directory, authority) = authority();
        let [one, two] = ["one", "two"].map(|name| {
            let path = directory.path().join(name);
            issue(&authority, Role::Agent, name).save(&path).unwrap();
            std::fs::read_to_string(path.join("identity.pem")).unwrap()
        });
        let (certificate, _) = certificate::split(&one);
        let (_, key) = certificate::split(&two);
        let path = directory.path().join("one");
        let mixed = certificate + &key;
        durable::replace(&path.join("identity.pem"), mixed.as_bytes(), 0o600).unwrap();
        let message = Identity::load(&path).unwrap_err().to_string();
        assert!(message.contains("another certificate"), "{message}");
        assert!(message.contains("identity.pem"), "{message}");
    }

    #[test]
    fn an_authority_is_never_overwritten() {
        let (directory, authority) = authority();
        let path = directory.path().join("ca");
        let again = CertificateAuthority::create(&path, &SystemClock, &SystemRandom);
        assert!(matches!(again, Err(CaError::AlreadyExists { .. })));
        let opened =
            CertificateAuthority::open_or_create(&path, &SystemClock, &SystemRandom).unwrap();
        assert_eq!(opened.certificate_pem(), authority.certificate_pem());
        assert!(matches!(
            CertificateAuthority::open(directory.path()),
            Err(CaError::Missing { .. })
        ));
    }

    /// A clock that stands still.
    struct Stopped(Timestamp);

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    #[test]
    fn a_renewed_authority_goes_on_with_whatever_it_signed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca");
        let now = SystemClock.now();
        let ahead = Stopped(now.saturating_add(Duration::from_secs(400 * 86400)));
        let early = CertificateAuthority::create(&path, &ahead, &SystemRandom).unwrap();
        assert!(early.validity().trouble(now).unwrap().contains("valid from"));
        let agent = issue(&early, Role::Agent, "eu-1");
        let renewed = CertificateAuthority::renew(&path, &SystemClock, &SystemRandom).unwrap();
        assert_eq!(renewed.validity().trouble(now), None);
        assert_ne!(renewed.certificate_pem(), early.certificate_pem());
        let verify = |signer: &Identity, ca: &str| {
            crate::signature::verify(signer.certificate_pem(), ca, b"m", &signer.sign(b"m"))
        };
        // Old signatures by the new certificate, and new ones by the old certificate.
        assert_eq!(verify(&agent, renewed.certificate_pem()).unwrap(), *agent.peer());
        let vault = issue(&renewed, Role::Vault, "hq");
        assert_eq!(verify(&vault, early.certificate_pem()).unwrap(), *vault.peer());
    }

    #[test]
    fn what_an_earlier_authority_signed_counts_on_where_its_certificate_is_kept() {
        let (_earlier, earlier) = authority();
        let (directory, _) = authority();
        let path = directory.path().join("ca");
        let vault = issue(&earlier, Role::Vault, "hq");
        for _ in 0..2 {
            CertificateAuthority::trust_also(&path, earlier.certificate_pem()).unwrap();
        }
        let both = CertificateAuthority::renew(&path, &SystemClock, &SystemRandom).unwrap();
        assert_eq!(both.certificate_pem().matches("BEGIN CERTIFICATE").count(), 2);
        let signed = vault.sign(b"receipt");
        let verify =
            |ca: &str| crate::signature::verify(vault.certificate_pem(), ca, b"receipt", &signed);
        assert!(verify(both.certificate_pem()).is_ok());
        let agent = issue(&both, Role::Agent, "eu-1");
        assert!(verify(agent.ca_pem()).is_ok(), "whoever is issued now believes it, too");
        assert!(CertificateAuthority::trust_also(&path, agent.certificate_pem()).is_err());
    }

    #[test]
    fn grants_are_read_back_from_a_certificate_and_only_our_decision_counts() {
        let (_directory, authority) = authority();
        let pattern = |text: &str| crate::grants::WorkloadPattern::new(text).unwrap();
        let lists = [Some(vec!["crm-db", "shop-*"]), Some(vec![]), None];
        for kind in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
        {
            for list in &lists {
                let grants = list.as_ref().map_or_else(Grants::all, |list| {
                    Grants::of(list.iter().map(|text| pattern(text))).unwrap()
                });
                let peer = Peer::new(Role::Reader, "eu-1").unwrap();
                let decision = Request {
                    grants: grants.clone(),
                    ..Request::new(peer.clone(), Duration::from_secs(60))
                };
                // What the request asks for beside its key is not listened to.
                let mut asked = CertificateParams::new(vec!["vault.example".to_owned()]).unwrap();
                asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                asked.distinguished_name.push(DnType::CommonName, "operator root");
                let key = KeyPair::generate_for(kind).unwrap();
                let asked = asked.serialize_request(&key).unwrap();
                let request = CertificateRequest::from_der(asked.der()).unwrap();
                let issued = authority
                    .sign_request(&request, &decision, &SystemClock, &SystemRandom)
                    .unwrap();
                assert_eq!((&issued.certified.peer, &issued.certified.grants), (&peer, &grants));
                let read = certificate::facts_of_pem(&issued.chain_pem).unwrap().certified;
                assert_eq!(read, issued.certified);
                assert!(certificate::check_authority(&issued.chain_pem).is_err());
                let identity = Identity::from_parts(
                    issued.chain_pem,
                    Zeroizing::new(key.serialize_pem()),
                    issued.ca_pem,
                    BoxKey::generate(&SystemRandom),
                )
                .unwrap();
                let signed = identity.sign(b"bill");
                let verify = |message: &[u8]| {
                    let ca = identity.ca_pem();
                    crate::signature::verify(identity.certificate_pem(), ca, message, &signed)
                };
                assert_eq!(verify(b"bill").unwrap(), peer);
                assert!(verify(b"Bill").is_err());
            }
        }
    }

    #[test]
    fn a_wrong_host_is_named() {
        let (_directory, authority) = authority();
        let peer = Peer::new(Role::Vault, "hq").unwrap();
        let hosts = vec!["not a host".to_owned()];
        let request = Request { hosts, ..Request::new(peer, Duration::from_secs(60)) };
        let error = authority.issue(&request, &SystemClock, &SystemRandom).unwrap_err();
        assert!(error.to_string().contains("\"not a host\""), "{error}");
    }
}
