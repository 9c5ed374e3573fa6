//! The journal on the real file system.

use std::fs;

use journal::{Disk, Inspection, Journal, JournalError, Options, Position, Recovery, inspect};

fn options() -> Options {
    Options { segment_bytes_max: 10_000, ..Options::default() }
}

#[test]
fn records_come_back_in_order_from_any_position() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, recovery) = Journal::open(dir.path(), options(), Disk).expect("opens");
    assert_eq!(recovery, Recovery::default());
    for n in 1..=1_000u64 {
        let payload = vec![n as u8; (n % 100) as usize];
        assert_eq!(journal.append(&payload).expect("appends"), Position(n));
    }
    journal.sync().expect("syncs");
    assert!(3 < journal.segments_total());
    drop(journal);

    let (mut journal, recovery) = Journal::open(dir.path(), options(), Disk).expect("opens");
    assert_eq!(recovery.records, 1_000);
    for from in [0, 1, 2, 499, 999, 1_000, 1_001] {
        let found: Vec<u64> = journal
            .read_from(Position(from))
            .map(|r| r.map(|(p, bytes)| (p.0, bytes)).expect("reads"))
            .inspect(|(p, bytes)| assert_eq!(*bytes, vec![*p as u8; (p % 100) as usize]))
            .map(|(p, _)| p)
            .collect();
        assert_eq!(found, (from.max(1)..=1_000).collect::<Vec<_>>());
    }

    journal.trim_before(Position(500)).expect("trims");
    let first = journal.first();
    assert!(Position(300) < first && first <= Position(500));
    journal.trim_before(Position(5_000)).expect("trims");
    assert_eq!(journal.segments_total(), 1);
    assert_eq!(journal.next(), Position(1_001));
}

#[test]
fn a_second_process_is_kept_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let held = Journal::open(dir.path(), options(), Disk).expect("opens");
    let second = Journal::open(dir.path(), options(), Disk);
    assert!(matches!(second, Err(JournalError::Locked { .. })));
    drop(held);
    assert!(Journal::open(dir.path(), options(), Disk).is_ok());
}

#[test]
fn a_position_that_was_used_elsewhere_is_not_used_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, _) = Journal::open(dir.path(), options(), Disk).expect("opens");
    journal.append(b"1").expect("appends");
    journal.sync().expect("syncs");
    drop(journal);
    let ahead = Options { next_at_least: Position(100), ..options() };
    for _ in 0..2 {
        let (journal, recovery) = Journal::open(dir.path(), ahead, Disk).expect("opens");
        assert_eq!(journal.next(), Position(100));
        assert_eq!(recovery.records, 1);
    }
}

#[test]
fn a_record_above_the_limit_is_refused_by_its_length() {
    let dir = tempfile::tempdir().expect("a directory");
    let small = Options { record_bytes_max: 4, ..options() };
    let (mut journal, _) = Journal::open(dir.path(), small, Disk).expect("opens");
    let refused = journal.append(b"12345").map_err(|e| e.to_string());
    let expected = "a record has at most 4 bytes; this one has 5";
    assert_eq!(refused, Err(expected.to_owned()));
    assert_eq!(journal.append(b"1234").expect("appends"), Position(1));
}

#[test]
fn a_look_reads_what_an_opening_would_keep_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, _) = Journal::open(dir.path(), options(), Disk).expect("opens");
    for n in 1..=1_000u64 {
        journal.append(&[n as u8; 50]).expect("appends");
        if n % 10 == 0 {
            journal.sync().expect("syncs");
        }
    }
    let mut seen = Vec::new();
    // While it is open to append.
    let look = inspect(dir.path(), |position, payload| {
        assert_eq!(payload, [position.0 as u8; 50]);
        seen.push(position.0);
    });
    let whole = Inspection {
        records: 1_000,
        first: Some(Position(1)),
        last: Some(Position(1_000)),
        ..Inspection::default()
    };
    assert_eq!(look.expect("looks"), whole);
    assert_eq!(seen, (1..=1_000).collect::<Vec<_>>());
    drop(journal);

    let first = dir.path().join("00000000000000000001.seg");
    let mut bytes = std::fs::read(&first).expect("reads");
    bytes[100] ^= 1;
    std::fs::write(&first, &bytes).expect("writes");
    let look = inspect(dir.path(), |_, _| ()).expect("looks");
    assert_eq!((look.records, look.missing), (999, 1));
    assert_eq!(look.damaged, std::slice::from_ref(&first));
    assert_eq!(std::fs::read(&first).expect("reads"), bytes);

    let (journal, recovery) = Journal::open(dir.path(), options(), Disk).expect("opens");
    assert_eq!((recovery.records, recovery.records_missing), (look.records, look.missing));
    drop(journal);
    let look = inspect(dir.path(), |_, _| ()).expect("looks");
    assert!(look.damaged.is_empty());
    assert_eq!(look.set_aside.len(), 1);
}

#[test]
fn what_was_written_to_a_removed_directory_is_not_durable_and_the_journal_comes_back() {
    let parent = tempfile::tempdir().expect("a directory");
    let dir = parent.path().join("log");
    let (mut journal, _) = Journal::open(&dir, options(), Disk).expect("opens");
    journal.append(b"1").expect("appends");
    journal.sync().expect("syncs");
    fs::remove_dir_all(&dir).expect("removes");
    journal.append(b"2").expect("the system takes it all the same");
    assert!(matches!(journal.sync(), Err(JournalError::Failed { .. })));
    drop(journal);

    let ahead = Options { next_at_least: Position(2), ..options() };
    let (mut journal, _) = Journal::open(&dir, ahead, Disk).expect("opens");
    assert_eq!(journal.append(b"2").expect("appends"), Position(2));
    journal.sync().expect("syncs");
}

#[test]
fn a_directory_that_is_back_goes_on_with_what_it_had() {
    let parent = tempfile::tempdir().expect("a directory");
    let (dir, away) = (parent.path().join("log"), parent.path().join("away"));
    let (mut journal, _) = Journal::open(&dir, options(), Disk).expect("opens");
    journal.append(b"1").expect("appends");
    journal.sync().expect("syncs");
    fs::rename(&dir, &away).expect("moves");
    journal.append(b"2").expect("the system takes it all the same");
    assert!(journal.sync().is_err());
    drop(journal);
    fs::rename(&away, &dir).expect("moves back");
    let (journal, recovery) = Journal::open(&dir, options(), Disk).expect("opens");
    assert_eq!((recovery.records, journal.next()), (1, Position(2)), "2 was refused");
}

#[test]
fn a_parent_that_is_gone_is_not_made_anew() {
    let parent = tempfile::tempdir().expect("a directory");
    let gone = parent.path().join("data");
    let opened = Journal::open(gone.join("log"), options(), Disk);
    assert!(matches!(opened, Err(JournalError::Unusable { .. })));
    assert!(!gone.exists());
}
