//! `workload.toml`: what a team declares of its workload, on the share.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use outlast_drop::Share;
use outlast_drop::files::{Directory, is_later};
use outlast_drop::layout::WORKLOADS;
use outlast_types::{WorkloadName, human};
use outlast_wire::api::Declared;
use serde::Deserialize;

const FILE: &str = "workload.toml";
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Members that we do not know are allowed: later versions declare more.
#[derive(Deserialize)]
struct DeclarationJson {
    owner: Option<String>,
    rpo: Option<String>,
    #[serde(flatten)]
    more: toml::Table,
}

/// The key that one letter makes of `key`: with a letter too much, too few or another, or two that
/// changed places. A promise that nobody hears of must not come of a slip.
fn misspelt(key: &str) -> Option<&'static str> {
    const KEYS: [&str; 2] = ["owner", "rpo"];
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
    let path = share.workload_directory(workload);
    // Name by name, because a link in place of one of them is not followed.
    let names = [WORKLOADS.to_owned(), workload.to_string()];
    let content = Directory::open(share.path())
        .and_then(|root| root.descend(&names)?.read_bounded(FILE, FILE_BYTES_MAX));
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
    Ok(Some(Declared { rpo_seconds: rpo.as_ref().map(Duration::as_secs), owner: form.owner }))
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
        for later in ["class", "sanity", "port", "group"] {
            assert!(declare(&format!("{later} = \"26h\"")).is_ok(), "{later}");
        }
        assert!(declare("\u{feff}rpo = \"2d\"\r\nowner = \"win\"\r\n").unwrap().is_some());
        fs::remove_file(home.join(FILE)).unwrap();
        symlink("/etc/hostname", home.join(FILE)).unwrap();
        assert!(read(&share, &workload).is_err(), "a link is not followed");
    }
}
