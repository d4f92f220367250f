//! Where routes lead.

use std::path::PathBuf;
use std::time::Duration;

use outlast_alert::Route;

use super::mail::MailTls;

/// A route, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteConfig {
    pub route: Route,
    pub to: Destination,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    Http {
        /// The address, or the file that holds it where it is a secret.
        url: Address,
        /// The file with the key or the secret that signs.
        secret: Option<PathBuf>,
        /// The authority that is believed of it, in place of the system's.
        ca: Option<PathBuf>,
    },
    Mail {
        host: String,
        port: u16,
        tls: MailTls,
        user: Option<String>,
        secret: Option<PathBuf>,
        ca: Option<PathBuf>,
        from: String,
        to: Vec<String>,
    },
    Command {
        words: Vec<String>,
        deadline: Duration,
    },
}

/// An address as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Plain(String),
    InFile(PathBuf),
}

impl Destination {
    /// The files that hold its secrets.
    pub fn secrets(&self) -> Vec<&PathBuf> {
        match self {
            Self::Http { url, secret, .. } => {
                let url = match url {
                    Address::InFile(file) => Some(file),
                    Address::Plain(_) => None,
                };
                url.into_iter().chain(secret).collect()
            }
            Self::Mail { secret, .. } => secret.iter().collect(),
            Self::Command { .. } => Vec::new(),
        }
    }
}
