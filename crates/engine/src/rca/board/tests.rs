//! A board that followed changes, against one from nothing.

use model::{ElementKind, PathSource};

use super::*;
use crate::{
    graph::{Draft, ElementDraft, TargetDraft, Told},
    rca::picture::Beat,
};

const DEVICES: u64 = 6;

fn draw(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

/// A pair as somebody keeps it.
#[derive(Clone, Debug)]
struct Kept {
    of: (ElementIx, ElementIx),
    interval_us: i64,
    asks: Vec<Ask>,
}

impl Pairs for Vec<Option<Kept>> {
    fn count(&self) -> usize {
        self.len()
    }

    fn get(&self, at: usize) -> Option<Pair<'_>> {
        let Kept { of: (agent, target), interval_us, asks } = self.as_slice().get(at)?.as_ref()?;
        Some(Pair { agent: *agent, target: *target, interval_us: *interval_us, asks })
    }
}

/// A ring with a chord, two targets at each device, three agents; of one pair two paths were
/// told, one after the other.
struct World {
    seed: u64,
    topology: Topology,
    book: PathBook,
    pairs: Vec<Option<Kept>>,
    beats: Vec<Beat>,
    now: i64,
}

impl World {
    fn new(mut seed: u64) -> World {
        let mut draft = Draft::default();
        for device in 0..DEVICES {
            draft.elements.push(ElementDraft::new(format!("r{device}"), ElementKind::Device));
            let next = format!("r{}", (device + 1) % DEVICES);
            let link = ElementDraft::link(format!("l{device}"), &format!("r{device}"), &next);
            draft.elements.push(link);
            for nth in 0..2 {
                let id = format!("t{device}-{nth}");
                draft.targets.push(TargetDraft::new(id, Some(format!("r{device}"))));
            }
        }
        draft.elements.push(ElementDraft::link("chord", "r0", "r3"));
        for agent in 0..3 {
            let device = Some(format!("r{}", 2 * agent));
            let agent = ElementDraft::new(format!("ag{agent}"), ElementKind::Agent);
            draft.elements.push(ElementDraft { device, ..agent });
        }
        let topology = Topology::build(&draft).expect("a good network");
        let find = |id: &str| topology.find(id).expect("is there");
        let told = |elements: [&str; 3], from, until| Told {
            agent: find("ag0"),
            target: find("t2-0"),
            elements: elements.map(find).to_vec(),
            weight: 1.0,
            source: PathSource::Trace,
            from,
            until,
        };
        let change = Some(UtcMicros(400 * SECOND_US));
        let book = PathBook::new(
            &topology,
            &[told(["l0", "r1", "l1"], None, change), told(["chord", "r3", "l2"], change, None)],
        );
        let mut world =
            World { seed, topology, book, pairs: Vec::new(), beats: Vec::new(), now: 0 };
        let told = (world.find("ag0"), world.find("t2-0"));
        world.pairs.push(Some(Kept { of: told, interval_us: 30 * SECOND_US, asks: Vec::new() }));
        for _ in 0..draw(&mut seed, 12) {
            world.add_pair(&mut Board::default());
        }
        world
    }

    fn find(&self, id: &str) -> ElementIx {
        self.topology.find(id).expect("is there")
    }

    fn draw(&mut self, below: u64) -> u64 {
        draw(&mut self.seed, below)
    }

    /// A pair that is not there yet, at a number that is free or new.
    fn add_pair(&mut self, board: &mut Board) {
        let agent = format!("ag{}", self.draw(3));
        let target = format!("t{}-{}", self.draw(DEVICES), self.draw(2));
        let of = (self.find(&agent), self.find(&target));
        if self.pairs.iter().flatten().any(|kept| kept.of == of) {
            return;
        }
        let interval_us = [10, 30][self.draw(2) as usize] * SECOND_US;
        let kept = Some(Kept { of, interval_us, asks: Vec::new() });
        match self.pairs.iter().position(Option::is_none) {
            Some(at) => {
                self.pairs[at] = kept;
                board.touch(at);
            }
            None => self.pairs.push(kept),
        }
    }

    /// A round of a pair: now, late, or of a clock that leapt.
    fn ask(&mut self, board: &mut Board) {
        let at = self.draw(self.pairs.len() as u64) as usize;
        let late = [0, 0, 0, 45, -20][self.draw(5) as usize];
        let lost = [0, 0, 0, 1, 5][self.draw(5) as usize];
        let rtt_us = [1_000, 1_200, 90_000][self.draw(3) as usize];
        let when = UtcMicros(self.now - late * SECOND_US - self.draw(900_000) as i64);
        let Some(kept) = &mut self.pairs[at] else { return };
        let received = 5 - lost;
        let rtt_us = (0 < received).then_some(rtt_us);
        let place = kept.asks.partition_point(|ask| ask.at < when);
        kept.asks.insert(place, Ask { at: when, sent: 5, received, rtt_us });
        board.touch(at);
    }

    fn change(&mut self, board: &mut Board) {
        match self.draw(12) {
            0 => self.add_pair(board),
            1 => {
                let at = self.draw(self.pairs.len() as u64) as usize;
                self.pairs[at] = None;
                board.touch(at);
            }
            2 => {
                let link = self.draw(DEVICES);
                let link = self.find(&format!("l{link}"));
                let cost = [1, 3, 9, u32::MAX][self.draw(4) as usize];
                self.topology.set_cost(link, cost, cost);
                self.book.follow(&self.topology, link);
                board.follow(&self.topology, &mut self.book);
            }
            3 => {
                let agent = self.draw(3);
                let agent = self.find(&format!("ag{agent}"));
                let is_gateway_ok = 0 < self.draw(3);
                self.beats.push(Beat { agent, at: UtcMicros(self.now), is_gateway_ok });
                self.beats.sort_by_key(|beat| (beat.agent, beat.at));
            }
            _ => (0..6).for_each(|_| self.ask(board)),
        }
    }

    fn take(&mut self, board: &mut Board) {
        board.take(&mut Picture {
            now: UtcMicros(self.now),
            topology: &self.topology,
            paths: &mut self.book,
            pairs: &self.pairs,
            facts: &[],
            beats: &self.beats,
            heartbeat_us: 20 * SECOND_US,
            works: &[],
        });
    }
}

/// Everything that is in a board, whatever the places of its rows.
fn content(board: &Board) -> Vec<String> {
    let name = |row: u32| {
        let row = &board.rows[row as usize];
        format!("{:?} {:?} {:?}", row.agent, row.set, row.note)
    };
    let of = |row: &Row| format!("{row:?} {:?}", board.lossy(row));
    let is_there = |row: &&Row| 0 < row.pairs() || !row.fixed.is_empty();
    let mut all: Vec<String> = board.rows.iter().filter(is_there).map(of).collect();
    all.sort();
    for at in 0..64 {
        let mut rows: Vec<String> = board.rows_of(ElementIx(at)).map(name).collect();
        rows.sort();
        let sum = board.sums.get(at as usize).copied().unwrap_or_default();
        all.push(format!("element {at}: {sum:?} {rows:?}"));
    }
    all.retain(|line| !line.ends_with(&format!("{:?} []", Sum::default())));
    let asked = board.of_target.iter().enumerate().filter(|(_, pairs)| !pairs.is_empty());
    let asked: Vec<_> = asked.collect();
    all.push(format!("{:?} {asked:?} {:?}", board.noise, board.of_agent));
    let out = board.dead().map(|gone| format!("{:?}", Gone { row: 0, ..*gone }) + &name(gone.row));
    let mut out: Vec<String> = out.collect();
    out.sort();
    all.extend(out);
    for (row, at) in board.rows.iter().zip(0..) {
        let is_loud = !row.lots.is_empty() || !row.fixed.is_empty();
        assert!(row.pairs() == 0 && row.fixed.is_empty() || board.is_loud(at) == is_loud);
    }
    let mut shifted: Vec<String> = board.shifted.iter().map(|row| name(*row)).collect();
    shifted.sort();
    all.push(format!("{shifted:?} {} {:?}", board.heard, board.blind));
    all
}

#[test]
fn after_any_changes_a_board_holds_what_one_from_nothing_would() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        let mut board = Board::default();
        for step in 0..60 {
            world.now += (world.draw(25) as i64) * SECOND_US + 1;
            for _ in 0..1 + world.draw(4) {
                world.change(&mut board);
            }
            world.take(&mut board);
            let mut anew = Board::default();
            world.take(&mut anew);
            let (kept, fresh) = (content(&board), content(&anew));
            for (kept, fresh) in kept.iter().zip(&fresh) {
                assert_eq!(kept, fresh, "seed {seed}, step {step}");
            }
            assert_eq!(kept.len(), fresh.len(), "seed {seed}, step {step}");
        }
    }
}
