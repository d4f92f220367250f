//! Which crate may know which: arrows point down, and crates of one level do not know each other.

use super::workspace::Package;

/// Crates from the ground up. The two of the ground floor are the vocabulary of all others.
const LEVELS: [&[&str]; 6] = [
    &["outlast-types", "outlast-fs"],
    &["outlast-civil"],
    &[
        "outlast-format",
        "outlast-store",
        "outlast-drop",
        "outlast-catalog",
        "outlast-promise",
        "outlast-alert",
    ],
    &["outlast-repo", "outlast-wire", "outlast-spool", "outlast-handover", "outlast-plan"],
    &["outlast-agent", "outlast-media", "outlast-vault"],
    &["outlast"],
];

/// For development: `outlast-testing` is depended on by tests and by the others of these only, the
/// others by nobody, and they know everybody.
const DEVELOPMENT: [&str; 3] = ["outlast-testing", "outlast-fuzz", "xtask"];

/// Libraries behind a wall, each with the only crates that may name it; their tests and those of
/// others may use what they like.
const WALLS: [(&str, &[&str]); 18] = [
    // The binary is where an error becomes words and an exit code; libraries have typed ones.
    ("anyhow", &["outlast", "xtask", "outlast-fuzz"]),
    ("clap", &["outlast", "outlast-fuzz"]),
    // The demo keeps a small SQLite shop where PostgreSQL is not installed.
    ("rusqlite", &["outlast-catalog", "outlast"]),
    // Civil times and their zones; all others know moments only.
    ("jiff", &["outlast-civil", "outlast-drop", "outlast-plan", "outlast-promise"]),
    // What goes over the wire, and who is at the other end.
    ("hpke", &["outlast-wire"]),
    // Files that are encrypted for whoever restores, in the format of age.
    ("bech32", &["outlast-handover"]),
    ("x25519-dalek", &["outlast-handover"]),
    ("hyper", &["outlast-wire"]),
    ("hyper-util", &["outlast-wire"]),
    ("lettre", &["outlast-wire"]),
    ("rcgen", &["outlast-wire"]),
    ("rustls", &["outlast-wire"]),
    ("rustls-webpki", &["outlast-wire"]),
    ("tokio-rustls", &["outlast-wire"]),
    ("x509-parser", &["outlast-wire"]),
    // Signatures of receipts and certificates, the hashes of the repository's format, and those of what is handed out.
    ("ring", &["outlast-drop", "outlast-format", "outlast-handover", "outlast-wire", "xtask"]),
    // Whoever answers requests; everything else is plain threads.
    ("axum", &["outlast-wire", "outlast-media", "outlast-vault"]),
    ("tokio", &["outlast-wire", "outlast-media", "outlast-vault", "outlast"]),
];

/// What is wrong with what the packages know of each other and of libraries.
pub(super) fn violations(packages: &[Package]) -> Vec<String> {
    let mut found: Vec<String> = packages.iter().flat_map(judge).collect();
    let listed = LEVELS.iter().copied().flatten().chain(&DEVELOPMENT);
    let gone = listed.filter(|name| packages.iter().all(|package| package.name != **name));
    found.extend(gone.map(|name| format!("{name} has a level, but is not a package")));
    found
}

/// What is wrong with the dependencies of one package.
fn judge(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    let level = LEVELS.iter().position(|crates| crates.contains(&name));
    if level.is_none() && !DEVELOPMENT.contains(&name) {
        return vec![format!("{name} is in no level: say in xtask/src/tidy/layers.rs where it is")];
    }
    let below = |wanted: &str| match level {
        Some(level) => LEVELS[..level].iter().any(|crates| crates.contains(&wanted)),
        None => true,
    };
    let is_ours = |wanted: &str| wanted.starts_with("outlast");
    let mut found = Vec::new();
    // Of every platform, and of build scripts too: whatever ends in what users run.
    for dependency in package.dependencies.iter().filter(|dependency| !dependency.for_development) {
        let wanted = dependency.name.as_str();
        let is_a_chore = wanted == DEVELOPMENT[0] && DEVELOPMENT[1..].contains(&name);
        if DEVELOPMENT.contains(&wanted) && !is_a_chore {
            found.push(format!("{name} depends on {wanted}, which is for development only"));
        } else if is_ours(wanted) && !below(wanted) {
            found.push(format!("{name} must not know {wanted}: it is not below"));
        }
        for (library, allowed) in WALLS {
            if wanted == library && !allowed.contains(&name) {
                found.push(format!("{name} must not use {library}; only {allowed:?} may"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::workspace::Dependency;
    use super::*;

    fn package(name: &str, dependencies: &[&str], for_development: bool) -> Package {
        let dependency = |name: &&str| Dependency { name: (*name).to_owned(), for_development };
        let dependencies = dependencies.iter().map(dependency).collect();
        Package { name: name.to_owned(), targets: Vec::new(), dependencies }
    }

    #[test]
    fn an_arrow_that_points_up_or_sideways_is_found() {
        let wanted = ["outlast-types", "outlast-drop"];
        let judge = |name| judge(&package(name, &wanted, false));
        assert_eq!(
            judge("outlast-store"),
            ["outlast-store must not know outlast-drop: it is not below"]
        );
        assert!(judge("outlast-agent").is_empty());
    }

    #[test]
    fn a_library_stays_behind_its_wall_except_in_tests() {
        for library in ["rusqlite", "axum", "tokio-rustls", "rcgen", "x509-parser", "ring"] {
            assert_eq!(judge(&package("outlast-repo", &[library], false)).len(), 1, "{library}");
            assert!(judge(&package("outlast-repo", &[library], true)).is_empty(), "{library}");
        }
        assert!(judge(&package("outlast-wire", &["ring"], false)).is_empty());
    }

    #[test]
    fn what_is_for_development_is_for_tests_only() {
        assert!(judge(&package("xtask", &["outlast-testing"], false)).is_empty());
        assert_eq!(judge(&package("xtask", &["outlast-fuzz"], false)).len(), 1);
        assert_eq!(judge(&package("outlast", &["outlast-testing"], false)).len(), 1);
        assert!(judge(&package("outlast", &["outlast-testing"], true)).is_empty());
        assert!(judge(&package("outlast-fuzz", &["outlast-repo"], false)).is_empty());
    }

    #[test]
    fn a_package_has_a_level_and_a_level_has_packages() {
        assert_eq!(judge(&package("outlast-nowhere", &[], false)).len(), 1);
        let found = violations(&[package("outlast-types", &[], false)]);
        assert!(found.iter().any(|line| line.contains("outlast-vault has a level")), "{found:?}");
    }
}
