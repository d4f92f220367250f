//! The header: the file key, wrapped for each who may read, and a proof of all of it.

use std::io::{self, BufRead, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use outlast_types::Random;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::key::{Identities, Recipient};

const VERSION: &str = "age-encryption.org/v1";
const KIND: &str = "X25519";
const WRAP: &[u8] = b"age-encryption.org/v1/X25519";
const PROOF: &str = "---";
/// A wrapped file key: 16 bytes and their tag.
const WRAPPED_BYTES: usize = 32;
/// Longer headers have no place in a file of ours, and cost whoever reads.
const HEADER_BYTES_MAX: u64 = 64 << 10;

/// What encrypts one file.
pub(super) type FileKey = Zeroizing<[u8; 16]>;

/// A header for these recipients, with a new file key.
pub(super) fn write(
    recipients: &[Recipient],
    random: &dyn Random,
) -> io::Result<(Vec<u8>, FileKey)> {
    let mut file_key = FileKey::default();
    random.fill(&mut *file_key);
    let mut text = format!("{VERSION}\n");
    for recipient in recipients {
        let mut secret = Zeroizing::new([0; 32]);
        random.fill(&mut *secret);
        let secret = StaticSecret::from(*secret);
        let share = PublicKey::from(&secret);
        let mut wrapped = file_key.to_vec();
        let key = wrap_key(&secret, &PublicKey::from(recipient.0), &share, recipient)?;
        key.seal_in_place_append_tag(no_nonce(), Aad::empty(), &mut wrapped).map_err(broken)?;
        let encode = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        text += &format!("-> {KIND} {}\n{}\n", encode(share.as_bytes()), encode(&wrapped));
    }
    text += PROOF;
    let proof = hmac::sign(&proof_key(&file_key)?, text.as_bytes());
    text += &format!(" {}\n", STANDARD_NO_PAD.encode(proof.as_ref()));
    Ok((text.into_bytes(), file_key))
}

/// The bytes of a header for so many recipients.
pub(super) fn size(recipients: usize) -> u64 {
    // Two lines for each, of 32 bytes each in base64.
    let stanza = "-> ".len() + KIND.len() + " \n".len() + "\n".len() + 2 * 43;
    (VERSION.len() + "\n".len() + recipients * stanza + PROOF.len() + " \n".len() + 43) as u64
}

/// Reads the header at the front of `input`, and opens the file key with whichever key does.
pub(super) fn read(input: &mut dyn BufRead, identities: &Identities) -> io::Result<FileKey> {
    let mut input = input.take(HEADER_BYTES_MAX);
    let (mut covered, mut stanzas) = (line(&mut input)?, Vec::new());
    if covered != format!("{VERSION}\n") {
        return Err(malformed("it is no file of age"));
    }
    let proof = loop {
        let head = line(&mut input)?;
        if let Some(proof) = head.strip_prefix(PROOF) {
            covered += PROOF;
            break decode(proof.trim_start_matches(' ').trim_end())?;
        }
        let words: Vec<&str> = head.trim_end().split(' ').collect();
        let ["->", kind, arguments @ ..] = &*words else {
            return Err(malformed("its header is none of age's"));
        };
        covered += &head;
        let mut body = String::new();
        // The last line of a body is shorter than the others.
        loop {
            let next = line(&mut input)?;
            covered += &next;
            body += next.trim_end();
            if next.trim_end().len() < 64 {
                break;
            }
        }
        if let (&KIND, [share]) = (kind, arguments) {
            stanzas.push((decode(share)?, decode(&body)?));
        }
    };
    let file_key = stanzas.iter().find_map(|(share, wrapped)| open(share, wrapped, identities));
    let Some(file_key) = file_key else {
        let text = "it is encrypted for none of the keys that were given";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    };
    hmac::verify(&proof_key(&file_key)?, covered.as_bytes(), &proof)
        .map_err(|_| malformed("its header was changed"))?;
    Ok(file_key)
}

/// The key of the content, by the nonce before it.
pub(super) fn content_key(file_key: &FileKey, nonce: &[u8; 16]) -> io::Result<LessSafeKey> {
    derive(&**file_key, nonce, b"payload")
}

fn open(share: &[u8], wrapped: &[u8], identities: &Identities) -> Option<FileKey> {
    let share: [u8; 32] = share.try_into().ok()?;
    let share = PublicKey::from(share);
    if wrapped.len() != WRAPPED_BYTES {
        return None;
    }
    identities.0.iter().find_map(|secret| {
        let own = Recipient(*PublicKey::from(secret).as_bytes());
        let key = wrap_key(secret, &share, &share, &own).ok()?;
        let mut wrapped = Zeroizing::new(wrapped.to_vec());
        let opened = key.open_in_place(no_nonce(), Aad::empty(), &mut wrapped).ok()?;
        Some(Zeroizing::new(<[u8; 16]>::try_from(&*opened).ok()?))
    })
}

/// What wraps the file key, between a secret and the other's public key.
fn wrap_key(
    secret: &StaticSecret,
    other: &PublicKey,
    share: &PublicKey,
    recipient: &Recipient,
) -> io::Result<LessSafeKey> {
    let shared = secret.diffie_hellman(other);
    if !shared.was_contributory() {
        return Err(malformed("a key in it is none"));
    }
    let salt = [*share.as_bytes(), recipient.0].concat();
    derive(shared.as_bytes(), &salt, WRAP)
}

fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> io::Result<LessSafeKey> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, salt);
    let info = [info];
    let key = salt.extract(secret);
    let key: UnboundKey = key.expand(&info, &CHACHA20_POLY1305).map_err(broken)?.into();
    Ok(LessSafeKey::new(key))
}

fn proof_key(file_key: &FileKey) -> io::Result<hmac::Key> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]);
    let info: [&[u8]; 1] = [b"header"];
    let key = salt.extract(&**file_key);
    Ok(key.expand(&info, hmac::HMAC_SHA256).map_err(broken)?.into())
}

/// Each key wraps once.
fn no_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    let text = String::from_utf8(line).ok().filter(|line| line.ends_with('\n'));
    text.ok_or_else(|| malformed("its header is cut off, or none of age's"))
}

fn decode(text: &str) -> io::Result<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).map_err(|_| malformed("its header is none of age's"))
}

fn malformed(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn broken(_: ring::error::Unspecified) -> io::Error {
    io::Error::other("encryption is not possible here")
}
