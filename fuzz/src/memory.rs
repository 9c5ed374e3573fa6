//! A file system in memory, for decoders that read files. It loses nothing: what a crash does to a
//! file is another trial's.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use journal::{FileLayer, LayerFile, Lock};

type Files = BTreeMap<PathBuf, Arc<Mutex<Vec<u8>>>>;

/// The files by their paths. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Files>>);

/// A file, and where it stood.
#[derive(Debug)]
struct Open(Arc<Mutex<Vec<u8>>>, Memory);

#[derive(Debug)]
struct Held;

impl Lock for Held {}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// Puts a file there.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        locked(&self.0).insert(path.into(), Arc::new(Mutex::new(bytes.to_vec())));
    }

    /// What a file holds; `None` if it is not there.
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        locked(&self.0).get(Path::new(path)).map(|file| locked(file).clone())
    }
}

impl FileLayer for Memory {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let files = locked(&self.0);
        let inside = files.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn LayerFile>> {
        let file = Arc::new(Mutex::new(Vec::new()));
        locked(&self.0).insert(path.to_owned(), Arc::clone(&file));
        Ok(Box::new(Open(file, self.clone())))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn LayerFile>> {
        let file = locked(&self.0).get(path).cloned();
        Ok(Box::new(Open(file.ok_or(io::ErrorKind::NotFound)?, self.clone())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = locked(&self.0);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        locked(&self.0).remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Lock>> {
        Ok(Box::new(Held))
    }
}

impl LayerFile for Open {
    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.0).len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = locked(&self.0);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let rest = bytes.get(from..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut file = locked(&self.0);
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let end = from + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        for (to, from) in file.iter_mut().skip(from).zip(bytes) {
            *to = *from;
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        locked(&self.0).resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let files = locked(&self.1.0);
        Ok(files.get(path).is_some_and(|file| Arc::ptr_eq(file, &self.0)))
    }
}
