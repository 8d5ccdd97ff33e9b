//! `cargo xtask lint`: the rules of the house that clippy does not know. One room per rule; each returns what is
//! wrong, in sentences.

mod arrows;
mod lines;
mod packet_path;

use crate::shell;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

pub fn run() -> Result<()> {
    let workspace = shell::workspace();
    let mut wrong = Vec::new();
    wrong.extend(lines::check(&workspace)?);
    wrong.extend(arrows::check(&workspace)?);
    wrong.extend(packet_path::check(&workspace)?);
    if !wrong.is_empty() {
        bail!("{} against the rules of the house:\n  {}", wrong.len(), wrong.join("\n  "));
    }
    println!("rules of the house: file length, arrows and the packet path hold");
    Ok(())
}

/// All Rust files below `dir`, sorted; neither build output nor hidden folders.
fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                files.extend(rust_files(&path)?);
            }
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
