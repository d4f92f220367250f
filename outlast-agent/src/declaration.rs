//! `workload.toml`: what a team declares of its workload, on the share.

use std::io;
use std::time::Duration;

use outlast_drop::Share;
use outlast_drop::files::Directory;
use outlast_drop::layout::WORKLOADS;
use outlast_types::{WorkloadName, human};
use outlast_wire::api::Declared;
use serde::Deserialize;

const FILE: &str = "workload.toml";
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Members that we do not know are allowed: later versions declare more.
#[derive(Deserialize)]
struct Form {
    owner: Option<String>,
    rpo: Option<String>,
}

/// What the workload declares, if it does. `Err` says what is wrong with it; the text of the file
/// stays out of that, for it is a stranger's.
pub(crate) fn read(share: &Share, workload: &WorkloadName) -> Result<Option<Declared>, String> {
    let path = share.workload_directory(workload);
    // Name by name, because a link in place of one of them is not followed.
    let names = [WORKLOADS.to_owned(), workload.to_string()];
    let content = Directory::open(share.path())
        .and_then(|root| root.descend(&names)?.read_bounded(FILE, FILE_BYTES_MAX));
    let wrong = |reason: String| format!("{}: {reason}", path.join(FILE).display());
    let content = match content {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
    };
    let text = String::from_utf8(content).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    let form: Form = toml::from_str(&text)
        .map_err(|error| wrong(format!("it is not understood: {}", error.message())))?;
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
        assert!(declare("rpo = \"soon\"").unwrap_err().contains("workload.toml: rpo:"));
        assert!(declare("secret").unwrap_err().contains("is not understood"));
        fs::remove_file(home.join(FILE)).unwrap();
        symlink("/etc/hostname", home.join(FILE)).unwrap();
        assert!(read(&share, &workload).is_err(), "a link is not followed");
    }
}
