//! The folder of inputs of each target.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Target, seeds};

/// Where the inputs of a target are.
pub fn dir(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// Reads the inputs of a target in the order of their names.
///
/// # Errors
///
/// If the folder or a file of it cannot be read.
pub fn load(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir(target))? {
        paths.push(entry?.path());
    }
    paths.sort();
    paths.into_iter().map(fs::read).collect()
}

/// Writes the seeds of a target anew. What was found stays.
///
/// # Errors
///
/// If the folder or a file of it cannot be written.
pub fn write_seeds(target: &Target) -> io::Result<()> {
    let dir = dir(target);
    fs::create_dir_all(&dir)?;
    for (index, bytes) in seeds::of(target.name).into_iter().enumerate() {
        fs::write(dir.join(format!("seed-{index:02}")), bytes)?;
    }
    Ok(())
}
