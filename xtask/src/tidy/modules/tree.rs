//! The modules of a crate, as its files declare them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::source::Source;

/// A module, with what its file says.
#[derive(Debug)]
pub(crate) struct Module {
    /// From the root of the crate, which is `crate` itself: `index::load`.
    pub(crate) name: String,
    /// Below the checkout.
    pub(crate) file: PathBuf,
    pub(super) parent: Option<usize>,
    pub(super) children: BTreeMap<String, usize>,
    pub(crate) source: Source,
}

/// One target of a package, with its modules; the first is the root.
#[derive(Debug)]
pub(crate) struct Tree {
    /// As in the order of modules: the package, with the binary where a library stands beside it.
    pub(crate) name: String,
    pub(crate) modules: Vec<Module>,
}

impl Tree {
    /// Reads the modules below the root file of a target.
    pub(crate) fn read(name: &str, checkout: &Path, root: &Path) -> Result<Self> {
        Self::read_with(name, root, &|file| {
            let path = checkout.join(file);
            path.is_file()
                .then(|| fs::read_to_string(&path))
                .transpose()
                .with_context(|| format!("read {}", path.display()))
        })
    }

    fn read_with(
        name: &str,
        root: &Path,
        read: &dyn Fn(&Path) -> Result<Option<String>>,
    ) -> Result<Self> {
        let mut tree = Self { name: name.to_owned(), modules: Vec::new() };
        let text = read(root)?.with_context(|| format!("{} is missing", root.display()))?;
        let source = parse(root, &text)?;
        let folder = root.parent().context("a root file lies in a folder")?;
        tree.add("crate".to_owned(), None, root, folder, source, read)?;
        Ok(tree)
    }

    fn add(
        &mut self,
        name: String,
        parent: Option<usize>,
        file: &Path,
        folder: &Path,
        mut source: Source,
        read: &dyn Fn(&Path) -> Result<Option<String>>,
    ) -> Result<usize> {
        let declared = std::mem::take(&mut source.modules);
        let this = self.modules.len();
        let module =
            Module { name, file: file.to_owned(), parent, children: BTreeMap::new(), source };
        self.modules.push(module);
        for child in declared {
            let name = match parent {
                None => child.name.clone(),
                Some(_) => format!("{}::{}", self.modules[this].name, child.name),
            };
            let below = folder.join(&child.name);
            let added = match child.inline {
                Some(source) => self.add(name, Some(this), file, &below, source, read)?,
                None => {
                    let at = below.with_extension("rs");
                    let Some(text) = read(&at)? else {
                        let line = child.line;
                        bail!("{}:{line}: {} is missing", file.display(), at.display());
                    };
                    let source = parse(&at, &text)?;
                    self.add(name, Some(this), &at, &below, source, read)?
                }
            };
            self.modules[this].children.insert(child.name, added);
        }
        Ok(this)
    }

    /// The modules with children.
    pub(crate) fn houses(&self) -> impl Iterator<Item = usize> {
        let is_house = |module: &usize| !self.modules[*module].children.is_empty();
        (0..self.modules.len()).filter(is_house)
    }

    /// The children of a module, by the names in its folder.
    pub(crate) fn children(&self, house: usize) -> impl Iterator<Item = (&str, usize)> {
        self.modules[house].children.iter().map(|(name, module)| (name.as_str(), *module))
    }

    /// The child of this name.
    pub(crate) fn child(&self, house: usize, name: &str) -> Option<usize> {
        self.modules[house].children.get(name).copied()
    }

    /// The room of a module, seen from the folder of `house`: the module itself if it is the house,
    /// else the child of the house in whose folder it lies; none outside the house.
    pub(crate) fn room(&self, house: usize, module: usize) -> Option<usize> {
        let mut room = module;
        let mut above = module;
        while above != house {
            room = above;
            above = self.modules[above].parent?;
        }
        Some(room)
    }

    #[cfg(test)]
    pub(in crate::tidy) fn of(files: &[(&str, &str)]) -> Self {
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new("src").join(name) == path);
            Ok(found.map(|(_, text)| (*text).to_owned()))
        };
        Self::read_with("made", Path::new("src/lib.rs"), &read).unwrap()
    }
}

fn parse(file: &Path, text: &str) -> Result<Source> {
    Source::parse(text).map_err(|error| {
        let line = error.span().start().line;
        anyhow::anyhow!("{}:{line}: cannot be parsed: {error}", file.display())
    })
}
