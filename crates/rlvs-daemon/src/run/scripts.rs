//! Programs that the configuration names: as whom they run, and when they are not run.

use crate::config::model::{Global, RunAs, Script};
use anyhow::{Context, Result, bail};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use tokio::process::Command;
use tokio::sync::mpsc::UnboundedSender;

/// Who runs scripts that do not say it, if he exists; as in keepalived.
const DEFAULT_USER: &str = "keepalived_script";

/// A user with all his groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    groups: Vec<libc::gid_t>,
}

/// Looks up a user and group of the configuration.
pub fn identity(run_as: &RunAs) -> Result<Identity> {
    let user = &run_as.user;
    let found =
        User::from_name(user)?.with_context(|| format!("there is no user {user} to run scripts as"))?;
    let gid = match &run_as.group {
        Some(group) => {
            Group::from_name(group)?
                .with_context(|| format!("there is no group {group} to run scripts as"))?
                .gid
        }
        None => found.gid,
    };
    Ok(of(&found, gid))
}

fn of(user: &User, gid: Gid) -> Identity {
    let name = CString::new(user.name.as_str()).unwrap_or_default();
    let groups = getgrouplist(&name, gid).unwrap_or_else(|_| vec![gid]);
    Identity {
        uid: user.uid.as_raw(),
        gid: gid.as_raw(),
        groups: groups.iter().map(|g| g.as_raw()).collect(),
    }
}

/// What is needed to run a script of one configuration.
#[derive(Clone)]
pub struct Scripts {
    default: Identity,
    secure: bool,
    failures: UnboundedSender<(String, String)>,
}

impl Scripts {
    /// Refuses users that are not there, of all scripts there are.
    pub fn new(
        global: &Global,
        all: &[&Script],
        failures: UnboundedSender<(String, String)>,
    ) -> Result<Scripts> {
        for script in all {
            if let Some(run_as) = &script.run_as {
                identity(run_as).with_context(|| format!("script {:?}", script.command))?;
            }
        }
        let default = match &global.script_user {
            Some(run_as) => identity(run_as).context("script_user")?,
            None => match User::from_name(DEFAULT_USER)? {
                Some(user) => of(&user, user.gid),
                None => {
                    let (uid, gid) = (Uid::effective(), Gid::effective());
                    Identity { uid: uid.as_raw(), gid: gid.as_raw(), groups: vec![gid.as_raw()] }
                }
            },
        };
        Ok(Scripts { default, secure: global.script_security, failures })
    }

    /// A command that runs as it should, in a process group of its own, with nothing to read.
    pub fn command(&self, script: &Script, more: &[String]) -> Result<Command> {
        let argv = script.argv();
        let Some((program, arguments)) = argv.split_first() else { bail!("it names no program") };
        let identity = match &script.run_as {
            Some(run_as) => identity(run_as)?,
            None => self.default.clone(),
        };
        if self.secure && identity.uid == 0 {
            check_security(Path::new(program))?;
        }
        let mut command = Command::new(program);
        command.args(arguments).args(more).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        if (identity.uid, identity.gid) != (Uid::effective().as_raw(), Gid::effective().as_raw()) {
            // SAFETY: between fork and exec only system calls are made, on memory that is there already.
            unsafe { command.pre_exec(move || become_user(&identity)) };
        }
        Ok(command)
    }

    /// Starts a script and does not wait for it; if it fails, that is told.
    pub fn spawn(&self, script: &Script, more: &[String]) -> Option<tokio::task::JoinHandle<()>> {
        let (failures, name) = (self.failures.clone(), script.command.clone());
        let child = self.command(script, more).and_then(|mut command| Ok(command.spawn()?));
        match child {
            Ok(mut child) => Some(tokio::spawn(async move {
                let ended = child.wait().await.map_err(|error| error.to_string());
                if let Err(error) = ended.and_then(judge) {
                    let _ = failures.send((name, error));
                }
            })),
            Err(error) => {
                let _ = failures.send((name, format!("{error:#}")));
                None
            }
        }
    }
}

fn judge(status: ExitStatus) -> Result<(), String> {
    match (status.success(), status.signal()) {
        (true, _) => Ok(()),
        (_, Some(signal)) => Err(format!("killed by signal {signal}")),
        _ => Err(format!("exit status {}", status.code().unwrap_or(-1))),
    }
}

fn become_user(identity: &Identity) -> std::io::Result<()> {
    // SAFETY: plain system calls; the list of groups lives longer than the call.
    let failed = unsafe {
        libc::setgroups(identity.groups.len(), identity.groups.as_ptr()) != 0
            || libc::setgid(identity.gid) != 0
            || libc::setuid(identity.uid) != 0
    };
    if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// `enable_script_security`: whoever could replace the program could run his own as root.
fn check_security(program: &Path) -> Result<()> {
    let path = if program.is_absolute() { program.to_path_buf() } else { in_path(program)? };
    let path = path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
    for part in path.ancestors() {
        let meta = part.metadata().with_context(|| format!("cannot look at {}", part.display()))?;
        let sticky_directory = meta.is_dir() && meta.mode() & 0o1000 != 0;
        if meta.uid() != 0 || (meta.mode() & 0o022 != 0 && !sticky_directory) {
            bail!(
                "enable_script_security: {} can be changed by others than root, so it is not run as root; chown and \
                 chmod it, or name a script_user",
                part.display()
            );
        }
    }
    Ok(())
}

fn in_path(program: &Path) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file());
    found.with_context(|| format!("cannot find {} in PATH", program.display()))
}
