//! An identity of our own: certificate, keys, and the authority that we trust.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use outlast_fs::durable;
use zeroize::Zeroizing;

use crate::authorities::{Authorities, AuthoritiesError};
use crate::certificate::{self, Certified, InvalidCertificate, Validity};
use crate::grants::Grants;
use crate::key::{InvalidKey, SigningKey};
use crate::learned::LearnedError;
use crate::names::Names;
use crate::peer::Peer;
use crate::sealed_key::{BoxKey, InvalidBoxKey};

/// Why an identity cannot be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read {}: {source}; is this the directory of an identity?", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{}: {source}; issue the identity again", path.display())]
    Certificate { path: PathBuf, source: InvalidCertificate },
    #[error("{} holds no private key that fits its certificate: {reason}", path.display())]
    Key { path: PathBuf, reason: String },
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    #[error("{}: {source}", path.display())]
    BoxKey { path: PathBuf, source: InvalidBoxKey },
    #[error(transparent)]
    Learned(#[from] LearnedError),
}

/// Certificate chain and private key in one file, so that a renewal replaces both or neither;
/// stock restic takes it as `--tls-client-cert`.
pub const IDENTITY_FILE: &str = "identity.pem";
/// The key to which repository keys are sealed.
pub const BOX_KEY_FILE: &str = "box.key";

/// Far more than any certificate or key needs.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// An identity of our own: certificate, private key, the authority we trust, and a box key.
pub struct Identity {
    certified: Certified,
    certificate_pem: String,
    key_pem: Zeroizing<String>,
    authorities: Authorities,
    /// The certificates of all whose signatures count.
    believed_pem: String,
    /// The chain, and the root to which it leads.
    whole_chain_pem: String,
    signing_key: SigningKey,
    box_key: BoxKey,
}

impl Identity {
    /// Puts the parts together and checks that key and certificate belong together.
    pub(crate) fn from_parts(
        certificate_pem: String,
        key_pem: Zeroizing<String>,
        authorities: Authorities,
        box_key: BoxKey,
    ) -> Result<Self, InvalidIdentity> {
        Self::assembled(certificate_pem, key_pem, authorities, box_key, &Names::default())
    }

    fn assembled(
        certificate_pem: String,
        key_pem: Zeroizing<String>,
        authorities: Authorities,
        box_key: BoxKey,
        names: &Names,
    ) -> Result<Self, InvalidIdentity> {
        let facts = certificate::facts_by(&certificate::first(&certificate_pem)?, names)?;
        let believed_pem = authorities.of_signatures();
        let root = certificate::root_of(&certificate_pem, &authorities.ca_pem);
        let whole_chain_pem = certificate_pem.clone() + &root.unwrap_or_default();
        let key = certificate::key_der(&key_pem)?;
        let signing_key = SigningKey::new(&key, &facts.key)?;
        let certified = facts.certified;
        Ok(Self {
            certified,
            certificate_pem,
            key_pem,
            authorities,
            believed_pem,
            whole_chain_pem,
            signing_key,
            box_key,
        })
    }

    /// The same identity, which believes others.
    pub(crate) fn believing(
        &self,
        authorities: Authorities,
        names: &Names,
    ) -> Result<Self, InvalidIdentity> {
        let (certificate, key) = (self.certificate_pem.clone(), self.key_pem.clone());
        Self::assembled(certificate, key, authorities, self.box_key.clone(), names)
    }

    /// Reads what [`save`](Self::save) wrote to `directory`.
    pub fn load(directory: &Path) -> Result<Self, IdentityError> {
        Self::load_by(directory, &Names::default())
    }

    /// The same, where a certificate that names nobody of ours may mean somebody by `names`.
    pub fn load_by(directory: &Path, names: &Names) -> Result<Self, IdentityError> {
        let read = |name: &str| {
            let path = directory.join(name);
            durable::read_bounded(&path, FILE_BYTES_MAX)
                .map(Zeroizing::new)
                .map_err(|source| IdentityError::Read { path, source })
        };
        let text = |name: &str| {
            let content = read(name)?;
            std::str::from_utf8(&content).map(str::to_owned).map_err(|error| IdentityError::Read {
                path: directory.join(name),
                source: io::Error::new(io::ErrorKind::InvalidData, error),
            })
        };
        let both = Zeroizing::new(text(IDENTITY_FILE)?);
        let path = directory.join(IDENTITY_FILE);
        let (certificate_pem, key_pem) = certificate::split(&both);
        // First whose it is: what names nobody of ours may lack all else of ours, too.
        certificate::first(&certificate_pem)
            .and_then(|der| certificate::facts_by(&der, names))
            .map_err(|source| IdentityError::Certificate { path: path.clone(), source })?;
        let box_path = directory.join(BOX_KEY_FILE);
        let box_key = BoxKey::from_text(&read(BOX_KEY_FILE)?)
            .map_err(|source| IdentityError::BoxKey { path: box_path, source })?;
        let authorities = Authorities::load(directory)?;
        Self::assembled(certificate_pem, key_pem, authorities, box_key, names)
            .map_err(|error| error.about(&path))
    }

    /// Writes the identity to `directory`, which is made if it is missing. Each file is replaced
    /// as a whole and the certificate with its key comes last, so that a crash in between leaves
    /// an identity that is either the old or the new one.
    pub fn save(&self, directory: &Path) -> Result<(), IdentityError> {
        durable::create_directories(directory, 0o700)
            .map_err(|source| IdentityError::Write { path: directory.to_owned(), source })?;
        let write = |name: &str, content: &[u8], mode: u32| {
            let path = directory.join(name);
            durable::replace(&path, content, mode)
                .map_err(|source| IdentityError::Write { path, source })
        };
        self.authorities.save(directory)?;
        write(BOX_KEY_FILE, self.box_key.to_text().as_bytes(), 0o600)?;
        write(IDENTITY_FILE, self.certificate_and_key_pem().as_bytes(), 0o600)
    }

    /// Role and name.
    pub fn peer(&self) -> &Peer {
        &self.certified.peer
    }

    /// All that the certificate says.
    pub fn certified(&self) -> &Certified {
        &self.certified
    }

    /// The workloads that the certificate lets touch.
    pub fn grants(&self) -> &Grants {
        &self.certified.grants
    }

    /// How long the certificate is valid.
    pub fn validity(&self) -> Validity {
        self.certified.validity
    }

    /// The certificate chain, own certificate first, without the key.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The same and the root to which it leads, for who knows that by its fingerprint alone.
    pub fn whole_chain_pem(&self) -> &str {
        &self.whole_chain_pem
    }

    /// The certificates of the authorities for connections.
    pub fn ca_pem(&self) -> &str {
        &self.authorities.ca_pem
    }

    /// The certificates of the authorities whose signatures count: those for connections, and those
    /// of the past. No word of the past frees anything.
    pub fn believed_pem(&self) -> &str {
        &self.believed_pem
    }

    pub fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// The key to which others may seal for us.
    pub fn box_key(&self) -> &BoxKey {
        &self.box_key
    }

    /// Signs `message`, as keys of its kind do: ECDSA, in ASN.1 DER, over P-256 with SHA-256 or P-384
    /// with SHA-384, or Ed25519. [`signature::verify`](crate::signature::verify) checks it.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.signing_key.sign(message)
    }

    pub(crate) fn key_pem(&self) -> &str {
        &self.key_pem
    }

    fn certificate_and_key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}{}", self.certificate_pem, *self.key_pem))
    }
}

/// Names the identity, never its keys.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, until {})", self.peer(), self.validity().until)
    }
}

/// Parts that make no identity, before a path is known.
#[derive(Debug, thiserror::Error)]
pub enum InvalidIdentity {
    #[error(transparent)]
    Certificate(#[from] InvalidCertificate),
    #[error(transparent)]
    Key(#[from] InvalidKey),
}

impl InvalidIdentity {
    pub(crate) fn about(self, path: &Path) -> IdentityError {
        let path = path.to_owned();
        match self {
            Self::Certificate(source) => IdentityError::Certificate { path, source },
            Self::Key(InvalidKey(reason)) => IdentityError::Key { path, reason },
        }
    }
}
