//! What carries alerts: by HTTP, as mail, by a command.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outlast_alert::{
    Alert, Kind, Message, Pending, alertmanager, command, mail, pagerduty, slack, teams, webhook,
};
use outlast_fs::durable;
use outlast_types::{Environment, Interrupt, Timestamp};

use super::command::run;
use super::destination::{Address, Destination, RouteConfig};
use super::hook::{Hook, Said};
use super::mail::{Letter, MailServer};
use super::secret::secret;
use super::signed::WebhookSecret;
use crate::believed::Believed;
use crate::road::Roads;

/// Alerts that one request holds.
const ALERTS_AT_ONCE: usize = 1000;
/// How long a way to a receiver is gone while it leads there: what the system believes may change.
const WAY_LASTS: Duration = Duration::from_secs(3600);
/// The largest file of authorities.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Why something was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    pub reason: String,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
    /// It would never be taken as it is, and must not be in the way of others.
    pub is_final: bool,
}

/// What carries messages to where they are told.
pub trait Carrier: Send + Sync {
    fn carry(&self, pending: &Pending, now: Timestamp) -> Result<(), Undelivered>;
}

/// What carries by one route. Files with secrets are read each time, so one that is replaced is used from
/// then on; connections are kept.
struct Carries {
    config: RouteConfig,
    vault: String,
    environment: Environment,
    roads: Roads,
    stop: Interrupt,
    way: Mutex<Option<Way>>,
}

/// A way to a receiver that led there, and what it was made of.
struct Way {
    url: String,
    authorities: Option<Vec<u8>>,
    made: Duration,
    hook: Arc<Hook>,
}

/// What carries by a route until `stop`; `vault` is whoever tells.
pub(super) fn carrier(
    config: RouteConfig,
    vault: String,
    environment: &Environment,
    roads: Roads,
    stop: &Interrupt,
) -> Box<dyn Carrier> {
    let (environment, stop) = (environment.clone(), stop.clone());
    Box::new(Carries { config, vault, environment, roads, stop, way: Mutex::default() })
}

impl Carrier for Carries {
    fn carry(&self, pending: &Pending, now: Timestamp) -> Result<(), Undelivered> {
        match (&self.config.to, pending) {
            (Destination::Http { url, secret, ca }, _) => {
                let hook = self.hook(url, ca.as_deref())?;
                let carried = match pending {
                    Pending::Alerts(alerts) => self.alerts(&hook, alerts, now),
                    Pending::Beat => taken(hook.get(now)),
                    Pending::Message(message) => self.message(&hook, message, secret.as_ref(), now),
                };
                if carried.is_err() {
                    // Whatever is wrong with it is looked at anew.
                    *self.way.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
                carried
            }
            (Destination::Mail { .. }, Pending::Message(message)) => self.mail(message, now),
            (Destination::Command { words, deadline }, Pending::Message(message)) => {
                let input = command(message).to_string();
                run(words, input.as_bytes(), *deadline, &self.environment, &self.stop)
                    .map_err(failed)
            }
            // There is nothing of that kind for these.
            (Destination::Mail { .. } | Destination::Command { .. }, _) => Ok(()),
        }
    }
}

impl Carries {
    fn hook(&self, url: &Address, ca: Option<&Path>) -> Result<Arc<Hook>, Undelivered> {
        let url = match url {
            Address::Plain(url) => url.clone(),
            Address::InFile(file) => secret(file).map_err(failed)?.to_string(),
        };
        let read = |path: &Path| {
            durable::read_bounded(path, CA_BYTES_MAX)
                .map_err(|error| failed(format!("cannot read {}: {error}", path.display())))
        };
        let authorities = ca.map(read).transpose()?;
        let now = self.environment.timer.elapsed();
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        let is_good = |way: &&Way| {
            way.url == url
                && way.authorities == authorities
                && now.saturating_sub(way.made) < WAY_LASTS
        };
        if let Some(way) = way.as_ref().filter(is_good) {
            return Ok(Arc::clone(&way.hook));
        }
        let believed = Believed::read(ca).map_err(failed)?;
        let mut hook = Hook::new(&url, &believed, &self.roads).map_err(failed)?;
        hook.heed(&self.stop);
        let hook = Arc::new(hook);
        *way = Some(Way { url, authorities, made: now, hook: Arc::clone(&hook) });
        Ok(hook)
    }

    fn alerts(&self, hook: &Hook, alerts: &[Alert], now: Timestamp) -> Result<(), Undelivered> {
        for part in alerts.chunks(ALERTS_AT_ONCE) {
            let body = alertmanager(part, now).to_string();
            taken(hook.post_below("api/v2/alerts", body.as_bytes(), now))?;
        }
        Ok(())
    }

    fn message(
        &self,
        hook: &Hook,
        message: &Message,
        key: Option<&PathBuf>,
        now: Timestamp,
    ) -> Result<(), Undelivered> {
        let key = key.map(|file| secret(file)).transpose().map_err(failed)?;
        match self.config.route.kind {
            Kind::PagerDuty => {
                let key =
                    key.ok_or_else(|| failed("it has no secret_file with its routing key"))?;
                let event = pagerduty(message, &key);
                taken(hook.post_below(event.path, event.body.to_string().as_bytes(), now))
            }
            Kind::Slack => taken(hook.post(&[], slack(message).to_string().as_bytes(), now)),
            Kind::Teams => taken(hook.post(&[], teams(message).to_string().as_bytes(), now)),
            _ => {
                let body = webhook(message, now).to_string();
                let signed = key.map(|key| WebhookSecret::parse(&key)).transpose();
                let headers = match signed.map_err(failed)? {
                    Some(secret) => secret.headers(&message.id, now, body.as_bytes()).to_vec(),
                    None => vec![("webhook-id", message.id.clone())],
                };
                taken(hook.post(&headers, body.as_bytes(), now))
            }
        }
    }

    fn mail(&self, message: &Message, now: Timestamp) -> Result<(), Undelivered> {
        let Destination::Mail { host, port, tls, user, secret: file, ca, from, to } =
            &self.config.to
        else {
            return Ok(());
        };
        let password = file.as_ref().map(|file| secret(file)).transpose().map_err(failed)?;
        let server = MailServer {
            host: host.clone(),
            port: *port,
            tls: *tls,
            login: user.clone().zip(password),
            believed: Believed::read(ca.as_deref()).map_err(failed)?,
        };
        let written = mail(message);
        let letter = Letter {
            from,
            to,
            subject: &written.subject,
            body: &written.body,
            at: now,
            id: &written.id,
            thread: &written.thread,
        };
        tracing::debug!(vault = self.vault, id = written.id, "a mail is handed over");
        server.send(&letter).map_err(failed)
    }
}

fn failed(reason: impl ToString) -> Undelivered {
    Undelivered { reason: reason.to_string(), retry_after: None, is_final: false }
}

/// What an answer means.
fn taken(said: io::Result<Said>) -> Result<(), Undelivered> {
    let said = said.map_err(failed)?;
    if said.is_success() {
        return Ok(());
    }
    // Of these it is the message that is wrong, and not the way, or whoever is asked.
    let is_final = matches!(said.status, 400 | 413 | 422);
    Err(Undelivered { reason: said.words, retry_after: said.retry_after, is_final })
}
