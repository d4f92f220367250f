//! The parsers of the files on a share.

use std::io;

use outlast_drop::hash::{Algorithm, Digest};
use outlast_drop::receipt::Signer;
use outlast_drop::sanity::Examiner;
use outlast_drop::{OpenRecord, Rejection, Seal, SignedReceipt, proof};
use outlast_types::Verdict;

use crate::outcome::{Outcome, scale};

/// `open.json`.
pub fn open(input: &[u8]) -> Outcome {
    match OpenRecord::parse(input) {
        None => Outcome::refused("not an open.json"),
        Some(record) => {
            let written = record.to_bytes().expect("what was read can be written");
            assert_eq!(OpenRecord::parse(&written).as_ref(), Some(&record));
            Outcome::accepted((record.failed.is_some(), record.share.is_some()))
        }
    }
}

/// `sealed.json`, as it is and with the hash of itself that it should have.
pub fn seal(input: &[u8]) -> Outcome {
    let outcome = seal_as_it_is(input);
    let body = proof::split(input, "self").map_or(input, |proven| proven.body);
    let digest = Digest::of(Algorithm::Blake3, body);
    let proven = proof::join(body.to_vec(), "self", &digest.to_string());
    assert!(!matches!(Seal::parse(&proven), Err(Rejection::WrongSelfHash { .. })));
    let mended = seal_as_it_is(&proven);
    Outcome { feature: outcome.feature.rotate_left(1) ^ mended.feature, ..mended }
}

fn seal_as_it_is(input: &[u8]) -> Outcome {
    match Seal::parse(input) {
        Err(error) => Outcome::refused(error),
        Ok(seal) => {
            let stored: u64 = seal.segments.iter().map(|segment| segment.size).sum();
            assert_eq!(stored, seal.stored_bytes());
            seal.raw_bytes();
            let written = seal.to_bytes().expect("what was read can be written");
            let again = Seal::parse(&written).expect("what we write can be read");
            assert_eq!(again, seal);
            let torn = &written[..written.len() - 1 - input.len() % (written.len() - 1)];
            assert!(Seal::parse(torn).is_err(), "what is torn is not complete");
            Outcome::accepted((scale(seal.segments.len()), seal.compression.is_some()))
        }
    }
}

/// Signs with what a receipt says of its signer.
struct Echo(String, String, String);

impl Signer for Echo {
    fn name(&self) -> String {
        self.0.clone()
    }

    fn role(&self) -> String {
        self.1.clone()
    }

    fn certificate_pem(&self) -> String {
        self.2.clone()
    }

    fn sign(&self, message: &[u8]) -> io::Result<Vec<u8>> {
        Ok(Digest::of(Algorithm::Blake3, message).to_string().into_bytes())
    }
}

/// A receipt, signed by anybody.
pub fn receipt(input: &[u8]) -> Outcome {
    match SignedReceipt::parse(input) {
        Err(error) => Outcome::refused(error),
        Ok(signed) => {
            assert_eq!(signed.bytes(), input);
            signed.verify(|_, body, _| assert!(input.starts_with(body)));
            let receipt = signed.receipt().clone();
            if receipt.share.is_none() || receipt.day.is_none() {
                // Of version 1, which is read and not written any more.
                return Outcome::accepted(receipt.state.to_string());
            }
            let (by, role) = (receipt.by.clone(), receipt.role.clone());
            let signer = Echo(by, role, signed.certificate_pem().to_owned());
            let ours = receipt.sign(&signer).expect("what was read can be signed");
            let again = SignedReceipt::parse(ours.bytes()).expect("what we sign can be read");
            assert_eq!(again, ours);
            again.verify(|_, body, signature| {
                assert_eq!(signature, signer.sign(body).expect("it signs everything"));
            });
            Outcome::accepted(signed.receipt().state.to_string())
        }
    }
}

/// Content of any kind: judged alike however it is cut on its way.
pub fn sanity(input: &[u8]) -> Outcome {
    let examine = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut examiner = Examiner::default();
        pieces.for_each(|piece| examiner.feed(piece));
        examiner.finish()
    };
    let found = examine(&mut std::iter::once(input));
    for length in [1, 511, 4097] {
        assert_eq!(examine(&mut input.chunks(length)), found, "in pieces of {length}");
    }
    if found.verdict == Verdict::Sound {
        Outcome::accepted((found.kind, found.packed))
    } else {
        Outcome::refused(found)
    }
}
