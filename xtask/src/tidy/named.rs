//! Documents name files and tests that exist: a map with a street that is gone leads astray.

use std::collections::HashSet;
use std::path::Path;

/// Underscores from which on a word in a document is the name of a test and not of a variable.
const TEST_NAME_UNDERSCORES: usize = 4;

/// The documents that lead through the code.
const DOCUMENTS: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"];

/// All that a document may name, and what the documents say.
#[derive(Default)]
pub(super) struct Named {
    files: Vec<String>,
    functions: HashSet<String>,
    documents: Vec<(String, String)>,
}

impl Named {
    /// Takes note of a file of the checkout.
    pub(super) fn see(&mut self, path: &Path, text: &str) {
        let path = path.display().to_string();
        if path.ends_with(".rs") {
            let after = text.split("fn ").skip(1);
            let names = after.filter_map(|rest| rest.split(['(', '<']).next());
            self.functions.extend(names.map(|name| name.trim().to_owned()));
        }
        if DOCUMENTS.contains(&path.as_str()) {
            self.documents.push((path.clone(), text.to_owned()));
        }
        self.files.push(path);
    }

    /// The names in documents that lead nowhere.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (document, text) in &self.documents {
            for (index, line) in text.lines().enumerate() {
                let quoted = line.split('`').skip(1).step_by(2);
                let gone = quoted.filter(|name| !self.knows(name));
                let line = index + 1;
                found.extend(gone.map(|name| format!("{document}:{line}: there is no {name}")));
            }
        }
        found
    }

    /// Whether `name` exists, or is not the name of a file or a test.
    fn knows(&self, name: &str) -> bool {
        let is_path = name.ends_with(".rs") || name.starts_with("outlast-") && name.contains('/');
        if is_path {
            // `corpus/TARGET/crashes` names many.
            let is_placeholder =
                |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase());
            if name.split('/').any(is_placeholder) {
                return true;
            }
            let folder = format!("{}/", name.trim_end_matches('/'));
            return self.files.iter().any(|file| {
                let at_end = file.strip_suffix(name);
                at_end.is_some_and(|before| before.is_empty() || before.ends_with('/'))
                    || file.starts_with(&folder)
            });
        }
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_test =
            name.chars().all(is_word) && name.matches('_').count() >= TEST_NAME_UNDERSCORES;
        !is_test || self.functions.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_names_what_is_gone_is_found() {
        let mut named = Named::default();
        named.see(Path::new("outlast-a/src/b.rs"), "fn it_is_kept_for_ever() {}");
        named.see(
            Path::new("ARCHITECTURE.md"),
            "`b.rs`, `outlast-a/src/b.rs`, `outlast-a/src`, `outlast-a/NAME/x.rs`, `it_is_kept_for_ever`, `OUTLAST_X`\n\
             `c.rs`, `xb.rs`, `outlast-a/c`, `it_is_lost_for_ever`, `is_known`",
        );
        named.see(Path::new("README.md"), "`c.rs`");
        let found = named.violations();
        let expected = ["c.rs", "xb.rs", "outlast-a/c", "it_is_lost_for_ever"];
        assert_eq!(found, expected.map(|name| format!("ARCHITECTURE.md:2: there is no {name}")));
    }
}
