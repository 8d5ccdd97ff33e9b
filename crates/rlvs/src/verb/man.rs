//! `rlvs man`: the manual pages, written from the definitions of verbs and options themselves, so that a new verb has
//! its page without anybody's doing.

use crate::Cli;
use anyhow::{Context, Result, bail};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use rlvs_ipvsadm::manual;
use std::io::Write;
use std::path::PathBuf;

/// Administration commands.
const SECTION: &str = "8";

#[derive(clap::Args)]
pub struct Args {
    /// The page: ipvsadm, rlvs, rlvs-status, … (rlvs if neither this nor a directory is given)
    name: Option<String>,
    /// Write this page, or all of them, into a directory, as NAME.8
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<()> {
    let pages = pages()?;
    let wanted = match (&args.name, &args.out) {
        (None, Some(_)) => None,
        (None, None) => Some("rlvs"),
        (Some(name), _) => Some(name.as_str()),
    };
    let chosen: Vec<&Page> = pages.iter().filter(|p| wanted.is_none_or(|w| p.name == w)).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = pages.iter().map(|p| p.name.as_str()).collect();
        bail!("no manual page {:?}; there are: {}", wanted.unwrap_or_default(), known.join(", "));
    }
    let Some(dir) = &args.out else {
        let mut out = std::io::stdout().lock();
        return chosen.iter().try_for_each(|p| out.write_all(&p.roff)).context("writing to standard output");
    };
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    for page in chosen {
        let path = dir.join(format!("{}.{SECTION}", page.name));
        std::fs::write(&path, &page.roff).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

struct Page {
    name: String,
    roff: Vec<u8>,
}

fn pages() -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for name in manual::NAMES {
        let roff = manual::page(name).unwrap_or_default().into_bytes();
        pages.push(Page { name: (*name).to_owned(), roff });
    }
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    add_verbs(&cli, &mut pages)?;
    Ok(pages)
}

/// Not every roff reads UTF-8; all know `\[u2026]` (groff_char(7)).
fn ascii(roff: &str) -> String {
    let mut text = String::with_capacity(roff.len());
    for c in roff.chars() {
        match c {
            c if c.is_ascii() => text.push(c),
            c => text.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    text
}

/// The page of a verb, and those of the verbs below it.
fn add_verbs(command: &Command, pages: &mut Vec<Page>) -> Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let source = concat!("rlvs ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .section(SECTION)
        .source(source)
        .manual("Linux Virtual Server");
    let mut roff = Vec::new();
    man.render(&mut roff)?;
    let above = if name == "rlvs" { "" } else { ".BR rlvs (8),\n" };
    writeln!(roff, ".SH \"SEE ALSO\"\n{above}.BR ipvsadm (8)")?;
    pages.push(Page { name, roff: ascii(&String::from_utf8_lossy(&roff)).into_bytes() });
    command.get_subcommands().filter(|c| !c.is_hide_set()).try_for_each(|c| add_verbs(c, pages))
}
