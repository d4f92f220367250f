//! What is asked for on the command line, and of which moment it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

pub(crate) const USAGE: &str =
    "  cargo xtask dist [OPTIONS]      build the release, and make what is handed out of it
      --binary FILE     pack this program, and build nothing
      --into DIR        where it goes (target/dist)
      --revision N      of the Debian package: what was packed anew, without a new version (1)
      --maintainer WHO  'Name <address>', who answers for the Debian package
      --again-in DIR    build a second time, from a clone in this new directory, and compare: for releases
      --sign-with KEY   sign the checksums by ssh-keygen -Y with this key (or its .pub, if an agent has it)
      --fast            compress little: for tests
    SOURCE_DATE_EPOCH says of which moment all of it is; without it, that of the last commit";

const MAINTAINER: &str = "The Outlast maintainers <outlast@packages.example>";

/// What to do.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) binary: Option<PathBuf>,
    pub(super) into: PathBuf,
    pub(super) revision: u32,
    pub(super) maintainer: String,
    /// Where to build it once more.
    pub(super) again_in: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) fast: bool,
    /// What everything is dated, in seconds since 1970.
    pub(super) moment: u64,
}

impl Options {
    pub(super) fn read(root: &Path, arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            binary: None,
            into: root.join("target/dist"),
            revision: 1,
            maintainer: MAINTAINER.to_owned(),
            again_in: None,
            key: None,
            fast: false,
            moment: 0,
        };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                "--binary" => options.binary = Some(value()?.into()),
                "--into" => options.into = value()?.into(),
                "--revision" => {
                    let number = value()?.parse().ok().filter(|number| *number > 0);
                    options.revision = number.context("--revision is a number from 1 on")?;
                }
                "--maintainer" => options.maintainer.clone_from(value()?),
                "--again-in" => options.again_in = Some(value()?.into()),
                "--sign-with" => options.key = Some(value()?.into()),
                "--fast" => options.fast = true,
                _ => bail!("{name} is not known\n{USAGE}"),
            }
        }
        let maintainer = &options.maintainer;
        let is_whole = maintainer.split_once(" <").is_some_and(|(name, address)| {
            !name.trim().is_empty() && address.contains('@') && address.ends_with('>')
        });
        ensure!(
            is_whole && !maintainer.contains(['\n', '\r']),
            "--maintainer is 'Name <address>', not {maintainer:?}"
        );
        ensure!(
            options.binary.is_none() || options.again_in.is_none(),
            "--binary builds nothing, so there is nothing to build again: leave out one of them"
        );
        options.moment = moment(root, std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())?;
        Ok(options)
    }
}

/// The moment that is asked for, else that of the last commit.
fn moment(root: &Path, asked: Option<&str>) -> Result<u64> {
    if let Some(text) = asked {
        // As far as the header of an archive can tell.
        let found = text.parse().ok().filter(|seconds| *seconds < 1 << 33);
        return found.with_context(|| {
            format!("SOURCE_DATE_EPOCH is a number of seconds since 1970, not {text:?}")
        });
    }
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "log", "-1", "--format=%ct"])
        .current_dir(root)
        .output()
        .context("start git: without it, set SOURCE_DATE_EPOCH")?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().context("there is no commit here: set SOURCE_DATE_EPOCH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_is_none_and_a_maintainer_without_address_are_refused() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(moment(root, Some("1700000000")).unwrap(), 1_700_000_000);
        for text in ["", "now", "-1", "99999999999"] {
            assert!(moment(root, Some(text)).is_err(), "{text}");
        }
        for words in [
            vec!["--maintainer", "nobody"],
            vec!["--maintainer", "A\nDepends: b <c@d>"],
            vec!["--revision", "0"],
            vec!["--binary"],
            vec!["--binary", "a", "--again-in", "b"],
            vec!["--else"],
        ] {
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            assert!(Options::read(root, &words).is_err(), "{words:?}");
        }
    }
}
