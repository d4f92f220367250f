//! The passphrase of a recovery kit: from a file, standard input, or whoever sits at the terminal; never
//! from the command line, which others on the host can see.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use outlast_fs::durable;
use zeroize::Zeroizing;

use crate::exit::Usage;
use crate::prompt;

const PASSPHRASE_BYTES_MAX: u64 = 64 << 10;
/// Whoever finds a kit may guess for years.
const CHARACTERS_MIN: usize = 12;

/// Where the passphrase is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PassphraseArgs {
    /// Read the kit's passphrase from the first line of this file; from standard input if it is -; without
    /// it, it is asked for at the terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// The passphrase: a line without its end.
    pub(crate) fn read(&self) -> Result<Zeroizing<Vec<u8>>> {
        let Some(file) = &self.passphrase_file else {
            return asked("Passphrase of the kit: ");
        };
        let content = match file.as_os_str() == "-" {
            true => from_standard_input(),
            false => from_file(file),
        }?;
        let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Err(
                Usage("there is no passphrase in what --passphrase-file names".into()).into()
            );
        }
        Ok(Zeroizing::new(line.to_vec()))
    }

    /// The same for a new kit, which must not be guessed.
    pub(crate) fn read_new(&self) -> Result<Zeroizing<Vec<u8>>> {
        let passphrase = self.read()?;
        if self.passphrase_file.is_none() && asked("The same again: ")? != passphrase {
            return Err(Usage("that was not the same twice".to_owned()).into());
        }
        if String::from_utf8_lossy(&passphrase).chars().count() < CHARACTERS_MIN {
            let text = format!(
                "the passphrase is too short: whoever finds the kit can guess for years, so take at least \
                 {CHARACTERS_MIN} characters, better six words"
            );
            return Err(Usage(text).into());
        }
        Ok(passphrase)
    }
}

fn asked(question: &str) -> Result<Zeroizing<Vec<u8>>> {
    let answer = prompt::ask(question).context("no passphrase was given")?;
    let answer = answer.ok_or_else(|| {
        Usage(
            "there is no terminal to ask for the passphrase at: name --passphrase-file".to_owned(),
        )
    })?;
    match answer.is_empty() {
        true => Err(Usage("no passphrase was given".to_owned()).into()),
        false => Ok(answer),
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let content = durable::read_bounded(path, PASSPHRASE_BYTES_MAX);
    let content = content.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Zeroizing::new(content))
}

fn from_standard_input() -> Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::default();
    let mut input = std::io::stdin().lock().take(PASSPHRASE_BYTES_MAX);
    input.read_to_end(&mut content).context("cannot read the passphrase")?;
    Ok(content)
}
