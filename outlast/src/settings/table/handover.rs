//! `[[handover]]`: which directories a backup product reads that is there already, and what lies in them.

use std::time::Duration;

use outlast_civil::Hours;

use super::super::key::{Default, Form, Key, Kind, Section};

/// A public key of nobody's.
const RECIPIENT: &str = "age1hm0x5qlnuef88fc643fxsuy74wwxqhsnng4ufcnpmz5jrmxxxf4qjrxjgd";

/// How long a job of the product may be.
const LEASE: Kind =
    Kind::Duration { min: Duration::from_secs(60), max: Duration::from_secs(31 * 86_400) };

/// How often, and how long, a product may be asked.
const PACE: Kind = Kind::Duration { min: Duration::from_secs(5), max: Duration::from_secs(86_400) };

pub(super) const HANDOVER: Section = Section {
    name: "handover",
    form: Form::Listed,
    keys: &[
        Key {
            name: "name",
            kind: Kind::Text { example: "netbackup" },
            default: Default::None,
            help: "what it is called in commands, alerts and receipts: small letters, digits and `-`",
        },
        Key {
            name: "directory",
            kind: Kind::Path,
            default: Default::None,
            help: "what the product reads, and nobody else writes to: a real directory on a local disk, from / on; the agent makes it, and another one beside it that ends in `.outlast`, for itself",
        },
        Key {
            name: "workloads",
            kind: Kind::Patterns,
            default: Default::Nothing,
            help: "the workloads whose drops are handed over; all of them if it is not set",
        },
        Key {
            name: "layout",
            kind: Kind::OneOf(&["drop", "plain", "unpacked"]),
            default: Default::Value("drop"),
            help: "how a drop lies there: `drop`, its segments and seal as they were on the share; `plain`, a dump as one file and a tree as one tar, decompressed; `unpacked`, a tree as its files",
        },
        Key {
            name: "keep",
            kind: Kind::Count,
            default: Default::Value("1"),
            help: "how many of the newest confirmed drops of each workload stay there all the same; at least 1",
        },
        Key {
            name: "keep_until",
            kind: Kind::OneOrMore { example: "Monthly-Full" },
            default: Default::Nothing,
            help: "schedules or types of the product's jobs, such as \"full\": a drop stays there until a job of each has confirmed it; a full that is made monthly keeps what is there on its day, and nothing else",
        },
        Key {
            name: "budget",
            kind: Kind::Size,
            default: Default::Value("unlimited"),
            help: "how many bytes may lie in the directory and on the way into it; beyond, nothing new is offered, and nothing is removed",
        },
        Key {
            name: "file_max",
            kind: Kind::Size,
            default: Default::Value("unlimited"),
            help: "the largest file; larger dumps and archives are cut into parts (`plain` and `unpacked`); at least 1MiB",
        },
        Key {
            name: "files_max",
            kind: Kind::Count,
            default: Default::Value("1000000"),
            help: "the most files of one drop (`unpacked`); a tree that has more is offered as one tar",
        },
        Key {
            name: "packed",
            kind: Kind::Flag,
            default: Default::Value("false"),
            help: "whether what is compressed on the share stays so, as `NAME.zst`, with `layout = \"plain\"`; a restorer then needs zstd",
        },
        Key {
            name: "encrypt_to",
            kind: Kind::OneOrMore { example: RECIPIENT },
            default: Default::Nothing,
            help: "who alone can read what lies there, and on the product's media: public keys of age (`age-keygen` makes one); with `layout = \"plain\"`. Without it, dumps lie in clear",
        },
        Key {
            name: "owner",
            kind: Kind::Account,
            default: Default::Nothing,
            help: "the user whom the files belong to, by name or number; the agent's if it is not set",
        },
        Key {
            name: "group",
            kind: Kind::Account,
            default: Default::Nothing,
            help: "the group of the files, by name or number, whose members may run the product's hooks; the agent's if it is not set",
        },
        Key {
            name: "mode",
            kind: Kind::Ruled { example: "0640", check: check_mode },
            default: Default::Value("0640"),
            help: "the permissions of the files, in octal; whoever may read them may enter the directories",
        },
        Key {
            name: "read_window",
            kind: Kind::Ruled { example: "22:00-06:00", check: check_hours },
            default: Default::Nothing,
            help: "the hours of the day in which the product reads without a lease (Veeam, Commvault): nothing is removed in them",
        },
        Key {
            name: "zone",
            kind: Kind::Text { example: "Europe/Berlin" },
            default: Default::Value("UTC"),
            help: "the time zone of those hours",
        },
        Key {
            name: "lease",
            kind: LEASE,
            default: Default::Value("24h"),
            help: "how long a lease lasts that no hook ends: longer than the product's longest job",
        },
        Key {
            name: "frees",
            kind: Kind::OneOf(&["both", "vaulted", "confirmed", "either"]),
            default: Default::Nothing,
            help: "what must be true before a drop leaves the share: `both`, the vault holds it and the product has confirmed it; `vaulted`, the vault holds it and the product was offered it; `confirmed`, the product has confirmed it; `either`, one of these. `both` if it is not set, and `confirmed` with `instead`",
        },
        Key {
            name: "instead",
            kind: Kind::Flag,
            default: Default::Value("false"),
            help: "whether the product alone gets these drops: they are not shipped to the vault's repositories, and leave the share once the product has confirmed them, the vault's policy counts that (`safe`), and the vault says that it heard so. As many of the newest stay as `agent.keep` says, in the directory, too",
        },
        Key {
            name: "confirm.with",
            kind: Kind::OneOf(&["netbackup", "netbackup-api", "bacula", "command"]),
            default: Default::Nothing,
            help: "how the agent asks the product what it has: `netbackup`, the client's own `bpclimagelist` and `bplist`; `netbackup-api`, its primary server's jobs over TLS; `bacula`, its director by `bconsole`; `command`, one of yours, which ends with 0 if a job ended well. Without it, only `outlast handover confirm` by hand confirms",
        },
        Key {
            name: "confirm.every",
            kind: PACE,
            default: Default::Value("5m"),
            help: "how often the product is asked",
        },
        Key {
            name: "confirm.deadline",
            kind: PACE,
            default: Default::Value("10m"),
            help: "how long one round of questions may take",
        },
        Key {
            name: "confirm.programs",
            kind: Kind::Path,
            default: Default::Value("/usr/openv/netbackup/bin"),
            help: "where `bpclimagelist` and `bplist` are (`netbackup`)",
        },
        Key {
            name: "confirm.client",
            kind: Kind::Text { example: "agenthost" },
            default: Default::Nothing,
            help: "what the product calls this host (`netbackup`, `netbackup-api`); what a job's hook said if it is not set",
        },
        Key {
            name: "confirm.address",
            kind: Kind::Text { example: "https://primary:1556/netbackup" },
            default: Default::Nothing,
            help: "where the API of the primary server is (`netbackup-api`)",
        },
        Key {
            name: "confirm.key",
            kind: Kind::Path,
            default: Default::Nothing,
            help: "the file with the API key, which only its owner may read (`netbackup-api`)",
        },
        Key {
            name: "confirm.ca",
            kind: Kind::Path,
            default: Default::Nothing,
            help: "the certificates of whoever certified the API's server; those of the system if it is not set",
        },
        Key {
            name: "confirm.bconsole",
            kind: Kind::Path,
            default: Default::Value("/usr/sbin/bconsole"),
            help: "the program that asks the director (`bacula`)",
        },
        Key {
            name: "confirm.bconsole_config",
            kind: Kind::Path,
            default: Default::Value("/etc/bacula/bconsole.conf"),
            help: "its configuration, with the name and the password of a console (`bacula`)",
        },
        Key {
            name: "confirm.command",
            kind: Kind::Words { example: "[\"/usr/local/bin/job-ended-well\"]" },
            default: Default::Nothing,
            help: "a program and its arguments, run without a shell for each job, with `OUTLAST_JOB`, `OUTLAST_POLICY`, `OUTLAST_SCHEDULE`, `OUTLAST_KIND`, `OUTLAST_CLIENT`, `OUTLAST_BEGAN`, `OUTLAST_HANDOVER` and `OUTLAST_DIRECTORY` in its environment (`command`)",
        },
    ],
};

/// Whether a text is permissions that the agent itself can live with.
fn check_mode(text: &str) -> Result<(), String> {
    let wrong = || format!("{text:?} is not permissions of a file in octal, such as \"0640\"");
    let is_octal = text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = Some(text).filter(|_| is_octal).and_then(|text| u32::from_str_radix(text, 8).ok());
    match mode.ok_or_else(wrong)? {
        mode if mode > 0o777 => Err(wrong()),
        mode if mode & 0o400 == 0 => Err(format!("{text:?} lets not even their owner read them")),
        mode if mode & 0o022 != 0 => {
            Err(format!("{text:?} lets others write what is to be backed up"))
        }
        _ => Ok(()),
    }
}

fn check_hours(text: &str) -> Result<(), String> {
    text.parse::<Hours>().map(drop).map_err(|error| error.to_string())
}
