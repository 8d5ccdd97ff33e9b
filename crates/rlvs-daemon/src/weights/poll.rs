//! Asking: an agent over TCP, or a script. Each within a time limit, and no more is read than an answer may have.

use super::answer::{Answer, LONGEST, LONGEST_JSON, Refused};
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error(transparent)]
    System(#[from] io::Error),
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The script.
    #[error("it ended with {0}")]
    Status(std::process::ExitStatus),
}

/// Connects and reads one answer, as HAProxy does with `agent-check`.
pub async fn poll(agent: SocketAddr, limit: Duration) -> Result<Answer, Error> {
    within(limit, async {
        let mut stream = TcpStream::connect(agent).await?;
        Ok(Answer::parse(&line(&mut stream).await?)?)
    })
    .await
}

/// Asks for a page of JSON, as `rlvs realserver agent` has it on the same port: more is known then.
pub async fn poll_json(agent: SocketAddr, limit: Duration) -> Result<Answer, Error> {
    const HEAD: usize = 8 << 10;
    within(limit, async {
        let mut stream = TcpStream::connect(agent).await?;
        stream.write_all(format!("GET / HTTP/1.0\r\nHost: {agent}\r\n\r\n").as_bytes()).await?;
        let mut bytes = Vec::new();
        let most = (HEAD + LONGEST_JSON) as u64;
        stream.take(most).read_to_end(&mut bytes).await?;
        Ok(Answer::of_http(&bytes)?)
    })
    .await
}

/// A program whose first line of output is the answer.
#[derive(Clone, Debug)]
pub struct Script {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// Whom it runs as (user and group id, no other groups); None: whoever we are.
    pub user: Option<(u32, u32)>,
}

impl Script {
    pub async fn poll(&self, limit: Duration) -> Result<Answer, Error> {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        poll_command(command, limit).await
    }
}

/// Runs a program. When its time is up it is killed, with what it started in its own process group.
pub async fn poll_command(mut command: Command, limit: Duration) -> Result<Answer, Error> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.kill_on_drop(true).process_group(0);
    let mut child = command.spawn()?;
    let group = child.id().map(|id| nix::unistd::Pid::from_raw(id as i32));
    let answered = within(limit, async {
        let mut bytes = vec![];
        if let Some(stdout) = &mut child.stdout {
            bytes = line(stdout).await?;
        }
        // What more it says is nobody's: it may get a broken pipe.
        drop(child.stdout.take());
        let status = child.wait().await?;
        if !status.success() && bytes.is_empty() {
            return Err(Error::Status(status));
        }
        Ok(Answer::parse(&bytes)?)
    })
    .await;
    // Not reaped yet: the number is still that group's.
    if let (Err(_), Some(group), Some(_)) = (&answered, group, child.id()) {
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = child.wait().await;
    }
    answered
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(Error::Late(limit)))
}

/// Up to a line's end, or the end; JSON to its end. One byte more than an answer may have, so that it is refused.
async fn line(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(LONGEST + 1);
    loop {
        let is_json = bytes.trim_ascii_start().first() == Some(&b'{');
        let most = if is_json { LONGEST_JSON } else { LONGEST } + 1;
        let is_over = !is_json && bytes.iter().any(|b| matches!(b, b'\r' | b'\n'));
        let room = most.saturating_sub(bytes.len()) as u64;
        if is_over || room == 0 || (&mut *from).take(room).read_buf(&mut bytes).await? == 0 {
            return Ok(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Admin;
    use super::*;
    use std::time::Instant;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    /// Polls an agent that writes these pieces, then closes (or holds) the connection.
    fn answered(pieces: &'static [&'static [u8]], holds: bool) -> Result<Answer, Error> {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let agent = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                for piece in pieces {
                    let _ = stream.write_all(piece).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                if holds {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            });
            let answer = poll(addr, Duration::from_millis(500)).await;
            agent.abort();
            answer
        })
    }

    #[test]
    fn agents_are_asked() {
        assert_eq!(answered(&[b"up 5", b"0%\n"], false).unwrap().weight_percent, Some(50));
        assert_eq!(answered(&[b"drain"], false).unwrap().admin, Some(Admin::Drain));
        assert_eq!(
            answered(&[b"75%\n"], true).unwrap().weight_percent,
            Some(75),
            "no need to wait for the end"
        );
        assert!(matches!(answered(&[b"75%"], true), Err(Error::Late(_))), "half an answer");
        assert!(matches!(answered(&[], false), Err(Error::Refused(Refused::Empty))));
        assert!(matches!(answered(&[&[b'x'; 4000]], true), Err(Error::Refused(Refused::TooLong))));
        let json = answered(&[b"{\"words\":\n", b"\"up 20%\"}\n"], false).unwrap();
        assert_eq!(json.weight_percent, Some(20));
        assert!(matches!(answered(&[&[b'{'; 40_000]], true), Err(Error::Refused(Refused::TooLong))));
        let nobody = run(async {
            let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            poll(free, Duration::from_secs(1)).await
        });
        assert!(matches!(nobody, Err(Error::System(_))), "{nobody:?}");
    }

    fn script(text: &str, limit: Duration) -> Result<Answer, Error> {
        let args = vec!["-c".into(), text.into()];
        run(Script { program: "/bin/sh".into(), args, user: None }.poll(limit))
    }

    #[test]
    fn scripts_are_asked() {
        let second = Duration::from_secs(5);
        assert_eq!(script("echo 40%; echo more", second).unwrap().weight_percent, Some(40));
        assert!(matches!(script("exit 3", second), Err(Error::Status(s)) if s.code() == Some(3)));
        assert!(
            matches!(script("echo hello", second), Err(Error::Refused(Refused::Word(w))) if w == "hello")
        );
        assert!(matches!(script("yes | tr -d '\\n'", second), Err(Error::Refused(Refused::TooLong))));
        let began = Instant::now();
        assert!(matches!(script("sleep 60 & wait", Duration::from_millis(200)), Err(Error::Late(_))));
        assert!(began.elapsed() < Duration::from_secs(3), "killed");
    }
}
