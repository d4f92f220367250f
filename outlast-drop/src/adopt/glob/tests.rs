use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

/// The captured words, as text.
fn captured(text: &str, path: &str) -> Option<Vec<(String, String)>> {
    let names: Vec<&str> = path.split('/').collect();
    let captures = pattern(text).captures(&names)?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Some(captures.0.into_iter().map(|(word, part)| (word, text(part))).collect())
}

#[test]
fn words_capture_as_little_as_they_can_from_the_left() {
    for (text, path, expected) in [
        ("a/b.dump", "a/b.dump", Some(vec![])),
        ("a/*.dump", "a/x.dump", Some(vec![])),
        ("a/*.dump", "a/.dump", None),
        ("a/x*.dump", "a/x.dump", Some(vec![])),
        ("a/*.dump", "a/b/x.dump", None),
        ("a/*.dump", "a/x.dump.1", None),
        ("a/*.dump*", "a/x.dump.1", Some(vec![])),
        ("{workload}/*", "shop/x", Some(vec![("workload", "shop")])),
        (
            "{workload}-{day}.sql",
            "shop-db-01.sql",
            Some(vec![("day", "db-01"), ("workload", "shop")]),
        ),
        ("{a}{b}", "xyz", Some(vec![("a", "x"), ("b", "yz")])),
        ("{a}.{b}", ".x", None),
        ("x{a}", "x", None),
        ("*-{n}.gz", "a-b-7.gz", Some(vec![("n", "b-7")])),
    ] {
        let expected = expected.map(|all| {
            all.into_iter().map(|(word, part)| (word.to_owned(), part.to_owned())).collect()
        });
        assert_eq!(captured(text, path), expected, "{text} of {path}");
    }
}

#[test]
fn what_others_leave_everywhere_is_not_matched_by_a_wildcard_and_can_be_named() {
    for name in [".hidden", ".nfs0012", "@eaDir", "#recycle", "~$x", "$RECYCLE.BIN", "Thumbs.db"] {
        assert!(!pattern("a/*").admits(1, name.as_bytes()), "{name}");
        assert!(!pattern("a/{x}").admits(1, name.as_bytes()), "{name}");
    }
    for name in ["_full.sql", "\u{dc}bersicht.sql", "-x", "0"] {
        assert!(pattern("a/*").admits(1, name.as_bytes()), "{name}");
    }
    assert!(pattern("a/.pgdump*").admits(1, b".pgdump-1"));
    assert!(pattern("a/*").admits(1, b"caf\xe9"), "names are bytes");
}

#[test]
fn what_is_ours_at_the_root_is_never_matched() {
    for own in ["w", "W", "bell", "agent", "fetch", "outlast-share.json"] {
        assert!(!pattern("*/x").admits(0, own.as_bytes()), "{own}");
        assert!(!pattern("{w}*/x").admits(0, own.as_bytes()), "{own}");
        assert!(Pattern::parse(own).is_err(), "{own}");
    }
    assert!(pattern("*/w").admits(1, b"w"));
}

#[test]
fn a_text_that_is_no_pattern_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "empty"),
        ("/a/b", "root of the share"),
        ("a//b", "empty"),
        ("a/../b", "\"..\""),
        ("./b", "\".\""),
        ("a/**/b", "'**'"),
        ("a/b?", "'?'"),
        ("a/[ab]", "'['"),
        ("a/{b", "no '}'"),
        ("a/b}", "'}'"),
        ("a/{}", "{}"),
        ("a/{B}", "{B}"),
        ("{a}/{a}", "twice"),
        ("w/shop/x", "Outlast itself"),
        ("a/\u{7}", "control"),
    ] {
        let error = Pattern::parse(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
    assert!(Pattern::parse(&"a/".repeat(17)).is_err());
    assert!(Pattern::parse(&"*x".repeat(17)).is_err());
}

#[test]
fn a_template_is_filled_with_what_was_captured_and_knows_no_other_word() {
    let pattern = pattern("in/{team}/{base}.sql");
    let captures = pattern.captures(&["in", "shop", "x.1.sql"]).unwrap();
    let fill = |text| Template::parse(text, &pattern).unwrap().fill(&captures).unwrap();
    assert_eq!(fill("{team}-db"), b"shop-db");
    assert_eq!(fill("{base}.md5"), b"x.1.md5");
    assert_eq!(fill("fixed"), b"fixed");
    let above = pattern.captures_above(&["in", "shop"]).unwrap();
    let fill = |text| Template::parse(text, &pattern).unwrap().fill(&above);
    assert_eq!(fill("{team}-db").unwrap(), b"shop-db");
    assert_eq!(fill("{team}-{base}"), None);
    assert!(pattern.captures_above(&["out", "shop"]).is_none());
    for (text, reason) in [("{day}", "{day}"), ("*", "'*'"), ("", "bytes"), ("{team", "'}'")] {
        assert!(Template::parse(text, &pattern).unwrap_err().contains(reason), "{text}");
    }
}

#[test]
fn a_name_that_can_be_cut_in_many_ways_takes_no_time() {
    let pattern = pattern(&"*a".repeat(16));
    assert!(!pattern.admits(0, &[b"a".repeat(254), b"b".to_vec()].concat()));
    assert!(pattern.admits(0, &b"a".repeat(255)));
    assert!(!pattern.admits(0, &b"a".repeat(256)), "no file system of ours has such a name");
}

/// Whether a name matches, by trying all there is.
fn naive(tokens: &[Token], name: &[u8]) -> bool {
    match tokens.split_first() {
        None => name.is_empty(),
        Some((Token::Text(text), rest)) => {
            name.strip_prefix(text.as_bytes()).is_some_and(|name| naive(rest, name))
        }
        Some((token, rest)) => {
            let least = usize::from(matches!(token, Token::Captured(_)));
            (least..=name.len()).any(|end| naive(rest, &name[end..]))
        }
    }
}

proptest! {
    #[test]
    fn a_match_is_what_trying_everything_finds_and_its_parts_make_the_name_again(
        parts in prop::collection::vec(prop_oneof!["[ab]{1,2}", Just("*".to_owned()), "\\{[xyz]\\}"], 1..5),
        name in "[ab.]{0,8}",
    ) {
        let text = parts.concat();
        let Ok(pattern) = Pattern::parse(&format!("d/{text}")) else { return Ok(()) };
        let name = name.as_bytes();
        let is_free = !matches!(pattern.names[1].first(), Some(Token::Text(_)));
        let expected = naive(&pattern.names[1], name) && !(is_free && is_left_by_others(name));
        prop_assert_eq!(pattern.admits(1, name), expected);
        if let Some(cut) = pattern.cut(1, name) {
            let words: Vec<_> = cut.iter().map(|(word, _)| *word).collect();
            prop_assert_eq!(words, pattern.words());
            prop_assert!(cut.windows(2).all(|pair| pair[0].1.end <= pair[1].1.start));
            prop_assert!(cut.iter().all(|(_, range)| !range.is_empty()));
            if !pattern.names[1].contains(&Token::Any) {
                let template = Template::parse(&text, &pattern).unwrap();
                let captures = pattern.captures(&[b"d".as_slice(), name]).unwrap();
                prop_assert_eq!(template.fill(&captures).unwrap(), name);
            }
        }
    }

    #[test]
    fn no_text_and_no_name_breaks_a_pattern(text in ".{0,40}", name in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(pattern) = Pattern::parse(&text) {
            for index in 0..pattern.depth() {
                pattern.admits(index, &name);
            }
            let _ = Template::parse(&text, &pattern);
        }
    }
}
