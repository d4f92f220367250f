//! Why the catalog cannot be used.

use std::path::{Path, PathBuf};

/// Why the catalog cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error(
        "the catalog {} was written by a newer version (schema {found}; this one knows {known}): \
         use that version",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error(
        "the catalog {} is damaged ({reason}): stop the vault, remove the file, and start it \
         again; it is rebuilt from the repositories",
        path.display()
    )]
    Damaged { path: PathBuf, reason: String },
    #[error("cannot {action} in the catalog {}: {source}", path.display())]
    Failed { action: &'static str, path: PathBuf, source: rusqlite::Error },
}

impl CatalogError {
    /// Whether the catalog's content is beyond use, and only rebuilding it helps.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

/// Sorts the library's errors into damage and the rest.
pub(crate) fn failed(action: &'static str, path: &Path, source: rusqlite::Error) -> CatalogError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let path = path.to_owned();
    let conversion = matches!(
        source,
        rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)
    );
    match source.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => {
            CatalogError::Damaged { path, reason: source.to_string() }
        }
        _ if conversion => CatalogError::Damaged { path, reason: source.to_string() },
        _ => CatalogError::Failed { action, path, source },
    }
}
