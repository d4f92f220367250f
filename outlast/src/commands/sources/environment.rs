//! Variables for what reads a source, from a file that only the agent's user may read.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use outlast_fs::durable;

const BYTES_MAX: u64 = 64 << 10;

/// The variables in the file at `path`: NAME=VALUE on each line; empty lines and those with `#` are none. A value
/// in quotes is what is in them, as in the environment files of systemd.
pub(super) fn read(path: &Path) -> Result<Vec<(String, String)>> {
    let shown = path.display();
    let cannot = || format!("cannot read the variables in {shown}");
    let metadata = path.metadata().with_context(cannot)?;
    if metadata.mode() & 0o007 != 0 {
        bail!("others may read {shown}, in which passwords may be: chmod 640 {shown}");
    }
    let content = durable::read_bounded(path, BYTES_MAX).with_context(cannot)?;
    let text = String::from_utf8(content).ok().with_context(|| format!("{shown} is no text"))?;
    let mut variables = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself stays out of the message: it may be a secret.
        let variable = parse(line);
        let variable =
            variable.with_context(|| format!("line {number} of {shown} is not NAME=VALUE"))?;
        variables.push(variable);
    }
    Ok(variables)
}

fn parse(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let unquoted =
        ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let value = unquoted.unwrap_or(value);
    (is_name && !value.contains('\0')).then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_and_a_file_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("env");
        let put = |text: &str, mode| {
            durable::replace(&path, text.as_bytes(), mode).unwrap();
            read(&path).map_err(|error| format!("{error:#}"))
        };
        let text = "# of the shop\n\nPGPASSWORD=a=b c\nPGUSER=\"me\"\nEMPTY=\nQ='x\"'\n";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let wanted = [
            pair("PGPASSWORD", "a=b c"),
            pair("PGUSER", "me"),
            pair("EMPTY", ""),
            pair("Q", "x\""),
        ];
        assert_eq!(put(text, 0o600).unwrap(), wanted);
        assert_eq!(put(text, 0o640).unwrap().len(), 4);
        assert!(put(text, 0o644).unwrap_err().contains("chmod 640"));
        for bad in ["secret", "1A=b", "A B=c", "=c"] {
            let error = put(&format!("A=b\n{bad}\n"), 0o600).unwrap_err();
            assert!(error.contains("line 2") && !error.contains(bad), "{error}");
        }
        let missing = read(&directory.path().join("missing")).unwrap_err();
        assert!(format!("{missing:#}").contains("No such file"));
    }
}
