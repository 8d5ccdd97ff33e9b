//! The configuration, read and written: files as they are found, broken ones, and properties.

mod broken;
mod files;
mod fuzz;
mod models;
mod round_trip;
mod rules;
mod toml;

use rlvs_daemon::config::model::Config;
use rlvs_daemon::config::report::Report;
use rlvs_daemon::config::source::Memory;
use rlvs_daemon::config::{Format, load};
use std::path::{Path, PathBuf};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keepalived")
}

/// A `keepalived.conf` from memory.
fn parse(text: &str) -> (Config, Report) {
    load(Path::new("keepalived.conf"), Format::Keepalived, "east", &Memory::one("keepalived.conf", text))
}

fn parse_toml(text: &str) -> (Config, Report) {
    load(Path::new("rlvs.toml"), Format::Toml, "east", &Memory::one("rlvs.toml", text))
}

/// What must be without a finding.
fn good(text: &str) -> Config {
    let (config, report) = parse(text);
    assert!(report.diagnostics().is_empty(), "{report}\n{text}");
    config
}
