//! The config of a repository: its version, its id, and the polynomial for stock restic's chunker.

use outlast_types::{Random, RepositoryId, hex};
use serde::{Deserialize, Serialize};

use crate::FormatError;

const OBJECT: &str = "config";

/// The version of the repository format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// No compression.
    V1,
    /// Compression of blobs and of unpacked objects; restic 0.14 and later.
    V2,
}

impl Version {
    /// The version of this number.
    pub fn from_number(version: u64) -> Result<Self, FormatError> {
        match version {
            1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            _ => Err(FormatError::UnsupportedVersion { version }),
        }
    }

    /// 1 or 2.
    pub fn number(self) -> u64 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

/// The config of a repository, which never changes after `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub version: Version,
    /// Random; caches of stock restic are named by it.
    pub id: RepositoryId,
    /// An irreducible polynomial of degree 53 over GF(2), one bit per coefficient.
    pub chunker_polynomial: u64,
}

#[derive(Serialize, Deserialize)]
struct ConfigJson {
    version: u64,
    id: String,
    chunker_polynomial: String,
}

impl Config {
    /// A new config with a random id and polynomial.
    pub fn generate(version: Version, random: &dyn Random) -> Self {
        let mut id = [0; 32];
        random.fill(&mut id);
        Self {
            version,
            id: RepositoryId(id),
            chunker_polynomial: polynomial::random_irreducible(random),
        }
    }

    /// Reads the JSON document of a config.
    pub fn parse(document: &[u8]) -> Result<Self, FormatError> {
        let json: ConfigJson =
            serde_json::from_slice(document).map_err(|e| FormatError::json(OBJECT, &e))?;
        let invalid = |reason| FormatError::Invalid { object: OBJECT, reason };
        let version = Version::from_number(json.version)?;
        let id = hex::decode_32_any_case(&json.id)
            .map(RepositoryId)
            .ok_or_else(|| invalid("its id is not 64 hexadecimal digits"))?;
        let chunker_polynomial = u64::from_str_radix(&json.chunker_polynomial, 16)
            .map_err(|_| invalid("its chunker polynomial is not a hexadecimal number"))?;
        if !polynomial::is_irreducible(chunker_polynomial) {
            return Err(invalid("its chunker polynomial is not irreducible"));
        }
        Ok(Self { version, id, chunker_polynomial })
    }

    /// The JSON document. It is sealed as it is, in either version, never compressed.
    pub fn serialize(&self) -> Result<Vec<u8>, FormatError> {
        let json = ConfigJson {
            version: self.version.number(),
            id: self.id.to_string(),
            chunker_polynomial: format!("{:x}", self.chunker_polynomial),
        };
        serde_json::to_vec(&json).map_err(|e| FormatError::json(OBJECT, &e))
    }
}

/// Polynomials over GF(2), a bit per coefficient.
mod polynomial {
    use outlast_types::Random;

    /// The degree that stock restic's Rabin chunker wants.
    const DEGREE: u32 = 53;

    /// A random irreducible polynomial of degree 53: about one in 26 candidates is.
    pub(super) fn random_irreducible(random: &dyn Random) -> u64 {
        loop {
            let mut bytes = [0; 8];
            random.fill(&mut bytes);
            // Degree exactly 53, and an odd constant term, or x would divide it.
            let candidate = u64::from_le_bytes(bytes) & ((1 << DEGREE) - 1) | 1 << DEGREE | 1;
            if is_irreducible(candidate) {
                return candidate;
            }
        }
    }

    /// Ben-Or's test: a polynomial f is irreducible iff gcd(f, x^(2^i) + x) = 1 for all i up to
    /// half its degree, since x^(2^i) + x is the product of all irreducible ones whose degree
    /// divides i.
    pub(super) fn is_irreducible(f: u64) -> bool {
        if f < 2 {
            return false;
        }
        let x = remainder(2, f);
        let mut power = x;
        for _ in 0..f.ilog2() / 2 {
            power = remainder(square(power), f);
            if gcd(f, power ^ x) != 1 {
                return false;
            }
        }
        true
    }

    /// The square: over GF(2) it only moves every coefficient to twice its degree.
    fn square(a: u64) -> u128 {
        (0..64).fold(0, |sum, i| sum | u128::from(a >> i & 1) << (2 * i))
    }

    /// The remainder of `a` after division by `f`, which is not 0.
    fn remainder(mut a: u128, f: u64) -> u64 {
        let degree = f.ilog2();
        while let Some(excess) = a.checked_ilog2().and_then(|top| top.checked_sub(degree)) {
            a ^= u128::from(f) << excess;
        }
        // Its degree is below that of `f` now.
        u64::try_from(a).unwrap_or(0)
    }

    fn gcd(mut a: u64, mut b: u64) -> u64 {
        while b != 0 {
            (a, b) = (b, remainder(a.into(), b));
        }
        a
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;

    #[test]
    fn a_config_survives_its_document() {
        for version in [Version::V1, Version::V2] {
            let config = Config::generate(version, &SystemRandom);
            assert_eq!(config.chunker_polynomial.ilog2(), 53);
            assert_eq!(Config::parse(&config.serialize().unwrap()), Ok(config));
        }
    }

    #[test]
    fn irreducible_polynomials_are_told_from_others() {
        // x, x+1, x²+x+1, x³+x+1, AES's x⁸+x⁴+x³+x+1, and one that stock restic made.
        for f in [2, 3, 7, 0xb, 0x11b, 0x003d_a335_8b4d_c173] {
            assert!(polynomial::is_irreducible(f), "{f:#x}");
        }
        // 0, 1, x², x²+1 = (x+1)², x⁴+x²+1 = (x²+x+1)².
        for f in [0, 1, 4, 5, 0x15] {
            assert!(!polynomial::is_irreducible(f), "{f:#x}");
        }
    }

    /// As many as there must be: (1/n) Σ μ(n/d) 2^d over the divisors d of the degree n.
    #[test]
    fn the_number_of_irreducible_polynomials_is_right() {
        let count = |degree: u32| {
            (1u64 << degree..2 << degree).filter(|f| polynomial::is_irreducible(*f)).count()
        };
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(count), [2, 1, 2, 3, 6, 9, 18, 30, 56, 99]);
    }

    #[test]
    fn a_config_that_cannot_be_is_refused() {
        let id = "00".repeat(32);
        let document = |version: u64, id: &str, polynomial: &str| {
            format!(r#"{{"version":{version},"id":"{id}","chunker_polynomial":"{polynomial}"}}"#)
        };
        let parse = |text: String| Config::parse(text.as_bytes());
        assert!(parse(document(2, &id, "3da3358b4dc173")).is_ok());
        assert_eq!(
            parse(document(3, &id, "3da3358b4dc173")),
            Err(FormatError::UnsupportedVersion { version: 3 })
        );
        assert!(parse(document(2, "xyz", "3da3358b4dc173")).is_err());
        assert!(parse(document(2, &id, "3da3358b4dc172")).is_err(), "divisible by x");
        assert!(parse(document(2, &id, "")).is_err());
        assert!(parse("{}".into()).is_err());
    }
}
