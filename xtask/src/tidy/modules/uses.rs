//! Which module uses what another one defines.

use std::collections::{BTreeMap, BTreeSet};

use super::names::Found;
use super::tree::Tree;

/// One module's use of what another defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) line: usize,
    /// The path as written.
    pub(crate) path: String,
}

/// One module's use of another crate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outside {
    pub(crate) from: usize,
    pub(crate) line: usize,
    /// From the name of the crate on.
    pub(crate) path: Vec<String>,
}

impl Tree {
    /// Which module uses what another one defines, by name; each pair of modules and path once.
    ///
    /// A re-export alone is a signpost and no use: a facade may show what is built on it.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let mut edges = BTreeMap::new();
        for (from, module) in self.modules.iter().enumerate() {
            let imports = module.source.imports.iter().filter(|import| !import.reexported);
            let used = imports.map(|import| (&import.from, import.name == "*"));
            let mentions = module.source.mentions.iter().map(|mention| (mention, false));
            for (mention, everything) in used.chain(mentions) {
                let to = match self.resolve(from, &mention.path) {
                    Found::Item(to) => to,
                    Found::Module(to) if everything => to,
                    Found::Module(_) | Found::Outside(_) => continue,
                };
                if to != from {
                    let path = mention.path.join("::");
                    edges.entry((from, to, path)).or_insert(mention.line);
                }
            }
        }
        let edge = |((from, to, path), line)| Edge { from, to, line, path };
        edges.into_iter().map(edge).collect()
    }

    /// What the modules use of other crates: each path, followed to its crate, with its lines.
    pub(crate) fn outside(&self) -> Vec<Outside> {
        let mut found = BTreeSet::new();
        for (from, module) in self.modules.iter().enumerate() {
            let imports = module.source.imports.iter().map(|import| &import.from);
            for mention in imports.chain(&module.source.mentions) {
                if let Found::Outside(path) = self.resolve(from, &mention.path) {
                    found.insert(Outside { from, line: mention.line, path });
                }
            }
        }
        // A name that is imported is told where it is imported, not again where it is used.
        let imported = |used: &Outside| {
            let imports = &self.modules[used.from].source.imports;
            imports
                .iter()
                .any(|import| import.from.line != used.line && import.from.path == used.path)
        };
        found.into_iter().filter(|used| !imported(used)).collect()
    }

    /// One import, with its place.
    pub(crate) fn step(&self, edge: &Edge) -> String {
        let Edge { from, to, line, path } = edge;
        let (from, to) = (&self.modules[*from], &self.modules[*to]);
        format!("{} uses {}: {}:{line}: {path}", from.name, to.name, from.file.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of(files);
        tree.edges().iter().map(|edge| tree.step(edge)).collect()
    }

    #[test]
    fn imports_and_paths_are_uses_wherever_they_stand() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub struct A; pub fn f() {} pub mod hex {}"),
            (
                "b.rs",
                "use crate::a::A;\n\
                 #[serde(with = \"crate::a::hex\")]\n\
                 struct B;\n\
                 fn g() { assert!(crate::a::f() == super::a::A); }\n\
                 fn h() { use crate::a::{self, A as C}; a::f() }",
            ),
        ];
        assert_eq!(
            uses(&files),
            [
                "b uses a: src/b.rs:5: a::f",
                "b uses a: src/b.rs:1: crate::a::A",
                "b uses a: src/b.rs:4: crate::a::f",
                "b uses a: src/b.rs:4: super::a::A",
            ]
            .map(str::to_owned)
        );
    }

    #[test]
    fn tests_signposts_and_modules_by_themselves_are_no_uses() {
        let files = [
            (
                "lib.rs",
                "mod a; mod b; pub use a::A;\n\
                 #[cfg(test)] use b::B;\n\
                 #[cfg(all(test, unix))] mod tests { use crate::b::B; }\n\
                 #[test] fn t() { b::B; }",
            ),
            ("a.rs", "use crate::b; pub struct A; /// [`b`](crate::b::B)\nstruct D;"),
            ("b.rs", "pub struct B; impl B { #[cfg(test)] fn f() { crate::a::A; } }"),
        ];
        assert!(uses(&files).is_empty(), "{:?}", uses(&files));
    }

    #[test]
    fn a_name_that_is_handed_on_and_used_is_a_use() {
        let files = [("lib.rs", "mod a; pub use a::A;\nfn f(_: A) {}"), ("a.rs", "pub struct A;")];
        assert_eq!(uses(&files), ["crate uses a: src/lib.rs:2: A"]);
    }
}
