//! Makes sure that the folder of the built console exists, so that the server compiles without it.

use std::{fs, path::Path};

fn main() -> std::io::Result<()> {
    let console = Path::new("../../ui/dist");
    println!("cargo::rerun-if-changed={}", console.display());
    fs::create_dir_all(console)
}
