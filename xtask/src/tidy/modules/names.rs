//! Names, followed from where they are written to where they are defined.

use super::tree::Tree;

/// How many imports of imports are followed: more than anybody writes, and an end for circles.
const HOPS_MAX: usize = 16;

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Module(usize),
    /// Something that this module defines.
    Item(usize),
    /// Something of another crate, of the language or of a function, with its path there.
    Outside(Vec<String>),
}

impl Tree {
    /// Follows `path`, as written in the module `from`.
    pub(crate) fn resolve(&self, from: usize, path: &[String]) -> Found {
        self.follow(from, path, false, HOPS_MAX)
    }

    fn follow(&self, from: usize, path: &[String], to_module: bool, hops: usize) -> Found {
        let outside = || Found::Outside(path.to_vec());
        if hops == 0 {
            return outside();
        }
        let (mut at, mut rest) = match path {
            [first, rest @ ..] if first == "crate" => (0, rest),
            [first, rest @ ..] if first == "self" => (from, rest),
            [first, ..] if first == "super" => (from, path),
            [first, rest @ ..] => {
                match self.member(from, first, to_module || !rest.is_empty(), hops) {
                    Some(Found::Module(module)) => (module, rest),
                    Some(found) => return go_on(found, rest),
                    None => return outside(),
                }
            }
            [] => return outside(),
        };
        while let [first, more @ ..] = rest {
            if first == "super" {
                let Some(parent) = self.modules[at].parent else { return outside() };
                at = parent;
            } else {
                match self.member(at, first, to_module || !more.is_empty(), hops) {
                    Some(Found::Module(module)) => at = module,
                    Some(found) => return go_on(found, more),
                    // Made by a macro: it can only be this module's own.
                    None => return Found::Item(at),
                }
            }
            rest = more;
        }
        Found::Module(at)
    }

    /// What `name` means in a module. A module and a function may share a name.
    fn member(&self, module: usize, name: &str, to_module: bool, hops: usize) -> Option<Found> {
        let hops_left = hops.checked_sub(1)?;
        let this = &self.modules[module];
        let child = this.children.get(name).copied().map(Found::Module);
        if to_module && child.is_some() {
            return child;
        }
        if this.source.defined.contains(name) {
            return Some(Found::Item(module));
        }
        let imports = || this.source.imports.iter();
        let named = imports().filter(|import| import.name == name);
        // `use serde;` names the other crate, not itself.
        let named = named.filter(|import| import.from.path != [name]);
        let mut named =
            named.map(|import| self.follow(module, &import.from.path, to_module, hops_left));
        if let Some(found) = named.next() {
            return Some(found);
        }
        if child.is_some() {
            return child;
        }
        let exports = |other: &usize| self.modules[*other].source.exported.contains(name);
        if module == 0
            && let Some(other) = (0..self.modules.len()).find(exports)
        {
            return Some(Found::Item(other));
        }
        imports().filter(|import| import.name == "*").find_map(|import| {
            match self.follow(module, &import.from.path, true, hops_left) {
                Found::Module(from) if from != module => {
                    self.member(from, name, to_module, hops_left)
                }
                _ => None,
            }
        })
    }
}

/// What lies at `rest` in what was found: the parts of an item are the item's.
fn go_on(found: Found, rest: &[String]) -> Found {
    match found {
        Found::Outside(mut path) => {
            path.extend_from_slice(rest);
            Found::Outside(path)
        }
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)], from: &str, path: &str) -> String {
        let tree = Tree::of(files);
        let from = tree.modules.iter().position(|module| module.name == from).unwrap();
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        match tree.resolve(from, &path) {
            Found::Module(module) => format!("module {}", tree.modules[module].name),
            Found::Item(module) => format!("item of {}", tree.modules[module].name),
            Found::Outside(path) => path.join("::"),
        }
    }

    #[test]
    fn a_name_is_followed_through_re_exports_to_the_module_that_defines_it() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::Shown; pub use crate::Shown as Twice;"),
            ("a.rs", "mod deep; mod more; pub use deep::*; pub(crate) use more::Shown;"),
            (
                "a/deep.rs",
                "pub struct Star; pub enum Kind { One } #[macro_export] macro_rules! made { () => {} }",
            ),
            ("a/more.rs", "pub struct Shown;"),
            ("b.rs", "use super::a; use crate::a::deep as renamed; use std::time::Instant;"),
        ];
        let found = |path| found(&files, "b", path);
        assert_eq!(found("crate::Shown"), "item of a::more");
        assert_eq!(found("crate::Twice"), "item of a::more");
        assert_eq!(found("super::a::Star"), "item of a::deep");
        assert_eq!(found("a::Kind::One"), "item of a::deep");
        assert_eq!(found("crate::made"), "item of a::deep");
        assert_eq!(found("renamed::Star"), "item of a::deep");
        assert_eq!(found("crate::a"), "module a");
        assert_eq!(found("Instant::now"), "std::time::Instant::now");
        assert_eq!(found("serde::Serialize"), "serde::Serialize");
    }

    #[test]
    fn a_function_and_a_module_of_one_name_are_told_apart() {
        let files = [
            ("lib.rs", "mod scan; mod other; pub use scan::scan;"),
            ("scan.rs", "pub fn scan() {} pub mod inner { pub struct Deep; }"),
            ("other.rs", ""),
        ];
        assert_eq!(found(&files, "other", "crate::scan"), "item of scan");
        assert_eq!(found(&files, "other", "crate::scan::scan"), "item of scan");
        assert_eq!(found(&files, "other", "crate::scan::inner::Deep"), "item of scan::inner");
    }

    #[test]
    fn imports_that_lead_to_each_other_come_to_an_end() {
        let files = [
            ("lib.rs", "mod a; mod b; use serde;"),
            ("a.rs", "pub use crate::b::*; pub use crate::b::Lost;"),
            ("b.rs", "pub use crate::a::*; pub use crate::a::Lost;"),
        ];
        assert_eq!(found(&files, "crate", "serde::de"), "serde::de");
        assert!(!found(&files, "crate", "a::Lost").is_empty());
        assert!(!found(&files, "crate", "a::Unknown").is_empty());
    }
}
