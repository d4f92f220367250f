//! What the tests share.

use std::io::{self, Read, Write};
use std::time::Duration;

use outlast_drop::receipt::Signer;
use outlast_drop::{
    Claims, Content, DropAddress, DropReadError, DropWriter, ReadOptions, Receipt, ReceiptState,
    Seal, SealedDrop, Share, SignedReceipt, Verifier, WriterOptions,
};
use outlast_types::{Clock, SystemClock, SystemRandom, WorkloadName};
use tempfile::TempDir;

pub(crate) fn new_share() -> (TempDir, Share) {
    let directory = tempfile::tempdir().unwrap();
    let share = Share::init(&directory.path().join("share"), &SystemClock, &SystemRandom).unwrap();
    (directory, share)
}

pub(crate) fn workload(name: &str) -> WorkloadName {
    WorkloadName::new(name).unwrap()
}

pub(crate) fn options(segment_bytes: u64, compression: Option<i32>) -> WriterOptions {
    let beat_interval = Duration::from_millis(5);
    WriterOptions { segment_bytes, compression, beat_interval, ..WriterOptions::default() }
}

pub(crate) fn writer(share: &Share, content: Content, options: WriterOptions) -> DropWriter {
    let claims = Claims { instance: Some("i-1".to_owned()), ..Claims::default() };
    let (clock, random) = (&SystemClock, &SystemRandom);
    DropWriter::create(share, &workload("shop-db"), content, claims, options, clock, random)
        .unwrap()
}

/// A sealed stream of `content` in segments of 1000 bytes.
pub(crate) fn sealed_stream(
    share: &Share,
    content: &[u8],
    compression: Option<i32>,
) -> DropAddress {
    let stream = Content::stream("shop.sql").unwrap();
    let mut writer = writer(share, stream, options(1000, compression));
    writer.write_all(content).unwrap();
    let address = writer.address().clone();
    writer.seal(&SystemClock).unwrap();
    address
}

pub(crate) fn read_all(share: &Share, address: &DropAddress) -> Result<Vec<u8>, DropReadError> {
    let drop = SealedDrop::open(share, address)?;
    let mut content = Vec::new();
    let mut reader = drop.content(ReadOptions { parallel: 3, ..Default::default() });
    let watch = reader.watch();
    match reader.read_to_end(&mut content) {
        Ok(_) => Ok(content),
        Err(error) => {
            let error = DropReadError::of(&error).unwrap().clone();
            assert_eq!(watch.failure().unwrap().to_string(), error.to_string());
            Err(error)
        }
    }
}

/// Signs by repeating the first bytes.
pub(crate) struct TestSigner;

impl Signer for TestSigner {
    fn name(&self) -> String {
        "agent-1".to_owned()
    }

    fn role(&self) -> String {
        "agent".to_owned()
    }

    fn certificate_pem(&self) -> String {
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()
    }

    fn sign(&self, message: &[u8]) -> io::Result<Vec<u8>> {
        Ok(message[..8].to_vec())
    }
}

impl Verifier for TestSigner {
    fn check(&self, signed: &SignedReceipt) -> Result<(), String> {
        signed.verify(|_, message, proof| match self.sign(message) {
            Ok(signature) if signature != proof => Err("a stranger signed it".to_owned()),
            Ok(_) if signed.receipt().state == ReceiptState::Vaulted => {
                Err("an agent signed it, which only a vault may do".to_owned())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        })
    }
}

pub(crate) fn receipt(share: &Share, address: &DropAddress, state: ReceiptState) -> SignedReceipt {
    let seal = std::fs::read(share.drop_directory(address).join("sealed.json")).ok();
    Receipt {
        seal: seal.map(|bytes| Seal::digest_of(&bytes)),
        reason: Some("a \"quoted\" reason,\"signature\":\"00\"}\n".to_owned()),
        size: Some(1),
        ..Receipt::about(share.id(), address, state, SystemClock.now())
    }
    .sign(&TestSigner)
    .unwrap()
}
