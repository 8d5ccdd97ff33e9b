//! What a configuration needs of the system: users for its scripts, certificates, track files, the pipe. All of it is
//! made ready before the configuration takes effect, so that what is missing refuses it as a whole.

use super::pipe::Pipe;
use super::scripts::Scripts;
use crate::config::model::{CheckKind, Config, Script};
use crate::probe;
use crate::probe::via::{Around, Vias};
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

pub struct Tools {
    pub scripts: Scripts,
    pub probing: Arc<probe::Means>,
}

impl Tools {
    pub fn new(config: &Config, failures: &UnboundedSender<(String, String)>) -> Result<Tools> {
        let scripts = Scripts::new(&config.global, &all_scripts(config), failures.clone())?;
        let tls = probe::tls_config(config.tls.as_ref())?;
        let via = Vias { around: Around::of(config), ..Vias::default() };
        let probing =
            Arc::new(probe::Means { tls, scripts: scripts.clone(), patterns: Default::default(), via });
        Ok(Tools { scripts, probing })
    }

    pub fn open_pipe(&self, config: &Config) -> Result<Option<Pipe>> {
        Pipe::open(&config.global, &self.scripts)
    }
}

fn all_scripts(config: &Config) -> Vec<&Script> {
    let mut all: Vec<&Script> = Vec::new();
    all.extend(&config.global.notify_fifo);
    all.extend(&config.global.notify_fifo_script);
    for vs in &config.virtual_servers {
        all.extend(&vs.quorum_up);
        all.extend(&vs.quorum_down);
        all.extend(&vs.agent.script);
        for real in &vs.real_servers {
            all.extend(&real.notify_up);
            all.extend(&real.notify_down);
            all.extend(&real.agent.script);
            all.extend(real.checks.iter().filter_map(|check| match &check.kind {
                CheckKind::Misc(misc) => Some(&misc.script),
                _ => None,
            }));
        }
    }
    all
}

/// `init` of track files: a first number for those that are not there, or for all that say so.
pub fn write_track_files(config: &Config) -> Result<()> {
    for file in &config.track_files {
        let Some(init) = file.init else { continue };
        if init.overwrite || !Path::new(&file.file).exists() {
            std::fs::write(&file.file, format!("{}\n", init.value))
                .with_context(|| format!("cannot write the track file {}", file.file))?;
        }
    }
    Ok(())
}
