//! Whose certificates are those that name no identity of ours: as policy says, by subject or
//! alternative name, for authorities that issue what they always issue.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::X509Name;

use crate::grants::Grants;
use crate::peer::Peer;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 512;

/// The short names of a subject's parts that people write.
const PARTS: [(&str, &str); 10] = [
    ("CN", "2.5.4.3"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("EMAILADDRESS", "1.2.840.113549.1.9.1"),
];

/// A name in a certificate: its whole subject, in any order (`CN=backup-eu,O=Bank`), or one alternative
/// name (`DNS:eu-1.bank.example`, `URI:spiffe://bank/eu-1`, `email:backup@bank.example`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateName {
    /// The object identifiers of its parts and what they say, in one order.
    Subject(Vec<(String, String)>),
    Dns(String),
    Uri(String),
    Email(String),
}

/// A text that is no such name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no name in a certificate: write its whole subject, such as CN=backup-eu,O=Bank, or one \
     alternative name, such as DNS:eu-1.bank.example, URI:spiffe://bank/eu-1 or email:backup@bank.example"
)]
pub struct InvalidCertificateName {
    text: String,
}

impl FromStr for CertificateName {
    type Err = InvalidCertificateName;

    fn from_str(text: &str) -> Result<Self, InvalidCertificateName> {
        let invalid = || InvalidCertificateName { text: text.chars().take(80).collect() };
        if text.len() > NAME_BYTES_MAX {
            return Err(invalid());
        }
        let rest = |prefix: &str| text.strip_prefix(prefix).filter(|rest| !rest.is_empty());
        if let Some(name) = rest("DNS:") {
            return Ok(Self::Dns(name.to_ascii_lowercase()));
        }
        if let Some(uri) = rest("URI:") {
            return Ok(Self::Uri(uri.to_owned()));
        }
        if let Some(address) = rest("email:") {
            return Ok(Self::Email(address.to_owned()));
        }
        let mut parts = Vec::new();
        for part in split(text) {
            let (kind, value) = part.split_once('=').ok_or_else(invalid)?;
            let (kind, value) = (kind.trim(), value.trim());
            let known = PARTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind));
            let is_dotted = kind.bytes().all(|c| c.is_ascii_digit() || c == b'.');
            let id = match known {
                Some((_, id)) => *id,
                None if is_dotted && !kind.is_empty() => kind,
                None => return Err(invalid()),
            };
            if value.is_empty() {
                return Err(invalid());
            }
            parts.push((id.to_owned(), value.to_owned()));
        }
        sort(&mut parts);
        if parts.is_empty() { Err(invalid()) } else { Ok(Self::Subject(parts)) }
    }
}

/// Brings the parts of a subject into one order, the common name first.
fn sort(parts: &mut [(String, String)]) {
    let rank = |id: &str| PARTS.iter().position(|(_, of)| of == &id).unwrap_or(PARTS.len());
    parts.sort_by(|left, right| (rank(&left.0), left).cmp(&(rank(&right.0), right)));
}

/// The parts between commas; `\,` is a comma in a part.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, parts.last_mut()) {
            ('\\', Some(part)) => part.extend(characters.next()),
            (',', _) => parts.push(String::new()),
            (other, Some(part)) => part.push(other),
            (_, None) => {}
        }
    }
    parts
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Uri(uri) => write!(f, "URI:{uri}"),
            Self::Email(address) => write!(f, "email:{address}"),
            Self::Subject(parts) => {
                for (index, (id, value)) in parts.iter().enumerate() {
                    let name = PARTS.iter().find(|(_, of)| of == id).map_or(id.as_str(), |it| it.0);
                    let value = value.replace('\\', "\\\\").replace(',', "\\,");
                    write!(f, "{}{name}={value}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

/// Whom a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub peer: Peer,
    pub grants: Grants,
}

/// Whom the names in certificates mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(BTreeMap<CertificateName, Named>);

impl Names {
    pub fn new(names: impl IntoIterator<Item = (CertificateName, Named)>) -> Self {
        Self(names.into_iter().collect())
    }

    /// Whom the certificate means, if one is meant by its names, and not several.
    pub(crate) fn of(&self, certificate: &X509Certificate<'_>) -> Option<&Named> {
        let mut meant: Option<&Named> = None;
        for name in names_in(certificate) {
            match (self.0.get(&name), meant) {
                (Some(named), Some(other)) if named != other => return None,
                (Some(named), _) => meant = Some(named),
                (None, _) => {}
            }
        }
        meant
    }
}

/// The names in a certificate by which it can be meant.
pub(crate) fn names_in(certificate: &X509Certificate<'_>) -> Vec<CertificateName> {
    let mut names: Vec<CertificateName> = subject(certificate.subject()).into_iter().collect();
    let others = certificate.subject_alternative_name().ok().flatten();
    let others = others.map(|extension| extension.value.general_names.as_slice());
    names.extend(others.unwrap_or_default().iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(CertificateName::Dns(name.to_ascii_lowercase())),
        GeneralName::URI(uri) => Some(CertificateName::Uri((*uri).to_owned())),
        GeneralName::RFC822Name(address) => Some(CertificateName::Email((*address).to_owned())),
        _ => None,
    }));
    names
}

/// A subject, if all of its parts are texts.
fn subject(name: &X509Name<'_>) -> Option<CertificateName> {
    let mut parts = Vec::new();
    for part in name.iter_attributes() {
        parts.push((part.attr_type().to_id_string(), part.as_str().ok()?.to_owned()));
    }
    sort(&mut parts);
    (!parts.is_empty()).then_some(CertificateName::Subject(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_whole_subject_in_any_order_or_one_alternative_name() {
        let name = |text: &str| text.parse::<CertificateName>().unwrap();
        assert_eq!(name("CN=backup-eu,O=Bank"), name("o = Bank, cn = backup-eu"));
        assert_ne!(name("CN=backup-eu,O=Bank"), name("CN=backup-eu"));
        assert_ne!(name("CN=backup-eu,O=Bank"), name("CN=backup-eu,O=bank"));
        assert_eq!(
            name(r"O=Bank\, Ltd"),
            CertificateName::Subject(vec![("2.5.4.10".to_owned(), "Bank, Ltd".to_owned())])
        );
        assert_eq!(name("DNS:EU-1.bank.example"), name("DNS:eu-1.bank.example"));
        for text in
            [r"CN=a,O=Bank\, Ltd", "URI:spiffe://bank/eu-1", "email:a@bank.example", "1.2.3=x"]
        {
            assert_eq!(name(&name(text).to_string()), name(text), "{text}");
        }
        for bad in ["", "backup-eu", "CN=", "PUDDING=x", "CN=a,,O=b", "DNS:", &"x".repeat(600)] {
            assert!(bad.parse::<CertificateName>().is_err(), "{bad}");
        }
    }
}
