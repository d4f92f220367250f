//! Sealing: AES-256 in counter mode, then Poly1305-AES over the ciphertext (encrypt-then-MAC).
//!
//! A sealed object is `nonce (16 bytes) ‖ ciphertext ‖ authentication code (16 bytes)`. The one-time
//! Poly1305 key is `r ‖ AES-128_k(nonce)`; the bits of `r` that Poly1305 wants zero are masked when
//! it is used. See the "Keys, Encryption and MAC" chapter of restic's design document.

use std::fmt;

use aes::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use outlast_types::Random;
use poly1305::universal_hash::UniversalHash;
use poly1305::{Block, Poly1305};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::FormatError;

/// Bytes of random nonce before the ciphertext.
pub const NONCE_LENGTH: usize = 16;
/// Bytes of authentication code after the ciphertext.
pub const MAC_LENGTH: usize = 16;
/// By how many bytes sealing makes an object longer.
pub const OVERHEAD: usize = NONCE_LENGTH + MAC_LENGTH;

/// A repository's key (or the key that a password makes). Wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key {
    encrypt: [u8; 32],
    mac_k: [u8; 16],
    mac_r: [u8; 16],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

impl Key {
    /// A new random key.
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = zeroize::Zeroizing::new([0; 64]);
        random.fill(&mut *bytes);
        Self::from_bytes(&bytes)
    }

    /// The key of its parts: the AES-256 key, and `k` and `r` of Poly1305-AES.
    pub fn from_parts(encrypt: [u8; 32], mac_k: [u8; 16], mac_r: [u8; 16]) -> Self {
        Self { encrypt, mac_k, mac_r }
    }

    /// The key of 64 bytes as [`to_bytes`](Self::to_bytes) gives them.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let part = |from: usize| std::array::from_fn(|i| bytes[from + i]);
        Self { encrypt: std::array::from_fn(|i| bytes[i]), mac_k: part(32), mac_r: part(48) }
    }

    /// AES key, `k` and `r` in a row, for example to seal the key to an agent. The caller wipes them.
    pub fn to_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.encrypt);
        bytes[32..48].copy_from_slice(&self.mac_k);
        bytes[48..].copy_from_slice(&self.mac_r);
        bytes
    }

    /// Whether neither part is all zeros, as stock restic demands.
    pub(crate) fn is_valid(&self) -> bool {
        let set = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all | byte) != 0;
        set(&self.encrypt) && set(&self.mac_k) && set(&self.mac_r)
    }

    /// Seals `plaintext` into a new vector of [`OVERHEAD`] more bytes.
    pub fn seal(&self, plaintext: &[u8], random: &dyn Random) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
        self.seal_onto(plaintext, random, &mut sealed);
        sealed
    }

    /// Appends the sealed `plaintext` to `out`, for example to a pack being built.
    pub fn seal_onto(&self, plaintext: &[u8], random: &dyn Random, out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(plaintext.len() + OVERHEAD);
        out.extend_from_slice(&[0; NONCE_LENGTH]);
        out.extend_from_slice(plaintext);
        self.seal_tail(out, start, random);
    }

    /// Seals in place what stands in `buffer` from `start` on: [`NONCE_LENGTH`] bytes of room, then
    /// the plaintext. The authentication code is appended. Saves the copy of
    /// [`seal_onto`](Self::seal_onto) when a compressor wrote straight into the buffer.
    ///
    /// # Panics
    /// If `buffer` ends before `start + NONCE_LENGTH`.
    pub fn seal_tail(&self, buffer: &mut Vec<u8>, start: usize, random: &dyn Random) {
        let (nonce_room, text) = buffer[start..].split_at_mut(NONCE_LENGTH);
        let mut nonce = [0; NONCE_LENGTH];
        random.fill(&mut nonce);
        nonce_room.copy_from_slice(&nonce);
        self.keystream(&nonce, text);
        let mac = self.mac(&nonce, text);
        buffer.extend_from_slice(&mac);
    }

    /// Opens a sealed object: checks it, then decrypts it into a new vector.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, FormatError> {
        let (nonce, text) = self.authentic(sealed)?;
        let mut text = text.to_vec();
        self.keystream(&nonce, &mut text);
        Ok(text)
    }

    /// Opens a sealed object inside its own buffer and returns the plaintext's part of it.
    /// The buffer is unchanged on an error.
    pub fn open_in_place<'a>(&self, sealed: &'a mut [u8]) -> Result<&'a mut [u8], FormatError> {
        let (nonce, text) = self.authentic(sealed)?;
        let end = NONCE_LENGTH + text.len();
        let text = &mut sealed[NONCE_LENGTH..end];
        self.keystream(&nonce, text);
        Ok(text)
    }

    /// The nonce and the ciphertext, if the authentication code fits them.
    fn authentic<'a>(
        &self,
        sealed: &'a [u8],
    ) -> Result<([u8; NONCE_LENGTH], &'a [u8]), FormatError> {
        let short = FormatError::TooShort {
            object: "sealed object",
            length: sealed.len(),
            minimum: OVERHEAD,
        };
        let Some((nonce, rest)) = sealed.split_first_chunk::<NONCE_LENGTH>() else {
            return Err(short);
        };
        let Some((text, mac)) = rest.split_last_chunk::<MAC_LENGTH>() else {
            return Err(short);
        };
        if bool::from(self.mac(nonce, text).ct_eq(mac)) {
            Ok((*nonce, text))
        } else {
            Err(FormatError::Unauthentic)
        }
    }

    /// Begins to open a sealed object of any length, of which only `nonce` was read yet.
    pub fn opening(&self, nonce: &[u8; NONCE_LENGTH]) -> Opening {
        Opening { cipher: self.cipher(nonce), authenticator: self.authenticator(nonce) }
    }

    fn keystream(&self, nonce: &[u8; NONCE_LENGTH], text: &mut [u8]) {
        self.cipher(nonce).apply_keystream(text);
    }

    fn cipher(&self, nonce: &[u8; NONCE_LENGTH]) -> Cipher {
        Cipher::new(&self.encrypt.into(), &(*nonce).into())
    }

    fn mac(&self, nonce: &[u8; NONCE_LENGTH], text: &[u8]) -> [u8; MAC_LENGTH] {
        self.authenticator(nonce).compute_unpadded(text).into()
    }

    fn authenticator(&self, nonce: &[u8; NONCE_LENGTH]) -> Poly1305 {
        let mut pad = (*nonce).into();
        aes::Aes128::new(&self.mac_k.into()).encrypt_block(&mut pad);
        let mut one_time = zeroize::Zeroizing::new([0; 32]);
        one_time[..16].copy_from_slice(&self.mac_r);
        one_time[16..].copy_from_slice(&pad);
        Poly1305::new(&(*one_time).into())
    }
}

type Cipher = ctr::Ctr128BE<aes::Aes256>;

/// A sealed object that is opened piece by piece, so that memory does not depend on its length.
///
/// Whether it is authentic shows at the end only. So this is for whoever proves an object and
/// throws the plaintext away; nothing else may happen with it before [`finish`](Self::finish).
pub struct Opening {
    cipher: Cipher,
    authenticator: Poly1305,
}

impl Opening {
    /// The bytes of a block: every piece but the last is a multiple of it long.
    pub const BLOCK: usize = poly1305::BLOCK_SIZE;

    /// Decrypts the next `piece` of ciphertext in its place.
    ///
    /// # Panics
    /// If its length is no multiple of [`BLOCK`](Self::BLOCK).
    pub fn decrypt(&mut self, piece: &mut [u8]) {
        let (blocks, rest) = Block::slice_as_chunks(piece);
        assert!(rest.is_empty(), "only the last piece may end inside a block");
        self.authenticator.update(blocks);
        self.cipher.apply_keystream(piece);
    }

    /// Decrypts the `last` piece, of any length, and compares the authentication code that stands
    /// at the end of the object.
    pub fn finish(mut self, last: &mut [u8], code: &[u8; MAC_LENGTH]) -> Result<(), FormatError> {
        let found: [u8; MAC_LENGTH] = self.authenticator.compute_unpadded(last).into();
        self.cipher.apply_keystream(last);
        if bool::from(found.ct_eq(code)) { Ok(()) } else { Err(FormatError::Unauthentic) }
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;
    use proptest::prelude::*;

    use super::*;

    /// Gives the same byte over and over.
    struct Fixed(u8);

    impl Random for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[test]
    fn every_way_to_seal_gives_the_same_object() {
        let key = Key::generate(&SystemRandom);
        let sealed = key.seal(b"plaintext", &Fixed(9));
        let mut onto = b"head".to_vec();
        key.seal_onto(b"plaintext", &Fixed(9), &mut onto);
        assert_eq!(&onto[4..], sealed);
        let mut tail = [b"head".as_slice(), &[0; NONCE_LENGTH], b"plaintext"].concat();
        key.seal_tail(&mut tail, 4, &Fixed(9));
        assert_eq!(tail, onto);
        assert_eq!(key.open(&sealed).unwrap(), b"plaintext");
    }

    proptest! {
        #[test]
        fn what_is_opened_in_pieces_is_what_is_opened_at_once(
            text in prop::collection::vec(any::<u8>(), 0..300),
            pieces in prop::collection::vec(0..5usize, 0..9),
            flip in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let key = Key::from_bytes(&[3; 64]);
            let mut sealed = key.seal(&text, &SystemRandom);
            if let Some(flip) = flip {
                let place = flip.index(sealed.len());
                sealed[place] ^= 1;
            }
            let whole = key.open(&sealed);
            let (nonce, rest) = sealed.split_first_chunk_mut().unwrap();
            let (mut rest, code) = rest.split_last_chunk_mut().unwrap();
            let mut opening = key.opening(nonce);
            let mut opened = Vec::new();
            for blocks in pieces {
                if blocks * Opening::BLOCK > rest.len() {
                    break;
                }
                let piece;
                (piece, rest) = rest.split_at_mut(blocks * Opening::BLOCK);
                opening.decrypt(piece);
                opened.extend_from_slice(piece);
            }
            let end = opening.finish(rest, code);
            opened.extend_from_slice(rest);
            prop_assert_eq!(end.map(|()| opened), whole);
        }
    }

    #[test]
    fn two_objects_never_share_a_nonce() {
        let key = Key::generate(&SystemRandom);
        assert_ne!(key.seal(b"same", &SystemRandom), key.seal(b"same", &SystemRandom));
    }

    #[test]
    fn a_key_survives_its_bytes_and_hides_from_logs() {
        let bytes = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let key = Key::from_bytes(&bytes);
        assert_eq!(key.to_bytes(), bytes);
        assert_eq!(format!("{key:?}"), "Key(secret)");
    }

    /// AES-256 in counter mode: NIST SP 800-38A, F.5.5, first block.
    #[test]
    fn the_keystream_is_the_standard_one() {
        let hex = |text: &str| {
            let value = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
            (0..text.len() / 2).map(value).collect::<Vec<_>>()
        };
        let key = hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
        let nonce = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
        let mut text = hex("6bc1bee22e409f96e93d7e117393172a");
        Key::from_parts(key.try_into().unwrap(), [0; 16], [0; 16])
            .keystream(&nonce.try_into().unwrap(), &mut text);
        assert_eq!(text, hex("601ec313775789a5b7a7f504bbf3d228"));
    }

    /// D. J. Bernstein's "The Poly1305-AES message-authentication code", appendix B.
    #[test]
    fn the_authentication_code_is_the_published_one() {
        let r = [
            0x85, 0x1f, 0xc4, 0x0c, 0x34, 0x67, 0xac, 0x0b, 0xe0, 0x5c, 0xc2, 0x04, 0x04, 0xf3,
            0xf7, 0x00,
        ];
        let k = [
            0xec, 0x07, 0x4c, 0x83, 0x55, 0x80, 0x74, 0x17, 0x01, 0x42, 0x5b, 0x62, 0x32, 0x35,
            0xad, 0xd6,
        ];
        let nonce = [
            0xfb, 0x44, 0x73, 0x50, 0xc4, 0xe8, 0x68, 0xc5, 0x2a, 0xc3, 0x27, 0x5c, 0xf9, 0xd4,
            0x32, 0x7e,
        ];
        let mac = [
            0xf4, 0xc6, 0x33, 0xc3, 0x04, 0x4f, 0xc1, 0x45, 0xf8, 0x4f, 0x33, 0x5c, 0xb8, 0x19,
            0x53, 0xde,
        ];
        let key = Key::from_parts([0; 32], k, r);
        assert_eq!(key.mac(&nonce, &[0xf3, 0xf6]), mac);
    }

    proptest! {
        #[test]
        fn content_of_any_length_survives(content in prop::collection::vec(any::<u8>(), 0..300)) {
            let key = Key::from_bytes(&[7; 64]);
            let mut sealed = key.seal(&content, &SystemRandom);
            prop_assert_eq!(sealed.len(), content.len() + OVERHEAD);
            prop_assert_eq!(key.open(&sealed).unwrap(), content.clone());
            prop_assert_eq!(key.open_in_place(&mut sealed).unwrap(), content);
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(Key::from_bytes(&[7; 64]).open(&bytes).is_err());
        }
    }
}
