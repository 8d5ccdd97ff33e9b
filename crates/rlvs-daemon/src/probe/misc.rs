//! MISC_CHECK: a program's exit status. One that takes too long is killed, with all it has started.

use crate::config::model::MiscCheck;
use crate::machine::{CheckSpec, Outcome};
use crate::run::scripts::Scripts;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use tokio::time::timeout;

pub async fn check(spec: &CheckSpec, misc: &MiscCheck, scripts: &Scripts) -> Outcome {
    let failed = |why: String| Outcome::Failed(why);
    let child = scripts
        .command(&misc.script, &[])
        .and_then(|mut command| Ok(command.stderr(Stdio::null()).spawn()?));
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return failed(format!("cannot run {:?}: {error:#}", misc.script.command)),
    };
    let mut group = Group(child.id());
    let patience = misc.timeout.unwrap_or(spec.timing.delay_loop);
    let ended = timeout(patience, child.wait()).await;
    if ended.is_ok() {
        group.0 = None; // its number may be another's soon; and what it has left running, it wanted to
    }
    match ended {
        Ok(Ok(status)) => match (status.code(), status.signal()) {
            (Some(code), _) => {
                u8::try_from(code).map_or(failed(format!("exit status {code}")), Outcome::Exit)
            }
            (_, signal) => failed(format!("killed by signal {}", signal.unwrap_or(0))),
        },
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => {
            drop(group);
            let _ = child.wait().await;
            failed(format!("not done within {patience:?}, and killed"))
        }
    }
}

/// The program's process group, killed when nobody waits for it any more.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.and_then(|pid| i32::try_from(pid).ok()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
