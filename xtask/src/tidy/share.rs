//! On a share lie the files of strangers: a path that is looked up again may lead elsewhere than a
//! moment ago. One module of the share's crate opens directories, and everybody goes through it.

use super::modules::Tree;

/// The crate whose files lie among strangers, and its only module that may touch a file system.
const SHARE: (&str, &str) = ("outlast-drop", "files");

/// What holds an open file or what is known of one, and looks nothing up.
const HELD: [&str; 3] = ["File", "Metadata", "Permissions"];

/// Where the share's crate reaches for a path.
pub(super) fn violations(tree: &Tree) -> Vec<String> {
    if tree.name != SHARE.0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    for used in tree.outside() {
        let module = &tree.modules[used.from];
        let is_files = module.name.split("::").next() == Some(SHARE.1);
        if !is_files && is_by_path(&used.path) {
            found.push(format!(
                "{}:{}: {}: go through `files::Directory`: a path on a share may lead elsewhere",
                module.file.display(),
                used.line,
                used.path.join("::")
            ));
        }
    }
    found
}

fn is_by_path(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path[..] {
        ["outlast_fs", "durable", ..] | ["std", "fs"] => true,
        ["std", "fs", kind] => !HELD.contains(&kind),
        ["std", "fs", "File", function, ..] => matches!(function, "open" | "create" | "options"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_on_a_share_is_looked_up_by_nobody_but_the_open_directory() {
        let judge = |name: &str, crate_name: &str, line: &str| {
            let root = format!("mod {name};");
            let text = format!("use std::fs::File;\n{line}\n#[cfg(test)]\nuse std::fs;\n");
            let file = format!("{name}.rs");
            let mut tree = Tree::of(&[("lib.rs", &root), (&file, &text)]);
            tree.name = crate_name.to_owned();
            !violations(&tree).is_empty()
        };
        let share = |line| judge("receipt", "outlast-drop", line);
        assert!(share("use outlast_fs::durable; fn f() { durable::create_new(&path); }"));
        assert!(share("use outlast_fs::durable::create_new as make;"));
        assert!(share("fn f() { std::fs::remove_file(&path); }"));
        assert!(share("use std::fs; fn f() { fs::read(&path); }"));
        assert!(share("fn f() { File::open(&path); }"));
        assert!(share("use std::fs::OpenOptions;"));
        assert!(!share("fn f(file: &File) { directory.create_new(name); }"));
        assert!(!judge("files", "outlast-drop", "fn f() { std::fs::remove_file(&path); }"));
        assert!(!judge("agent", "outlast-agent", "fn f() { std::fs::remove_file(&path); }"));
    }
}
