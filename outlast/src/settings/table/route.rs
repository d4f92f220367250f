//! `[[route]]`: by which people are told of incidents.

use std::time::Duration;

use super::super::key::{Default, Form, Key, Kind, Section};
use super::ANY;

pub(super) const ROUTE: Section = Section {
    name: "route",
    form: Form::Listed,
    keys: &[
        Key {
            name: "name",
            kind: Kind::Text { example: "on-call" },
            default: Default::None,
            help: "what the route is called, in the log, in metrics, and in what is remembered of it: small letters, digits and `-`",
        },
        Key {
            name: "kind",
            kind: Kind::OneOf(&[
                "alertmanager",
                "pagerduty",
                "webhook",
                "slack",
                "teams",
                "mail",
                "command",
                "heartbeat",
            ]),
            default: Default::None,
            help: "how it tells: `alertmanager` hears each minute of all that is open; `heartbeat` hears of nothing but that the vault lives",
        },
        Key {
            name: "url",
            kind: Kind::Text { example: "https://alertmanager.example:9093/" },
            default: Default::Nothing,
            help: "the address to which it goes; of PagerDuty it is known",
        },
        Key {
            name: "url_file",
            kind: Kind::Path,
            default: Default::Nothing,
            help: "the file that holds the address, where that is a secret, as those of Slack, Teams and healthchecks are; nobody else may read it",
        },
        Key {
            name: "secret_file",
            kind: Kind::Path,
            default: Default::Nothing,
            help: "the file that holds PagerDuty's routing key, the secret by which a webhook is signed (`whsec_…`), or the password for mail; nobody else may read it",
        },
        Key {
            name: "ca",
            kind: Kind::Path,
            default: Default::Nothing,
            help: "the certificates of the authorities that are believed of it, in place of the system's",
        },
        Key {
            name: "owners",
            kind: Kind::Words { example: "[\"team-shop\", \"platform\"]" },
            default: Default::Nothing,
            help: "whose incidents it tells: teams, `app` for all teams, `platform` for what is the platform's; everybody's without it",
        },
        Key {
            name: "severity",
            kind: Kind::OneOf(&["warning", "critical"]),
            default: Default::Value("warning"),
            help: "the least severity that it tells; what is `warning` can wait for the morning",
        },
        Key {
            name: "hours",
            kind: Kind::Words { example: "[\"Mon-Fri 08:00-18:00\"]" },
            default: Default::Nothing,
            help: "when it may be told; what comes at other times waits until then, and is a note if it is over by then",
        },
        Key {
            name: "zone",
            kind: Kind::Text { example: "Europe/Berlin" },
            default: Default::Value("UTC"),
            help: "the time zone of those hours",
        },
        Key {
            name: "after",
            kind: Kind::Duration { min: Duration::from_secs(1), max: ANY },
            default: Default::Nothing,
            help: "it is told of what is open for so long and nobody has acknowledged: the next step; at once without it",
        },
        Key {
            name: "repeat",
            kind: Kind::Duration { min: Duration::from_secs(60), max: ANY },
            default: Default::Nothing,
            help: "how often it is told again of what is open and nobody has acknowledged; once without it. How often a `heartbeat` beats: each minute without it",
        },
        Key {
            name: "server",
            kind: Kind::Text { example: "smtp.example.com:587" },
            default: Default::Nothing,
            help: "for `mail`: the server that takes it, and its port",
        },
        Key {
            name: "tls",
            kind: Kind::OneOf(&["implicit", "starttls", "none"]),
            default: Default::Nothing,
            help: "for `mail`: how the way to the server is secured; `implicit` on port 465 and `starttls` on others without it, `none` for a server on this host only",
        },
        Key {
            name: "user",
            kind: Kind::Text { example: "outlast" },
            default: Default::Nothing,
            help: "for `mail`: the user whose password is in `secret_file`",
        },
        Key {
            name: "from",
            kind: Kind::Text { example: "Outlast <outlast@example.com>" },
            default: Default::Nothing,
            help: "for `mail`: who writes",
        },
        Key {
            name: "to",
            kind: Kind::Words { example: "[\"ops@example.com\"]" },
            default: Default::Nothing,
            help: "for `mail`: to whom",
        },
        Key {
            name: "command",
            kind: Kind::Words { example: "[\"/usr/local/bin/page\", \"--from\", \"outlast\"]" },
            default: Default::Nothing,
            help: "for `command`: the program and its arguments, without a shell; it reads the message as JSON",
        },
        Key {
            name: "deadline",
            kind: Kind::Duration { min: Duration::from_secs(1), max: Duration::from_secs(600) },
            default: Default::Value("30s"),
            help: "for `command`: how long it may take before it is ended",
        },
    ],
};
