//! Addresses of vaults and repositories.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::tls::TlsError;

/// Why a client cannot be made for an address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("{address:?} is not an address such as rest:https://host:8443/repo/shop-db/: {reason}")]
    Invalid { address: String, reason: String },
    #[error("{address} is not encrypted, so our certificate cannot be used there; use https")]
    NotEncrypted { address: String },
    #[error("{address} needs the certificate of an authority to trust; give an identity")]
    NoTrust { address: String },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot set up a client for {address}: {reason}")]
    Client { address: String, reason: String },
}

/// Judges the address of a vault, such as `https://vault.example:8443/`, without going there.
pub fn check_address(text: &str) -> Result<(), AddressError> {
    let address = Address::parse(text)?;
    match address.is_secure() {
        true => Ok(()),
        false => Err(AddressError::NotEncrypted { address: address.shown }),
    }
}

/// The addresses in a text in which commas stand between them.
pub(super) fn each_of(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|address| !address.is_empty()).collect()
}

/// An address, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// Without user and password; its path ends with a slash.
    base: Url,
    /// As it is shown: with the user, without the password.
    pub(super) shown: String,
    /// What the user and password in it become.
    pub(super) authorization: Option<HeaderValue>,
}

impl Address {
    /// Reads `https://host:8443/path/`, with or without `rest:` before it.
    pub(super) fn parse(address: &str) -> Result<Self, AddressError> {
        let text = address.strip_prefix("rest:").unwrap_or(address);
        // An address may hold a password: one that cannot be parsed cannot be redacted either.
        let bare: String = text.rsplit('@').next().unwrap_or(text).chars().take(200).collect();
        let invalid = |reason: String| AddressError::Invalid { address: bare.clone(), reason };
        let mut url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(invalid("it begins with neither http:// nor https://".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it has a query or a fragment".to_owned()));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        let authorization = authorization(&url);
        let shown = redacted(&url);
        let cleared = url.set_username("").and_then(|()| url.set_password(None));
        cleared.map_err(|()| invalid("it has a user and no host".to_owned()))?;
        url.as_str().parse::<Uri>().map_err(|error| invalid(error.to_string()))?;
        Ok(Self { base: url, shown, authorization })
    }

    pub(super) fn is_secure(&self) -> bool {
        self.base.scheme() == "https"
    }

    pub(super) fn uri(&self) -> Uri {
        // It was parsed when this was made.
        self.base.as_str().parse().unwrap_or_default()
    }

    /// The URI of `path`, perhaps with a query, below the address.
    pub(super) fn below(&self, path: &str) -> Uri {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        url.set_path(&format!("{}{path}", self.base.path()));
        url.set_query(query);
        url.as_str().parse().unwrap_or_default()
    }

    /// The address of a directory below this one.
    pub(super) fn directory(&self, path: &str) -> Self {
        let path = format!("{}/", path.trim_matches('/'));
        let mut base = self.base.clone();
        base.set_path(&format!("{}{path}", self.base.path()));
        let shown = format!("{}{path}", self.shown);
        Self { base, shown, authorization: self.authorization.clone() }
    }
}

fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "an address with a password".to_owned();
    }
    url.to_string()
}

fn authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_restic_writes_it() {
        for (address, location) in [
            ("rest:https://host:8443/repo/shop-db/", "https://host:8443/repo/shop-db/"),
            ("https://host/repo", "https://host/repo/"),
            ("rest:http://me:secret@host:8000/", "http://me:***@host:8000/"),
        ] {
            assert_eq!(Address::parse(address).unwrap().shown, location);
        }
        for bad in ["", "rest:", "s3:bucket", "rest:/tmp", "ftp://host/", "http://h/?a=b"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_user_and_a_password_become_a_header_and_leave_the_address() {
        let address = Address::parse("rest:http://me:se%40cret@host:8000/x").unwrap();
        assert_eq!(address.below("data/?v=2").to_string(), "http://host:8000/x/data/?v=2");
        assert_eq!(address.directory("/repo/a/").below("keys/"), "http://host:8000/x/repo/a/keys/");
        let value = address.authorization.unwrap();
        assert_eq!(value, "Basic bWU6c2VAY3JldA==");
        assert!(!format!("{value:?}").contains("bWU6"));
    }

    #[test]
    fn a_password_is_never_shown() {
        for address in ["rest:http://me:secret@host:port/", "ftp://me:secret@host/"] {
            let message = Address::parse(address).unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
