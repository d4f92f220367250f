//! What follows from what is known of one agent alone.

use crate::incident::cut;
use crate::memory::{Agent, Recovering};
use crate::{Cause, Key};

impl Agent {
    /// Notes how its share was when it looked. `back` is what its backlog gets if the share can be
    /// used again.
    pub(crate) fn saw_share(
        &mut self,
        problem: Option<&str>,
        usable: bool,
        back: Option<Recovering>,
    ) {
        if usable && !self.share_usable {
            // It is back, if not in order: the backlog gets its time all the same.
            self.recovering = back;
        }
        self.share_usable = usable;
        self.share_problem = problem.map(cut);
    }

    /// Notes what keeps the agent from getting drops into the vault although its share is well, and
    /// what lies on the share and can be nobody's drop.
    pub(crate) fn hindered(&mut self, work: Option<&str>, stray: Option<&str>) {
        self.hindrance = work.map(cut);
        self.stray = stray.map(cut);
    }

    /// What is to be told of it, under its key; `None` if that is well.
    pub(crate) fn troubles(&self, name: &str) -> [(Key, Option<Cause>); 3] {
        let agent = || name.to_owned();
        let share = self.share_problem.clone();
        let share = share.map(|problem| Cause::ShareUnusable { agent: agent(), problem });
        let work = self.hindrance.clone();
        let work = work.map(|problem| Cause::AgentHindered { agent: agent(), problem });
        let stray = self.stray.clone();
        let stray = stray.map(|problem| Cause::StrayOnShare { agent: agent(), problem });
        [(Key::Share(agent()), share), (Key::Work(agent()), work), (Key::Stray(agent()), stray)]
    }
}
