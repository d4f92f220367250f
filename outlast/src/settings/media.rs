//! The configuration of a media server, from settings.

use anyhow::Result;
use outlast_civil::{Calendar, InvalidCalendar, Rate};
use outlast_media::{MediaConfig, MediaLimits, Room};
use outlast_wire::Proxies;
use outlast_wire::outside::LookoutConfig;

use super::flaw::Flaw;
use super::key::RoleKeys;
use super::role::Configured;
use super::routes;
use super::table::MEDIA;
use super::values::Settings;

/// More objects at one time would only share the line.
const STREAMS_MAX: usize = 16;

/// All that a media server is told.
#[derive(Debug, Clone)]
pub(crate) struct MediaSettings {
    pub(crate) config: MediaConfig,
    /// How it watches over its vault.
    pub(crate) lookout: LookoutConfig,
}

impl Configured for MediaSettings {
    const ROLE: &'static RoleKeys = &MEDIA;

    fn judge(settings: &Settings) -> Vec<Flaw> {
        MediaConfig::judge(settings)
    }

    fn build(settings: &Settings) -> Result<Self> {
        let config = MediaConfig::build(settings)?;
        Ok(Self { config, lookout: routes::lookout(settings, "media")? })
    }
}

impl Configured for MediaConfig {
    const ROLE: &'static RoleKeys = &MEDIA;

    fn judge(settings: &Settings) -> Vec<Flaw> {
        let mut flaws = routes::judge(settings);
        for key in ["line.rate", "line.restores"] {
            if let Err(error) = rate(settings, key) {
                flaws.push(settings.flaw(key, &error.to_string()));
            }
        }
        match calendar(settings) {
            // It is told of its own key.
            Ok(_) | Err(InvalidCalendar::Rate { .. }) if rate(settings, "line.rate").is_err() => {}
            Ok(_) => {}
            Err(error @ InvalidCalendar::Zone { .. }) => {
                flaws.push(settings.flaw("line.zone", &error.to_string()));
            }
            Err(error) => flaws.push(settings.flaw("line.calendar", &error.to_string())),
        }
        if !(1..=STREAMS_MAX).contains(&settings.count("media.streams").unwrap_or(1)) {
            let text = format!("it is not possible: use 1 to {STREAMS_MAX}");
            flaws.push(settings.flaw("media.streams", &text));
        }
        flaws
    }

    fn build(settings: &Settings) -> Result<Self> {
        Ok(Self {
            dir: settings.path("media.dir")?,
            listen: settings.listen("media.listen")?,
            metrics_listen: settings.listen_if_set("media.metrics_listen"),
            identity: settings.path("media.identity")?,
            names: settings.identities.clone(),
            upstream: settings.text("media.upstream")?.to_owned(),
            // They have variables of their own.
            proxies: Proxies::default(),
            streams: settings.count("media.streams")?,
            limits: MediaLimits {
                room: Room {
                    total: settings.size("media.room")?,
                    each: settings.size("media.workload_room")?,
                },
                cache: settings.size("media.cache")?,
                calendar: calendar(settings)?,
                restores: rate(settings, "line.restores")?,
            },
        })
    }
}

fn rate(settings: &Settings, key: &str) -> Result<Rate, InvalidCalendar> {
    settings.text(key).unwrap_or("unlimited").parse()
}

fn calendar(settings: &Settings) -> Result<Calendar, InvalidCalendar> {
    let rules = settings.words("line.calendar").iter().map(String::as_str);
    let zone = settings.text("line.zone").unwrap_or("UTC");
    Calendar::new(rate(settings, "line.rate")?, rules, zone)
}
