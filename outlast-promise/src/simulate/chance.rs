//! What happens by chance.

use super::dice::Dice;
use super::happening::{Chances, Happening, Kind, Whom};
use super::scenario::Scenario;

impl Scenario {
    /// All that happens, what is listed included, in order.
    pub(crate) fn all_happenings(&self) -> Vec<Happening> {
        let scenario = self;
        let mut all = scenario.happenings.clone();
        let end = scenario.seconds();
        for (what, every) in scenario.chances.iter() {
            let whom: Vec<Whom> = match what.kind() {
                Kind::Vault => vec![Whom::Vault],
                Kind::Agent => (0..scenario.agents).map(Whom::Agent).collect(),
                Kind::Workload => scenario.played().into_iter().map(Whom::Workload).collect(),
            };
            let every = every.as_secs().max(60);
            let (least, most) = what.usual_length();
            for whom in whom {
                let number = match whom {
                    Whom::Vault => 0,
                    Whom::Agent(number) | Whom::Workload(number) => number.into(),
                };
                let kind = 100 + u64::from(what.as_str().bytes().map(u32::from).sum::<u32>());
                let mut dice = Dice::of(scenario.seed, kind, number);
                let mut at = dice.within(0, every);
                while at < end {
                    // Short ones are as frequent as long ones, whatever the measure.
                    let most = dice.within(least + 1, most.max(least + 2));
                    let most = dice.within(least + 1, most.max(least + 2));
                    let lasts = dice.within(least, most);
                    all.push(Happening { at, what, whom, lasts });
                    at += dice.within(every / 2, every + every / 2).max(1);
                }
            }
        }
        all.sort_unstable();
        all
    }

    /// The same with nothing left to chance but how each workload lives: all that happens is listed.
    #[must_use]
    pub fn spelled_out(&self) -> Self {
        let happenings = self.all_happenings();
        Self { happenings, chances: Chances::none(), ..self.clone() }
    }
}
