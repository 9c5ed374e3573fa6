//! A file system in memory that forgets, tears, reorders and refuses.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use journal::{FileLayer, LayerFile, Lock};

/// Writes become durable in pieces of this size, each for itself.
const SECTOR_BYTES: usize = 512;

/// A small generator with a seed: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Debug, Default)]
struct Node {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Not yet durable, oldest first.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum DirChange {
    Link(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
}

#[derive(Debug)]
struct World {
    dice: Dice,
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    names_durable: BTreeMap<PathBuf, usize>,
    names_pending: Vec<DirChange>,
    is_locked: bool,
    /// One call in so many fails; 0 for none.
    fail_one_in: usize,
}

/// The layer. Clones share one world.
#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Mutex<World>>);

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(at, data) => {
            if bytes.len() < at + data.len() {
                bytes.resize(at + data.len(), 0);
            }
            bytes[*at..at + data.len()].copy_from_slice(data);
        }
        Change::Truncate(length) => bytes.resize(*length, 0),
    }
}

fn apply_name(names: &mut BTreeMap<PathBuf, usize>, change: &DirChange) {
    match change {
        DirChange::Link(path, node) => {
            names.insert(path.clone(), *node);
        }
        DirChange::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
        DirChange::Unlink(path) => {
            names.remove(path);
        }
    }
}

impl World {
    fn node(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or(io::ErrorKind::NotFound.into())
    }

    fn change_names(&mut self, change: DirChange) {
        apply_name(&mut self.names, &change);
        self.names_pending.push(change);
    }

    fn maybe_fail(&mut self) -> io::Result<()> {
        if self.fail_one_in == 0 || !self.dice.one_in(self.fail_one_in) {
            return Ok(());
        }
        if self.dice.one_in(2) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Err(io::Error::other("injected EIO"))
        }
    }

    /// Makes a random part of what is pending durable, and forgets that the rest was not.
    fn settle_some(&mut self, node: usize) {
        let pending = std::mem::take(&mut self.nodes[node].pending);
        for change in pending {
            match change {
                Change::Truncate(_) => {
                    if self.dice.one_in(2) {
                        apply(&mut self.nodes[node].durable, &change);
                    }
                }
                Change::Write(at, data) => {
                    let mode = self.dice.below(3);
                    for (index, piece) in data.chunks(SECTOR_BYTES).enumerate() {
                        if mode == 0 || (mode == 1 && self.dice.one_in(2)) {
                            // Even a sector may be torn at any byte.
                            let keep = if self.dice.one_in(4) {
                                self.dice.below(piece.len() + 1)
                            } else {
                                piece.len()
                            };
                            let piece = piece[..keep].to_vec();
                            let change = Change::Write(at + index * SECTOR_BYTES, piece);
                            apply(&mut self.nodes[node].durable, &change);
                        }
                    }
                }
            }
        }
    }
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(World {
            dice: Dice(seed),
            nodes: Vec::new(),
            names: BTreeMap::new(),
            names_durable: BTreeMap::new(),
            names_pending: Vec::new(),
            is_locked: false,
            fail_one_in: 0,
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no test panics while it holds the world")
    }

    pub(crate) fn fail_one_in(&self, n: usize) {
        self.world().fail_one_in = n;
    }

    /// Power fails: a random part of what was not durable is lost.
    pub(crate) fn crash(&self) {
        let world = &mut *self.world();
        let pending = std::mem::take(&mut world.names_pending);
        for change in pending {
            if world.dice.one_in(2) {
                apply_name(&mut world.names_durable, &change);
            }
        }
        world.names = world.names_durable.clone();
        for node in 0..world.nodes.len() {
            world.settle_some(node);
            world.nodes[node].cached = world.nodes[node].durable.clone();
        }
        world.is_locked = false;
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let world = self.world();
        let name = |p: &PathBuf| p.file_name().map(|n| n.to_string_lossy().into_owned());
        world.names.keys().filter_map(name).collect()
    }

    /// Flips one bit of a file that is durable.
    pub(crate) fn rot(&self, name: &str, at: usize) {
        let world = &mut *self.world();
        let node = world.node(&Path::new("j").join(name)).expect("the file is there");
        world.nodes[node].durable[at] ^= 1;
        world.nodes[node].cached[at] ^= 1;
    }

    pub(crate) fn length(&self, name: &str) -> usize {
        let world = self.world();
        let node = world.node(&Path::new("j").join(name)).expect("the file is there");
        world.nodes[node].cached.len()
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let file = self.create(&Path::new("j").join(name)).expect("creates");
        file.write_at(bytes, 0).expect("writes");
    }
}

#[derive(Debug)]
struct SimFile(SimDisk, usize);

#[derive(Debug)]
struct SimLock(SimDisk);

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.world().is_locked = false;
    }
}

impl FileLayer for SimDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        assert_eq!(dir, Path::new("j"));
        Ok(self.names())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn LayerFile>> {
        let mut world = self.world();
        world.maybe_fail()?;
        let node = match world.node(path) {
            Ok(node) => {
                apply(&mut world.nodes[node].cached, &Change::Truncate(0));
                world.nodes[node].pending.push(Change::Truncate(0));
                node
            }
            Err(_) => {
                world.nodes.push(Node::default());
                let node = world.nodes.len() - 1;
                world.change_names(DirChange::Link(path.to_owned(), node));
                node
            }
        };
        Ok(Box::new(SimFile(self.clone(), node)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn LayerFile>> {
        let node = self.world().node(path)?;
        Ok(Box::new(SimFile(self.clone(), node)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.maybe_fail()?;
        world.node(from)?;
        world.change_names(DirChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.maybe_fail()?;
        world.node(path)?;
        world.change_names(DirChange::Unlink(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let world = &mut *self.world();
        world.maybe_fail()?;
        world.names_pending.clear();
        world.names_durable = world.names.clone();
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Lock>> {
        let mut world = self.world();
        if std::mem::replace(&mut world.is_locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock(self.clone())))
    }
}

impl LayerFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.world().nodes[self.1].cached.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.0.world();
        let bytes = world.nodes[self.1].cached.get(offset as usize..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let world = &mut *self.0.world();
        let result = world.maybe_fail();
        let written = match &result {
            Ok(()) => bytes.len(),
            Err(_) => world.dice.below(bytes.len() + 1),
        };
        let change = Change::Write(offset as usize, bytes[..written].to_vec());
        apply(&mut world.nodes[self.1].cached, &change);
        world.nodes[self.1].pending.push(change);
        result
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        Ok(self.0.world().names.get(path) == Some(&self.1))
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let world = &mut *self.0.world();
        world.maybe_fail()?;
        let change = Change::Truncate(length as usize);
        apply(&mut world.nodes[self.1].cached, &change);
        world.nodes[self.1].pending.push(change);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let world = &mut *self.0.world();
        if let Err(error) = world.maybe_fail() {
            // As kernels do: the pages are called clean, whatever became of them.
            world.settle_some(self.1);
            return Err(error);
        }
        let node = &mut world.nodes[self.1];
        node.pending.clear();
        node.durable = node.cached.clone();
        Ok(())
    }
}
