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
        ("*.go", "/foo/bar/test.go", true),
        ("*.c", "/foo/bar/test.go", false),
        ("*", "/foo/bar/test.go", true),
        ("foo*", "/foo/bar/test.go", true),
        ("bar*", "/foo/bar/test.go", true),
        ("/bar*", "/foo/bar/test.go", false),
        ("bar/*", "/foo/bar/test.go", true),
        ("baz/*", "/foo/bar/test.go", false),
        ("bar/test.go", "/foo/bar/test.go", true),
        ("bar/*.go", "/foo/bar/test.go", true),
        ("ba*/*.go", "/foo/bar/test.go", true),
        ("bb*/*.go", "/foo/bar/test.go", false),
        ("test.*", "/foo/bar/test.go", true),
        ("tesT.*", "/foo/bar/test.go", false),
        ("bar/*", "/foo/bar/baz", true),
        ("bar", "/foo/bar", true),
        ("/foo/bar", "/foo/bar", true),
        ("/foo/bar/", "/foo/bar", true),
        ("/foo/bar", "/foo/bar/below/it", true),
        ("/foo/bar", "/foo/barn", false),
        ("/foo/bar", "/x/foo/bar", false),
        ("/foo/*test.*", "/foo/bar/test.go", false),
        ("/foo/*/test.*", "/foo/bar/test.go", true),
        ("/foo/*/bar/test.*", "/foo/bar/test.go", false),
        ("/*/*/bar/test.*", "/foo/bar/test.go", false),
        ("/*/*/bar/test.*", "/foo/bar/bar/test.go", true),
        ("**", "/foo", true),
        ("/foo/**", "/foo", true),
        ("/foo/**/baz", "/foo/baz", true),
        ("/foo/**/baz", "/foo/a/b/c/baz/below", true),
        ("/foo/**/baz", "/foo/a/b/c", false),
        ("**/baz", "/foo/baz", true),
        ("/foo/**/**/bar", "/foo/bar", true),
        ("user/**/important*", "/home/user/work/x/hidden/x", false),
        ("user/**/hidden*/**/c", "/home/user/work/shared/hidden/test/c/x", true),
        ("[a-c]?.log", "/x/bz.log", true),
        ("[^a-c]?.log", "/x/bz.log", false),
        ("[^a-c]?.log", "/x/äz.log", true),
        ("?.log", "/x/ä.log", true),
        ("\\*.log", "/x/*.log", true),
        ("\\*.log", "/x/a.log", false),
        ("[\\]].log", "/x/].log", true),
        ("./foo//bar/.", "/x/foo/bar", true),
        ("foo/../bar", "/x/bar", true),
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
