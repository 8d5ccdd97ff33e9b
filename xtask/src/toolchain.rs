//! The tools that build the packet programs: where they are, which versions, and how to get a missing one.
//!
//! BPF needs the sources of `core` and the unstable `-Z build-std`; Debian's rustc-web has both (with
//! `RUSTC_BOOTSTRAP=1`) in a version that every Debian 12 can install, so the committed object can be rebuilt
//! byte by byte. bpf-linker must use the LLVM that rustc uses. `.ci/install-bpf-toolchain` installs it all.

use crate::shell;
use anyhow::{Result, bail};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

const INSTALL: &str = ".ci/install-bpf-toolchain";
const RUST: &str = "apt-get install --no-install-recommends rustc-web cargo-web";
const RUST_SRC: &str = "apt-get install --no-install-recommends rust-web-src";
pub const CLIPPY: &str = "apt-get install --no-install-recommends rust-web-clippy";
const LLVM: &str = "apt-get install --no-install-recommends llvm-22";
const LINKER: &str = "LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 --locked \
                      --no-default-features --features llvm-22";

/// Every tool by its full path: nothing is taken from PATH by accident.
pub struct Toolchain {
    pub cargo: PathBuf,
    pub rustc: PathBuf,
    pub bpf_linker: PathBuf,
    pub objcopy: PathBuf,
    pub nm: PathBuf,
    pub versions: Versions,
}

/// What decides the bytes of the object; recorded beside it.
#[derive(PartialEq, Eq)]
pub struct Versions {
    rustc: String,
    rustc_llvm: String,
    bpf_linker: String,
    llvm: String,
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rustc: {}", self.rustc)?;
        writeln!(f, "rustc's LLVM: {}", self.rustc_llvm)?;
        writeln!(f, "bpf-linker: {}", self.bpf_linker)?;
        writeln!(f, "bpf-linker's LLVM: {}", self.llvm)
    }
}

pub fn run() -> Result<()> {
    let tools = Toolchain::find()?;
    print!("{}", tools.versions);
    Ok(())
}

impl Toolchain {
    /// All tools, or one error that names each missing one with the command that installs it.
    pub fn find() -> Result<Toolchain> {
        let mut missing = Vec::new();
        let mut need = |path: PathBuf, install: &str| {
            if !path.exists() {
                missing.push(format!("  {} is missing: {install}", path.display()));
            }
            path
        };
        let cargo = need("/usr/bin/cargo".into(), RUST);
        let rustc = need("/usr/bin/rustc".into(), RUST);
        need("/usr/lib/rustlib/src/rust/library/core/src/lib.rs".into(), RUST_SRC);
        let objcopy = need("/usr/lib/llvm-22/bin/llvm-objcopy".into(), LLVM);
        let nm = need("/usr/lib/llvm-22/bin/llvm-nm".into(), LLVM);
        let bpf_linker = need(find_bpf_linker().unwrap_or_else(|| "bpf-linker".into()), LINKER);
        if !missing.is_empty() {
            bail!(
                "cannot build the packet programs:\n{}\n`{INSTALL}` installs everything.",
                missing.join("\n")
            );
        }
        let versions = Versions::read(&rustc, &bpf_linker, &objcopy)?;
        Ok(Toolchain { cargo, rustc, bpf_linker, objcopy, nm, versions })
    }
}

impl Versions {
    fn read(rustc: &Path, bpf_linker: &Path, objcopy: &Path) -> Result<Versions> {
        let verbose = shell::output(Command::new(rustc).arg("-vV"))?;
        Ok(Versions {
            rustc: verbose.lines().next().unwrap_or_default().to_string(),
            rustc_llvm: after(&verbose, "LLVM version: "),
            bpf_linker: after(&shell::output(Command::new(bpf_linker).arg("--version"))?, "bpf-linker "),
            // bpf-linker is linked to the shared library of the llvm-22 packages, whose version llvm-objcopy tells.
            llvm: after(&shell::output(Command::new(objcopy).arg("--version"))?, "LLVM version "),
        })
    }
}

/// The rest of the line after `mark`.
fn after(text: &str, mark: &str) -> String {
    let rest = text.split_once(mark).map_or("unknown", |(_, rest)| rest);
    rest.lines().next().unwrap_or_default().trim().to_string()
}

/// In PATH, or where `cargo install` puts it (which root's PATH often lacks).
fn find_bpf_linker() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|dir| dir.join("bpf-linker"));
    in_path.chain([cargo_home().join("bin/bpf-linker")]).find(|file| file.is_file())
}

pub fn cargo_home() -> PathBuf {
    match (std::env::var_os("CARGO_HOME"), std::env::var_os("HOME")) {
        (Some(home), _) => home.into(),
        (None, Some(home)) => Path::new(&home).join(".cargo"),
        (None, None) => "/root/.cargo".into(),
    }
}
