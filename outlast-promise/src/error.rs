//! Why a stored ledger cannot be used.

/// The version of the form in which a ledger is stored.
///
/// Version 8 has hand-overs, and is 7 otherwise; 7 has what scrubs and drills found, and is 6 otherwise; 6 has why a workload is not dropped, and is 5 otherwise; 5 has drops that are suspect or in quarantine, and is 4 otherwise; 4 has what agents wanted beyond policy, and is 3 otherwise; 3 has rows; 2 had one document for all, with what policy said copied into it; 1 had one
/// promise for each workload, copied from the one who said it last, knew agents by their names only,
/// and nothing of repositories, orders, certificates, and what speaks against custody.
pub(crate) const VERSION: u32 = 8;

/// Why a stored ledger cannot be used. The catalog can be rebuilt from the repositories then.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(
        "the promise ledger was written by a newer version ({found}; this one reads {VERSION}): use \
         that version, or rebuild the catalog"
    )]
    Newer { found: u32 },
    #[error("the promise ledger is damaged ({0}): rebuild the catalog")]
    Damaged(#[from] serde_json::Error),
    #[error("the promise ledger is damaged ({0}): rebuild the catalog")]
    Inconsistent(&'static str),
}
