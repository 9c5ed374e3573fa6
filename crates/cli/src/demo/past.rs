//! The history behind a demo, so that its charts do not begin with its start.

use agent::clock::Clock;
use model::{Address, Minute};
use server::{
    Config,
    past::{PastPlan, PastTarget, PastWeather, lines_minutes, write_past},
};
use sim::isp::{Climate, Pace};

use super::{SharedIsp, lock, setup::AGENTS_PER_TARGET};

struct Weather(Climate);

impl PastWeather for Weather {
    fn queue_us(&mut self, target: usize, minute: Minute) -> u32 {
        self.0.queue_us(target, minute)
    }

    fn is_out(&self, target: usize, minute: Minute) -> bool {
        self.0.is_out(target, minute)
    }
}

/// Writes it into the data directory of a server that never ran.
pub(super) async fn write(
    isp: &SharedIsp,
    clock: Clock,
    config: &Config,
    days: u16,
) -> anyhow::Result<()> {
    let now = clock.wall();
    let (plan, climate) = {
        let mut isp = lock(isp);
        let own = isp.plan().clone();
        let targets = own.asked.iter().map(|each| PastTarget {
            name: each.name.clone(),
            address: Address::Ip(each.address.into()),
            is_detailed: each.pace == Pace::Fast,
            rtts_us: own
                .watchers
                .iter()
                .map(|watcher| isp.round_trip_us(&watcher.name, each.address.into()))
                .collect(),
        });
        let targets: Vec<PastTarget> = targets.collect();
        let lines = targets.iter().filter(|target| !target.is_detailed).count();
        let plan = PastPlan {
            agents: own.watchers.iter().map(|watcher| watcher.name.clone()).collect(),
            targets,
            agents_per_target: AGENTS_PER_TARGET,
            days,
            lines_minutes: lines_minutes(lines),
        };
        (plan, Climate::new(&isp, &own.asked, now))
    };
    Ok(write_past(config, &plan, &mut Weather(climate), now).await?)
}
