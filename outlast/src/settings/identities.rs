//! `[identities."CN=backup-eu,O=Bank"]`: whom a certificate means that an authority of the house issued,
//! and that names no identity of ours.

use outlast_wire::grants::WorkloadPattern;
use outlast_wire::names::{CertificateName, Named, Names};
use outlast_wire::{Grants, Peer, Role};
use toml::Spanned;
use toml::de::DeValue;

use super::flaw::{Flaw, Source};

/// The section, of either role.
pub(super) const SECTION: &str = "identities";

/// What the section says.
pub(super) fn read(text: &str, section: &Spanned<DeValue<'_>>, flaws: &mut Vec<Flaw>) -> Names {
    let at = |span: std::ops::Range<usize>| Source::in_text(text, span.start);
    let DeValue::Table(table) = section.get_ref() else {
        let words =
            "write [identities.\"CN=backup-eu,O=Bank\"], with the name that is in the certificate";
        flaws.push(Flaw { source: at(section.span()), text: words.to_owned() });
        return Names::default();
    };
    let mut names: Vec<(CertificateName, Named)> = Vec::new();
    for (title, content) in table {
        let mut flaw = |source, words: String| flaws.push(Flaw { source, text: words });
        let name = match title.get_ref().parse::<CertificateName>() {
            Ok(name) if names.iter().any(|(known, _)| *known == name) => {
                let words = format!("{name} is there twice, although it is written differently");
                flaw(at(title.span()), words);
                continue;
            }
            Ok(name) => name,
            Err(error) => {
                flaw(at(title.span()), error.to_string());
                continue;
            }
        };
        match named(content) {
            Ok(named) => names.push((name, named)),
            Err((span, words)) => {
                flaw(at(span.unwrap_or(content.span())), format!("identities.\"{name}\": {words}"));
            }
        }
    }
    Names::new(names)
}

type Wrong = (Option<std::ops::Range<usize>>, String);

fn named(content: &Spanned<DeValue<'_>>) -> Result<Named, Wrong> {
    let DeValue::Table(table) = content.get_ref() else {
        return Err((None, "it is a section: role = \"agent\", name = \"eu-1\"".to_owned()));
    };
    let (mut role, mut name, mut grants) = (None, None, Grants::all());
    for (key, value) in table {
        let wrong = |words: String| (Some(value.span()), format!("{}: {words}", key.get_ref()));
        match (&**key.get_ref(), value.get_ref()) {
            ("role", DeValue::String(text)) => {
                role = Some(text.parse::<Role>().map_err(|error| wrong(error.to_string()))?);
            }
            ("name", DeValue::String(text)) => name = Some(text.to_string()),
            ("workloads", DeValue::Array(patterns)) => {
                let patterns: Result<Vec<_>, _> = patterns.iter().map(pattern).collect();
                let patterns = patterns.map_err(&wrong)?;
                grants = Grants::of(patterns).map_err(|error| wrong(error.to_string()))?;
            }
            ("role" | "name" | "workloads", _) => {
                let words =
                    "role and name are texts in quotes, workloads a list such as [\"shop-*\"]";
                return Err(wrong(words.to_owned()));
            }
            _ => {
                let words = "there is no such key; there is role, name and workloads".to_owned();
                return Err((Some(key.span()), format!("{}: {words}", key.get_ref())));
            }
        }
    }
    let (Some(role), Some(name)) = (role, name) else {
        return Err((None, "role and name must be set".to_owned()));
    };
    let peer = Peer::new(role, &name).map_err(|error| (None, error.to_string()))?;
    Ok(Named { peer, grants })
}

fn pattern(value: &Spanned<DeValue<'_>>) -> Result<WorkloadPattern, String> {
    match value.get_ref() {
        DeValue::String(text) => WorkloadPattern::new(text).map_err(|error| error.to_string()),
        _ => Err("a pattern is a text in quotes, such as \"shop-*\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    fn read_all(text: &str) -> (Names, Vec<String>) {
        let root = DeTable::parse(text).unwrap().into_inner();
        let mut flaws = Vec::new();
        let names = read(text, root.get(SECTION).unwrap(), &mut flaws);
        let told = |Flaw { source, text }| match source {
            Source::File { line, .. } => format!("{line}: {text}"),
            _ => text,
        };
        (names, flaws.into_iter().map(told).collect())
    }

    #[test]
    fn a_certificate_of_others_means_whom_policy_says() {
        let (names, flaws) = read_all(
            "[identities.\"CN=backup-eu,O=Bank\"]\nrole = \"agent\"\nname = \"eu-1\"\n\
             workloads = [\"shop-*\"]\n[identities.\"DNS:vault.bank.example\"]\nrole = \"vault\"\n\
             name = \"hq\"\n",
        );
        assert_eq!(flaws, [""; 0]);
        let named = |role, name, grants| Named { peer: Peer::new(role, name).unwrap(), grants };
        let shop = Grants::of([WorkloadPattern::new("shop-*").unwrap()]).unwrap();
        let expected = Names::new([
            ("O=Bank,CN=backup-eu".parse().unwrap(), named(Role::Agent, "eu-1", shop)),
            ("DNS:vault.bank.example".parse().unwrap(), named(Role::Vault, "hq", Grants::all())),
        ]);
        assert_eq!(names, expected);
    }

    #[test]
    fn each_mistake_is_told_by_its_line() {
        for (text, words) in [
            ("[identities.\"backup-eu\"]\n", "1: \"backup-eu\" is no name in a certificate"),
            ("[identities.\"CN=a\"]\nrole = \"agent\"\n", "role and name must be set"),
            (
                "[identities.\"CN=a\"]\nrole = \"boss\"\nname = \"a\"\n",
                "2: identities.\"CN=a\": role:",
            ),
            ("[identities.\"CN=a\"]\nrole = \"agent\"\nname = \"A\"\n", "name of an identity"),
            (
                "[identities.\"CN=a\"]\nrole = 7\n",
                "2: identities.\"CN=a\": role: role and name are texts",
            ),
            (
                "[identities.\"CN=a\"]\nrolle = \"agent\"\n",
                "2: identities.\"CN=a\": rolle: there is no such key",
            ),
            (
                "[identities.\"CN=a\"]\nrole = \"agent\"\nname = \"a\"\nworkloads = [\"Shop\"]\n",
                "4: identities.\"CN=a\": workloads: \"Shop\" is no pattern",
            ),
            (
                "[identities.\"CN=a,O=b\"]\nrole = \"agent\"\nname = \"a\"\n\
                 [identities.\"O=b,CN=a\"]\nrole = \"agent\"\nname = \"b\"\n",
                "is there twice",
            ),
            ("identities = 7\n", "1: write [identities."),
        ] {
            let (_, flaws) = read_all(text);
            assert!(flaws.len() == 1 && flaws[0].contains(words), "{text}: {flaws:?}");
        }
    }
}
