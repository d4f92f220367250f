//! `[retention]`: how long snapshots are kept, and when the vault forgets.

use std::time::Duration;

use outlast_civil::Zone;
use outlast_promise::{Keep, work_hours};

use super::super::key::{Default, Form, Key, Kind, Section};
use super::ANY;

const RULES: Kind = Kind::Ruled {
    example: "daily=7,weekly=5,monthly=12",
    check: |text| text.parse::<Keep>().map(drop).map_err(|error| error.to_string()),
};

pub(super) const RETENTION: Section = Section {
    name: "retention",
    form: Form::Once,
    keys: &[
        Key {
            name: "keep",
            kind: RULES,
            default: Default::Nothing,
            help: "which snapshots are kept; without rules, nothing is ever forgotten. Fewer rules take nothing that came under more",
        },
        Key {
            name: "zone",
            kind: Kind::Ruled {
                example: "Europe/Berlin",
                check: |text| Zone::named(text).map(drop).map_err(|error| error.to_string()),
            },
            default: Default::Value("UTC"),
            help: "the time zone in which days, weeks, months and years begin, and of `hours`",
        },
        Key {
            name: "min_age",
            kind: Kind::Duration { min: Duration::from_secs(86_400), max: ANY },
            default: Default::Value("7d"),
            help: "how long each snapshot stays after it came, whatever the rules",
        },
        Key {
            name: "immutable_for",
            kind: Kind::Duration { min: Duration::from_secs(1), max: ANY },
            default: Default::Nothing,
            help: "how long nobody can remove what comes from now on, not even two operators",
        },
        Key {
            name: "hours",
            kind: Kind::Ruled {
                example: "22:00-06:00",
                check: |text| work_hours(text).map(drop).map_err(|error| error.to_string()),
            },
            default: Default::Value("00:00-24:00"),
            help: "when the vault may forget and prune",
        },
    ],
};

/// The same of one workload.
pub(super) const KEEP: Key = Key {
    name: "keep",
    kind: RULES,
    default: Default::Nothing,
    help: "which snapshots of it are kept; without rules, those of `[retention]`",
};

pub(super) const IMMUTABLE_FOR: Key = Key {
    name: "immutable_for",
    kind: Kind::Duration { min: Duration::from_secs(1), max: ANY },
    default: Default::Nothing,
    help: "how long nobody can remove what of it comes from now on; as in `[retention]` if it is not set",
};
