use std::collections::BTreeSet;

use super::{ProblemCode, RejectionCode};

#[test]
fn a_code_survives_its_text_and_one_that_is_not_known_is_kept() {
    for code in RejectionCode::KNOWN {
        assert_eq!(RejectionCode::from(code.as_str().to_owned()), *code);
        assert!(!code.is_none());
    }
    let newer = RejectionCode::from("made_of_cheese".to_owned());
    assert_eq!((newer.as_str(), newer.is_none()), ("made_of_cheese", false));
    assert!(newer.is_incident(), "a reason that is not known is told");
    assert!(RejectionCode::default().is_none() && RejectionCode::default().is_incident());
}

#[test]
fn codes_are_short_words_and_each_has_its_own() {
    let texts: BTreeSet<&str> = ProblemCode::KNOWN.iter().map(ProblemCode::as_str).collect();
    assert_eq!(texts.len(), ProblemCode::KNOWN.len());
    let texts: BTreeSet<&str> = RejectionCode::KNOWN.iter().map(RejectionCode::as_str).collect();
    assert_eq!(texts.len(), RejectionCode::KNOWN.len());
    // What is no code is not carried on: it would end on somebody's terminal.
    for text in ["\u{1b}[31m", "Torn Seal", &"x".repeat(65)] {
        assert!(ProblemCode::from(text.to_owned()).is_none(), "{text:?}");
    }
}
