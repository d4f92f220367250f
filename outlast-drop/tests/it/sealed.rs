//! Drops that only one reader can open, and drops that are for later versions.

use std::fs;
use std::io::{Read as _, Write as _};

use outlast_drop::fetch::{self, FetchError, Wanted};
use outlast_drop::hash::{Algorithm, Digest};
use outlast_drop::recent::sealed_since;
use outlast_drop::sealing::{ContentKey, Opener, SealedTo, Sealing};
use outlast_drop::{
    CleanOptions, Content, DropAddress, DropReadError, ReadOptions, Rejection, ScanMemory, Seal,
    SealedDrop, Share, WriterOptions, clean, scan, status,
};
use outlast_types::{Clock, DropId, SystemClock, SystemRandom, Timestamp};

use crate::support::{TestSigner, new_share, options, sealed_stream, workload, writer};

/// Wraps nothing: what counts here is who has the key.
struct Holder(ContentKey);

impl Opener for Holder {
    fn open(&self, sealed: &SealedTo, purpose: &str) -> Result<ContentKey, String> {
        assert_eq!(sealed.wrapped, "wrapped");
        assert!(purpose.contains("shop-db"), "{purpose}");
        Ok(self.0.clone())
    }
}

struct Stranger;

impl Opener for Stranger {
    fn open(&self, sealed: &SealedTo, _: &str) -> Result<ContentKey, String> {
        Err(format!("it is for {}", sealed.key))
    }
}

fn dropped(share: &Share, content: &[u8], form: WriterOptions) -> (DropAddress, ContentKey) {
    let key = ContentKey::generate(&SystemRandom);
    let sealed_to = SealedTo { key: "the-agent".to_owned(), wrapped: "wrapped".to_owned() };
    let sealing = Some(Sealing { key: key.clone(), sealed_to });
    let mut writer =
        writer(share, Content::stream("x").unwrap(), WriterOptions { sealing, ..form });
    for piece in content.chunks(77_777) {
        writer.write_all(piece).unwrap();
    }
    let address = writer.address().clone();
    writer.seal(&SystemClock).unwrap();
    (address, key)
}

fn read(share: &Share, address: &DropAddress, key: &ContentKey) -> Result<Vec<u8>, DropReadError> {
    let mut drop = SealedDrop::open(share, address)?;
    drop.unlock(&Holder(key.clone()))?;
    let mut content = Vec::new();
    match drop.content(ReadOptions { parallel: 3, ..Default::default() }).read_to_end(&mut content)
    {
        Ok(_) => Ok(content),
        Err(error) => Err(DropReadError::of(&error).unwrap().clone()),
    }
}

#[test]
fn only_who_has_the_key_reads_a_sealed_drop() {
    let (_directory, share) = new_share();
    for compression in [None, Some(1)] {
        for size in [0, 1, 100_000, 100_001, 300_000, 5 << 20] {
            let text = b"select name from customers; ".repeat(size / 28 + 1);
            let content = &text[..size];
            let form = WriterOptions { segment_bytes: 100_000, ..options(1, compression) };
            let form = if size > 1 << 20 { options(3 << 20, compression) } else { form };
            let (address, key) = dropped(&share, content, form);
            assert_eq!(read(&share, &address, &key).unwrap(), content, "{size} {compression:?}");
            let place = share.drop_directory(&address);
            for file in fs::read_dir(&place).unwrap() {
                let bytes = fs::read(file.unwrap().path()).unwrap();
                assert!(!bytes.windows(9).any(|at| at == b"customers"), "it lies open");
            }
            let other = ContentKey::generate(&SystemRandom);
            let refused = read(&share, &address, &other).unwrap_err();
            assert!(matches!(refused, DropReadError::Refused(Rejection::BadSealing { .. })));
            // Who has no key says nothing about the drop.
            let mut locked = SealedDrop::open(&share, &address).unwrap();
            let words = locked.unlock(&Stranger).unwrap_err();
            assert!(matches!(words, DropReadError::Later { .. }), "{words}");
            let error = locked.content(ReadOptions::default()).read(&mut [0]).unwrap_err();
            assert!(error.to_string().contains("the-agent"), "{error}");
        }
    }
}

/// Seals what lies there again, as anybody can who may write to the share: all hashes are right.
fn sealed_again(share: &Share, address: &DropAddress, names: &[&str]) {
    let place = share.drop_directory(address);
    let mut seal = Seal::parse(&fs::read(place.join("sealed.json")).unwrap()).unwrap();
    let contents: Vec<_> = names.iter().map(|name| fs::read(place.join(name)).unwrap()).collect();
    let mut segments = Vec::new();
    for (index, content) in contents.iter().enumerate() {
        let mut segment = seal.segments[index].clone();
        fs::File::create(place.join(&segment.name)).unwrap().write_all(content).unwrap();
        segment.size = content.len() as u64;
        segment.digest = Digest::of(Algorithm::Blake3, content);
        segments.push(segment);
    }
    for gone in &seal.segments[names.len()..] {
        fs::remove_file(place.join(&gone.name)).unwrap();
    }
    seal.segments = segments;
    fs::remove_file(place.join("sealed.json")).unwrap();
    fs::File::create(place.join("sealed.json"))
        .unwrap()
        .write_all(&seal.to_bytes().unwrap())
        .unwrap();
}

#[test]
fn segments_that_were_left_out_or_put_elsewhere_are_refused_although_every_hash_is_right() {
    let (_directory, share) = new_share();
    for names in [
        &["0001.seg", "0002.seg"][..],
        &["0002.seg", "0001.seg", "0003.seg", "0004.seg"],
        &["0001.seg", "0001.seg", "0003.seg", "0004.seg"],
    ] {
        let (address, key) = dropped(&share, &[7; 300_000], options(100_000, None));
        sealed_again(&share, &address, &["0001.seg", "0002.seg", "0003.seg", "0004.seg"]);
        assert_eq!(read(&share, &address, &key).unwrap(), [7; 300_000]);
        sealed_again(&share, &address, names);
        let refused = read(&share, &address, &key).unwrap_err();
        assert!(
            matches!(refused, DropReadError::Refused(Rejection::BadSealing { .. })),
            "{names:?}: {refused}"
        );
    }
}

#[test]
fn a_reader_of_before_refuses_a_sealed_drop_and_takes_no_ciphertext_for_content() {
    let (_directory, share) = new_share();
    for compression in [None, Some(1)] {
        let (address, _) = dropped(&share, &[7; 1000], options(100_000, compression));
        let text = fs::read_to_string(share.drop_directory(&address).join("sealed.json")).unwrap();
        assert!(text.contains(r#""compression":"sealed""#), "{text}");
    }
}

#[test]
fn a_drop_of_the_kind_log_is_left_alone_with_a_remark() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, b"wal", None);
    let place = share.drop_directory(&address).join("sealed.json");
    let text = fs::read_to_string(&place).unwrap();
    let (body, _) = text.rsplit_once(",\"self\"").unwrap();
    let body = body.replace(r#""kind":"stream""#, r#""kind":"log","timeline":7"#);
    let own = Digest::of(Algorithm::Blake3, body.as_bytes());
    fs::remove_file(&place).unwrap();
    let text = format!("{body},\"self\":\"{own}\"}}\n");
    fs::File::create(&place).unwrap().write_all(text.as_bytes()).unwrap();

    let mut memory = ScanMemory::default();
    let seen = scan(&share, &mut memory, SystemClock.now()).unwrap();
    let shop = &seen.workloads[0];
    assert!(shop.sightings.is_empty() && shop.problems.is_empty() && shop.is_whole);
    assert_eq!(shop.reserved, 1, "it is worth a remark");
    let again = scan(&share, &mut memory, SystemClock.now()).unwrap();
    assert_eq!(again.workloads[0].reserved, 0, "and one is enough");

    let late = SystemClock.now().saturating_add(std::time::Duration::from_secs(400 * 86_400));
    let cleaned = clean(&share, late, &CleanOptions::default(), Some(&TestSigner)).unwrap();
    assert!(cleaned.removed.is_empty() && place.exists(), "{cleaned:?}");
    let told = status(&share, None).unwrap();
    assert!(told.workloads[0].problems.is_empty() && told.workloads[0].newest.is_none());
    assert_eq!(told.workloads[0].counts["of a later version"], 1);
    let newest = fetch::find(&share, &workload("shop-db"), &Wanted::Newest, None);
    assert!(matches!(newest, Err(FetchError::NotYet { .. })));
    let since = sealed_since(&share, &workload("shop-db"), Timestamp::EPOCH, SystemClock.now());
    assert_eq!(since.unwrap(), None::<DropId>);
}
