//! Secrets that follow from another secret.

use ring::hkdf;
use zeroize::Zeroizing;

/// 32 bytes that follow from `secret` and the parts of `info`: HKDF with SHA-256 and no salt, RFC 5869.
#[expect(clippy::expect_used, reason = "32 bytes are within what one expansion gives")]
pub fn hkdf_sha256(secret: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut derived = Zeroizing::new([0; 32]);
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(secret);
    let expanded = extracted.expand(info, hkdf::HKDF_SHA256);
    let filled = expanded.and_then(|key| key.fill(&mut *derived));
    filled.expect("HKDF-SHA256 gives up to 8160 bytes");
    derived
}
