//! Releases, compared.

/// Whether a release is of an earlier minor version than another.
pub(crate) fn is_older(one: &str, other: &str) -> bool {
    let minor = |text: &str| {
        let mut parts = text.split('.').map(|part| part.parse::<u64>().ok());
        Some((parts.next()??, parts.next()??))
    };
    match (minor(one), minor(other)) {
        (Some(one), Some(other)) => one < other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_minor_versions() {
        assert!(is_older("0.1.9", "0.2.0") && is_older("0.9.0", "1.0.0"));
        assert!(!is_older("0.2.0", "0.2.9") && !is_older("0.3.0", "0.2.0"));
        assert!(!is_older("", "0.2.0") && !is_older("next", "0.2.0"));
    }
}
