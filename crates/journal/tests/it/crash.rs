//! Random histories with faults and power cuts, from a seed that a failure prints.

use std::collections::BTreeMap;

use journal::{Journal, JournalError, Options, Position, Recovery};

use crate::sim::{Dice, SimDisk};

const SEEDS: u64 = 300;
const STEPS: usize = 300;

fn options() -> Options {
    Options { segment_bytes_max: 2_000, record_bytes_max: 1_500, next_at_least: Position(1) }
}

fn open(disk: &SimDisk) -> (Journal, Recovery) {
    Journal::open("j", options(), disk.clone()).expect("opens")
}

fn all(journal: &Journal) -> Vec<(u64, Vec<u8>)> {
    let records = journal.read_from(Position(0)).map(|r| r.expect("reads"));
    records.map(|(p, bytes)| (p.0, bytes)).collect()
}

/// What the owner of the journal knows.
#[derive(Default)]
struct Model {
    /// Acknowledged, by position.
    durable: BTreeMap<u64, Vec<u8>>,
    /// Tried since the last good sync: every payload that was offered for the position.
    tried: BTreeMap<u64, Vec<Vec<u8>>>,
    trimmed: u64,
}

impl Model {
    /// 1 - Acknowledged is a subset of recovered. 2 - Recovered is a subset of tried.
    /// 3 - No doubles, in order, without holes.
    fn check(&mut self, journal: &Journal, recovery: &Recovery, seed: u64) {
        let found = all(journal);
        assert_eq!(recovery.segments_damaged, 0, "seed {seed}");
        assert_eq!(recovery.records_missing, 0, "seed {seed}");
        assert_eq!(recovery.records, found.len() as u64, "seed {seed}");
        let first = journal.first().0;
        assert!(first <= self.trimmed.max(1), "seed {seed}: trimmed too much");
        for (index, (position, payload)) in found.iter().enumerate() {
            assert_eq!(*position, first + index as u64, "seed {seed}");
            let is_durable = self.durable.get(position).map(|p| p == payload);
            let is_tried = self.tried.get(position).is_some_and(|t| t.contains(payload));
            assert!(is_durable.unwrap_or(is_tried), "seed {seed}: {position} is another");
        }
        let next = first + found.len() as u64;
        let lost = self.durable.range(next..).next();
        assert_eq!(lost, None, "seed {seed}: acknowledged and lost");
        self.durable = found.into_iter().collect();
        self.tried.clear();
    }
}

fn play(seed: u64) {
    let disk = SimDisk::new(seed);
    let mut dice = Dice(seed ^ 0xFAu64);
    let (mut journal, _) = open(&disk);
    let mut model = Model::default();
    for step in 0..STEPS {
        disk.fail_one_in(if dice.one_in(3) { 12 } else { 0 });
        let must_reopen = match dice.below(20) {
            0..12 => {
                let mut payload = (step as u64).to_le_bytes().to_vec();
                payload.resize(8 + dice.below(900), step as u8);
                let position = journal.next().0;
                let result = journal.append(&payload);
                model.tried.entry(position).or_default().push(payload);
                matches!(result, Err(JournalError::Failed { .. }))
            }
            12..17 => match journal.sync() {
                Ok(()) => {
                    let last = |tries: Vec<Vec<u8>>| tries.into_iter().next_back();
                    let next = journal.next().0;
                    // What failed to be appended at `next` may still be found after a crash.
                    let failed = model.tried.split_off(&next);
                    for (position, tries) in std::mem::replace(&mut model.tried, failed) {
                        let payload = last(tries).expect("tried at least once");
                        model.durable.insert(position, payload);
                    }
                    false
                }
                Err(_) => true,
            },
            17 => {
                let to = model.durable.keys().nth(dice.below(model.durable.len().max(1)));
                if let Some(to) = to.copied().filter(|_| dice.one_in(3)) {
                    model.trimmed = model.trimmed.max(to);
                    journal.trim_before(Position(to)).ok();
                    model.durable = model.durable.split_off(&journal.first().0);
                }
                false
            }
            18 => {
                disk.crash();
                true
            }
            _ => dice.one_in(4),
        };
        if must_reopen {
            drop(journal);
            let (opened, recovery) = open_somehow(&disk, &mut dice);
            journal = opened;
            model.check(&journal, &recovery, seed);
        }
    }
}

/// Opens while the disk fails and power goes again and again, until it works.
fn open_somehow(disk: &SimDisk, dice: &mut Dice) -> (Journal, Recovery) {
    for attempt in 0.. {
        disk.fail_one_in(if dice.one_in(3) && attempt < 4 { 4 } else { 0 });
        match Journal::open("j", options(), disk.clone()) {
            Ok(opened) => return opened,
            Err(error) => assert!(attempt < 5, "does not open: {error}"),
        }
        if dice.one_in(2) {
            disk.crash();
        }
    }
    unreachable!("opens when nothing fails");
}

#[test]
fn acknowledged_records_survive_whatever_the_disk_does() {
    for seed in 0..SEEDS {
        play(seed);
    }
}

/// Six durable records over several segments.
fn filled(disk: &SimDisk) {
    let (mut journal, _) = open(disk);
    for n in 0..6u8 {
        journal.append(&[n; 900]).expect("appends");
        journal.sync().expect("syncs");
    }
}

fn positions(journal: &Journal) -> Vec<u64> {
    all(journal).into_iter().map(|(p, _)| p).collect()
}

#[test]
fn a_damaged_middle_segment_is_set_aside_and_the_rest_of_it_kept() {
    let disk = SimDisk::new(1);
    filled(&disk);
    let name = format!("{:020}.seg", 1);
    disk.rot(&name, 16 + 16 + 100);
    let (journal, recovery) = open(&disk);
    let expected =
        Recovery { records: 5, truncated_bytes: 0, segments_damaged: 1, records_missing: 1 };
    assert_eq!(recovery, expected);
    assert_eq!(positions(&journal), [2, 3, 4, 5, 6]);
    assert!(disk.names().contains(&format!("{name}.damaged")));
    drop(journal);
    let (_, again) = open(&disk);
    let expected = Recovery { segments_damaged: 0, ..expected };
    assert_eq!(again, expected, "repaired once, and the hole still known");
}

#[test]
fn damage_before_a_record_that_followed_a_sync_is_not_a_torn_write() {
    let disk = SimDisk::new(1);
    let (mut journal, _) = open(&disk);
    for n in 0..3u8 {
        journal.append(&[n; 100]).expect("appends");
        journal.sync().expect("syncs");
    }
    drop(journal);
    disk.rot(&format!("{:020}.seg", 1), 16 + 116 + 50);
    let (mut journal, recovery) = open(&disk);
    assert_eq!(positions(&journal), [1, 3]);
    assert_eq!((recovery.segments_damaged, recovery.records_missing), (1, 1));
    assert_eq!(journal.append(b"x").expect("appends"), Position(4));
    journal.sync().expect("syncs");
    drop(journal);
    let (journal, _) = open(&disk);
    assert_eq!(positions(&journal), [1, 3, 4]);
}

#[test]
fn a_segment_without_its_header_does_not_stop_the_opening() {
    let disk = SimDisk::new(1);
    filled(&disk);
    disk.rot(&format!("{:020}.seg", 4), 3);
    let (mut journal, recovery) = open(&disk);
    assert_eq!(positions(&journal), [1, 2, 3]);
    assert_eq!(recovery.segments_damaged, 1);
    journal.append(b"x").expect("appends");
}

#[test]
fn every_bit_of_a_journal_may_rot() {
    let disk = SimDisk::new(1);
    filled(&disk);
    let names: Vec<String> = disk.names();
    for name in names.iter().filter(|n| n.ends_with(".seg")) {
        for at in (0..disk.length(name)).step_by(37) {
            let disk = SimDisk::new(1);
            filled(&disk);
            disk.rot(name, at);
            let (mut journal, _) = open(&disk);
            let found = positions(&journal);
            assert!(found.is_sorted(), "{name} {at}");
            assert!(2 < found.len(), "{name} {at}");
            let next = journal.next();
            assert_eq!(journal.append(b"x").expect("appends"), next);
        }
    }
}

#[test]
fn a_full_disk_leaves_the_journal_usable() {
    let disk = SimDisk::new(7);
    let (mut journal, _) = open(&disk);
    journal.append(b"one").expect("appends");
    disk.fail_one_in(1);
    for _ in 0..10 {
        assert!(journal.append(b"refused").is_err());
    }
    disk.fail_one_in(0);
    assert_eq!(journal.append(b"two").expect("appends"), Position(2));
    journal.sync().expect("syncs");
    disk.crash();
    drop(journal);
    let (journal, _) = open(&disk);
    let expected = [(1, b"one".to_vec()), (2, b"two".to_vec())];
    assert_eq!(all(&journal), expected);
}

#[test]
fn after_a_failed_sync_nothing_more_is_taken_and_nothing_doubtful_is_read_back() {
    let disk = SimDisk::new(3);
    let (mut journal, _) = open(&disk);
    journal.append(b"kept").expect("appends");
    journal.sync().expect("syncs");
    journal.append(b"doubtful").expect("appends");
    disk.fail_one_in(1);
    assert!(matches!(journal.sync(), Err(JournalError::Failed { source: Some(_), .. })));
    disk.fail_one_in(0);
    assert!(matches!(journal.append(b"x"), Err(JournalError::Failed { source: None, .. })));
    assert!(matches!(journal.sync(), Err(JournalError::Failed { .. })));
    drop(journal);
    disk.crash();
    let (journal, _) = open(&disk);
    assert_eq!(all(&journal).first(), Some(&(1, b"kept".to_vec())));
}

proptest::proptest! {
    #[test]
    fn any_bytes_in_a_segment_can_be_opened(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600),
        has_header in proptest::prelude::any::<bool>(),
    ) {
        let disk = SimDisk::new(1);
        let mut content = if has_header { b"FLTJRNL1saltsalt".to_vec() } else { Vec::new() };
        content.extend(bytes);
        disk.put(&format!("{:020}.seg", 1), &content);
        disk.put(&format!("{:020}.seg", 9), &content);
        let (mut journal, _) = open(&disk);
        journal.append(b"x").expect("appends");
        journal.sync().expect("syncs");
        assert_eq!(positions(&journal), [9]);
    }
}
