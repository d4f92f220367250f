//! What carries alerts: by HTTP, as mail, by a command.

use std::io;
use std::path::PathBuf;

use outlast_alert::{
    Alert, Kind, Message, Pending, alertmanager, command, mail, pagerduty, slack, teams, webhook,
};
use outlast_types::{Environment, Interrupt, Timestamp};
use outlast_wire::outside::{Hook, Letter, MailServer, Said, WebhookSecret};
use outlast_wire::{Believed, Roads};

use super::command::run;
use super::destination::{Address, Destination, RouteConfig};
use super::secret::secret;
use crate::core::alerts::{Carrier, Undelivered};

/// Alerts that one request holds.
const ALERTS_AT_ONCE: usize = 1000;

/// What carries by one route. All that it needs is looked at anew each time, so a secret that is replaced
/// is used from then on.
struct Carries {
    config: RouteConfig,
    vault: String,
    environment: Environment,
    roads: Roads,
    stop: Interrupt,
}

pub(super) fn carrier(
    config: RouteConfig,
    vault: String,
    environment: &Environment,
    roads: Roads,
    stop: &Interrupt,
) -> Box<dyn Carrier> {
    let (environment, stop) = (environment.clone(), stop.clone());
    Box::new(Carries { config, vault, environment, roads, stop })
}

impl Carrier for Carries {
    fn carry(&self, pending: &Pending, now: Timestamp) -> Result<(), Undelivered> {
        match (&self.config.to, pending) {
            (Destination::Http { url, secret, ca }, _) => {
                let hook = self.hook(url, ca.as_ref())?;
                match pending {
                    Pending::Alerts(alerts) => self.alerts(&hook, alerts, now),
                    Pending::Beat => taken(hook.get(now)),
                    Pending::Message(message) => self.message(&hook, message, secret.as_ref(), now),
                }
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
    fn hook(&self, url: &Address, ca: Option<&PathBuf>) -> Result<Hook, Undelivered> {
        let believed = Believed::read(ca.map(PathBuf::as_path)).map_err(failed)?;
        let hook = match url {
            Address::Plain(url) => Hook::new(url, &believed, &self.roads).map_err(failed),
            Address::InFile(file) => {
                let url = secret(file).map_err(failed)?;
                Hook::new(&url, &believed, &self.roads).map_err(failed)
            }
        };
        let mut hook = hook?;
        hook.heed(&self.stop);
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
