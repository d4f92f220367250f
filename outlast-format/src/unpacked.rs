//! Unpacked objects: the plaintext of indexes, snapshots and locks, before sealing.
//!
//! Version 1 of the format has the bare JSON document. Version 2 has the byte 2 and the document
//! compressed with zstd; a bare document (beginning with `{` or `[`) stays readable. The config is
//! always bare.

use crate::FormatError;
use crate::compress::{self, Compressor};
use crate::config::Version;

const ENCODING_ZSTD: u8 = 2;

/// The largest document that is read, in bytes. Stock restic writes indexes of about 10 MB.
pub const DOCUMENT_MAX: u64 = 512 << 20;

/// The plaintext to be sealed for a JSON `document` in a repository of this `version`.
pub fn encode(document: &[u8], version: Version) -> Result<Vec<u8>, FormatError> {
    match version {
        Version::V1 => Ok(document.to_vec()),
        Version::V2 => {
            let mut out = vec![ENCODING_ZSTD];
            Compressor::new(compress::LEVEL_DEFAULT)?.compress_onto(document, &mut out)?;
            Ok(out)
        }
    }
}

/// The JSON document in the opened `bytes` of an unpacked object, of either version.
pub fn decode(bytes: Vec<u8>) -> Result<Vec<u8>, FormatError> {
    decode_within(bytes, DOCUMENT_MAX)
}

/// The same for a document of at most `bytes_max` bytes: for kinds that are never longer, and for
/// whoever reads what strangers sent.
pub fn decode_within(bytes: Vec<u8>, bytes_max: u64) -> Result<Vec<u8>, FormatError> {
    let object = "unpacked object";
    match bytes.first() {
        None | Some(b'[' | b'{') if bytes.len() as u64 > bytes_max => {
            Err(FormatError::TooLarge { object, limit: bytes_max })
        }
        None | Some(b'[' | b'{') => Ok(bytes),
        Some(&ENCODING_ZSTD) => compress::decompress_bounded(object, &bytes[1..], bytes_max),
        Some(&encoding) => Err(FormatError::UnsupportedEncoding { encoding }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_survives_in_either_version() {
        let document = br#"{"packs":[]}"#;
        for version in [Version::V1, Version::V2] {
            assert_eq!(decode(encode(document, version).unwrap()).unwrap(), document);
        }
        assert_eq!(encode(document, Version::V1).unwrap(), document);
        assert_eq!(encode(document, Version::V2).unwrap()[0], 2);
    }

    #[test]
    fn a_document_beyond_the_limit_is_refused_in_either_version() {
        let document = format!("[{}]", "1,".repeat(1000)).into_bytes();
        for version in [Version::V1, Version::V2] {
            let encoded = || encode(&document, version).unwrap();
            assert!(decode_within(encoded(), document.len() as u64).is_ok());
            let limit = document.len() as u64 - 1;
            let error = decode_within(encoded(), limit).unwrap_err();
            assert_eq!(error, FormatError::TooLarge { object: "unpacked object", limit });
        }
    }

    #[test]
    fn an_encoding_of_the_future_is_named() {
        let error = decode(vec![3, 1, 2]).unwrap_err();
        assert_eq!(error, FormatError::UnsupportedEncoding { encoding: 3 });
        assert!(decode(vec![2, 1, 2]).is_err());
        assert!(decode(vec![2]).is_err());
    }
}
