//! What is promised: of all workloads, by classes, and of single ones or of those that are called alike.

use std::time::Duration;

use outlast_civil::Weekdays;
use outlast_civil::Zone;
use outlast_promise::{Class, ClassName, Schedule};

use super::super::key::{CLASSES, Default, Form, Key, Kind, Section};
use super::evidence::{
    CLASS_DRILL_LEVEL, CLASS_DRILL_PICK, DRILL_CHECK, DRILL_COMMAND, DRILL_EVERY, DRILL_RECIPE,
};
use super::retention::{IMMUTABLE_FOR, KEEP};

/// The keys that classes and patterns may have, too.
pub(crate) const OF_CLASSES: [&str; 15] = [
    "class",
    "rpo",
    "owner",
    "schedule",
    "deadline",
    "zone",
    "weekdays",
    "holidays",
    "maintenance",
    "safe",
    "deploy_grace",
    "route",
    "keep",
    "immutable_for",
    "restore_why",
];

pub(super) const PROMISE: Section = Section {
    name: "promise",
    form: Form::Once,
    keys: &[
        Key {
            name: "rpo",
            kind: Kind::RPO,
            default: Default::Value("26h"),
            help: "how old the newest recovery point of a workload may be",
        },
        Key {
            name: "owner",
            kind: Kind::Owner,
            default: Default::Value("nobody named yet"),
            help: "the team that is asked when it is older",
        },
        CLASS,
        SCHEDULE,
        DEADLINE,
        ZONE,
        WEEKDAYS,
        HOLIDAYS,
        MAINTENANCE,
        SAFE,
        DEPLOY_GRACE,
        RESTORE_WHY,
        ROUTE,
    ],
};

pub(super) const CLASS_SECTION: Section = Section {
    name: CLASSES,
    form: Form::Named,
    keys: &[
        Key {
            name: "rpo",
            kind: Kind::RPO,
            default: Default::Nothing,
            help: "how old the newest recovery point of a workload of this class may be; else as `promise.rpo`",
        },
        Key {
            name: "owner",
            kind: Kind::Owner,
            default: Default::Nothing,
            help: "the team that is asked when it is older; else as `promise.owner`",
        },
        SCHEDULE,
        DEADLINE,
        ZONE,
        WEEKDAYS,
        HOLIDAYS,
        MAINTENANCE,
        SAFE,
        DEPLOY_GRACE,
        RESTORE_WHY,
        ROUTE,
        KEEP,
        IMMUTABLE_FOR,
        DRILL_EVERY,
        CLASS_DRILL_LEVEL,
        CLASS_DRILL_PICK,
        DRILL_RECIPE,
        DRILL_CHECK,
        DRILL_COMMAND,
    ],
};

pub(super) const CLASS: Key = Key {
    name: "class",
    kind: Kind::Ruled {
        example: "daily",
        check: |text| text.parse::<ClassName>().map(drop).map_err(|error| error.to_string()),
    },
    default: Default::Nothing,
    help: "the class by which it is kept, of those under `[classes]`",
};

pub(super) const SCHEDULE: Key = Key {
    name: "schedule",
    kind: Kind::Ruled {
        example: "0 2 * * mon-fri",
        check: |text| text.parse::<Schedule>().map(drop).map_err(|error| error.to_string()),
    },
    default: Default::Nothing,
    help: "from when on a drop counts for its turn, as a line of crontab, in place of an `rpo`",
};

pub(super) const DEADLINE: Key = Key {
    name: "deadline",
    kind: Kind::Duration { min: Class::DEADLINE_MIN, max: Class::DEADLINE_MAX },
    default: Default::Nothing,
    help: "how long after its `schedule` a drop must be vaulted; 2 h if nobody says",
};

pub(super) const ZONE: Key = Key {
    name: "zone",
    kind: Kind::Ruled {
        example: "Europe/Berlin",
        check: |text| Zone::named(text).map(drop).map_err(|error| error.to_string()),
    },
    default: Default::Nothing,
    help: "the time zone of `schedule`, `weekdays`, `holidays` and `maintenance`; UTC if nobody says",
};

pub(super) const WEEKDAYS: Key = Key {
    name: "weekdays",
    kind: Kind::Ruled {
        example: "mon-fri",
        check: |text| text.parse::<Weekdays>().map(drop).map_err(|error| error.to_string()),
    },
    default: Default::Nothing,
    help: "the days that are worked: on others no schedule fires, and pages wait",
};

pub(super) const HOLIDAYS: Key = Key {
    name: "holidays",
    kind: Kind::Path,
    default: Default::Nothing,
    help: "a file with days that are not worked, a line for each, such as `2026-12-25 Christmas`",
};

pub(super) const MAINTENANCE: Key = Key {
    name: "maintenance",
    kind: Kind::Words {
        example: "[\"sun 02:00-06:00 patch day\", \"2026-12-01 22:00-04:00 new storage\"]",
    },
    default: Default::Nothing,
    help: "hours in which pages wait, each week or once, each with its reason; more than 24 h without a break takes two operators",
};

pub(super) const SAFE: Key = Key {
    name: "safe",
    kind: Kind::OneOf(&["vaulted", "confirmed", "either", "both"]),
    default: Default::Nothing,
    help: "what makes a drop a recovery point: that the vault published it and it looks like a backup, that the backup product confirmed it, either, or both",
};

pub(super) const ROUTE: Key = Key {
    name: "route",
    kind: Kind::Text { example: "pager" },
    default: Default::Nothing,
    help: "the name of a `[[route]]` by which the owner is told, whatever else the routes say",
};

pub(super) const DEPLOY_GRACE: Key = Key {
    name: "deploy_grace",
    kind: Kind::Duration { min: Duration::ZERO, max: Class::DEPLOY_GRACE_MAX },
    default: Default::Nothing,
    help: "for how long at most a page waits for the first drop of a release that is under way; the releases before tell how long that takes",
};

pub(super) const RESTORE_WHY: Key = Key {
    name: "restore_why",
    kind: Kind::Flag,
    default: Default::Nothing,
    help: "whether who restores must say why (`outlast restore --why`); nobody must if nothing is said",
};
