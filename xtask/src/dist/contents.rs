//! What is handed out, however it is packed: the program, what it says of itself, and files of the checkout.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use super::notices;
use super::options::Options;
use super::packages::Packages;
use super::tree::Tree;

/// Shells, and what their scripts are called where they look for them.
const SHELLS: [(&str, &str); 3] =
    [("bash", "outlast"), ("zsh", "_outlast"), ("fish", "outlast.fish")];

/// Pages beside docs/.
const PAGES: [&str; 5] =
    ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "SECURITY.md"];

/// All of it, in the form in which it is made.
pub(super) struct Contents {
    pub(super) version: String,
    pub(super) program: Vec<u8>,
    /// For each shell its name, that of the file, and the script.
    pub(super) completions: Vec<(&'static str, &'static str, Vec<u8>)>,
    /// Manual pages by name.
    pub(super) manual: Vec<(String, Vec<u8>)>,
    /// `docs/` and the pages beside it.
    pub(super) pages: Tree,
    /// What teams copy: `deploy/`.
    pub(super) deploy: Tree,
    /// Units of the roles.
    pub(super) units: Tree,
    /// Configurations to begin with.
    pub(super) settings: Tree,
    pub(super) notices: String,
}

impl Contents {
    pub(super) fn gather(
        root: &Path,
        binary: &Path,
        program: Vec<u8>,
        packages: &Packages,
        options: &Options,
    ) -> Result<Self> {
        // A name without a slash would be looked for elsewhere.
        let binary = std::path::absolute(binary)?;
        let below = |directory: &str| {
            let mut tree = Tree::default();
            tree.of_checkout(root, directory, "").map(|()| tree)
        };
        let mut pages = Tree::default();
        pages.of_checkout(root, "docs/", "docs/")?;
        for name in PAGES {
            pages.of_checkout(root, name, name)?;
        }
        let said = ask(&binary, &["--version"])?;
        let version = packages.version.clone();
        ensure!(
            said == format!("outlast {version}\n").into_bytes(),
            "{} is not of this checkout, which is {version}: {}",
            binary.display(),
            String::from_utf8_lossy(&said).trim()
        );
        let completions = SHELLS.into_iter().map(|(shell, name)| {
            ask(&binary, &["completions", shell]).map(|script| (shell, name, script))
        });
        Ok(Self {
            completions: completions.collect::<Result<_>>()?,
            manual: manual(&binary, &options.into)?,
            pages,
            deploy: below("deploy/")?,
            units: below("dist/systemd/")?,
            settings: below("dist/etc/")?,
            notices: notices::text(packages)?,
            version,
            program,
        })
    }

    /// What an archive is called, and the directory in it.
    pub(super) fn release(&self) -> String {
        format!("outlast-{}-x86_64-linux-gnu", self.version)
    }

    /// For hosts without packages: one directory, from which things are copied to their places.
    pub(super) fn archive(&self) -> Tree {
        let mut tree = Tree::default();
        tree.file("outlast", 0o755, self.program.clone());
        for (shell, name, script) in &self.completions {
            tree.file(&format!("completions/{shell}/{name}"), 0o644, script.clone());
        }
        for (name, page) in &self.manual {
            tree.file(&format!("man/man1/{name}"), 0o644, page.clone());
        }
        tree.file("THIRD-PARTY.txt", 0o644, self.notices.clone());
        tree.add(&self.pages, "");
        tree.add(&self.deploy, "deploy");
        tree.add(&self.units, "dist/systemd");
        tree.add(&self.settings, "dist/etc");
        let mut whole = Tree::default();
        whole.directory(&self.release(), 0o755);
        whole.add(&tree, &self.release());
        whole
    }
}

/// What the program prints, in an environment that is the same everywhere.
fn ask(binary: &Path, words: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(binary)
        .args(words)
        .env_clear()
        .output()
        .with_context(|| format!("start {}", binary.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} {words:?} failed: {}", binary.display(), said.trim());
    Ok(output.stdout)
}

/// The manual pages, which it writes into a directory.
fn manual(binary: &Path, into: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let directory = into.join("man");
    if directory.exists() {
        std::fs::remove_dir_all(&directory).context("remove manual pages of before")?;
    }
    ask(binary, &["man", directory.to_str().context("the name of a directory is not UTF-8")?])?;
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(&directory).context("look for manual pages")? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a manual page has a name")?;
        pages.push((name, std::fs::read(entry.path())?));
    }
    pages.sort();
    std::fs::remove_dir_all(&directory).context("remove the manual pages")?;
    ensure!(!pages.is_empty(), "{} has written no manual page", binary.display());
    Ok(pages)
}

fn utc(moment: u64) -> Result<OffsetDateTime> {
    Ok(OffsetDateTime::from_unix_timestamp(moment.try_into()?)?)
}

/// `2026-11-26T12:00:00Z`
pub(super) fn date(moment: u64) -> Result<String> {
    Ok(utc(moment)?.format(&Rfc3339)?)
}

/// `Thu, 26 Nov 2026 12:00:00 +0000`
pub(super) fn date_of_mail(moment: u64) -> Result<String> {
    Ok(utc(moment)?.format(&Rfc2822)?)
}
