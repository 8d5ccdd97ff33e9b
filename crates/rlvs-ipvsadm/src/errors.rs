//! Every text on standard error, and the exit status that goes with it.
//!
//! Three kinds: a command line that cannot be cut into options (status 255), one that says something wrong
//! (status 2), and an order that the balancer refuses (255, or 1 when listing).

use crate::Io;
use crate::words::{Fault, Words};
use rlvs_control::Error;

pub const LISTING_FAILED: i32 = 1;
pub const WRONG_USE: i32 = 2;
/// What the shell sees of the original's `exit(-1)`.
pub const FAILED: i32 = 255;

/// A command line that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub text: String,
    pub status: i32,
}

impl Refusal {
    pub fn report(&self, io: &mut Io) -> i32 {
        // Nothing is left to tell when standard error is closed.
        let _ = writeln!(io.stderr, "{}", self.text);
        self.status
    }
}

/// Says why an order failed; the answer is `status`.
pub fn report(error: &Error, status: i32, io: &mut Io) -> i32 {
    let _ = writeln!(io.stderr, "{}", kernel_words(error));
    status
}

/// The original's words for the kernel's answers; ours where the original has none.
fn kernel_words(error: &Error) -> String {
    let words = match error {
        Error::ServiceExists => "Service already exists",
        Error::NoSuchService => "No such service",
        Error::ServiceNotDefined => "Service not defined",
        Error::DestinationExists => "Destination already exists",
        Error::NoSuchDestination => "No such destination",
        Error::SchedulerNotFound(_) => "Scheduler or persistence engine not found",
        Error::OutOfRange(_) => "Numerical result out of range",
        Error::Invalid(_) => "Invalid operation.  Possibly wrong module version, address not unicast, ...",
        Error::PermissionDenied(_) => "Permission denied (you must be root)",
        Error::DaemonRunning => "Daemon has already run",
        Error::NoDaemon => "No daemon is running",
        Error::NoSuchDevice(_) => "No such device",
        Error::Full { .. } => return format!("Memory allocation problem: {error}"),
        Error::NotSupported(_)
        | Error::KernelTooOld { .. }
        | Error::System { .. }
        | Error::Load { .. }
        | Error::Layout { .. } => return error.to_string(),
    };
    words.to_owned()
}

pub fn wrong_use(text: impl Into<String>) -> Refusal {
    Refusal { text: text.into(), status: WRONG_USE }
}

pub fn try_help() -> Refusal {
    let text = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.";
    Refusal { text: text.to_owned(), status: FAILED }
}

/// popt's words.
pub fn cannot_cut(words: &Words, fault: Fault) -> Refusal {
    let reason = match fault {
        Fault::Unknown => "unknown option",
        Fault::MissingArgument => "missing argument",
        Fault::UnwantedArgument => "option does not take an argument",
    };
    Refusal { text: format!("{}: {reason}", words.last_word()), status: FAILED }
}
