//! Failed exchanges in plain words.

use std::io;

use outlast_types::Timestamp;
use rustls::pki_types::UnixTime;

use crate::certificate::Validity;
use crate::road::RoadError;

/// A failed exchange as an I/O error whose kind says whether it may pass by itself. `certificate`
/// is our own.
pub(super) fn io_error(
    error: &(dyn std::error::Error + 'static),
    certificate: Option<Validity>,
) -> io::Error {
    if let Some(road) = RoadError::find(error) {
        return road.clone().into_io();
    }
    match tls_error(error) {
        Some(tls) => tls_trouble(tls, certificate),
        None => io::Error::new(io::ErrorKind::ConnectionAborted, chain(error)),
    }
}

/// The TLS error somewhere below, if there is one.
pub(super) fn tls_error<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        // An I/O error does not count what it wraps among its sources.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(wrapped) = wrapped
            && let Some(tls) = tls_error(wrapped)
        {
            return Some(tls);
        }
        next = error.source();
    }
    None
}

/// What is wrong with a certificate, as the cause of an I/O error: it does not pass by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct CertificateTrouble {
    pub about: About,
    text: String,
}

/// What a trouble with certificates is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The server is nobody whom our authority knows.
    Server,
    /// The server is known, by other names than the one that we asked for.
    Host,
    /// The time: a certificate has ended or not begun, or a clock is wrong.
    Time,
    /// Our own certificate, which the server does not take.
    Ours,
}

/// What a TLS error means here, if our own certificate is valid for `own`.
pub(super) fn tls_trouble(error: &rustls::Error, own: Option<Validity>) -> io::Error {
    // By the very clock by which TLS has judged.
    trouble_at(error, own, moment(UnixTime::now()))
}

const REVOKED: &str = "the server's certificate is revoked, by the vault's own word: whoever answers there is not to be \
     trusted any more";

fn trouble_at(error: &rustls::Error, own: Option<Validity>, now: Timestamp) -> io::Error {
    use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};
    let clock = "is this clock right? If it is, the certificate must be issued again";
    let (about, text) = match error {
        Error::InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature) => (
            About::Server,
            "the server's certificate is not from the authority that we trust; \
             is it the right server, and the right identity?"
                .to_owned(),
        ),
        Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => (About::Host, format!("the server's certificate is for another host: {error}")),
        Error::InvalidCertificate(Certificate::ExpiredContext { not_after, .. }) => (
            About::Time,
            format!(
                "the server's certificate was valid until {}, and by this host's clock it is \
                 {now}; {clock}",
                moment(*not_after)
            ),
        ),
        Error::InvalidCertificate(Certificate::NotValidYetContext { not_before, .. }) => (
            About::Time,
            format!(
                "the server's certificate is valid from {} only, and by this host's clock it is \
                 {now}; {clock}",
                moment(*not_before)
            ),
        ),
        Error::InvalidCertificate(Certificate::Revoked) => (About::Server, REVOKED.to_owned()),
        Error::InvalidCertificate(_) => {
            (About::Server, format!("the server's certificate is not valid: {error}"))
        }
        Error::AlertReceived(Alert::CertificateRequired) => (
            About::Ours,
            "the server wants a client certificate of its authority; give an identity".to_owned(),
        ),
        // Said of both ends of its life.
        Error::AlertReceived(Alert::CertificateExpired) => {
            let text = match own.map(|own| (own, own.trouble(now))) {
                Some((_, Some(trouble))) => {
                    format!("the server refuses our certificate, which {trouble}; {clock}")
                }
                Some((Validity { from, until }, None)) => format!(
                    "the server says that our certificate is not valid now, but it is, from {from} \
                     until {until}, if this host's clock is right: it is {now} here; compare the \
                     clocks of both hosts"
                ),
                None => format!("the server refuses our certificate: {error}"),
            };
            (About::Time, text)
        }
        Error::AlertReceived(
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::DecryptError,
        ) => (About::Ours, format!("the server refuses our certificate: {error}")),
        Error::InvalidMessage(_) => {
            let text = "what answers there does not speak TLS; is it the right port?";
            return io::Error::new(io::ErrorKind::ConnectionAborted, text);
        }
        _ => {
            let text = format!("TLS failed: {error}");
            return io::Error::new(io::ErrorKind::ConnectionAborted, text);
        }
    };
    io::Error::new(io::ErrorKind::InvalidData, CertificateTrouble { about, text })
}

fn moment(time: UnixTime) -> Timestamp {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_unix(seconds, 0).unwrap_or(Timestamp::EPOCH)
}

/// The error and its causes, each once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_certificate_that_is_not_valid_now_is_told_with_both_ends_and_whose_clock() {
        use rustls::{AlertDescription, CertificateError, Error};
        let at = |seconds: u64| moment(UnixTime::since_unix_epoch(Duration::from_secs(seconds)));
        let own = Some(Validity { from: at(1000), until: at(2000) });
        let told = |error: &Error, now| {
            let trouble = trouble_at(error, own, at(now));
            assert_eq!(trouble.kind(), io::ErrorKind::InvalidData, "it does not pass by itself");
            let inner = trouble.get_ref().unwrap();
            inner.downcast_ref::<CertificateTrouble>().unwrap().to_string()
        };
        let refused = Error::AlertReceived(AlertDescription::CertificateExpired);
        let check = |text: String, words: &[&str]| {
            for word in words {
                assert!(text.contains(word), "{word:?} in {text:?}");
            }
        };
        let early = ["our certificate", "valid from 1970-01-01T00:16:40Z only", "00:08:20Z"];
        check(told(&refused, 500), &early);
        check(told(&refused, 2500), &["our certificate", "was valid until 1970-01-01T00:33:20Z"]);
        check(told(&refused, 1500), &["compare the clocks", "1970-01-01T00:25:00Z"]);
        let time = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = CertificateError::ExpiredContext { time: time(9), not_after: time(60) };
        let words = ["the server's certificate was valid until 1970-01-01T00:01:00Z"];
        check(told(&Error::InvalidCertificate(expired), 120), &words);
        let early = CertificateError::NotValidYetContext { time: time(9), not_before: time(60) };
        let words = ["the server's certificate is valid from 1970-01-01T00:01:00Z only", "clock"];
        check(told(&Error::InvalidCertificate(early), 30), &words);
    }
}
