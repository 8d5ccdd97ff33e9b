//! `rlvs config check FILE` and `rlvs config convert FILE`: the daemon's configuration, read and said back.

use anyhow::{Result, bail};
use rlvs_daemon::config::report::{Level, Report};
use rlvs_daemon::config::source::Disk;
use rlvs_daemon::config::validate::{Finding, Places};
use rlvs_daemon::config::{Format, keepalived, load_with_places, model::Config, rules::desired_rules, toml};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Say what is wrong in a configuration file, and what its rules come to
    Check(Check),
    /// Write a configuration file in the other form: keepalived.conf as TOML, TOML as keepalived.conf
    Convert(Convert),
}

#[derive(clap::Args)]
struct Source {
    /// A keepalived.conf, or a file of our TOML form
    file: PathBuf,
    /// What FILE is [default: toml if its name ends in .toml, else keepalived]
    #[arg(long, value_enum)]
    from: Option<Form>,
    /// What lines @NAME of a keepalived.conf are for [default: this host's name up to the first dot]
    #[arg(long, short = 'i', value_name = "NAME")]
    config_id: Option<String>,
}

#[derive(clap::Args)]
struct Check {
    #[command(flatten)]
    source: Source,
    /// Warnings are errors, too
    #[arg(long)]
    strict: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Convert {
    #[command(flatten)]
    source: Source,
    /// The form to write [default: the one that FILE is not]
    #[arg(long, value_enum)]
    to: Option<Form>,
    /// Leave out what the other form has no words for, with a warning, instead of refusing
    #[arg(long)]
    lossy: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    Keepalived,
    Toml,
}

impl From<Form> for Format {
    fn from(form: Form) -> Format {
        match form {
            Form::Keepalived => Format::Keepalived,
            Form::Toml => Format::Toml,
        }
    }
}

pub fn run(args: Args) -> Result<()> {
    match args.what {
        What::Check(args) => check(args),
        What::Convert(args) => convert(args),
    }
}

fn check(args: Check) -> Result<()> {
    let Read { config, report, .. } = read(&args.source)?;
    let (errors, warnings) = (report.count(Level::Error), report.count(Level::Warning));
    let rules = if errors == 0 { desired_rules(&config) } else { Vec::new() };
    let destinations: usize = rules.iter().map(|rule| rule.destinations.len()).sum();
    let mut out = std::io::stdout().lock();
    if args.json {
        let findings: Vec<_> = report.findings().collect();
        let summary = json!({
            "usable": errors == 0,
            "virtual_servers": config.virtual_servers.len(),
            "services": rules.len(),
            "destinations": destinations,
            "findings": findings,
        });
        serde_json::to_writer_pretty(&mut out, &summary)?;
        writeln!(out)?;
    } else {
        show(&report);
        if errors == 0 {
            let servers = config.virtual_servers.len();
            let file = args.source.file.display();
            writeln!(
                out,
                "{file}: {}, which come to {} and {}",
                count(servers, "virtual server"),
                count(rules.len(), "service"),
                count(destinations, "destination"),
            )?;
        }
    }
    if errors > 0 || (args.strict && warnings > 0) {
        bail!("{}: {}, {}", args.source.file.display(), count(errors, "error"), count(warnings, "warning"));
    }
    Ok(())
}

fn convert(args: Convert) -> Result<()> {
    let Read { mut config, mut report, format, places } = read(&args.source)?;
    let to = args
        .to
        .map_or_else(|| if format == Format::Toml { Format::Keepalived } else { Format::Toml }, Format::from);
    let mut lost = Vec::new();
    if to == Format::Keepalived && !report.has_errors() {
        lost = keepalived::forget(&mut config);
    }
    let level = if args.lossy { Level::Warning } else { Level::Error };
    for finding in &lost {
        report.add(Finding { level, ..finding.clone() }.diagnostic(&places));
    }
    show(&report);
    if !lost.is_empty() && !args.lossy {
        bail!(
            "{}: not all of it can be said in a keepalived.conf; --lossy leaves out what cannot",
            args.source.file.display()
        );
    }
    if report.has_errors() {
        let errors = count(report.count(Level::Error), "error");
        bail!("{}: {errors}; nothing was written", args.source.file.display());
    }
    let text = match to {
        Format::Toml => toml::write(&config),
        Format::Keepalived => keepalived::write(&config),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

struct Read {
    config: Config,
    report: Report,
    format: Format,
    places: Places,
}

fn read(source: &Source) -> Result<Read> {
    let format = source.from.map_or_else(|| Format::of(&source.file), Format::from);
    let id = match &source.config_id {
        Some(id) => id.clone(),
        None => rlvs_daemon::run::default_config_id()?,
    };
    let (config, report, places) = load_with_places(&source.file, format, &id, &Disk);
    Ok(Read { config, report, format, places })
}

fn show(report: &Report) {
    eprint!("{}", report.render(std::io::stderr().is_terminal()));
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
