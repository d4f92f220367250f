//! Evidence: what somebody who knows says of a job, as data.

use std::collections::HashMap;

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::file_set::FileSet;
use crate::job::JobFacts;

/// How a job ended, by the product's own record of it. What a client reports when it has sent its data is no
/// such record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its data is on the product's storage.
    Well,
    /// A part of it is: of no drop is that so, unless a list of files says it.
    Partial,
    Failed {
        status: i64,
        words: String,
    },
}

/// A file as a product lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFact {
    /// From the directory on, or from the root.
    pub path: String,
    pub size: u64,
    /// Its time of change in whole seconds since 1970: products keep no more.
    pub modified: i64,
}

/// Which files a job has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// All that were there when it began and were not in an earlier one: it was a full one, or an incremental on top of
    /// those before.
    Everything,
    /// These, and nothing is known of others.
    Listed(Vec<FileFact>),
    /// Nobody says.
    Unsaid,
}

/// What somebody says of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    pub job: JobFacts,
    /// When it began, by whoever says it; the lease knows better, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    pub outcome: Outcome,
    pub holds: Holds,
    /// Such as `NetBackup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Who says it, and how: `bplist on agenthost`, `operator alice`.
    pub by: String,
}

/// A list of files, to be asked for one after the other.
pub struct Listing<'a>(HashMap<&'a str, Vec<(u64, i64)>>);

impl<'a> Listing<'a> {
    /// The files of a list; paths from the root lose `directory`, and those of elsewhere say nothing.
    pub fn new(files: &'a [FileFact], directory: &str) -> Self {
        let mut known: HashMap<&str, Vec<(u64, i64)>> = HashMap::with_capacity(files.len());
        for file in files {
            let path = match file.path.strip_prefix('/') {
                None => Some(file.path.as_str()),
                Some(_) => {
                    file.path.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/'))
                }
            };
            if let Some(path) = path {
                known.entry(path).or_default().push((file.size, file.modified));
            }
        }
        Self(known)
    }

    /// Which of these files are in the list, with the same size and time.
    pub fn held(&self, files: &[FileFact]) -> FileSet {
        let is_listed = |file: &FileFact| {
            let facts = self.0.get(file.path.as_str());
            facts.is_some_and(|facts| facts.contains(&(file.size, file.modified)))
        };
        let numbers = (0_u32..).zip(files).filter(|(_, file)| is_listed(file));
        FileSet::of(numbers.map(|(number, _)| number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64, modified: i64) -> FileFact {
        FileFact { path: path.to_owned(), size, modified }
    }

    #[test]
    fn a_file_is_held_only_with_its_path_size_and_time() {
        let listed = [
            file("/srv/nbu/w/1/a", 5, 100),
            file("w/1/b", 6, 100),
            file("/srv/other/w/1/c", 7, 100),
            file("/srv/nbuw/1/d", 8, 100),
        ];
        let listing = Listing::new(&listed, "/srv/nbu");
        let wanted = [file("w/1/a", 5, 100), file("w/1/b", 6, 100), file("w/1/c", 7, 100)];
        assert_eq!(listing.held(&wanted), FileSet::of([0, 1]));
        let other = [file("w/1/a", 4, 100), file("w/1/b", 6, 101), file("w/1/d", 8, 100)];
        assert!(listing.held(&other).is_empty());
    }
}
