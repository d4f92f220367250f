//! What the figures were measured on, as far as it decides them.

use std::num::NonZeroUsize;

/// The processor, how many of it there are, and whether it computes SHA-256 by itself: without that,
/// hashing is most of what a backup costs.
pub(super) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    of(&text, cores)
}

fn of(cpuinfo: &str, cores: usize) -> String {
    let field = |names: &[&str]| {
        cpuinfo.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            names.contains(&name.trim()).then(|| value.trim())
        })
    };
    let model = field(&["model name", "Model"]).unwrap_or(std::env::consts::ARCH);
    let flags = field(&["flags", "Features"]).unwrap_or_default();
    let has_sha = flags.split(' ').any(|flag| matches!(flag, "sha_ni" | "sha2"));
    let with = if has_sha { "with" } else { "without" };
    format!("{cores} × {model}, {with} instructions for SHA-256")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_for_hashing_are_named() {
        let old = "processor : 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu aes avx2\n";
        assert_eq!(of(old, 2), "2 × Some CPU @ 2 GHz, without instructions for SHA-256");
        let new = "model name\t: Other\nflags\t\t: aes sha_ni avx2\n";
        assert_eq!(of(new, 4), "4 × Other, with instructions for SHA-256");
        assert!(of("", 1).starts_with("1 × "));
    }
}
