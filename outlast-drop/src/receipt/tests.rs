use outlast_types::{Clock, SystemClock, SystemRandom};

use super::*;

struct Initials;

impl Signer for Initials {
    fn name(&self) -> String {
        "vault-1".to_owned()
    }

    fn role(&self) -> String {
        "vault".to_owned()
    }

    fn certificate_pem(&self) -> String {
        "-----BEGIN CERTIFICATE-----\n".to_owned()
    }

    fn sign(&self, message: &[u8]) -> io::Result<Vec<u8>> {
        Ok(message.iter().rev().copied().take(9).collect())
    }
}

fn signed() -> SignedReceipt {
    Receipt {
        share: None,
        drop: DropId::new(&SystemClock, &SystemRandom),
        workload: WorkloadName::new("shop-db").unwrap(),
        state: ReceiptState::Vaulted,
        at: SystemClock.now(),
        by: String::new(),
        role: String::new(),
        snapshot: Some("5".repeat(64)),
        repository: None,
        reason: None,
        size: Some(7),
    }
    .sign(&Initials)
    .unwrap()
}

#[test]
fn a_receipt_survives_its_bytes_and_its_signature_covers_all_of_them() {
    let signed = signed();
    let read = SignedReceipt::parse(signed.bytes()).unwrap();
    assert_eq!(read, signed);
    assert_eq!((read.receipt().by.as_str(), read.receipt().role.as_str()), ("vault-1", "vault"));
    let good = read.verify(|certificate, message, signature| {
        assert!(certificate.starts_with("-----BEGIN"));
        assert!(read.bytes().starts_with(message));
        Initials.sign(message).unwrap() == signature
    });
    assert!(good);
}

#[test]
fn a_receipt_that_was_cut_off_anywhere_is_torn() {
    let signed = signed();
    for length in 0..signed.bytes().len() {
        let error = SignedReceipt::parse(&signed.bytes()[..length]).unwrap_err();
        assert!(matches!(error, ReceiptError::Torn), "{length}: {error}");
    }
}

#[test]
fn file_names_of_receipts_are_read_or_passed_over() {
    let drop = DropId::new(&SystemClock, &SystemRandom);
    for (state, _) in STATES {
        let name = file_name(drop, state);
        assert_eq!(parse_file_name(name.as_bytes()), Some((drop, state)));
    }
    assert_eq!(parse_file_name(b"notes.json"), None);
}
