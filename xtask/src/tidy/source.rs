//! Rules for the text of files.

use std::path::Path;

use super::ratchet::Ratchet;

/// Lines of a file beyond which it most likely holds more than one idea; exceptions are listed.
const FILE_LINES_MAX: usize = 500;
/// Lines of a file beyond which no exception helps.
const FILE_LINES_HARD_MAX: usize = 800;
/// Lines of a function beyond which nobody holds it in the head; exceptions are listed.
const FUNCTION_LINES_MAX: usize = 70;

/// What must be nowhere, built from parts so that this file does not find itself.
fn banned_everywhere() -> Vec<(String, &'static str)> {
    vec![
        (["/ro", "ot/."].concat(), "a path of somebody's machine"),
        (["/ho", "me/runner"].concat(), "a path of somebody's machine"),
        (["index.crates", ".io"].concat(), "the host of a registry"),
        (["static.crates", ".io"].concat(), "the host of a registry"),
    ]
}

fn banned_in_rust() -> Vec<(String, &'static str)> {
    vec![
        (["todo", "!("].concat(), "unfinished"),
        (["unimplemented", "!("].concat(), "unfinished"),
        (["FIX", "ME"].concat(), "unfinished: do it, or file an issue"),
        (["dbg", "!("].concat(), "a leftover of debugging"),
        (["#[ign", "ore"].concat(), "a test that does not run proves nothing"),
        (["should_", "panic"].concat(), "assert on the error instead"),
        (["#[all", "ow("].concat(), "use #[expect(.., reason = ..)]"),
    ]
}

/// Violations in any text file.
pub(super) fn everywhere(path: &Path, text: &str) -> Vec<String> {
    banned(path, text, &banned_everywhere())
}

/// Violations in a Rust file.
pub(super) fn rust(path: &Path, text: &str, ratchet: &mut Ratchet) -> Vec<String> {
    let mut found = banned(path, text, &banned_in_rust());
    let shown = path.display();
    let is_test = path.components().any(|part| part.as_os_str() == "tests")
        || path.file_stem().is_some_and(|stem| stem == "tests");
    if !is_test && !text.starts_with("//!") {
        found.push(format!("{shown}: say in a module comment (//!) what the file is for"));
    }
    if path.file_name().is_some_and(|name| name == "mod.rs") {
        found.push(format!("{shown}: call it like its module, beside the folder of its children"));
    }
    let lines = text.lines().count();
    let too_long = lines > FILE_LINES_MAX && !ratchet.allows(&shown.to_string(), lines);
    if too_long || lines > FILE_LINES_HARD_MAX {
        found.push(format!("{shown}: {lines} lines: is there more than one idea inside?"));
    }
    for function in long_functions(text) {
        let Function { name, line, lines } = function;
        if !ratchet.allows(&format!("{shown}::{name}"), lines) {
            found.push(format!("{shown}:{line}: {name} has {lines} lines"));
        }
    }
    found
}

fn banned(path: &Path, text: &str, list: &[(String, &'static str)]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (word, why) in list {
            if line.contains(word.as_str()) {
                found.push(format!("{}:{}: {word}: {why}", path.display(), number + 1));
            }
        }
    }
    found
}

/// A function that is too long.
struct Function {
    name: String,
    /// Where it begins.
    line: usize,
    lines: usize,
}

/// The functions that are too long. Relies on rustfmt: a function ends at the first brace that
/// closes at the indentation at which it begins.
fn long_functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let words = trimmed.split(' ').take(4).collect::<Vec<_>>();
        if !words.contains(&"fn") || trimmed.starts_with("//") || trimmed.ends_with(';') {
            continue;
        }
        let indentation = line.len() - trimmed.len();
        // A declaration in a trait has no body, on however many lines it stands.
        let opens = lines[index..].iter().find(|line| line.ends_with(['{', ';', '}']));
        if opens.is_some_and(|line| line.ends_with(';')) {
            continue;
        }
        let end = format!("{}}}", " ".repeat(indentation));
        let lines_of_it = lines[index..].iter().position(|line| *line == end).unwrap_or(0) + 1;
        if lines_of_it > FUNCTION_LINES_MAX {
            let name = trimmed.split("fn ").nth(1).unwrap_or_default();
            let name = name.split(['(', '<']).next().unwrap_or_default().to_owned();
            found.push(Function { name, line: index + 1, lines: lines_of_it });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, listed: &str) -> Vec<String> {
        rust(Path::new("a.rs"), text, &mut Ratchet::parse(listed).unwrap())
    }

    #[test]
    fn a_long_function_is_found_unless_it_is_listed() {
        let long = format!("//! x\nfn long() {{\n{}}}\n", "    let x = 1;\n".repeat(100));
        assert_eq!(judge(&long, ""), ["a.rs:2: long has 102 lines"]);
        assert!(judge(&long, "\"a.rs::long\" = 102").is_empty());
        let declared = "trait T {\n    fn f(\n        x: u8,\n    ) -> u8;\n";
        let declared = format!("//! x\n{declared}{}    }}\n}}\n", "    // y\n".repeat(100));
        assert!(judge(&declared, "").is_empty(), "a declaration has no length");
    }

    #[test]
    fn a_long_file_is_found_and_a_very_long_one_even_if_listed() {
        let file = |lines| format!("//! x\n{}", "// y\n".repeat(lines));
        assert_eq!(judge(&file(600), "").len(), 1);
        assert!(judge(&file(600), "\"a.rs\" = 601").is_empty());
        assert_eq!(judge(&file(900), "\"a.rs\" = 901").len(), 1);
    }

    #[test]
    fn a_module_file_has_the_name_of_its_module() {
        let judge = |file| rust(Path::new(file), "//! x\n", &mut Ratchet::parse("").unwrap()).len();
        assert_eq!(judge("outlast-drop/src/reader/mod.rs"), 1);
        assert_eq!(judge("outlast-drop/src/reader.rs"), 0);
    }

    #[test]
    fn a_banned_word_and_a_missing_module_comment_are_found() {
        let word = format!("//! x\nfn f() {{ {}1) }}\n", ["dbg", "!("].concat());
        assert_eq!(judge(&word, "").len(), 1);
        assert_eq!(judge("fn f() {}\n", "").len(), 1);
    }
}
