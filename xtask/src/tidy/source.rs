//! Rules for the text of files.

use std::path::Path;

/// Lines of a file beyond which it certainly holds more than one idea.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function beyond which nobody holds it in the head.
const FUNCTION_LINES_MAX: usize = 80;

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
        (["#[ign", "ore"].concat(), "a test that does not run is no test"),
        (["should_", "panic"].concat(), "assert on the error instead"),
        (["#[all", "ow("].concat(), "use #[expect(.., reason = ..)]"),
    ]
}

/// Violations in any text file.
pub(super) fn everywhere(path: &Path, text: &str) -> Vec<String> {
    banned(path, text, &banned_everywhere())
}

/// Violations in a Rust file.
pub(super) fn rust(path: &Path, text: &str) -> Vec<String> {
    let mut found = banned(path, text, &banned_in_rust());
    let shown = path.display();
    let is_test = path.components().any(|part| part.as_os_str() == "tests")
        || path.file_stem().is_some_and(|stem| stem == "tests");
    if !is_test && !text.starts_with("//!") {
        found.push(format!("{shown}: say in a module comment (//!) what the file is for"));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        found.push(format!("{shown}: {lines} lines: is there more than one idea inside?"));
    }
    for (number, length) in long_functions(text) {
        found.push(format!("{shown}:{number}: a function of {length} lines"));
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

/// First line and length of the functions that are too long. Relies on rustfmt: a function ends
/// at the first brace that closes at the indentation at which it begins.
fn long_functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let words = trimmed.split(' ').take(4).collect::<Vec<_>>();
        if !words.contains(&"fn") || trimmed.starts_with("//") || trimmed.ends_with(';') {
            continue;
        }
        let indentation = line.len() - trimmed.len();
        let end = format!("{}}}", " ".repeat(indentation));
        let length = lines[index..].iter().position(|line| *line == end).unwrap_or(0) + 1;
        if length > FUNCTION_LINES_MAX {
            found.push((index + 1, length));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_and_a_banned_word_are_found() {
        let long = format!("//! x\nfn long() {{\n{}}}\n", "    let x = 1;\n".repeat(100));
        assert_eq!(rust(Path::new("a.rs"), &long), ["a.rs:2: a function of 102 lines"]);
        let word = format!("//! x\nfn f() {{ {}1) }}\n", ["dbg", "!("].concat());
        assert_eq!(rust(Path::new("a.rs"), &word).len(), 1);
        assert_eq!(rust(Path::new("a.rs"), "fn f() {}\n").len(), 1, "no module comment");
    }
}
