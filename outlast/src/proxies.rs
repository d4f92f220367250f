//! The proxies of this host, as the environment names them.

use anyhow::{Context, Result};
use outlast_wire::{Proxies, Roads};

/// What names the proxy for encrypted roads, the first that says something.
const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// What is reached without it.
const DIRECT: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The proxies that this process is to use.
pub(crate) fn proxies() -> Result<Proxies> {
    of(|name| std::env::var(name).ok())
}

/// The roads of a command.
pub(crate) fn roads() -> Result<Roads> {
    proxies().map(Roads::through)
}

fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Proxies> {
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| {
            variable(name).filter(|text| !text.trim().is_empty()).map(|text| (*name, text))
        })
    };
    let Some((name, proxy)) = first(&PROXY) else { return Ok(Proxies::default()) };
    let direct = first(&DIRECT).map(|(_, text)| text).unwrap_or_default();
    Proxies::new(&proxy, &direct).with_context(|| format!("cannot use the variable {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_says_something_counts_and_a_bad_one_is_named() {
        let read = |variables: &'static [(&str, &str)]| {
            of(|name| {
                variables.iter().find(|(of, _)| *of == name).map(|(_, text)| (*text).to_owned())
            })
        };
        assert_eq!(read(&[]).unwrap(), Proxies::default());
        let both = read(&[("HTTPS_PROXY", " "), ("https_proxy", "p:1"), ("ALL_PROXY", "q:1")]);
        assert_eq!(both.unwrap(), Proxies::new("p:1", "").unwrap());
        let with_exceptions = read(&[("ALL_PROXY", "p:1"), ("no_proxy", "corp")]);
        assert_eq!(with_exceptions.unwrap(), Proxies::new("p:1", "corp").unwrap());
        let error = format!("{:#}", read(&[("ALL_PROXY", "socks5://a:secret@h")]).unwrap_err());
        assert!(error.contains("ALL_PROXY") && !error.contains("secret"), "{error}");
    }
}
