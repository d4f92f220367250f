//! What whoever runs an agent has to do with it: changes of the configuration that take effect without a restart,
//! and whether the vault is heard.

use outlast_types::Pulse;
use outlast_wire::Role;

use super::Agent;
use crate::AgentConfig;
use crate::config::Changes;
use crate::sweep::Sweep;

impl Agent {
    /// Where a new configuration is put. Times, limits and budgets of it take effect with the next pass; all
    /// else is as it was until the agent is started again.
    pub fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// As whom it speaks: `agent/eu-1`.
    pub fn name(&self) -> String {
        let peer = self.scribe.identity.get();
        format!("{}/{}", Role::Agent, peer.peer().name())
    }

    /// Beaten whenever the vault was heard. Before the agent runs.
    pub fn vault_heard(&self) -> Pulse {
        self.reporter.as_ref().map(|reporter| reporter.heard().clone()).unwrap_or_default()
    }

    pub(super) fn take_changes(&mut self) {
        let Some(new) = self.changes.take() else { return };
        let AgentConfig {
            poll,
            grace,
            budgets,
            receipts_keep,
            keep,
            patience,
            limits,
            drop_max,
            ..
        } = new;
        let config = &mut self.config;
        if config.receipts_keep != receipts_keep {
            self.sweep = Sweep::new(receipts_keep);
        }
        self.watcher.wait_for(grace);
        (config.poll, config.grace, config.patience) = (poll, grace, patience);
        (config.budgets, config.receipts_keep, config.keep) = (budgets, receipts_keep, keep);
        (config.limits, config.drop_max) = (limits, drop_max);
    }
}
