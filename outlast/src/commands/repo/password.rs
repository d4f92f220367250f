//! Where a repository's password and address come from: ours first, then stock restic's variables,
//! each read as restic reads it, so that one file or variable opens a repository with both.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use outlast_fs::durable;
use zeroize::Zeroizing;

/// A file or output that is longer holds no password and no address.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Whose variables to look at, the first ones first.
const FAMILIES: [&str; 2] = ["OUTLAST", "RESTIC"];

/// Bytes that open a repository; they need not be text.
pub(super) type Password = Zeroizing<Vec<u8>>;

/// Where the password is, if not in the environment.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PasswordArgs {
    /// Read the password from this file, instead of OUTLAST_PASSWORD
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Take what this command prints as the password
    #[arg(long, value_name = "COMMAND", conflicts_with = "password_file")]
    password_command: Option<String>,
}

/// The environment, as a function from names to values.
type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl PasswordArgs {
    /// The password, or `None` if nothing names one.
    pub(super) fn find(&self) -> Result<Option<Password>> {
        let command = self.password_command.clone().map(OsString::from);
        let file = self.password_file.clone().map(OsString::from);
        if let Some(password) = read(command, file, ["--password-command", "--password-file"])? {
            return Ok(Some(password));
        }
        from_environment(&|name| env::var_os(name))
    }
}

/// The address of the repository that the environment names.
pub(super) fn repository_from_environment() -> Result<Option<String>> {
    repository_in(&|name| env::var_os(name))
}

/// The address that a file holds.
pub(super) fn repository_in_file(file: &Path) -> Result<String> {
    let address = trimmed(&decoded(&content(file)?)).to_vec();
    String::from_utf8(address).with_context(|| format!("{} holds no address", file.display()))
}

fn from_environment(environment: Environment<'_>) -> Result<Option<Password>> {
    for family in FAMILIES {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let names = ["COMMAND", "FILE"].map(|kind| format!("{family}_PASSWORD_{kind}"));
        let [command, file] = names.each_ref().map(|name| set(name));
        if let Some(password) = read(command, file, names.each_ref().map(String::as_str))? {
            return Ok(Some(password));
        }
        if let Some(password) = set(&format!("{family}_PASSWORD")) {
            // As it is: who sets a variable sets what is meant.
            return Ok(Some(Zeroizing::new(password.into_vec())));
        }
    }
    Ok(None)
}

fn repository_in(environment: Environment<'_>) -> Result<Option<String>> {
    for family in FAMILIES {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let (name, file_name) =
            (format!("{family}_REPOSITORY"), format!("{family}_REPOSITORY_FILE"));
        match (set(&name), set(&file_name)) {
            (Some(_), Some(_)) => bail!("{name} and {file_name} are both set; unset one of them"),
            (Some(address), None) => match address.into_string() {
                Ok(address) => return Ok(Some(address)),
                Err(_) => bail!("the value of {name} is not text (UTF-8)"),
            },
            (None, Some(file)) => return repository_in_file(Path::new(&file)).map(Some),
            (None, None) => {}
        }
    }
    Ok(None)
}

/// The password from a command or a file; both are one too many.
fn read(
    command: Option<OsString>,
    file: Option<OsString>,
    [command_name, file_name]: [&str; 2],
) -> Result<Option<Password>> {
    let (found, named) = match (command, file) {
        (Some(_), Some(_)) => {
            bail!("{command_name} and {file_name} are both set; unset one of them")
        }
        (Some(command), None) => (output(&command, command_name)?, command_name),
        (None, Some(file)) => (decoded(&content(Path::new(&file))?), file_name),
        (None, None) => return Ok(None),
    };
    let password = Zeroizing::new(trimmed(&found).to_vec());
    if password.is_empty() {
        bail!("what {named} names holds no password");
    }
    Ok(Some(password))
}

fn content(file: &Path) -> Result<Password> {
    let content = durable::read_bounded(file, SECRET_BYTES_MAX)
        .with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Zeroizing::new(content))
}

/// What a command prints. Only its program is ever named: its arguments may be secrets.
fn output(command: &OsString, name: &str) -> Result<Password> {
    let line = command.to_str().with_context(|| format!("{name} is not text (UTF-8)"))?;
    let words = words(line).with_context(|| format!("cannot understand {name}"))?;
    let (program, arguments) =
        words.split_first().with_context(|| format!("{name} names no command"))?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {program}, as {name} wants"))?;
    let printed = Zeroizing::new(output.stdout);
    if !output.status.success() {
        bail!("{program}, which {name} names, failed with {}", output.status);
    }
    if printed.len() as u64 > SECRET_BYTES_MAX {
        bail!("what {program} prints is too long for a password");
    }
    Ok(printed)
}

/// Splits a command line as restic does, which is simpler than a shell: white space, backslashes and
/// quotes end a word; between quotes everything is part of it.
fn words(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut last = None;
    for c in line.chars() {
        let is_escaped = last == Some('\\');
        let ends = match quote {
            Some(open) if c == open && !is_escaped => {
                quote = None;
                true
            }
            None if matches!(c, '"' | '\'') && !is_escaped => {
                quote = Some(c);
                true
            }
            _ => {
                last = Some(c);
                quote.is_none() && (c == '\\' || c.is_whitespace())
            }
        };
        if !ends {
            word.push(c);
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    match quote {
        Some(quote) => bail!("a {quote} is never closed"),
        None => Ok(words),
    }
}

/// What a file's bytes say after a byte order mark: UTF-16 becomes UTF-8, all else stays as it is.
fn decoded(bytes: &[u8]) -> Password {
    let unit: fn([u8; 2]) -> u16 = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => return Zeroizing::new(rest.to_vec()),
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        _ => return Zeroizing::new(bytes.to_vec()),
    };
    let (pairs, odd) = bytes[2..].as_chunks::<2>();
    let mut text: String = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    if !odd.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    Zeroizing::new(text.into_bytes())
}

/// Without white space at its ends, also where it is no text in between.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let chunks = || bytes.utf8_chunks();
    let front = chunks().next().map_or("", |chunk| chunk.valid());
    let back = chunks().last().filter(|chunk| chunk.invalid().is_empty());
    let back = back.map_or("", |chunk| chunk.valid());
    let start = front.len() - front.trim_start().len();
    let end = bytes.len() - (back.len() - back.trim_end().len());
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_from_both_ends_and_nothing_else_does() {
        for (bytes, wanted) in [
            (&b"secret \n"[..], &b"secret"[..]),
            (b"\n\t secret\r\n\x0b", b"secret"),
            (b"p\xe9ss\n", b"p\xe9ss"),
            (b" \xe9 \x85\n", b"\xe9 \x85"),
            ("\u{85}\u{a0}a b\u{2028}\u{3000}".as_bytes(), b"a b"),
            (b"\xef\xbb\xbf secret\r\n", b"secret"),
            (b"\xff\xfes\0e\0\xe9\0\n\0", "seé".as_bytes()),
            (b"\xfe\xff\0s\0e\0\n", b"se"),
            (b"\xfe\xff\0s\0", "s\u{fffd}".as_bytes()),
            (b" \n", b""),
            (b"", b""),
        ] {
            assert_eq!(trimmed(&decoded(bytes)), wanted, "{bytes:?}");
        }
    }

    #[test]
    fn a_command_is_split_into_the_words_that_restic_finds() {
        for (line, wanted) in [
            ("pass show backup", &["pass", "show", "backup"][..]),
            ("  sh -c 'echo \"a b\"' ", &["sh", "-c", "echo \"a b\""]),
            ("a\"b c\"d", &["a", "b c", "d"]),
            ("a\\ b", &["a", "b"]),
            ("", &[]),
        ] {
            assert_eq!(words(line).unwrap(), wanted, "{line}");
        }
        assert!(words("echo 'a").is_err());
    }

    #[test]
    fn ours_come_first_and_two_of_one_rank_are_refused() {
        let find = |variables: &[(&str, &str)]| {
            let environment = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            };
            from_environment(&environment).map(|found| found.map(|found| found.to_vec()))
        };
        let echo = ("RESTIC_PASSWORD_COMMAND", "echo theirs");
        assert_eq!(find(&[]).unwrap(), None);
        assert_eq!(find(&[("RESTIC_PASSWORD", " a ")]).unwrap().unwrap(), b" a ");
        assert_eq!(find(&[("RESTIC_PASSWORD", "a"), echo]).unwrap().unwrap(), b"theirs");
        assert_eq!(find(&[("OUTLAST_PASSWORD", "ours"), echo]).unwrap().unwrap(), b"ours");
        assert_eq!(find(&[("OUTLAST_PASSWORD", ""), echo]).unwrap().unwrap(), b"theirs");
        let both = find(&[("RESTIC_PASSWORD_FILE", "/x"), echo]).unwrap_err().to_string();
        assert!(both.contains("RESTIC_PASSWORD_COMMAND and RESTIC_PASSWORD_FILE"), "{both}");
        let failed = find(&[("OUTLAST_PASSWORD_COMMAND", "false secret")]).unwrap_err().to_string();
        assert!(failed.contains("false") && !failed.contains("secret"), "{failed}");
    }
}
