//! `cargo xtask bpf`: crates/rlvs-ebpf becomes the objects that rlvs-control embeds.
//!
//! The objects are committed, so users need no BPF toolchain. That asks for one thing: the same sources give the
//! same bytes in every directory and on every machine, else nobody could tell whether the object is what the
//! sources say. `--check` rebuilds from nothing and compares. `--clippy` lints what the host's clippy never sees: code
//! behind `cfg(target_arch = "bpf")`.

use crate::{shell, toolchain};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use toolchain::Toolchain;

const PROGRAMS: [&str; 3] = ["rlvs-director", "rlvs-realserver", "rlvs-bench"];
const OBJECTS: &str = "crates/rlvs-control/bpf";
const TARGET: &str = "bpfel-unknown-none";

#[derive(clap::Args)]
pub struct Args {
    /// Change nothing: rebuild in a fresh directory and compare with the committed objects
    #[arg(long)]
    check: bool,
    /// Change nothing: run clippy on the programs, and let no warning pass
    #[arg(long, conflicts_with = "check")]
    clippy: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let tools = Toolchain::find()?;
    let workspace = shell::workspace();
    if args.check {
        let scratch = Scratch::new()?;
        build(&tools, &workspace, &scratch.0)?;
        return check(&tools, &workspace.join(OBJECTS), &scratch.0);
    }
    let target = workspace.join("target/bpf");
    if args.clippy {
        return clippy(&tools, &workspace, &target);
    }
    build(&tools, &workspace, &target)?;
    let objects = workspace.join(OBJECTS);
    std::fs::create_dir_all(&objects)?;
    for program in PROGRAMS {
        let object = objects.join(file_name(program));
        replace(&object, &std::fs::read(built(&target, program))?)?;
        println!("{}", describe(&object)?);
    }
    replace(&objects.join("TOOLCHAIN"), tools.versions.to_string().as_bytes())
}

/// Leaves a file with these bytes alone, so that nothing is built anew because of it.
fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    std::fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))
}

/// Compiles, strips and inspects every program; `built` tells where they are then.
fn build(tools: &Toolchain, workspace: &Path, target: &Path) -> Result<()> {
    compile(tools, workspace, target)?;
    for program in PROGRAMS {
        let object = built(target, program);
        let raw = target.join(TARGET).join("bpf").join(program);
        // Debug sections go; .BTF and .BTF.ext, which the kernel reads, stay.
        shell::run(Command::new(&tools.objcopy).arg("--strip-debug").arg(&raw).arg(&object))?;
        refuse_undefined(tools, &object)?;
    }
    Ok(())
}

fn compile(tools: &Toolchain, workspace: &Path, target: &Path) -> Result<()> {
    // So that the folders of the registries exist when `rustflags` looks for them.
    let mut fetch = inner_cargo(tools, workspace, &tools.cargo);
    shell::run(fetch.args(["fetch", "--quiet", "--locked", "--target", TARGET]))?;
    shell::run(&mut on_the_programs(tools, workspace, target, &tools.cargo, "build"))
}

fn clippy(tools: &Toolchain, workspace: &Path, target: &Path) -> Result<()> {
    // Not `cargo clippy`: cargo would find rustup's in its home before Debian's.
    let driver = Path::new("/usr/bin/cargo-clippy");
    if !driver.exists() {
        bail!("{} is missing: {}", driver.display(), toolchain::CLIPPY);
    }
    let mut clippy = on_the_programs(tools, workspace, target, driver, "clippy");
    shell::run(clippy.env("CARGO", &tools.cargo).args(["--", "--deny", "warnings"]))
}

/// `cargo VERB` on crates/rlvs-ebpf for BPF.
fn on_the_programs(tools: &Toolchain, workspace: &Path, target: &Path, cargo: &Path, verb: &str) -> Command {
    let mut cargo = inner_cargo(tools, workspace, cargo);
    cargo.args([verb, "--locked", "--package", "rlvs-ebpf", "--profile", "bpf"]);
    cargo.args(["--target", TARGET, "-Z", "build-std=core"]);
    cargo.arg("--target-dir").arg(target);
    // Encoded: a path may have a space.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rustflags(workspace).join("\x1f"));
    cargo
}

/// Debian's cargo with nothing of the cargo (and rustup) that runs us: their variables would choose another
/// compiler, or another set of flags.
fn inner_cargo(tools: &Toolchain, workspace: &Path, cargo: &Path) -> Command {
    let mut cargo = Command::new(cargo);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let kept = text == "CARGO_HOME"
            || ["CARGO_HTTP", "CARGO_NET", "CARGO_REGISTR"].iter().any(|p| text.starts_with(p));
        if (text.starts_with("CARGO") || text.starts_with("RUST")) && !kept {
            cargo.env_remove(&name);
        }
    }
    // Set by `cargo run` so that a program finds the outer compiler's libraries.
    cargo.env_remove("LD_LIBRARY_PATH");
    let dirs = [tools.rustc.parent(), tools.bpf_linker.parent()].into_iter().flatten().map(Path::to_path_buf);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(dirs.chain(std::env::split_paths(&path))).expect("PATH was one before");
    cargo.env("PATH", path).env("RUSTC", &tools.rustc).env("RUSTC_BOOTSTRAP", "1").current_dir(workspace);
    cargo
}

fn rustflags(workspace: &Path) -> Vec<String> {
    let cargo_home = toolchain::cargo_home();
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec![
        r#"--cfg=bpf_target_arch="x86_64""#.to_string(),
        "-Cdebuginfo=2".to_string(),
        "-Clink-arg=--btf".to_string(),
        "-Ctarget-cpu=v3".to_string(),
        // BTF has the path of each source file, and its lines where LLVM finds a file of that path: so these
        // begin with a directory that nobody has. A later flag wins over an earlier one.
        remap(Path::new("/usr/lib/rustlib/src/rust"), "/-/rust"),
        remap(&cargo_home, "/-/cargo"),
    ];
    // The folder's name depends on where this machine gets its crates from.
    let registries = std::fs::read_dir(cargo_home.join("registry/src")).into_iter().flatten().flatten();
    flags.extend(registries.map(|registry| remap(&registry.path(), "/-/cargo")));
    flags.push(remap(workspace, "/-/rlvs"));
    flags
}

/// bpf-linker leaves a call to nowhere in the object, and the kernel refuses it with hardly a word.
fn refuse_undefined(tools: &Toolchain, object: &Path) -> Result<()> {
    let undefined = shell::output(Command::new(&tools.nm).arg("--undefined-only").arg(object))?;
    if !undefined.trim().is_empty() {
        bail!(
            "{} has undefined symbols (a panic that was not optimised away?):\n{undefined}",
            object.display()
        );
    }
    Ok(())
}

fn check(tools: &Toolchain, committed: &Path, target: &Path) -> Result<()> {
    let mut differ = false;
    for program in PROGRAMS {
        let (old, new) = (committed.join(file_name(program)), built(target, program));
        let bytes = |file: &Path| std::fs::read(file).with_context(|| format!("reading {}", file.display()));
        if bytes(&old)? == bytes(&new)? {
            println!("{}  as the sources give it", describe(&old)?);
        } else {
            differ = true;
            println!("committed  {}", describe(&old)?);
            println!("rebuilt    {}", describe(&new)?);
        }
    }
    if !differ {
        return Ok(());
    }
    let recorded = std::fs::read_to_string(committed.join("TOOLCHAIN")).unwrap_or_default();
    let here = tools.versions.to_string();
    if recorded != here {
        println!(
            "The toolchain differs.\nThe committed objects were built with\n{recorded}and here is\n{here}"
        );
    }
    bail!("the committed objects are not what the sources give: run `cargo xtask bpf` and commit {OBJECTS}");
}

fn file_name(program: &str) -> String {
    format!("{program}.bpf.o")
}

fn built(target: &Path, program: &str) -> PathBuf {
    target.join(file_name(program))
}

/// `sha256  size  name`
fn describe(object: &Path) -> Result<String> {
    let sum = shell::output(Command::new("sha256sum").arg(object))?;
    let sum = sum.split_whitespace().next().unwrap_or_default();
    let size = std::fs::metadata(object)?.len();
    let name = object.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{sum}  {size:>7} bytes  {name}"))
}

/// A directory that is gone when this is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let dir = std::env::temp_dir().join(format!("rlvs-bpf-check-{}", std::process::id()));
        std::fs::create_dir(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(Scratch(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
