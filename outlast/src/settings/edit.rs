//! Setting a key in a configuration file whose comments and order are the user's.

use std::path::Path;

use anyhow::{Context, Result};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::Document;

impl Document {
    /// The file's text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Sets `key` in `[section]` to a text; the rest of the file stays as it is.
    pub(crate) fn set(&mut self, section: &str, key: &str, wanted: &str) -> Result<()> {
        let literal = Value::String(wanted.to_owned()).to_string();
        let root = DeTable::parse(&self.text)?;
        let keys = match root.get_ref().get(section).map(Spanned::get_ref) {
            Some(DeValue::Table(keys)) => Some(keys),
            _ => None,
        };
        let place = keys.and_then(|keys| keys.get(key)).map(Spanned::span);
        let edited = match place {
            Some(place) => {
                let (before, after) = (&self.text[..place.start], &self.text[place.end..]);
                format!("{before}{literal}{after}")
            }
            None => insert(&self.text, section, &format!("{key} = {literal}\n")),
        };
        // A section may be written in ways that an edit of lines does not understand.
        let text = if holds(&edited, section, key, wanted) {
            edited
        } else {
            rewritten(&self.text, section, key, wanted, self.path.as_deref())?
        };
        self.text = text;
        Ok(())
    }

    /// Sets the key unless the file does.
    pub(crate) fn set_default(&mut self, section: &str, key: &str, wanted: &str) -> Result<()> {
        let table: Table = self.text.parse()?;
        let is_set = table.get(section).and_then(|section| section.get(key)).is_some();
        if is_set { Ok(()) } else { self.set(section, key, wanted) }
    }
}

/// `text` with `line` as the first one of `[section]`.
fn insert(text: &str, section: &str, line: &str) -> String {
    let header = format!("[{section}]");
    let mut end = 0;
    for found in text.split_inclusive('\n') {
        end += found.len();
        let bare = found.split('#').next().unwrap_or_default();
        if bare.trim() == header {
            let break_before = if found.ends_with('\n') { "" } else { "\n" };
            return format!("{}{break_before}{line}{}", &text[..end], &text[end..]);
        }
    }
    let gap = match text {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    format!("{text}{gap}{header}\n{line}")
}

fn holds(text: &str, section: &str, key: &str, wanted: &str) -> bool {
    let value = |table: Table| table.get(section)?.get(key)?.as_str().map(|text| text == wanted);
    text.parse().ok().and_then(value) == Some(true)
}

fn rewritten(
    text: &str,
    section: &str,
    key: &str,
    wanted: &str,
    path: Option<&Path>,
) -> Result<String> {
    let mut table: Table = text.parse()?;
    let keys = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    let keys = keys.as_table_mut().with_context(|| {
        let path = path.unwrap_or(Path::new("the configuration"));
        format!("cannot understand [{section}] in {}", path.display())
    })?;
    keys.insert(key.to_owned(), Value::String(wanted.to_owned()));
    toml::to_string(&table).context("cannot write the configuration as text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_wrote_around_a_key_stays() {
        let mut document = Document::new(
            Path::new("x.toml"),
            "# mine\n[vault] # here\nlisten = '127.0.0.1:1' # port\n\n[promise]\nrpo = \"1h\"\n"
                .to_owned(),
        )
        .unwrap();
        document.set("vault", "listen", "[::]:2").unwrap();
        document.set("vault", "dir", "/a \"b\"").unwrap();
        document.set("agent", "poll", "1s").unwrap();
        document.set_default("promise", "rpo", "9h").unwrap();
        assert_eq!(
            document.text(),
            "# mine\n[vault] # here\ndir = '/a \"b\"'\nlisten = \"[::]:2\" # port\n\n[promise]\n\
             rpo = \"1h\"\n\n[agent]\npoll = \"1s\"\n"
        );
        let mut inline = Document::new(Path::new("x"), "vault = { a = 1 }\n".to_owned()).unwrap();
        inline.set("vault", "listen", ":1").unwrap();
        assert!(holds(inline.text(), "vault", "listen", ":1"), "{}", inline.text());
    }
}
