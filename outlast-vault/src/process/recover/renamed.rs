//! Repositories that were renamed after what the vault saved of itself.

use std::collections::BTreeSet;

use outlast_types::{Environment, WorkloadName};

use super::RecoverError;
use crate::core::orders::{Action, NewOrder, Orders};
use crate::core::renaming::{ACCEPTED_FOR, move_records};
use crate::core::repositories::Repositories;
use crate::core::storage::Storage;

/// So many names are compared with as many: each look costs a password.
const RENAMED_MAX: usize = 16;

/// The names that the repositories have. What was saved may be from before a renaming, or from before its
/// order: then it is of a repository that is called otherwise, and the password of before opens it.
pub(super) fn by_present_names(
    storage: &Storage,
    repositories: &Repositories,
    present: &BTreeSet<WorkloadName>,
    environment: &Environment,
) -> Result<BTreeSet<WorkloadName>, RecoverError> {
    let orders = Orders::open(storage)?;
    let former = orders.former();
    let now_called = |name: &WorkloadName| former.present(name).clone();
    let present: BTreeSet<WorkloadName> = present.iter().map(now_called).collect();
    move_records(storage, &former)?;
    let remembered: BTreeSet<_> = repositories.with_password()?.into_iter().collect();
    let unknown: Vec<_> = present.difference(&remembered).take(RENAMED_MAX).collect();
    let gone: Vec<_> = remembered.difference(&present).take(RENAMED_MAX).collect();
    for name in unknown {
        for before in &gone {
            if !repositories.is_opened_as(name, before)? {
                continue;
            }
            let now = environment.clock.now();
            let until = now.saturating_add(ACCEPTED_FOR);
            orders.append(NewOrder {
                at: now,
                by: "vault",
                workload: before,
                reason: Some(
                    "found so when the vault was brought back: it was renamed after the save",
                ),
                action: Action::Rename { to: name.clone(), until },
            })?;
            break;
        }
    }
    move_records(storage, &orders.former())?;
    Ok(present)
}
