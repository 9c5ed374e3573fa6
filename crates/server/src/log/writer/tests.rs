use std::{
    io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use journal::{FileLayer, LayerFile, Lock};

use super::*;
use crate::log::{BatchBody, Lane};

/// A disk whose syncs fail while the first switch is on, and that is full while the second is.
#[derive(Clone, Debug, Default)]
struct Failing(Arc<AtomicBool>, Arc<AtomicBool>);

impl Failing {
    fn room(&self) -> io::Result<()> {
        match self.1.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

#[derive(Debug)]
struct FailingFile(Box<dyn LayerFile>, Failing);

impl FileLayer for Failing {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk.list(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn LayerFile>> {
        self.room()?;
        Ok(Box::new(FailingFile(Disk.create(path)?, self.clone())))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn LayerFile>> {
        Ok(Box::new(FailingFile(Disk.open(path)?, self.clone())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        Disk.lock(path)
    }
}

impl LayerFile for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(error) = self.1.room() {
            // As a full disk does: a part of it finds room.
            let part = bytes.get(..bytes.len() / 2).unwrap_or_default();
            self.0.write_at(part, offset)?;
            return Err(error);
        }
        self.0.write_at(bytes, offset)
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.0.is_at(path)
    }
    fn sync(&self) -> io::Result<()> {
        match self.1.0.load(Ordering::SeqCst) {
            true => Err(io::Error::other("input/output error")),
            false => self.0.sync(),
        }
    }
}

fn batch(seq: u64) -> Body {
    batch_of(1, seq)
}

fn batch_of(epoch: u64, seq: u64) -> Body {
    Body::Batch(BatchBody {
        agent: AgentId(1),
        epoch,
        seq,
        offset_us: 0,
        payload_zstd: Bytes::new(),
        gaps: Vec::new(),
    })
}

fn open(dir: &Path, layer: Failing) -> (LogHandle, mpsc::Receiver<Durable>) {
    open_with(dir, layer, Highwaters::default())
}

fn open_with(
    dir: &Path,
    layer: Failing,
    highwaters: Highwaters,
) -> (LogHandle, mpsc::Receiver<Durable>) {
    let (journal, _) = Journal::open(dir, options(LogPosition(0)), layer).unwrap();
    let start_with = LogStart { journal, highwaters, last_at: UtcMicros(0) };
    let (durable, entries) = mpsc::channel(16);
    let metrics = Arc::default();
    let (handle, _) = start(start_with, Clock::system(), metrics, durable).unwrap();
    (handle, entries)
}

async fn append(log: &LogHandle, body: Body) -> Appended {
    let (submission, done) = Submission::of(body);
    log.submit(submission).await.unwrap();
    done.await.unwrap().unwrap()
}

#[tokio::test]
async fn entries_come_out_durable_in_order_and_a_duplicate_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut entries) = open(dir.path(), Failing::default());
    assert_eq!(append(&log, batch(1)).await, Appended::New(LogPosition(1)));
    assert_eq!(append(&log, batch(1)).await, Appended::Duplicate(LogPosition(1)));
    assert_eq!(append(&log, Body::Tick).await, Appended::New(LogPosition(2)));
    log.stop().await;
    assert_eq!(entries.recv().await.unwrap().body, batch(1));
    assert_eq!(entries.recv().await.unwrap().body, Body::Tick);
    assert!(entries.recv().await.is_none());
    assert_eq!(log.vitals().last, LogPosition(2));
}

#[tokio::test]
async fn what_is_not_durable_is_not_acknowledged_and_comes_again_as_new() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Failing::default();
    let (log, mut entries) = open(dir.path(), disk.clone());
    assert_eq!(append(&log, batch(1)).await, Appended::New(LogPosition(1)));
    disk.0.store(true, Ordering::SeqCst);
    let (submission, done) = Submission::of(batch(2));
    log.submit(submission).await.unwrap();
    assert!(done.await.unwrap().is_err());
    assert!(log.vitals().impediment.is_some());
    assert_eq!(append(&log, batch(2)).await, Appended::New(LogPosition(2)));
    assert_eq!(append(&log, batch(1)).await, Appended::Duplicate(LogPosition(2)));
    assert_eq!(log.vitals().impediment, None);
    log.stop().await;
    assert_eq!(entries.recv().await.unwrap().body, batch(1));
    assert_eq!(entries.recv().await.unwrap().body, batch(2));
    assert!(entries.recv().await.is_none());
}

/// An agent with as many epochs as are remembered begins one more: what was taken of its oldest
/// is forgotten, but not because of a batch that is not durable, and a batch of that is not
/// taken a second time.
#[tokio::test]
async fn an_epoch_is_forgotten_for_a_durable_batch_and_its_batches_count_no_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Failing::default();
    let mut marks = Highwaters::default();
    let max = u64::try_from(crate::log::marks::EPOCHS_PER_AGENT_MAX).unwrap();
    for epoch in 1..=max {
        marks.raise(AgentId(1), epoch, 5, UtcMicros(0));
    }
    let (log, mut entries) = open_with(dir.path(), disk.clone(), marks);
    disk.0.store(true, Ordering::SeqCst);
    refused(&log, batch_of(max + 1, 1)).await;
    assert!(!log.is_forgotten(AgentId(1), 1));
    assert!(matches!(append(&log, batch_of(1, 5)).await, Appended::Duplicate(_)));
    append(&log, batch_of(max + 1, 1)).await;
    assert!(log.is_forgotten(AgentId(1), 1));
    assert_eq!(
        refused(&log, batch_of(1, 5)).await,
        "what was taken of its epoch is no longer known"
    );
    assert!(matches!(append(&log, batch_of(2, 5)).await, Appended::Duplicate(_)));
    log.stop().await;
    assert_eq!(entries.recv().await.unwrap().body, batch_of(max + 1, 1));
    assert!(entries.recv().await.is_none());
}

async fn refused(log: &LogHandle, body: Body) -> String {
    let (submission, done) = Submission::of(body);
    log.submit(submission).await.unwrap();
    done.await.unwrap().unwrap_err().reason
}

#[tokio::test]
async fn a_full_disk_is_said_until_an_entry_is_taken_again_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Failing::default();
    let (log, mut entries) = open(dir.path(), disk.clone());
    append(&log, batch(1)).await;
    disk.1.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let reason = refused(&log, batch(2)).await;
        assert!(reason.starts_with("no room left on the disk of `"), "{reason}");
        assert!(reason.ends_with("free space there"), "{reason}");
    }
    assert!(log.vitals().impediment.is_some());
    // What is there already is there: that says nothing of the disk.
    append(&log, batch(1)).await;
    log.trim(LogPosition(0));
    append(&log, batch(1)).await;
    assert!(log.vitals().impediment.is_some());
    disk.1.store(false, Ordering::SeqCst);
    assert_eq!(append(&log, batch(2)).await, Appended::New(LogPosition(2)));
    assert_eq!(log.vitals().impediment, None);
    log.stop().await;
    let mut seqs = Vec::new();
    while let Some(entry) = entries.recv().await {
        seqs.push(entry.body);
    }
    assert_eq!(seqs, [batch(1), batch(2)]);
    let (journal, recovery) = Journal::open(dir.path(), options(LogPosition(0)), Disk).unwrap();
    assert_eq!((recovery.records, recovery.truncated_bytes), (2, 0));
    drop(journal);
}

#[tokio::test]
async fn a_removed_directory_takes_nothing_and_is_made_anew_if_its_parent_is_there() {
    let parent = tempfile::tempdir().unwrap();
    let (data, away) = (parent.path().join("data"), parent.path().join("away"));
    std::fs::create_dir(&data).unwrap();
    let (log, _entries) = open(&data.join("log"), Failing::default());
    append(&log, batch(1)).await;
    std::fs::rename(&data, &away).unwrap();
    let reason = refused(&log, batch(2)).await;
    assert!(reason.contains("is no longer there"), "{reason}");
    let reason = refused(&log, batch(2)).await;
    assert!(reason.contains("cannot create `"), "{reason}");
    assert!(!data.exists(), "the owner's directory is not made anew");
    std::fs::create_dir(&data).unwrap();
    let taken = soon_taken(&log, batch(2)).await;
    assert_eq!(taken, Appended::New(LogPosition(2)));
    assert_eq!((log.vitals().impediment, log.vitals().reopens), (None, 1));
}

/// Tries until it is taken: a closed log is not opened more often than once a second.
async fn soon_taken(log: &LogHandle, body: Body) -> Appended {
    loop {
        let (submission, done) = Submission::of(body.clone());
        log.submit(submission).await.unwrap();
        if let Ok(appended) = done.await.unwrap() {
            return appended;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_broken_sender_has_queued_fails_and_a_new_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _entries) = open(dir.path(), Failing::default());
    let lane = Lane::default();
    lane.set_broken();
    let (submission, done) = Submission::of(batch(2));
    log.submit(Submission { lane, ..submission }).await.unwrap();
    assert!(done.await.unwrap().is_err());
    assert_eq!(append(&log, batch(1)).await, Appended::New(LogPosition(1)));
}

#[tokio::test]
async fn what_is_held_is_not_trimmed_and_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    // A segment an entry.
    let small = Options { segment_bytes_max: 1, ..options(LogPosition(0)) };
    let (journal, _) = Journal::open(dir.path(), small, Disk).unwrap();
    let highwaters = Highwaters::default();
    let start_with = LogStart { journal, highwaters, last_at: UtcMicros(0) };
    let (durable, mut entries) = mpsc::channel(16);
    let metrics = Arc::default();
    let (log, _) = start(start_with, Clock::system(), metrics, durable).unwrap();
    for seq in 1..=3 {
        append(&log, batch(seq)).await;
    }
    let hold = log.hold().await.unwrap();
    assert_eq!(hold.last, LogPosition(3));
    log.trim(LogPosition(3));
    append(&log, batch(4)).await;
    let read = async |from| {
        let reader = log.read(LogPosition(from)).await.unwrap().unwrap();
        reader.map(|record| record.unwrap().0.0).collect::<Vec<u64>>()
    };
    assert_eq!(read(1).await, [1, 2, 3, 4]);
    assert_eq!(read(3).await, [3, 4]);
    drop(hold);
    log.trim(LogPosition(3));
    append(&log, batch(5)).await;
    assert_eq!(read(1).await, [4, 5]);
    log.stop().await;
    while entries.recv().await.is_some() {}
}
