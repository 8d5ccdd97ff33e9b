//! Who lacks permission is told so in the original's words and with its exit status, whatever was asked; help and a
//! wrong command line need no permission. Users are changed, so this needs root.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const REFUSED: &str = "Can't initialize ipvs: Permission denied (you must be root)\n\
    Are you sure that IP Virtual Server is built in the kernel or as module?\n";

/// A copy of our program where anybody can reach it: the checkout may be in root's home.
struct Copy {
    dir: PathBuf,
}

impl Copy {
    fn new(name: &str) -> Copy {
        let dir = std::env::temp_dir().join(format!("rlvs-unprivileged-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).expect("opened");
        fs::copy(env!("CARGO_BIN_EXE_rlvs"), dir.join("rlvs")).expect("copied");
        for name in ["ipvsadm", "ipvsadm-save", "ipvsadm-restore"] {
            std::os::unix::fs::symlink("rlvs", dir.join(name)).expect("a link");
        }
        Copy { dir }
    }

    /// Runs one of our programs through `wrap`, with rules on its standard input.
    fn run(&self, line: &str, wrap: impl Fn(&PathBuf) -> Command) -> Output {
        let mut words = line.split_whitespace();
        let program = self.dir.join(words.next().expect("a program"));
        let mut command = wrap(&program);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let end = Instant::now() + Duration::from_secs(5);
        let mut child = loop {
            match command.spawn() {
                // Another test may be between fork and exec, with the copy still open for writing.
                Err(e) if e.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                child => break child.expect(line),
            }
        };
        // Programs that read nothing may be gone already.
        let _ = child.stdin.take().expect("piped").write_all(b"-A -t 10.0.0.100:80\n-A -t 10.0.0.100:81\n");
        child.wait_with_output().expect(line)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn as_nobody(program: &PathBuf) -> Command {
    // SAFETY: a plain query.
    assert_eq!(unsafe { libc::geteuid() }, 0, "this test changes users: run it as root (sudo)");
    let mut command = Command::new(program);
    command.uid(65534).gid(65534);
    command
}

/// Root of a container that may not touch the network.
fn as_powerless_root(program: &PathBuf) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]).arg(program);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn whatever_touches_the_table_is_refused() {
    let copy = Copy::new("refused");
    for line in [
        "ipvsadm",
        "ipvsadm -Ln",
        "ipvsadm -L --json",
        "ipvsadm -Lnc",
        "ipvsadm -L --timeout",
        "ipvsadm -A -t 10.0.0.100:80",
        "ipvsadm -a -t 10.0.0.100:80 -r 10.1.0.1 -m",
        "ipvsadm -C",
        "ipvsadm -Z",
        "ipvsadm -S",
        "ipvsadm -R",
        "ipvsadm --set 1 2 3",
        "ipvsadm-save -n",
        "ipvsadm-restore",
        "rlvs ipvsadm -Ln",
    ] {
        for wrap in [as_nobody, as_powerless_root] {
            let Output { status, stdout, stderr } = copy.run(line, wrap);
            assert_eq!((text(&stdout), text(&stderr)), (String::new(), REFUSED.to_owned()), "{line}");
            assert_eq!(status.code(), Some(2), "{line}");
        }
    }
}

#[test]
fn help_and_a_wrong_command_line_need_no_permission() {
    let copy = Copy::new("help");
    for (line, status, out, err) in [
        ("ipvsadm -h", 0, "--add-service", ""),
        ("ipvsadm -v", 0, "ipvsadm v1.31", ""),
        ("ipvsadm --bogus", 255, "", "Try `ipvsadm -h'"),
        ("ipvsadm -A -t 10.0.0.100", 2, "", "Zero port specified"),
        ("ipvsadm-save -h", 1, "", "Script to save"),
        ("rlvs man ipvsadm", 0, "IPVSADM", ""),
        ("rlvs completions bash", 0, "complete -F", ""),
    ] {
        let output = copy.run(line, as_nobody);
        assert_eq!(output.status.code(), Some(status), "{line}");
        let (said_out, said_err) = (text(&output.stdout), text(&output.stderr));
        assert!(said_out.contains(out) && said_err.contains(err), "{line}: {said_out}{said_err}");
        assert_eq!((said_out.is_empty(), said_err.is_empty()), (out.is_empty(), err.is_empty()), "{line}");
    }
}
