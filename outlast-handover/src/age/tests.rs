//! Judged by `age` itself, where it is installed, and by files that were cut and changed.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use outlast_testing::pseudo_random;
use outlast_types::SystemRandom;
use proptest::prelude::*;

use super::size as age_size;
use super::*;

const RECIPIENT: &str = "age1hm0x5qlnuef88fc643fxsuy74wwxqhsnng4ufcnpmz5jrmxxxf4qjrxjgd";
const IDENTITY: &str = "AGE-SECRET-KEY-1CC0345FLP6QY9D4NRZHEDW244URJMUFD79NFPZUZX58AJGTLPC7SAGP8R8";
const OTHER: &str = "AGE-SECRET-KEY-1QQG8LTMRD4QE7CHUEDYQJANZLHEVUHWH63QM8D0YTLW3J92WMMWSYR63LJ";

fn place(directory: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = directory.join(name);
    File::create_new(&path).unwrap().write_all(content).unwrap();
    path
}

fn identities(text: &str) -> Result<Identities, AgeKeyError> {
    let directory = tempfile::tempdir().unwrap();
    Identities::read(&place(directory.path(), "key", text.as_bytes()))
}

fn encrypt(content: &[u8], recipients: &[&str]) -> Vec<u8> {
    let recipients: Vec<Recipient> = recipients.iter().map(|it| it.parse().unwrap()).collect();
    let mut encryptor = Encryptor::new(Vec::new(), &recipients, &SystemRandom).unwrap();
    for piece in content.chunks(10_007) {
        encryptor.write_all(piece).unwrap();
    }
    encryptor.finish().unwrap()
}

fn decrypt(file: &[u8], identity: &str) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut decryptor = Decryptor::new(file, &identities(identity).unwrap())?;
    decryptor.read_to_end(&mut content)?;
    Ok(content)
}

/// `age` with these arguments, or `None` where it is not installed.
fn age(arguments: &[&str]) -> Option<Vec<u8>> {
    match Command::new("age").args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(output.stdout)
        }
        Err(_) => {
            println!("SKIPPED: age is not installed");
            None
        }
    }
}

/// Sizes about which a chunk ends.
const SIZES: [usize; 7] = [0, 1, 65_535, 65_536, 65_537, 131_072, 300_000];

#[test]
fn age_reads_what_we_encrypt_and_we_read_what_age_encrypts() {
    let directory = tempfile::tempdir().unwrap();
    let key = place(directory.path(), "key", format!("# a comment\n{IDENTITY}\n").as_bytes());
    for size in SIZES {
        let content = pseudo_random(size as u64, size);
        let file = encrypt(&content, &[RECIPIENT]);
        assert_eq!(file.len() as u64, age_size(size as u64, 1));
        let ours = place(directory.path(), &format!("{size}.age"), &file);
        let found = age(&["-d", "-i", key.to_str().unwrap(), ours.to_str().unwrap()]);
        let Some(found) = found else { return };
        assert!(found == content, "{size}");
        let plain = place(directory.path(), &format!("{size}"), &content);
        let theirs = age(&["-r", RECIPIENT, plain.to_str().unwrap()]).unwrap();
        assert!(decrypt(&theirs, IDENTITY).unwrap() == content, "{size}");
    }
}

#[test]
fn each_recipient_reads_it_and_nobody_else() {
    let second = identities(OTHER).unwrap();
    let second = Recipient(*x25519_dalek::PublicKey::from(&second.0[0]).as_bytes()).to_string();
    let both = encrypt(b"dump", &[RECIPIENT, &second]);
    assert_eq!(decrypt(&both, IDENTITY).unwrap(), b"dump");
    assert_eq!(decrypt(&both, OTHER).unwrap(), b"dump");
    let one = encrypt(b"dump", &[RECIPIENT]);
    assert_eq!(decrypt(&one, OTHER).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    assert!(!one.windows(4).any(|window| window == b"dump"));
}

#[test]
fn a_file_that_was_cut_anywhere_is_never_taken_for_a_whole_one() {
    let file = encrypt(&pseudo_random(3, 140_000), &[RECIPIENT]);
    let chunk = 65_536 + 16;
    let last = file.len() - (140_000 - 2 * 65_536 + 16);
    for cut in (0..600).chain([last - chunk, last - 1, last, last + 1, file.len() - 1]) {
        assert!(decrypt(&file[..cut], IDENTITY).is_err(), "cut at {cut}");
    }
    let longer = [&file[..], b"x"].concat();
    assert!(decrypt(&longer, IDENTITY).is_err());
}

#[test]
fn keys_are_read_as_age_writes_them_and_what_is_none_is_named() {
    let recipient: Recipient = RECIPIENT.parse().unwrap();
    assert_eq!(recipient.to_string(), RECIPIENT);
    assert!(matches!(IDENTITY.parse::<Recipient>(), Err(AgeKeyError::Secret)));
    for text in ["", "age1", "ssh-ed25519 AAAA", &RECIPIENT[1..], &RECIPIENT.replace("jgd", "jgq")]
    {
        assert!(matches!(text.parse::<Recipient>(), Err(AgeKeyError::NoRecipient)), "{text}");
    }
    // The point zero, for which everybody knows the secret.
    let zero = Recipient([0; 32]).to_string();
    assert!(matches!(zero.parse::<Recipient>(), Err(AgeKeyError::NoRecipient)));
    assert!(matches!(identities("# nothing\n\n"), Err(AgeKeyError::Empty { .. })));
    let bad = identities(&format!("# x\n{IDENTITY}\n{RECIPIENT}\n"));
    assert!(matches!(bad, Err(AgeKeyError::NoIdentity { line: 3, .. })));
}

proptest! {
    #[test]
    fn one_changed_bit_anywhere_is_noticed(size in 0..200_usize, at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let content = pseudo_random(size as u64, size);
        let mut file = encrypt(&content, &[RECIPIENT]);
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        prop_assert!(decrypt(&file, IDENTITY).is_err());
    }

    #[test]
    fn strangers_bytes_neither_panic_nor_pass(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let header = [b"age-encryption.org/v1\n-> X25519 ", &bytes[..]].concat();
        prop_assert!(decrypt(&bytes, IDENTITY).is_err());
        prop_assert!(decrypt(&header, IDENTITY).is_err());
    }
}
