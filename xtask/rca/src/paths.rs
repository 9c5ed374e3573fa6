//! How long a topology takes to follow one link that changed, and one judgement of a large network.

use std::time::{Duration, Instant};

use engine::{
    graph::{Draft, ElementDraft, TargetDraft},
    live::{Hearing, Ledger, Moved, Net, Roster, Standing},
};
use model::{
    Address, AgentId, AgentSpec, Confirm, ElementKind, InventoryChange, Name, OrgId, Outcome,
    ProbeId, ProbeSpec, Round, RoundBatch, RoundFlags, Rtt, Subject, TargetId, Tier, TierId,
    UtcMicros,
};

use sim::Rng as Dice;

const AGENTS: usize = 100;
const DEVICES: usize = 5_000;
/// Core routers in a mesh of rings; everything else hangs on two of the layer above.
const CORE: usize = 50;
const CHANGES: usize = 60;
/// How long a change of one link may take.
const CHANGE_MS_MAX: f64 = 20.0;
/// Agents that ask each target, for the judgement.
const AGENTS_PER_TARGET: usize = 5;
const ORG: OrgId = OrgId(1);
const SECOND: i64 = 1_000_000;

#[expect(clippy::disallowed_methods, reason = "the clock of this bench")]
fn now() -> Instant {
    Instant::now()
}

/// An ISP: a core, aggregation on two core routers each, access on two of those, a target at each.
fn network(dice: &mut Dice) -> Draft {
    let mut draft = Draft::default();
    let aggregation = CORE + DEVICES / 10;
    for at in 0..DEVICES {
        draft.elements.push(ElementDraft::new(format!("r{at:04}"), ElementKind::Device));
        let (id, device) = (format!("t{at:04}"), Some(format!("r{at:04}")));
        draft.targets.push(TargetDraft::new(id, device));
    }
    let mut link = |a: usize, b: usize, cost: usize| {
        let id = format!("l{:05}", draft.elements.len());
        let link = ElementDraft::link(id, &format!("r{a:04}"), &format!("r{b:04}"));
        draft.elements.push(ElementDraft { cost: i64::try_from(cost).ok(), ..link });
    };
    for at in 0..CORE {
        link(at, (at + 1) % CORE, 10 + dice.below(20));
        link(at, (at + 7) % CORE, 20 + dice.below(40));
    }
    for at in CORE..DEVICES {
        let above = if at < aggregation { 0..CORE } else { CORE..aggregation };
        let first = above.start + dice.below(above.len());
        let second = above.start + (first - above.start + 1) % above.len();
        link(at, first, 10);
        link(at, second, 10 + dice.below(2) * 20);
    }
    for agent in 0..AGENTS {
        let device = Some(format!("r{:04}", dice.below(aggregation)));
        let id = format!("agent{agent:03}");
        draft.elements.push(ElementDraft { device, ..ElementDraft::new(id, ElementKind::Agent) });
    }
    draft
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn percentile(times: &mut [f64], of: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    let at = (times.len() * of).div_ceil(100).saturating_sub(1);
    times.get(at).copied().unwrap_or(f64::NAN)
}

/// Returns whether the figure is kept.
pub(crate) fn run(seed: u64) -> anyhow::Result<bool> {
    let mut dice = Dice::new(seed);
    let draft = network(&mut dice);
    let links = draft.elements.iter().filter(|e| e.kind == ElementKind::Link).count();
    println!("{AGENTS} agents, {DEVICES} devices, {links} links, {DEVICES} targets");

    let begun = now();
    let mut net = Net::new(&draft).map_err(|problems| anyhow::anyhow!("{}", problems[0]))?;
    println!("built in {:.1} ms", ms(begun.elapsed()));
    let begun = now();
    let all = every_path(&mut net);
    println!("{all} sets of paths in {:.0} ms, before any change", ms(begun.elapsed()));

    let kept = changes(&mut net, &draft, &mut dice)?;
    judge(&draft, &mut dice)?;
    Ok(kept)
}

fn every_path(net: &mut Net) -> usize {
    let of_kind = |net: &Net, kind| net.topology().of_kind(kind).collect::<Vec<_>>();
    let (agents, targets) = (of_kind(net, ElementKind::Agent), of_kind(net, ElementKind::Target));
    let mut count = 0;
    for agent in agents {
        for target in &targets {
            count += usize::from(net.paths(agent, *target, UtcMicros(0)).is_some());
        }
    }
    count
}

/// One link after another changes its cost, goes and comes back.
fn changes(net: &mut Net, draft: &Draft, dice: &mut Dice) -> anyhow::Result<bool> {
    let mut draft = draft.clone();
    draft.elements.sort_by(|a, b| a.id.cmp(&b.id));
    let mut times = Vec::new();
    let mut moved_most = 0;
    let links: Vec<usize> = (0..draft.elements.len())
        .filter(|at| draft.elements.get(*at).is_some_and(|e| e.kind == ElementKind::Link))
        .collect();
    for nth in 0..CHANGES {
        // Every third is a link of the core, where most paths are.
        let below = if nth % 3 == 0 { 2 * CORE } else { links.len() };
        let at = links.get(dice.below(below)).copied().unwrap_or(0);
        let before = draft.clone();
        match nth % 2 {
            0 => {
                let cost = i64::try_from(5 + dice.below(90)).ok();
                draft.elements.get_mut(at).into_iter().for_each(|link| link.cost = cost);
            }
            _ => drop(draft.elements.remove(at)),
        }
        for next in [&draft, &before] {
            let begun = now();
            let changed = net.change(next).map_err(|p| anyhow::anyhow!("{}", p[0]))?.0;
            times.push(ms(begun.elapsed()));
            if let Moved::Followed { paths, .. } = changed {
                moved_most = moved_most.max(paths);
            }
            anyhow::ensure!(changed != Moved::Rebuilt, "it was built anew");
        }
        draft = before;
    }
    let (p50, p95) = (percentile(&mut times, 50), percentile(&mut times, 95));
    let most = percentile(&mut times, 100);
    println!(
        "one link changed: p50 {p50:.1} ms, p95 {p95:.1} ms, most {most:.1} ms over {} changes, up \
         to {moved_most} sets of paths moved (figure: p95 at most {CHANGE_MS_MAX:.0} ms)",
        times.len()
    );
    Ok(p95 <= CHANGE_MS_MAX)
}

fn name(text: &str) -> anyhow::Result<Name> {
    Name::parse(text).map_err(|error| anyhow::anyhow!("{error}"))
}

/// Rounds of all, then a core link is cut: how long a judgement takes, quiet and loud.
fn judge(draft: &Draft, dice: &mut Dice) -> anyhow::Result<()> {
    let mut roster = Roster::default();
    let tier = Tier::standard(TierId(1), name("standard")?);
    roster.change(&InventoryChange::TierSet(tier));
    for (id, agent) in (1..).zip(0..AGENTS) {
        let name = name(&format!("agent{agent:03}"))?;
        let spec = AgentSpec { id: AgentId(id), org: ORG, name, is_active: true };
        roster.change(&InventoryChange::AgentSet(spec));
    }
    for (id, target) in (1..).zip(0..DEVICES) {
        let spec = ProbeSpec {
            id: ProbeId(id),
            org: ORG,
            target: TargetId(id),
            target_name: name(&format!("t{target:04}"))?,
            address: Address::parse("192.0.2.1").map_err(|error| anyhow::anyhow!("{error}"))?,
            tier: TierId(1),
            paused: false,
        };
        roster.change(&InventoryChange::ProbeSet(spec));
    }
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, draft).map_err(|p| anyhow::anyhow!("{}", p[0]))?;
    let mut net = Net::new(draft).map_err(|p| anyhow::anyhow!("{}", p[0]))?;
    let cut = "l05000";
    let mut ledger = Ledger::default();
    let asked: Vec<Vec<usize>> = (0..DEVICES)
        .map(|_| (0..AGENTS_PER_TARGET).map(|_| dice.below(AGENTS)).collect())
        .collect();
    let begun = now();
    for step in 0..6 {
        let is_cut = 4 <= step;
        hear(&mut ledger, &mut net, &asked, (step * 30, cut.to_owned(), is_cut));
    }
    println!("{} rounds heard in {:.0} ms", ledger.rounds(), ms(begun.elapsed()));
    for (what, at) in [("quiet", 119), ("a core link cut", 180)] {
        let now_us = UtcMicros(at * SECOND);
        let hearing = Hearing {
            now: now_us,
            roster: &roster,
            ledger: &ledger,
            heard: &[],
            reported: &[],
            out: None,
            budget: Some(200_000),
        };
        for pass in ["first", "again"] {
            let begun = now();
            let report = standing.judge(&hearing);
            let took = ms(begun.elapsed());
            let said = report.incidents.first();
            let said = said.map_or("nothing is the matter", |told| told.sentence.as_str());
            println!("{what}, {} pairs, {pass}: judged in {took:.0} ms: {said}", report.pairs);
        }
    }
    Ok(())
}

/// Every pair asks once; what crosses the cut link is lost.
fn hear(
    ledger: &mut Ledger,
    net: &mut Net,
    asked: &[Vec<usize>],
    (at, cut, is_cut): (i64, String, bool),
) {
    let topology = net.topology();
    let find = |id: &str| topology.find(id);
    let link = find(&cut);
    let agents: Vec<_> = (0..AGENTS).map(|agent| find(&format!("agent{agent:03}"))).collect();
    let targets: Vec<_> = (0..asked.len()).map(|target| find(&format!("t{target:04}"))).collect();
    for (target, by) in asked.iter().enumerate() {
        for agent in by {
            let pair = agents.get(*agent).copied().flatten();
            let pair = pair.zip(targets.get(target).copied().flatten());
            let crosses = is_cut
                && pair.zip(link).is_some_and(|((agent, target), link)| {
                    let set = net.paths(agent, target, UtcMicros(0));
                    set.is_some_and(|set| set.share_of_any(&[link]) > 0.5)
                });
            let received = if crosses { 0 } else { 5 };
            let rtt = (0 < received).then_some(Rtt { us_min: 1, us_mean: 1_000, us_max: 2_000 });
            let confirm = Confirm { sent: 5 - received, received: 0 };
            let second = at + i64::try_from(target % 29).unwrap_or(0);
            let round = Round {
                subject: Subject::Probe(ProbeId(u32::try_from(target + 1).unwrap_or(0))),
                at: UtcMicros(second * SECOND),
                outcome: Outcome::Asked { sent: 5, received, rtt, confirm },
                flags: RoundFlags::default(),
                icmp_error: None,
            };
            let by = AgentId(u32::try_from(agent + 1).unwrap_or(0));
            ledger.hear(&RoundBatch::new(by, vec![round]));
        }
    }
}
