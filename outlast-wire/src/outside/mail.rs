//! Mail, by a server that somebody else runs.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport as _};
use outlast_types::Timestamp;
use zeroize::Zeroizing;

use crate::believed::Believed;

/// How long the server may take for each of its answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the way to the server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// From the first byte, as on port 465.
    Implicit,
    /// After a word of the client, as on port 587, and never without.
    StartTls,
    /// Not at all: for a server on this host.
    None,
}

/// A server that takes mail from us.
pub struct MailServer {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    /// User and password.
    pub login: Option<(String, Zeroizing<String>)>,
    pub believed: Believed,
}

/// A mail.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    pub from: &'a str,
    pub to: &'a [String],
    pub subject: &'a str,
    pub body: &'a str,
    pub at: Timestamp,
    /// What stands before the `@` of its id, and of the one to which it belongs.
    pub id: &'a str,
    pub thread: &'a str,
}

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("{0}")]
    Mailbox(String),
    #[error("the mail cannot be written: {0}")]
    Letter(String),
    #[error("the mail server does not take it: {0}")]
    Server(String),
}

/// Judges an address such as `ops@example.com` or `Ops <ops@example.com>`.
pub fn check_mailbox(text: &str) -> Result<(), MailError> {
    mailbox(text).map(drop)
}

fn mailbox(text: &str) -> Result<Mailbox, MailError> {
    let bad = |_| MailError::Mailbox(format!("{text:?} is no address such as \"ops@example.com\""));
    text.parse().map_err(bad)
}

impl MailServer {
    /// Hands a mail over; it is the server's when this returns.
    pub fn send(&self, letter: &Letter<'_>) -> Result<(), MailError> {
        let message = written(letter)?;
        let server = |error: lettre::transport::smtp::Error| {
            let mut words = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(deeper) = source {
                let said = deeper.to_string();
                if !words.contains(&said) {
                    words = format!("{words}: {said}");
                }
                source = deeper.source();
            }
            MailError::Server(words.chars().filter(|c| !c.is_control()).take(300).collect())
        };
        let parameters = || {
            let mut builder =
                TlsParameters::builder(self.host.clone()).certificate_store(CertificateStore::None);
            for der in self.believed.certificates() {
                builder = builder.add_root_certificate(Certificate::from_der(der.to_vec())?);
            }
            builder.build_rustls()
        };
        let tls = match self.tls {
            MailTls::Implicit => Tls::Wrapper(parameters().map_err(server)?),
            MailTls::StartTls => Tls::Required(parameters().map_err(server)?),
            MailTls::None => Tls::None,
        };
        let mut transport = SmtpTransport::builder_dangerous(self.host.as_str())
            .port(self.port)
            .tls(tls)
            .timeout(Some(PATIENCE));
        if let Some((user, password)) = &self.login {
            transport =
                transport.credentials(Credentials::new(user.clone(), password.as_str().to_owned()));
        }
        transport.build().send(&message).map(drop).map_err(server)
    }
}

fn written(letter: &Letter<'_>) -> Result<Message, MailError> {
    let from = mailbox(letter.from)?;
    let domain = from.email.domain().to_owned();
    let seconds = u64::try_from(letter.at.unix_seconds()).unwrap_or(0);
    let mut builder = Message::builder()
        .from(from)
        .date(UNIX_EPOCH + Duration::from_secs(seconds))
        .subject(letter.subject)
        .message_id(Some(format!("<{}@{domain}>", letter.id)))
        .references(format!("<{}@{domain}>", letter.thread))
        // So that no absence answers.
        .raw_header(header("Auto-Submitted", "auto-generated")?);
    for to in letter.to {
        builder = builder.to(mailbox(to)?);
    }
    builder
        .header(ContentType::TEXT_PLAIN)
        .body(letter.body.to_owned())
        .map_err(|error| MailError::Letter(error.to_string()))
}

fn header(name: &str, value: &str) -> Result<HeaderValue, MailError> {
    let name = HeaderName::new_from_ascii(name.to_owned());
    let name = name.map_err(|error| MailError::Letter(error.to_string()))?;
    Ok(HeaderValue::new(name, value.to_owned()))
}
