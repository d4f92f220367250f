//! `workload.toml`: what a team declares of its workload, on the share.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use outlast_drop::Share;
use outlast_drop::files::is_later;
use outlast_drop::layout::{DECLARATION as FILE, WORKLOADS};
use outlast_types::{ContentKind, SanityRule, WorkloadName, human};
use outlast_wire::api::Declared;
use serde::Deserialize;

const FILE_BYTES_MAX: u64 = 64 << 10;

/// Members that we do not know are allowed: later versions declare more.
#[derive(Deserialize)]
struct DeclarationJson {
    owner: Option<String>,
    rpo: Option<String>,
    sanity: Option<SanityJson>,
    #[serde(flatten)]
    more: toml::Table,
}

/// What its team asks of its content. Nothing else is allowed: what is asked by a misspelt key would
/// not be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SanityJson {
    min_size: Option<String>,
    shrink_max: Option<u8>,
    floor: Option<String>,
    #[serde(default)]
    kinds: Vec<ContentKind>,
}

impl SanityJson {
    fn rule(self) -> Result<SanityRule, String> {
        let size = |key: &str, text: Option<String>| {
            let size = text.map(|text| human::parse_bytes(&text)).transpose();
            size.map_err(|error| format!("{key}: {error}"))
        };
        if self.kinds.iter().any(|kind| !ContentKind::KNOWN.contains(kind)) {
            let known: Vec<&str> = ContentKind::KNOWN.iter().map(ContentKind::as_str).collect();
            return Err(format!("kinds: the kinds that can be told are {}", known.join(", ")));
        }
        if self.shrink_max.is_some_and(|percent| percent > 100) {
            return Err("shrink_max: it is a number of percent, so at most 100".to_owned());
        }
        Ok(SanityRule {
            min_size: size("min_size", self.min_size)?,
            shrink_max: self.shrink_max,
            floor: size("floor", self.floor)?,
            kinds: self.kinds,
        })
    }
}

/// The key that one letter makes of `key`: with a letter too much, too few or another, or two that
/// changed places. A promise that nobody hears of must not come of a slip.
fn misspelt(key: &str) -> Option<&'static str> {
    const KEYS: [&str; 3] = ["owner", "rpo", "sanity"];
    let key = key.to_lowercase();
    KEYS.into_iter().find(|meant| is_almost(key.as_bytes(), meant.as_bytes()))
}

fn is_almost(key: &[u8], meant: &[u8]) -> bool {
    let same = key.iter().zip(meant).take_while(|(one, other)| one == other).count();
    let (key, meant) = (&key[same..], &meant[same..]);
    match (key, meant) {
        (key, [_, rest @ ..]) if key == rest => true,
        ([_, rest @ ..], meant) if rest == meant => true,
        ([_, key @ ..], [_, meant @ ..]) if key == meant => true,
        ([a, b, key @ ..], [c, d, meant @ ..]) => (a, b, key) == (d, c, meant),
        _ => key == meant,
    }
}

/// The mistake in a declaration. The text of the file stays out of that, for it is a
/// stranger's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeclarationError {
    /// The share does not let us read it now.
    #[error("cannot read {} now: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    /// Its team has to mend it.
    #[error("{0}")]
    Wrong(String),
}

/// The declaration of a workload, if it has one.
pub fn read(share: &Share, workload: &WorkloadName) -> Result<Option<Declared>, DeclarationError> {
    Ok(read_all(share, workload)?.map(|(declared, _)| declared))
}

/// What a workload's declaration asks of its content, if anything.
pub fn sanity_rule(
    share: &Share,
    workload: &WorkloadName,
) -> Result<Option<SanityRule>, DeclarationError> {
    Ok(read_all(share, workload)?.and_then(|(_, rule)| rule))
}

fn read_all(
    share: &Share,
    workload: &WorkloadName,
) -> Result<Option<(Declared, Option<SanityRule>)>, DeclarationError> {
    let path = share.workload_directory(workload);
    // Name by name, because a link in place of one of them is not followed.
    let names = [WORKLOADS.to_owned(), workload.to_string()];
    let content =
        share.directory().and_then(|root| root.descend(&names)?.read_bounded(FILE, FILE_BYTES_MAX));
    let told = |reason: String| format!("{}: {reason}", path.join(FILE).display());
    let wrong = |reason: String| DeclarationError::Wrong(told(reason));
    let content = match content {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if is_later(&error) => {
            let (path, reason) = (path.join(FILE), error.to_string());
            return Err(DeclarationError::Unreadable { path, reason });
        }
        Err(error) => return Err(wrong(format!("it cannot be read: {error}"))),
    };
    let text = String::from_utf8(content)
        .map_err(|_| wrong("it is not UTF-8: save it in that encoding".to_owned()))?;
    // The mark that editors on Windows begin a file with.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let form: DeclarationJson = toml::from_str(text)
        .map_err(|error| wrong(format!("it is not understood: {}", error.message())))?;
    if let Some(meant) = form.more.keys().find_map(|key| misspelt(key)) {
        return Err(wrong(format!("it has a key that is almost {meant:?}, and means nothing")));
    }
    let rpo = form.rpo.map(|text| human::parse_duration(&text)).transpose();
    let rpo = rpo.map_err(|error| wrong(format!("rpo: {error}")))?;
    let rule = form.sanity.map(SanityJson::rule).transpose();
    let rule = rule.map_err(|error| wrong(format!("sanity.{error}")))?;
    let rpo_seconds = rpo.as_ref().map(Duration::as_secs);
    Ok(Some((Declared { rpo_seconds, owner: form.owner }, rule)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use outlast_types::{SystemClock, SystemRandom};

    use super::*;

    #[test]
    fn a_declaration_is_read_and_a_bad_one_says_what_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let share = Share::init(directory.path(), &SystemClock, &SystemRandom).unwrap();
        let workload = WorkloadName::new("shop-db").unwrap();
        assert_eq!(read(&share, &workload), Ok(None));
        let home = share.workload_directory(&workload);
        fs::create_dir_all(&home).unwrap();
        assert_eq!(read(&share, &workload), Ok(None));
        let declare = |text: &str| {
            File::create(home.join(FILE)).unwrap().write_all(text.as_bytes()).unwrap();
            read(&share, &workload)
        };
        let declared = Declared { rpo_seconds: Some(93_600), owner: Some("team-shop".to_owned()) };
        let text = "owner = \"team-shop\"\nrpo = \"26h\"\nlater = 1\n";
        assert_eq!(declare(text), Ok(Some(declared)));
        let wrong = |text: &str| match declare(text) {
            Err(DeclarationError::Wrong(reason)) => reason,
            other => panic!("{text}: {other:?}"),
        };
        assert!(wrong("rpo = \"soon\"").contains("workload.toml: rpo:"));
        assert!(wrong("secret").contains("is not understood"));
        for slip in ["rpoo", "rp", "pro", "RPO", "rpq", "ownr", "owners", "onwer"] {
            assert!(wrong(&format!("{slip} = \"26h\"")).contains("is almost"), "{slip}");
        }
        for later in ["class", "seal", "port", "group"] {
            assert!(declare(&format!("{later} = \"26h\"")).is_ok(), "{later}");
        }
        assert!(declare("\u{feff}rpo = \"2d\"\r\nowner = \"win\"\r\n").unwrap().is_some());
        let text = "[sanity]\nmin_size = \"1GiB\"\nshrink_max = 30\nkinds = [\"sqlite\"]\n";
        declare(text).unwrap();
        let rule = SanityRule {
            min_size: Some(1 << 30),
            shrink_max: Some(30),
            floor: None,
            kinds: vec![ContentKind::Sqlite],
        };
        assert_eq!(sanity_rule(&share, &workload), Ok(Some(rule)));
        assert!(wrong("[sanity]\nmin_sise = \"1GiB\"").contains("is not understood"));
        assert!(wrong("[sanity]\nmin_size = \"big\"").contains("sanity.min_size"));
        assert!(wrong("[sanity]\nshrink_max = 101").contains("sanity.shrink_max"));
        assert!(wrong("[sanity]\nkinds = [\"cheese\"]").contains("pg_dump"));
        assert!(wrong("[sanitty]\nkinds = []").contains("is almost"));
        fs::remove_file(home.join(FILE)).unwrap();
        symlink("/etc/hostname", home.join(FILE)).unwrap();
        assert!(read(&share, &workload).is_err(), "a link is not followed");
    }
}
