//! The page that explains a recovery kit to whoever holds it in the middle of a night. It has no secrets.

use std::fmt::Write as _;

use outlast_vault::KitSummary;

/// So many repositories are named; the kit itself has all of them.
const NAMED_MAX: usize = 200;

/// The page, with names in braces for what is of one kit.
const PAGE: &str = include_str!("page.txt");

/// The page of a kit.
pub(super) fn text(kit: &KitSummary) -> String {
    let KitSummary { id, made, vault, generation, head, repositories, .. } = kit;
    let head = match head {
        Some(head) => format!("{}:{}", head.number, head.hash),
        None => "none yet".to_owned(),
    };
    let mut page = PAGE
        .replace("{id}", id)
        .replace("{made}", &made.to_string())
        .replace("{vault}", vault)
        .replace("{generation}", &generation.to_string())
        .replace("{head}", &head);
    for name in repositories.iter().take(NAMED_MAX) {
        // Writing to a string does not fail.
        let _ = writeln!(page, "  {name}");
    }
    if let more @ 1.. = repositories.len().saturating_sub(NAMED_MAX) {
        let _ = writeln!(page, "  … and {more} more, in kit.json of the kit");
    }
    page
}
