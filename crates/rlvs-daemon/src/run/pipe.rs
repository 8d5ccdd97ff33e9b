//! `lvs_notify_fifo`: a named pipe with a line for each change of a service or server.
//!
//! It is opened for reading too, so that lines wait for a reader that comes later. When it is full, lines are lost, and
//! that is said; nothing ever waits for a reader.

use super::scripts::Scripts;
use crate::config::model::Global;
use anyhow::{Context, Result, bail};
use nix::sys::stat::Mode;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::PathBuf;

pub struct Pipe {
    path: PathBuf,
    file: File,
    /// We made it, so we remove it.
    ours: bool,
}

impl Pipe {
    /// The pipe of a configuration, made if it is not there, and the program that reads it started.
    pub fn open(global: &Global, scripts: &Scripts) -> Result<Option<Pipe>> {
        let Some(fifo) = &global.notify_fifo else { return Ok(None) };
        let Some(path) = fifo.argv().into_iter().next().map(PathBuf::from) else { return Ok(None) };
        let shown = path.display();
        let ours = match nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) => true,
            Err(nix::errno::Errno::EEXIST) => false,
            Err(error) => bail!("cannot make the pipe {shown}: {error}"),
        };
        let mut open = OpenOptions::new();
        open.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        let file = open.open(&path).with_context(|| format!("cannot open the pipe {shown}"))?;
        if !file.metadata()?.file_type().is_fifo() {
            bail!("{shown} is there and is no pipe; remove it, or name another one in lvs_notify_fifo");
        }
        if ours && let Some(run_as) = &fifo.run_as {
            let id = super::scripts::identity(run_as)?;
            std::os::unix::fs::chown(&path, Some(id.uid), Some(id.gid))
                .with_context(|| format!("cannot give the pipe {shown} to {}", run_as.user))?;
        }
        if let Some(script) = &global.notify_fifo_script {
            scripts.spawn(script, &[path.to_string_lossy().into_owned()]);
        }
        Ok(Some(Pipe { path, file, ours }))
    }

    /// Takes the place of another one, which may be the same pipe.
    pub fn replace(mut self, old: Option<Pipe>) -> Pipe {
        if let Some(mut old) = old.filter(|old| old.path == self.path) {
            self.ours |= std::mem::take(&mut old.ours);
        }
        self
    }

    pub fn line(&mut self, line: &str) -> std::io::Result<()> {
        // A line is shorter than PIPE_BUF, so it is written whole or not at all.
        self.file.write_all(format!("{line}\n").as_bytes())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
