//! The spool against restarts, limits and a server that forgets.

use model::{Confirm, Outcome, RoundFlags, Subject, Tick};

use super::*;

const BOOT: BootId = [7; 16];

fn open_with(dir: &Path, limits: SpoolLimits) -> Spool {
    Spool::open(dir, limits, Clock::new(), BOOT).expect("opens")
}

fn open(dir: &Path) -> Spool {
    open_with(dir, SpoolLimits::default())
}

fn rows(count: u64) -> Vec<RoundRow> {
    let row = |n| RoundRow {
        subject: Subject::Gateway,
        due_tick: Tick(n),
        outcome: Outcome::Asked { sent: 1, received: 0, rtt: None, confirm: Confirm::default() },
        flags: RoundFlags::default(),
        icmp_error: None,
        address: None,
    };
    (0..count).map(row).collect()
}

/// Everything the spool would send after a new connection.
fn sent(spool: &mut Spool) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut cursor = (0, 0);
    while let Some((key, _)) = spool.next_after(cursor) {
        let batch = spool.fetch(key).expect("reads");
        assert_eq!((batch.epoch, batch.seq), key);
        keys.push(key);
        cursor = key;
    }
    keys
}

#[test]
fn without_an_epoch_there_is_no_batch() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    assert!(!spool.is_open());
    assert!(spool.append(&rows(1)).is_err());
    spool.grant(1).expect("grants");
    spool.append(&rows(1)).expect("appends");
    assert_eq!(sent(&mut spool), [(1, 1)]);
}

#[test]
fn no_name_of_a_batch_is_used_twice_across_restarts() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(5).expect("grants");
    spool.append(&rows(3)).expect("appends");
    spool.append(&rows(3)).expect("appends");
    drop(spool);
    // The server is away: the restarted agent goes on in its epoch.
    let mut spool = open(dir.path());
    assert!(spool.is_open());
    spool.append(&rows(3)).expect("appends");
    spool.acknowledge(5, 3).expect("trims");
    spool.save().expect("saves");
    drop(spool);
    // Everything was delivered, and still the place is known.
    let mut spool = open(dir.path());
    assert_eq!(spool.backlog_batches(), 0);
    spool.append(&rows(3)).expect("appends");
    assert_eq!(sent(&mut spool), [(5, 4)]);
    spool.grant(6).expect("grants");
    drop(spool);
    let mut spool = open(dir.path());
    spool.append(&rows(3)).expect("appends");
    assert_eq!(sent(&mut spool), [(5, 4), (6, 1)]);
}

#[test]
fn an_acknowledgement_covers_its_epoch_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    for epoch in [1, 2] {
        spool.grant(epoch).expect("grants");
        for _ in 0..3 {
            spool.append(&rows(1)).expect("appends");
        }
    }
    spool.acknowledge(2, 2).expect("trims");
    assert_eq!(sent(&mut spool), [(1, 1), (1, 2), (1, 3), (2, 3)]);
    spool.refuse((1, 2)).expect("trims");
    spool.acknowledge(1, 1).expect("trims");
    assert_eq!(sent(&mut spool), [(1, 3), (2, 3)]);
    spool.acknowledge(9, 9).expect("trims");
    assert_eq!(spool.backlog_batches(), 2);
}

#[test]
fn an_older_epoch_is_not_taken() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(3).expect("grants");
    spool.grant(3).expect("the same again is no harm");
    let error = spool.grant(2).expect_err("is refused");
    assert!(matches!(error, SpoolError::EpochBackwards { granted: 2, newest: 3 }));
    assert_eq!(spool.epoch(), 3);
}

#[test]
fn the_oldest_goes_first_when_there_is_too_much_and_is_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    spool.append(&rows(50)).expect("appends");
    let one = spool.backlog_bytes();
    drop(spool);
    let limits = SpoolLimits { bytes_max: one * 3 + one / 2, ..SpoolLimits::default() };
    let mut spool = open_with(dir.path(), limits);
    for _ in 0..4 {
        spool.append(&rows(50)).expect("appends");
    }
    assert_eq!(sent(&mut spool), [(1, 3), (1, 4), (1, 5)]);
    assert_eq!(spool.dropped_rounds_total(), 100);
    // The batch after a drop says how much there is a hole for; then it is said.
    assert_eq!(spool.fetch((1, 5)).expect("reads").dropped_before, 50);
    spool.append(&rows(1)).expect("appends");
    assert_eq!(spool.fetch((1, 6)).expect("reads").dropped_before, 50);
}

#[test]
fn what_is_too_old_is_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    spool.append(&rows(1)).expect("appends");
    spool.limits.age_max = Duration::ZERO;
    spool.append(&rows(1)).expect("appends");
    assert_eq!(spool.backlog_batches(), 0);
}

#[test]
fn a_durable_batch_is_not_counted_as_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    spool.drop_rounds(5);
    // The state cannot be written: its new file is in the way.
    fs::create_dir(dir_of(dir.path()).join("state.json.new")).expect("makes");
    assert!(spool.append(&rows(3)).is_err());
    assert_eq!(sent(&mut spool), [(1, 1)]);
    assert_eq!(spool.dropped_rounds_total(), 5);
}

#[test]
fn a_wiped_spool_waits_for_a_new_epoch() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    spool.append(&rows(1)).expect("appends");
    spool.acknowledge(1, 1).expect("trims");
    spool.save().expect("saves");
    let id = spool.spool_id();
    drop(spool);
    let names = fs::read_dir(dir_of(dir.path())).expect("lists");
    for entry in names {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "seg") {
            fs::remove_file(path).expect("removes");
        }
    }
    for _ in 0..2 {
        let spool = open(dir.path());
        assert!(!spool.is_open());
        assert_ne!(spool.spool_id(), id);
        assert_eq!(spool.epoch(), 1);
    }
    let mut spool = open(dir.path());
    assert!(spool.grant(1).is_err());
    spool.grant(2).expect("grants");
    spool.append(&rows(1)).expect("appends");
    assert_eq!(sent(&mut spool), [(2, 1)]);
}

#[test]
fn damage_loses_what_is_damaged_and_no_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    for _ in 0..3 {
        spool.append(&rows(20)).expect("appends");
    }
    drop(spool);
    let path = dir_of(dir.path()).join(format!("{:020}.seg", 1));
    let mut bytes = fs::read(&path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).expect("writes");
    let mut spool = open(dir.path());
    assert!(!spool.is_open());
    assert_eq!(sent(&mut spool), [(1, 1), (1, 3)]);
    spool.grant(2).expect("grants");
    spool.append(&rows(1)).expect("appends");
    assert_eq!(sent(&mut spool), [(1, 1), (1, 3), (2, 1)]);
}

#[test]
fn a_batch_that_cannot_be_read_back_counts_as_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    spool.append(&rows(20)).expect("appends");
    let path = dir_of(dir.path()).join(format!("{:020}.seg", 1));
    let mut bytes = fs::read(&path).expect("reads");
    *bytes.last_mut().expect("a record") ^= 1;
    fs::write(&path, bytes).expect("writes");
    assert!(spool.fetch((1, 1)).is_err());
    assert!(spool.fetch((1, 1)).is_err(), "it is forgotten, and not counted again");
    // The agent's total, and what the next batch will carry as dropped before it.
    assert_eq!((spool.dropped_rounds_total(), spool.state.dropped_rounds), (1, 1));
}
