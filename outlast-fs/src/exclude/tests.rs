use super::*;

fn excludes(patterns: &[&str]) -> Excludes {
    let mut excludes = Excludes::default();
    for pattern in patterns {
        excludes.add(pattern.as_bytes()).unwrap();
    }
    excludes
}

fn out(patterns: &[&str], path: &str) -> bool {
    let names: Vec<&[u8]> =
        path.split('/').filter(|name| !name.is_empty()).map(str::as_bytes).collect();
    excludes(patterns).excludes(&names)
}

#[test]
fn patterns_mean_what_they_mean_to_restic() {
    for (pattern, path, matches) in [
        // A pattern without a slash at its beginning may begin anywhere.
        ("*.sql", "/srv/shop/dump.sql", true),
        ("*.gz", "/srv/shop/dump.sql", false),
        ("*", "/srv/shop/dump.sql", true),
        ("srv*", "/srv/shop/dump.sql", true),
        ("shop*", "/srv/shop/dump.sql", true),
        ("/shop*", "/srv/shop/dump.sql", false),
        ("shop/*", "/srv/shop/dump.sql", true),
        ("logs/*", "/srv/shop/dump.sql", false),
        ("shop/dump.sql", "/srv/shop/dump.sql", true),
        ("shop/*.sql", "/srv/shop/dump.sql", true),
        ("sh*/*.sql", "/srv/shop/dump.sql", true),
        ("ss*/*.sql", "/srv/shop/dump.sql", false),
        ("dump.*", "/srv/shop/dump.sql", true),
        ("Dump.*", "/srv/shop/dump.sql", false),
        // What lies below goes with it, and a name is whole.
        ("shop", "/srv/shop", true),
        ("/srv/shop", "/srv/shop", true),
        ("/srv/shop/", "/srv/shop", true),
        ("/srv/shop", "/srv/shop/img/a.png", true),
        ("/srv/shop", "/srv/shops", false),
        ("/srv/shop", "/old/srv/shop", false),
        // One star is one step, at most.
        ("/srv/*dump.*", "/srv/shop/dump.sql", false),
        ("/srv/*/dump.*", "/srv/shop/dump.sql", true),
        ("/srv/*/shop/dump.*", "/srv/shop/dump.sql", false),
        ("/*/*/shop/dump.*", "/srv/shop/dump.sql", false),
        ("/*/*/shop/dump.*", "/srv/shop/shop/dump.sql", true),
        // Two are any number of steps, none too.
        ("**", "/srv", true),
        ("/srv/**", "/srv", true),
        ("/srv/**/tmp", "/srv/tmp", true),
        ("/srv/**/tmp", "/srv/a/b/c/tmp/below", true),
        ("/srv/**/tmp", "/srv/a/b/c", false),
        ("**/tmp", "/srv/tmp", true),
        ("/srv/**/**/tmp", "/srv/tmp", true),
        ("shop/**/old*", "/srv/shop/img/x/olive/y", false),
        ("shop/**/old*/**/c", "/srv/shop/img/older/a/c/y", true),
        ("[a-c]?.log", "/x/bz.log", true),
        ("[^a-c]?.log", "/x/bz.log", false),
        ("[^a-c]?.log", "/x/äz.log", true),
        ("?.log", "/x/ä.log", true),
        ("\\*.log", "/x/*.log", true),
        ("\\*.log", "/x/a.log", false),
        ("[\\]].log", "/x/].log", true),
        ("./srv//shop/.", "/x/srv/shop", true),
        ("srv/../shop", "/x/shop", true),
    ] {
        assert_eq!(out(&[pattern], path), matches, "{pattern} and {path}");
    }
    let mut odd = Excludes::default();
    odd.add(b"a\xff?b").unwrap();
    assert!(odd.excludes(&[b"a\xff\xfeb"]) && !odd.excludes(&[b"a\xffb"]));
}

#[test]
fn a_pattern_with_an_exclamation_mark_takes_back_what_those_before_it_said() {
    let patterns = ["*.log", "!keep*.log", "keep-not.log"];
    assert!(out(&patterns, "/x/a.log") && out(&patterns, "/x/keep-not.log"));
    assert!(!out(&patterns, "/x/keep.log") && !out(&["!a", "b"], "/x/a"));
    assert!(out(&["!a", "a"], "/x/a"));
}

#[test]
fn what_is_no_pattern_is_refused() {
    for bad in ["", "!", ".", "a[", "a[]", "a[b", "[-a]", "[a-]", "a\\", "x/["] {
        assert!(Excludes::default().add(bad.as_bytes()).is_err(), "{bad}");
    }
}
