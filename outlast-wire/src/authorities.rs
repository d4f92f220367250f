//! The authorities that a holder of an identity believes: those of connections, and those whose time is
//! over and whose signatures stay checkable.

use std::io;
use std::path::{Path, PathBuf};

use outlast_fs::durable;
use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificate::{self, Fingerprint, InvalidCertificate};

/// The certificates of the authorities for connections; restic's `--cacert`.
pub const CA_FILE: &str = "ca.pem";
/// The authorities of past signatures. Without it, there are none.
pub const PAST_FILE: &str = "past.json";

/// The version of that file.
const VERSION: u32 = 1;

/// Far more than any certificate needs.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Certificate { path: PathBuf, source: InvalidCertificate },
    #[error("{} has version {version}, which is newer than this program", path.display())]
    Newer { path: PathBuf, version: u32 },
}

/// Where in the vault's audit log an authority ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// By the vault's clock.
    pub at: Timestamp,
    /// The number of the entry that says so.
    pub entry: u64,
}

/// An authority that certifies nobody any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastAuthority {
    /// In PEM.
    pub certificate: String,
    /// Unknown until a vault has written it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

impl PastAuthority {
    pub fn fingerprint(&self) -> Result<Fingerprint, InvalidCertificate> {
        certificate::fingerprint_of_pem(&self.certificate)
    }
}

/// The two lists. An authority is in one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorities {
    /// The certificates of those for connections, in PEM; that of the newest first.
    pub ca_pem: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<PastAuthority>,
}

#[derive(Serialize, Deserialize)]
struct PastJson {
    version: u32,
    authorities: Vec<PastAuthority>,
}

impl Authorities {
    /// Those in `ca_pem` for connections, and none of the past.
    pub fn new(ca_pem: &str) -> Result<Self, InvalidCertificate> {
        certificate::check_authority(ca_pem)?;
        Ok(Self { ca_pem: ca_pem.to_owned(), past: Vec::new() })
    }

    /// Reads both files in `directory`.
    pub fn load(directory: &Path) -> Result<Self, AuthoritiesError> {
        let path = directory.join(CA_FILE);
        let ca_pem = read(&path)?;
        certificate::check_authority(&ca_pem)
            .map_err(|source| AuthoritiesError::Certificate { path, source })?;
        Ok(Self { past: past_beside(&directory.join(CA_FILE))?, ca_pem })
    }

    /// Writes both files to `directory`; what is believed of the past first, so that a crash in
    /// between makes nothing unbelievable.
    pub fn save(&self, directory: &Path) -> Result<(), AuthoritiesError> {
        let write = |name: &str, content: &[u8]| {
            let path = directory.join(name);
            durable::replace(&path, content, 0o644)
                .map_err(|source| AuthoritiesError::Write { path, source })
        };
        if !self.past.is_empty() || directory.join(PAST_FILE).exists() {
            let json = PastJson { version: VERSION, authorities: self.past.clone() };
            let json = serde_json::to_vec_pretty(&json).map_err(|error| {
                AuthoritiesError::Write { path: directory.join(PAST_FILE), source: error.into() }
            })?;
            write(PAST_FILE, &json)?;
        }
        write(CA_FILE, self.ca_pem.as_bytes())
    }

    /// The certificates of all whose signatures count: those of connections and of the past.
    pub fn of_signatures(&self) -> String {
        let mut all = self.ca_pem.trim_end().to_owned() + "\n";
        for past in &self.past {
            all = all + past.certificate.trim() + "\n";
        }
        all
    }

    /// Lets those in `pem` be believed for connections, too, after those that are.
    pub fn adopt(&mut self, pem: &str) -> Result<(), InvalidCertificate> {
        certificate::check_authority(pem)?;
        let mut known = certificate::fingerprints(&self.ca_pem)?;
        for one in certificate::each_pem(pem) {
            let fingerprint = certificate::fingerprint_of_pem(&one)?;
            if !known.contains(&fingerprint) {
                known.push(fingerprint);
                self.ca_pem = format!("{}\n{}\n", self.ca_pem.trim_end(), one.trim());
            }
        }
        Ok(())
    }

    /// Moves those of `past` that are believed for connections to the past; how many that were. One is
    /// believed on that began after all that would stay: an authority gives way to a later one.
    pub fn retire(&mut self, past: &[PastAuthority]) -> Result<usize, InvalidCertificate> {
        let mut ended = Vec::new();
        for one in past {
            ended.push((one.fingerprint()?, one));
        }
        let (mut stay, mut go) = (Vec::new(), Vec::new());
        for one in certificate::each_pem(&self.ca_pem) {
            let fingerprint = certificate::fingerprint_of_pem(&one)?;
            match ended.iter().find(|(ended, _)| *ended == fingerprint) {
                Some((_, past)) => go.push((one, past.ended.clone())),
                None => stay.push(one),
            }
        }
        let begun = |pem: &String| Ok(certificate::validity_of_pem(pem)?.from);
        let begun_all: Result<Vec<_>, InvalidCertificate> = stay.iter().map(begun).collect();
        // Without one that stays, nobody would be believed.
        let Some(newest) = begun_all?.into_iter().max() else { return Ok(0) };
        let mut moved = 0;
        for (certificate, ended) in go {
            if begun(&certificate)? > newest {
                stay.push(certificate);
            } else {
                moved += 1;
                let fingerprint = certificate::fingerprint_of_pem(&certificate)?;
                let is_known = |past: &PastAuthority| past.fingerprint() == Ok(fingerprint);
                if !self.past.iter().any(is_known) {
                    self.past.push(PastAuthority { certificate, ended });
                }
            }
        }
        if moved > 0 {
            self.ca_pem = stay.concat();
        }
        Ok(moved)
    }

    /// Moves all but those in `kept` from connections to the past; how many that were.
    pub fn retire_all_but(&mut self, kept: &str) -> Result<usize, InvalidCertificate> {
        let kept = certificate::fingerprints(kept)?;
        let (mut stay, mut moved) = (String::new(), 0);
        for one in certificate::each_pem(&self.ca_pem) {
            if kept.contains(&certificate::fingerprint_of_pem(&one)?) {
                stay = stay + one.trim() + "\n";
            } else {
                moved += 1;
                self.past.push(PastAuthority { certificate: one, ended: None });
            }
        }
        // Nobody would be believed.
        certificate::check_authority(&stay)?;
        self.ca_pem = stay;
        Ok(moved)
    }
}

/// The authorities of past signatures in the file of them beside `ca_file`; none, without it.
pub(crate) fn past_beside(ca_file: &Path) -> Result<Vec<PastAuthority>, AuthoritiesError> {
    let path = ca_file.with_file_name(PAST_FILE);
    let text = match read(&path) {
        Ok(text) => text,
        Err(AuthoritiesError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let parsed: PastJson = serde_json::from_str(&text)
        .map_err(|error| AuthoritiesError::Read { path: path.clone(), source: error.into() })?;
    if parsed.version > VERSION {
        return Err(AuthoritiesError::Newer { path, version: parsed.version });
    }
    for past in &parsed.authorities {
        certificate::check_authority(&past.certificate)
            .map_err(|source| AuthoritiesError::Certificate { path: path.clone(), source })?;
    }
    Ok(parsed.authorities)
}

fn read(path: &Path) -> Result<String, AuthoritiesError> {
    let failed = |source| AuthoritiesError::Read { path: path.to_owned(), source };
    let content = durable::read_bounded(path, FILE_BYTES_MAX).map_err(failed)?;
    String::from_utf8(content)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::tests::authority;

    #[test]
    fn an_authority_is_of_connections_or_of_the_past_and_both_are_kept() {
        let [(_a, old), (_b, new)] = [authority(), authority()];
        let directory = tempfile::tempdir().unwrap();
        let mut authorities = Authorities::new(new.ca_pem()).unwrap();
        for _ in 0..2 {
            authorities.adopt(old.ca_pem()).unwrap();
        }
        assert_eq!(certificate::fingerprints(&authorities.ca_pem).unwrap().len(), 2);
        authorities.save(directory.path()).unwrap();
        assert!(!directory.path().join(PAST_FILE).exists(), "there is none");
        assert_eq!(Authorities::load(directory.path()).unwrap(), authorities);
        assert_eq!(authorities.retire_all_but(new.ca_pem()).unwrap(), 1);
        assert_eq!(authorities.retire_all_but(new.ca_pem()).unwrap(), 0);
        authorities.past[0].ended = Some(Ended { at: Timestamp::EPOCH, entry: 7 });
        authorities.save(directory.path()).unwrap();
        let loaded = Authorities::load(directory.path()).unwrap();
        assert_eq!(loaded, authorities);
        assert_eq!(certificate::fingerprints(&loaded.ca_pem).unwrap().len(), 1);
        assert_eq!(certificate::fingerprints(&loaded.of_signatures()).unwrap().len(), 2);
        assert!(authorities.retire_all_but(old.ca_pem()).is_err(), "one must be left");
    }

    #[test]
    fn an_authority_gives_way_to_a_later_one_only_and_the_last_stays() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str, seconds: i64| {
            let time = outlast_testing::ManualTime::new(Timestamp::from_unix(seconds, 0).unwrap());
            let path = directory.path().join(name);
            let random = outlast_types::SystemRandom;
            crate::RootAuthority::open_or_create(&path, &time, &random).unwrap()
        };
        let [old, new] = [at("old", 1_000_000_000), at("new", 1_100_000_000)];
        let past = |root: &crate::RootAuthority| {
            let certificate = root.certificate_pem().to_owned();
            vec![PastAuthority {
                certificate,
                ended: Some(Ended { at: Timestamp::EPOCH, entry: 3 }),
            }]
        };
        let mut both = Authorities::new(new.certificate_pem()).unwrap();
        both.adopt(old.certificate_pem()).unwrap();
        let before = both.clone();
        assert_eq!(both.retire(&past(&new)).unwrap(), 0, "it began later than what would stay");
        assert_eq!(
            both.retire(&[past(&old), past(&new)].concat()).unwrap(),
            0,
            "none would be left"
        );
        assert_eq!(both, before);
        for moved in [1, 0] {
            assert_eq!(both.retire(&past(&old)).unwrap(), moved);
        }
        assert_eq!(certificate::fingerprints(&both.ca_pem).unwrap().len(), 1);
        assert_eq!(both.past, past(&old), "with the point where it ended");
        // Somebody puts the file of before back.
        both.adopt(old.certificate_pem()).unwrap();
        assert_eq!(both.retire(&past(&old)).unwrap(), 1);
        assert_eq!(both.past, past(&old), "once");
    }

    #[test]
    fn a_file_of_the_future_is_refused() {
        let (_directory, authority) = authority();
        let directory = tempfile::tempdir().unwrap();
        Authorities::new(authority.ca_pem()).unwrap().save(directory.path()).unwrap();
        let path = directory.path().join(PAST_FILE);
        durable::replace(&path, br#"{"version":2,"authorities":[]}"#, 0o644).unwrap();
        let error = Authorities::load(directory.path()).unwrap_err().to_string();
        assert!(error.contains("past.json") && error.contains("newer"), "{error}");
    }
}
