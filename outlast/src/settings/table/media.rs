//! `media.toml`.

use std::time::Duration;

use super::super::key::{ANY, Default, Form, Key, Kind, RoleKeys, Section};
use super::route;

pub(crate) const MEDIA: RoleKeys = RoleKeys {
    name: "media",
    sections: &[
        Section {
            name: "media",
            form: Form::Once,
            keys: &[
                Key {
                    name: "dir",
                    kind: Kind::Path,
                    default: Default::None,
                    help: "where the spool is kept; it may be lost at any time, and has another id then",
                },
                Key {
                    name: "listen",
                    kind: Kind::Listen,
                    default: Default::None,
                    help: "where the media server listens",
                },
                Key {
                    name: "identity",
                    kind: Kind::Path,
                    default: Default::None,
                    help: "the directory of the media server's identity",
                },
                Key {
                    name: "upstream",
                    kind: Kind::Url,
                    default: Default::None,
                    help: "the vault's address",
                },
                Key {
                    name: "metrics_listen",
                    kind: Kind::ListenHere,
                    default: Default::Nothing,
                    help: "where metrics are shown on this host, without TLS; behind TLS they always are",
                },
                Key {
                    name: "vault_silence",
                    kind: Kind::Duration { min: Duration::from_secs(120), max: ANY },
                    default: Default::Value("15m"),
                    help: "how long nothing may be heard from the vault before each `[[route]]` is told, once; and once when it is back. Taken over by SIGHUP",
                },
                Key {
                    name: "room",
                    kind: Kind::Size,
                    default: Default::Value("100GiB"),
                    help: "how much may wait in the spool; of it a hundredth, or 64 MiB, is kept for indexes. Taken over by SIGHUP",
                },
                Key {
                    name: "workload_room",
                    kind: Kind::Size,
                    default: Default::SameAs("media.room"),
                    help: "how much of any one workload may wait. Taken over by SIGHUP",
                },
                Key {
                    name: "cache",
                    kind: Kind::Size,
                    default: Default::Value("1GiB"),
                    help: "how many bytes of indexes are kept beside the spool, so that agents need not read them over the line. Taken over by SIGHUP",
                },
                Key {
                    name: "streams",
                    kind: Kind::Count,
                    default: Default::Value("4"),
                    help: "how many objects are on the line at one time; fewer where that is slow",
                },
            ],
        },
        Section {
            name: "line",
            form: Form::Once,
            keys: &[
                Key {
                    name: "rate",
                    kind: Kind::Text { example: "100Mbit/s" },
                    default: Default::Value("unlimited"),
                    help: "how fast the line to the vault may be used: a number with kbit/s, Mbit/s, Gbit/s, KiB/s, MiB/s or GiB/s, `closed` or `unlimited`. It limits what is forwarded; calls pass at any time. Taken over by SIGHUP",
                },
                Key {
                    name: "calendar",
                    kind: Kind::Words { example: "[\"mon-fri 07:00-19:00 20Mbit/s\"]" },
                    default: Default::Nothing,
                    help: "when it may be used otherwise: days, hours and a rate; of several rules that hold, the last one counts. Taken over by SIGHUP",
                },
                Key {
                    name: "zone",
                    kind: Kind::Text { example: "Europe/Berlin" },
                    default: Default::Value("UTC"),
                    help: "the time zone of the calendar, by its name. Taken over by SIGHUP",
                },
                Key {
                    name: "restores",
                    kind: Kind::Text { example: "50Mbit/s" },
                    default: Default::Value("unlimited"),
                    help: "how fast backups may be brought back over the line, all together, whatever is forwarded. Taken over by SIGHUP",
                },
            ],
        },
        route::ROUTE,
    ],
};
