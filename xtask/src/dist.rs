//! `cargo xtask dist`: what is handed out. A package for Debian, an archive, an image for containers, a list of all
//! that is in them, and their checksums; the same bytes whoever makes them from the same commit.

mod again;
mod archive;
mod build;
mod contents;
mod debian;
mod elf;
mod image;
mod notices;
mod options;
mod packages;
mod sbom;
mod sign;
mod tree;

use std::path::Path;

use anyhow::{Context, Result};
use outlast_fs::durable;

use archive::Compressor;
use contents::Contents;
use elf::Needs;
use options::Options;
pub(crate) use options::USAGE;
use packages::Packages;

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let options = Options::read(root, arguments)?;
    let packages = Packages::of(root)?;
    let binary = match &options.binary {
        Some(path) => path.clone(),
        None => build::release(root)?,
    };
    if let Some(directory) = &options.again_in {
        again::compare(root, directory, &binary)?;
    }
    let program =
        std::fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let needs = Needs::of(&program).with_context(|| format!("look at {}", binary.display()))?;
    needs.check()?;
    let into = &options.into;
    std::fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    let compressor = Compressor::new(options.fast);
    let contents = Contents::gather(root, &binary, program, &packages, &options)?;

    let version = &packages.version;
    let image = image::make(&contents, &needs, &options, compressor)?;
    let made = [
        (
            format!("outlast_{}_amd64.deb", debian::version(version, options.revision)),
            debian::package(root, &contents, &needs, &options, compressor)?,
        ),
        (
            format!("{}.tar.gz", contents.release()),
            compressor.gzip(&contents.archive().tar("", options.moment)?)?,
        ),
        (format!("outlast-{version}-oci.tar"), image.archive),
        (
            format!("outlast-{version}.cdx.json"),
            sbom::document(&packages, &image.libraries, options.moment)?,
        ),
    ];
    let mut sums = String::new();
    for (name, bytes) in &made {
        let path = into.join(name);
        durable::replace(&path, bytes, 0o644)
            .with_context(|| format!("cannot write {}", path.display()))?;
        sums.push_str(&format!("{}  {name}\n", archive::sha256(bytes)));
    }
    durable::replace(&into.join("SHA256SUMS"), sums.as_bytes(), 0o644)
        .context("cannot write SHA256SUMS")?;
    sign::sums(into, options.key.as_deref())?;
    print!("{sums}");
    println!("in {}; for x86-64 with glibc {} or newer", into.display(), needs.glibc());
    Ok(())
}
