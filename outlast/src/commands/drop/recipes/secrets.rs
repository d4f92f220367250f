//! Passwords on the command line: everybody on the host can read them there.

use std::ffi::OsString;

use crate::exit::Advised;

use super::advice::Product;

/// Refuses a word that holds a password, without repeating it.
pub(super) fn refuse(product: Product, words: &[OsString]) -> Result<(), Advised> {
    let texts: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let is_secret = |word: &str| match product {
        Product::Postgres => word.contains("password=") || in_address(word),
        // `-p` alone, and `--password` without a value, ask for one; nobody is there to answer.
        Product::Mysql => {
            word.starts_with("--pass") || (word.starts_with("-p") && !word.starts_with("--"))
        }
        Product::Redis => word.starts_with("-a") || word.starts_with("--pass") || in_address(word),
    };
    if !texts.iter().any(|word| is_secret(word)) {
        return Ok(());
    }
    let hint = match product {
        Product::Postgres => "Put it into ~/.pgpass (mode 0600), or let PGPASSFILE name that file.",
        Product::Mysql => {
            "Put it under [client] into ~/.my.cnf (mode 0600), or into a file that \
             --defaults-extra-file names."
        }
        Product::Redis => "Put it into the variable REDISCLI_AUTH.",
    };
    Err(Advised {
        message:
            "a password on the command line can be read by everybody on this host; nothing was \
                  sealed"
                .to_owned(),
        hint: hint.to_owned(),
    })
}

/// Whether `word` is or has an address with a password (`scheme://user:password@host`).
fn in_address(word: &str) -> bool {
    let Some((_, rest)) = word.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_command_line_is_refused_and_not_repeated() {
        use Product::{Mysql, Postgres, Redis};
        let judge = |product, word: &str| refuse(product, &[OsString::from(word)]);
        for (product, word) in [
            (Postgres, "postgres://shop:hunter2@db/shop"),
            (Postgres, "--dbname=host=db password=hunter2"),
            (Mysql, "-phunter2"),
            (Mysql, "--password=hunter2"),
            (Redis, "-a"),
            (Redis, "redis://:hunter2@cache:6379/0"),
        ] {
            let error = judge(product, word).unwrap_err();
            assert!(!format!("{error} {}", error.hint).contains("hunter2"), "{error}");
        }
        for (product, word) in [
            (Postgres, "--exclude-table-data=log*"),
            (Postgres, "postgres://shop@db/shop"),
            (Mysql, "--port=3307"),
            (Mysql, "--ignore-table=shop.log"),
            (Redis, "redis://cache:6379/0"),
        ] {
            assert!(judge(product, word).is_ok(), "{word}");
        }
    }
}
