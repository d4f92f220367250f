//! What a word that is not known was most likely meant to be.

/// The key of `candidates` that `word` was most likely meant to be.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    let near = |candidate: &&str| {
        // A third of it may be wrong, or it was begun and not ended.
        let allowed = (candidate.len() / 3).max(1);
        distance(&word, candidate) <= allowed
            || (word.len() >= 2 && candidate.starts_with(word.as_str()))
    };
    candidates.filter(near).min_by_key(|candidate| distance(&word, candidate))
}

/// How many letters are to be put in, taken out, changed, or swapped with the next one.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut cost = (row[j] + usize::from(a != b)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                cost = cost.min(before[j - 1] + 1);
            }
            next.push(cost);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_understood_and_another_word_is_not() {
        let keys = ["share", "state", "upstream", "identity", "poll", "grace", "keep"];
        for (word, meant) in [
            ("pol", Some("poll")),
            ("opll", Some("poll")),
            ("graze", Some("grace")),
            ("Share", Some("share")),
            ("ident", Some("identity")),
            ("pudding", None),
            ("s", None),
        ] {
            assert_eq!(nearest(word, keys.into_iter()), meant, "{word}");
        }
    }
}
