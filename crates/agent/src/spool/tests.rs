//! The spool against restarts, limits and a server that forgets.

use std::fs;

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

/// What is lost and not told yet: cause and count.
fn lost(spool: &Spool) -> Vec<(DropCause, u64)> {
    spool.state.losses.all().iter().map(|dropped| (dropped.cause, dropped.rounds)).collect()
}

/// What a batch tells.
fn told(spool: &mut Spool, key: Key) -> Vec<(DropCause, u64)> {
    let batch = spool.fetch(key).expect("reads");
    let drops = Dropped::all_of(&batch).expect("are whole");
    drops.iter().map(|dropped| (dropped.cause, dropped.rounds)).collect()
}

#[test]
fn without_an_epoch_there_is_no_batch() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    assert!(!spool.is_open());
    assert!(spool.append(&rows(1)).is_err());
    spool.grant(1).expect("grants");
    spool.turn();
    spool.append(&rows(1)).expect("appends");
    assert_eq!(sent(&mut spool), [(1, 1)]);
}

#[test]
fn no_name_of_a_batch_is_used_twice_across_restarts() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(5).expect("grants");
    spool.turn();
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
    spool.turn();
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
        spool.turn();
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
fn with_an_older_epoch_the_spool_begins_anew_and_says_what_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    assert!(matches!(spool.grant(0), Err(SpoolError::NoEpoch)));
    spool.grant(3).expect("grants");
    spool.turn();
    spool.grant(3).expect("the same again is no harm");
    spool.turn();
    spool.append(&rows(4)).expect("appends");
    let id = spool.spool_id();
    spool.grant(2).expect("heals");
    spool.turn();
    assert_ne!(spool.spool_id(), id);
    assert_eq!((spool.epoch(), spool.backlog_batches()), (2, 0));
    assert_eq!(lost(&spool), [(DropCause::Renamed, 4)]);
    drop(spool);
    // The records of the higher epoch mean nothing any more, also after a restart.
    let mut spool = open(dir.path());
    assert_eq!(spool.epoch(), 2);
    spool.append(&rows(1)).expect("appends");
    assert_eq!(sent(&mut spool), [(2, 1)]);
    assert_eq!(told(&mut spool, (2, 1)), [(DropCause::Renamed, 4)]);
    drop(spool);
    let mut spool = open(dir.path());
    spool.append(&rows(1)).expect("appends");
    assert_eq!(sent(&mut spool), [(2, 1), (2, 2)]);
}

#[test]
fn the_oldest_goes_first_when_there_is_too_much_and_is_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    spool.turn();
    spool.append(&rows(50)).expect("appends");
    let one = spool.backlog_bytes();
    drop(spool);
    let limits = SpoolLimits { bytes_max: one * 15 / 4, ..SpoolLimits::default() };
    let mut spool = open_with(dir.path(), limits);
    for _ in 0..4 {
        spool.append(&rows(50)).expect("appends");
    }
    assert_eq!(sent(&mut spool), [(1, 3), (1, 4), (1, 5)]);
    assert_eq!(spool.dropped_rounds_total(), 100);
    // The batch after a drop tells it; then it is told.
    assert_eq!(told(&mut spool, (1, 5)), [(DropCause::Size, 50)]);
    assert_eq!(lost(&spool), [(DropCause::Size, 50)]);
    spool.acknowledge(1, 4).expect("there is room again");
    spool.append(&rows(1)).expect("appends");
    assert_eq!(told(&mut spool, (1, 6)), [(DropCause::Size, 50)]);
    assert_eq!(lost(&spool), []);
}

#[test]
fn what_a_dropped_batch_was_to_tell_is_told_by_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    spool.turn();
    spool.lose_since(Tick(0), 7, DropCause::Overrun);
    spool.append(&rows(3)).expect("appends");
    assert_eq!(lost(&spool), []);
    spool.refuse((1, 1)).expect("refuses");
    assert_eq!(lost(&spool), [(DropCause::Refused, 3), (DropCause::Overrun, 7)]);
    assert_eq!(spool.dropped_rounds_total(), 10);
}

#[test]
fn a_loss_is_told_once_wherever_the_agent_dies() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    spool.turn();
    for _ in 0..3 {
        spool.append(&rows(3)).expect("appends");
    }
    spool.refuse((1, 2)).expect("refuses");
    drop(spool);
    // Dead right behind a refusal: what was refused is not to be delivered again.
    let mut spool = open(dir.path());
    assert_eq!(sent(&mut spool), [(1, 1), (1, 3)]);
    assert_eq!(lost(&spool), [(DropCause::Refused, 3)]);
    let before = fs::read(dir_of(dir.path()).join("state.json")).expect("reads");
    spool.append(&rows(1)).expect("appends");
    assert_eq!(told(&mut spool, (1, 4)), [(DropCause::Refused, 3)]);
    drop(spool);
    // Dead between the batch that tells it and the state.
    fs::write(dir_of(dir.path()).join("state.json"), before).expect("writes");
    let spool = open(dir.path());
    assert_eq!(lost(&spool), []);
}

#[test]
fn live_batches_that_were_delivered_before_the_backlog_stay_so_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    for epoch in [1, 2] {
        spool.grant(epoch).expect("grants");
        spool.turn();
        for _ in 0..3 {
            spool.append(&rows(5)).expect("appends");
        }
    }
    spool.acknowledge(2, 2).expect("trims");
    spool.acknowledge(1, 1).expect("trims");
    spool.save().expect("saves");
    let (bytes, behind) = (spool.backlog_bytes(), spool.behind_bytes);
    assert_ne!(behind, 0);
    drop(spool);
    let mut spool = open(dir.path());
    assert_eq!(sent(&mut spool), [(1, 2), (1, 3), (2, 3)]);
    assert_eq!((spool.backlog_bytes(), spool.behind_bytes), (bytes, behind));
    spool.acknowledge(1, 3).expect("trims");
    assert_eq!(spool.behind_bytes, 0);
}

#[test]
fn a_server_that_was_restored_gets_what_it_lacks_once_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    for epoch in [1, 2, 3] {
        spool.grant(epoch).expect("grants");
        spool.turn();
        for _ in 0..3 {
            spool.append(&rows(5)).expect("appends");
        }
    }
    for epoch in [1, 2, 3] {
        spool.acknowledge(epoch, 3).expect("trims");
    }
    let mark = |epoch, seq| v1::Mark { epoch, seq };
    spool.reconcile(&[mark(1, 3), mark(2, 3), mark(3, 3)]).expect("compares");
    assert_eq!(spool.backlog_batches(), 0);
    // Restored to when it had two batches of the second epoch.
    spool.reconcile(&[mark(1, 3), mark(2, 2)]).expect("compares");
    assert_eq!(sent(&mut spool), [(2, 3), (3, 1), (3, 2), (3, 3)]);
    drop(spool);
    let mut spool = open(dir.path());
    assert_eq!(sent(&mut spool), [(2, 3), (3, 1), (3, 2), (3, 3)]);
    assert_eq!(lost(&spool), []);
    // A mark that was swept with its age is no lack.
    spool.acknowledge(2, 3).expect("trims");
    spool.acknowledge(3, 3).expect("trims");
    spool.limits.age_max = Duration::ZERO;
    spool.reconcile(&[mark(3, 3)]).expect("compares");
    assert_eq!((spool.backlog_batches(), lost(&spool)), (0, vec![]));
}

#[test]
fn a_spool_that_was_restored_from_an_older_state_does_not_use_names_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(4).expect("grants");
    spool.turn();
    spool.append(&rows(5)).expect("appends");
    // The server has three batches of an epoch that this spool made one of.
    spool.reconcile(&[v1::Mark { epoch: 4, seq: 3 }]).expect("compares");
    assert!(!spool.is_open());
    assert_eq!(lost(&spool), [(DropCause::Renamed, 5)]);
    spool.grant(5).expect("grants");
    spool.turn();
    spool.append(&rows(1)).expect("appends");
    assert_eq!(sent(&mut spool), [(5, 1)]);
}

#[test]
fn what_is_too_old_is_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    spool.turn();
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
    spool.turn();
    spool.lose_since(Tick(0), 5, DropCause::Overrun);
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
    spool.turn();
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
    spool.grant(2).expect("grants");
    spool.turn();
    spool.append(&rows(1)).expect("appends");
    assert_eq!(sent(&mut spool), [(2, 1)]);
}

#[test]
fn damage_loses_what_is_damaged_and_no_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    spool.turn();
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
    assert_eq!(lost(&spool), [(DropCause::Unreadable, 1)]);
    drop(spool);
    // Still fenced, and what is missing is not missed twice.
    let mut spool = open(dir.path());
    spool.grant(2).expect("grants");
    spool.turn();
    spool.append(&rows(1)).expect("appends");
    assert_eq!(sent(&mut spool), [(1, 1), (1, 3), (2, 1)]);
    assert_eq!(told(&mut spool, (2, 1)), [(DropCause::Unreadable, 1)]);
    drop(spool);
    assert_eq!(lost(&open(dir.path())), []);
}

#[test]
fn while_the_journal_is_shut_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    spool.turn();
    spool.append(&rows(20)).expect("appends");
    spool.append(&rows(20)).expect("appends");
    spool.journal = None;
    assert_eq!(spool.next_after((0, 0)), None);
    assert!(spool.fetch((1, 1)).is_err());
    spool.reopen().expect("opens");
    assert_eq!(sent(&mut spool), [(1, 1), (1, 2)]);
    assert_eq!(lost(&spool), []);
}

#[test]
fn a_batch_that_cannot_be_read_back_counts_as_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = open(dir.path());
    spool.grant(1).expect("grants");
    spool.turn();
    spool.append(&rows(20)).expect("appends");
    let path = dir_of(dir.path()).join(format!("{:020}.seg", 1));
    let mut bytes = fs::read(&path).expect("reads");
    *bytes.last_mut().expect("a record") ^= 1;
    fs::write(&path, bytes).expect("writes");
    assert!(spool.fetch((1, 1)).is_err());
    assert!(spool.fetch((1, 1)).is_err(), "it is forgotten, and not counted again");
    // The agent's total, and what the next batch will tell.
    assert_eq!((spool.dropped_rounds_total(), lost(&spool)), (1, vec![(DropCause::Unreadable, 1)]));
}
