//! Which of many objects a repository does not have.

use outlast_store::{Kind, Object, StoreError};
use outlast_types::WorkloadName;
use outlast_wire::api::{AskLacking, LACKING_OBJECTS_MAX, Lacking};

use super::error::VaultError;
use super::vault::Vault;

impl Vault {
    /// Those of the objects that are not here, in the words in which they were named.
    pub(crate) fn lacking(
        &self,
        workload: &WorkloadName,
        asked: AskLacking,
    ) -> Result<Lacking, VaultError> {
        if asked.objects.len() > LACKING_OBJECTS_MAX {
            let reason = format!("a question names at most {LACKING_OBJECTS_MAX} objects");
            return Err(VaultError::TooMuch { reason });
        }
        let repository = self.repositories.get(workload)?;
        let mut lacking = Vec::new();
        for name in asked.objects {
            match repository.store.size(&parse(&name)?) {
                Ok(_) => {}
                Err(StoreError::NotFound { .. }) => lacking.push(name),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Lacking { lacking })
    }
}

/// A pack or an index, as a shipment brings them.
fn parse(name: &str) -> Result<Object, VaultError> {
    let object = name.split_once('/').and_then(|(kind, id)| {
        let kind = [Kind::Data, Kind::Index].into_iter().find(|it| it.to_string() == kind)?;
        Object::parse(kind, id).ok()
    });
    object.ok_or_else(|| {
        let shown: String = name.chars().take(80).collect();
        VaultError::BadWords { reason: format!("{shown:?} is no pack and no index") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packs_and_indexes_can_be_asked_for() {
        let id = "01".repeat(32);
        for kind in ["data", "index"] {
            assert_eq!(parse(&format!("{kind}/{id}")).unwrap().to_string(), format!("{kind}/{id}"));
        }
        for bad in ["", "data", "data/", "data/01", "config", &format!("keys/{id}"), &id] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
