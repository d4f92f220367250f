//! The package for Debian and its kin. Written here, not by `dpkg-deb`: it is two archives in an archive, and the same
//! writer makes the same bytes on every system.

use std::path::Path;

use anyhow::{Context, Result};

use super::archive::{Compressor, ar};
use super::contents::{Contents, date_of_mail};
use super::elf::Needs;
use super::options::Options;
use super::tree::Tree;

/// Scripts that dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "postrm", "prerm"];

const DESCRIPTION: &str = "\
backups that outlast the servers that made them
 Servers that a release replaces write their backups to a shared drive, and end.
 One small agent host takes them from there to a vault on premises, by way of a
 media server in the cloud, and the vault keeps, proves and restores them, and
 tells whose promise is broken.
 .
 One program plays every role. No role is started before it is configured:
 enable outlast-agent, outlast-media or outlast-vault with systemctl.";

/// The version of the package: `1.0.0-rc.1` comes before `1.0.0`.
pub(super) fn version(version: &str, revision: u32) -> String {
    format!("{}-{revision}", version.replace('-', "~"))
}

/// The package.
pub(super) fn package(
    root: &Path,
    contents: &Contents,
    needs: &Needs,
    options: &Options,
    compressor: Compressor,
) -> Result<Vec<u8>> {
    let version = version(&contents.version, options.revision);
    let (data, conffiles) = data(root, contents, options, &version)?;
    let mut control = Tree::default();
    let size = data.bytes().div_ceil(1024);
    let fields = [
        ("Package", "outlast".to_owned()),
        ("Version", version),
        ("Section", "admin".to_owned()),
        ("Priority", "optional".to_owned()),
        ("Architecture", "amd64".to_owned()),
        ("Maintainer", options.maintainer.clone()),
        ("Installed-Size", size.to_string()),
        // Who makes the user.
        (
            "Depends",
            format!(
                "libc6 (>= {}), libgcc-s1 (>= {}), systemd | systemd-standalone-sysusers | systemd-sysusers",
                needs.glibc(),
                needs.libgcc()
            ),
        ),
        // Whom to believe when pages go out, and zones of schedules.
        ("Recommends", "ca-certificates, tzdata".to_owned()),
        // A share's file systems, drills, and reading repositories without us.
        ("Suggests", "bubblewrap, cifs-utils, nfs-common, restic".to_owned()),
        ("Description", DESCRIPTION.to_owned()),
    ];
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    control.file("control", 0o644, fields);
    control.file("conffiles", 0o644, conffiles);
    for script in SCRIPTS {
        let path = root.join("dist/debian").join(script);
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        control.file(script, 0o755, text);
    }
    let pack = |tree: &Tree| compressor.gzip(&tree.tar("./", options.moment)?);
    let (control, data) = (pack(&control)?, pack(&data)?);
    let members: [(&str, &[u8]); 3] =
        [("debian-binary", b"2.0\n"), ("control.tar.gz", &control), ("data.tar.gz", &data)];
    ar(&members, options.moment)
}

/// What is installed, and the list of what an administrator may change.
fn data(
    root: &Path,
    contents: &Contents,
    options: &Options,
    version: &str,
) -> Result<(Tree, String)> {
    let mut tree = Tree::default();
    // Policy wants these compressed as well as can be.
    let gzip = |bytes: &[u8]| Compressor::new(false).gzip(bytes);
    tree.file("usr/bin/outlast", 0o755, contents.program.clone());
    tree.of_checkout(root, "dist/debian/sysusers.conf", "usr/lib/sysusers.d/outlast.conf")?;
    for role in ["agent", "media", "vault"] {
        let unit = format!("outlast-{role}.service");
        tree.of_checkout(
            root,
            &format!("dist/systemd/{unit}"),
            &format!("usr/lib/systemd/system/{unit}"),
        )?;
    }
    for (shell, name, script) in &contents.completions {
        let directory = match *shell {
            "bash" => "bash-completion/completions",
            "zsh" => "zsh/vendor-completions",
            _ => "fish/vendor_completions.d",
        };
        tree.file(&format!("usr/share/{directory}/{name}"), 0o644, script.clone());
    }
    for (name, page) in &contents.manual {
        tree.file(&format!("usr/share/man/man1/{name}.gz"), 0o644, gzip(page)?);
    }
    tree.of_checkout(root, "deploy/instance/", "usr/share/outlast/instance/")?;

    let documents = "usr/share/doc/outlast";
    let mut pages = Tree::default();
    pages.of_checkout(root, "docs/", "docs/")?;
    pages.of_checkout(root, "README.md", "README.md")?;
    pages.of_checkout(root, "SECURITY.md", "SECURITY.md")?;
    pages.of_checkout(
        root,
        "dist/systemd/outlast-agent-sources.conf",
        "examples/outlast-agent-sources.conf",
    )?;
    pages.file("copyright", 0o644, copyright(root)?);
    pages.file("third-party.gz", 0o644, gzip(contents.notices.as_bytes())?);
    let changes = std::fs::read(root.join("CHANGELOG.md")).context("read CHANGELOG.md")?;
    pages.file("changelog.gz", 0o644, gzip(&changes)?);
    let changes = format!(
        "outlast ({version}) unstable; urgency=medium\n\n  * Release {}; what changed is in changelog.gz.\n\n \
         -- {}  {}\n",
        contents.version,
        options.maintainer,
        date_of_mail(options.moment)?
    );
    pages.file("changelog.Debian.gz", 0o644, gzip(changes.as_bytes())?);
    tree.add(&pages, documents);
    tree.of_checkout(root, "dist/debian/lintian-overrides", "usr/share/lintian/overrides/outlast")?;

    tree.add(&contents.settings, "etc/outlast");
    let conffiles = contents.settings.files().map(|name| format!("/etc/outlast/{name}\n"));
    Ok((tree, conffiles.collect()))
}

/// In the form that Debian's programs read.
fn copyright(root: &Path) -> Result<String> {
    let licence = std::fs::read_to_string(root.join("LICENSE-MIT")).context("read LICENSE-MIT")?;
    let (holder, terms) =
        licence.split_once("\n\n").context("LICENSE-MIT begins with its holder")?;
    let holder = holder.trim_start_matches("Copyright (c) ");
    let terms: String = terms
        .lines()
        .map(|line| if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") })
        .collect();
    Ok(format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: outlast\n\
         Comment:\n The program is built from packages of others as well, whose licences are in\n third-party.gz.\n\n\
         Files: *\nCopyright: {holder}\nLicense: Expat or Apache-2.0\n\n\
         License: Expat\n{terms}\n\
         License: Apache-2.0\n The text is in /usr/share/common-licenses/Apache-2.0.\n"
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_release_candidate_comes_before_its_release() {
        assert_eq!(super::version("1.2.3", 4), "1.2.3-4");
        assert_eq!(super::version("1.2.3-rc.1", 1), "1.2.3~rc.1-1");
    }
}
