//! No bytes, however made, do more than to be refused.

use outlast_format::config::Config;
use outlast_format::crypto::Key;
use outlast_format::index::IndexFile;
use outlast_format::key_file::KeyFile;
use outlast_format::snapshot::Snapshot;
use outlast_format::tree::Tree;
use outlast_format::{compress::Decompressor, pack, unpacked};
use proptest::prelude::*;

/// Gives the bytes to every parser. Only a panic, a hang or an overflow would fail.
fn read(bytes: &[u8]) {
    if let Ok(tree) = Tree::parse(bytes) {
        // What was read can be written, and read again.
        Tree::parse(&tree.serialize()).unwrap();
    }
    if let Ok(index) = IndexFile::parse(bytes) {
        assert_eq!(IndexFile::parse(&index.serialize().unwrap()), Ok(index));
    }
    drop(Snapshot::parse(bytes));
    drop(Config::parse(bytes));
    drop(KeyFile::open(bytes, "password"));
    drop(unpacked::decode(bytes.to_vec()));
    drop(unpacked::decode([&[2], bytes].concat()));
    drop(Decompressor::new().unwrap().decompress_onto(bytes, 4096, &mut Vec::new()));
    drop(pack::read_header(bytes, &Key::from_bytes(&[1; 64])));
    drop(pack::decode_header(bytes, bytes.len() as u64));
}

/// Whole documents to be broken.
const DOCUMENTS: [&str; 4] = [
    r#"{"nodes":[{"name":"a\\x41","type":"file","mode":420,"mtime":"2026-01-31T09:45:00.1+05:45","atime":"2026-01-31T09:45:00Z","ctime":"0001-01-01T00:00:00Z","uid":0,"gid":0,"linktarget":"b","linktarget_raw":"Yf9i","extended_attributes":[{"name":"u","value":"Yf9i"}],"generic_attributes":{"w":[1,{}]},"content":["5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"],"error":"e"}]}"#,
    r#"{"supersedes":["5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"],"packs":[{"id":"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03","blobs":[{"id":"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03","type":"data","offset":0,"length":38,"uncompressed_length":9}]}]}"#,
    r#"{"time":"2026-01-31T04:00:00+05:45","tree":"6abf997f0737635d5ba3dbd021565d9de1c58cf2f734c4bfaabed4e607596d50","paths":["/a"],"hostname":"h","tags":null,"summary":{"backup_start":"2026-01-31T04:00:00Z","backup_end":"2026-01-31T04:00:00Z","files_new":1}}"#,
    r#"{"created":"2026-11-23T08:16:47.15+05:45","username":"r","hostname":"v","kdf":"scrypt","N":2,"r":1,"p":1,"salt":"WZzh","data":"YGUxCm93eJt7/1D4XifO7Vk5d8g16Qg/ldrt5Uir4xYzHkvljN/P3tiwrzAjWg2u"}"#,
];

fn broken_document() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..6),
        "[0-9\\[\\]{}\",:.eE+-]{0,20}".prop_map(String::into_bytes),
        Just(b"null".to_vec()),
        Just(b"18446744073709551616".to_vec()),
        Just(b"\\ud800".to_vec()),
        Just(b"9999-12-31T23:59:59-23:59".to_vec()),
    ];
    let edits = prop::collection::vec((any::<usize>(), 0..8usize, piece), 1..4);
    (prop::sample::select(DOCUMENTS.as_slice()), edits).prop_map(|(text, edits)| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, length, piece) in edits {
            let start = at % (bytes.len() + 1);
            let end = bytes.len().min(start + length);
            bytes.splice(start..end, piece);
        }
        bytes
    })
}

proptest! {
    #![proptest_config(outlast_testing::cases(2000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes);
    }

    #[test]
    fn broken_documents_are_read_or_refused(bytes in broken_document()) {
        read(&bytes);
    }
}

#[test]
fn whole_documents_are_read() {
    assert!(Tree::parse(DOCUMENTS[0].as_bytes()).is_ok());
    assert!(IndexFile::parse(DOCUMENTS[1].as_bytes()).is_ok());
    assert!(Snapshot::parse(DOCUMENTS[2].as_bytes()).is_ok());
    assert!(KeyFile::parse(DOCUMENTS[3].as_bytes()).is_ok());
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let deep = "[".repeat(1_000_000);
    for text in [
        deep.clone(),
        format!(r#"{{"unknown":{deep}"#),
        format!(r#"{{"nodes":[{{"name":"a","unknown":{deep}"#),
        format!(r#"{{"nodes":[{{"name":"a","generic_attributes":{{"x":{deep}"#),
    ] {
        read(text.as_bytes());
    }
}
