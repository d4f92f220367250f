//! Whether a vault's drills can load what they bring back.

use outlast_vault::{VaultConfig, drill_ground};

use super::finding::Finding;

const FIX: &str = "docs/drills.md says what a host needs; or `drill_level = \"stream\"` in vault.toml, if to read is \
                   all that is wanted";

pub(super) fn look(config: &VaultConfig, found: &mut Vec<Finding>) {
    let ground = drill_ground();
    found.push(match ground.unable {
        None => {
            let how = ground.isolation;
            // A unit may forbid the vault what it does not forbid us.
            Finding::good("drills", format!("this user can load backups here, in {how}"))
        }
        Some(why) if config.drills.wants_loads() => {
            Finding::warning("drills", format!("they read backups, and load none: {why}")).fix(FIX)
        }
        Some(why) => Finding::good(
            "drills",
            format!("policy wants none by themselves; one by hand would load nothing: {why}"),
        ),
    });
}
