//! Every text on standard error, and the exit status that goes with it.
//!
//! Three kinds: a command line that cannot be cut into options (status 255), one that says something wrong
//! (status 2), and an order that the balancer refuses (255, or 1 when listing, or 2 when the caller may not ask).

use crate::Io;
use crate::words::{Fault, Words};
use rlvs_control::Error;

pub const LISTING_FAILED: i32 = 1;
pub const WRONG_USE: i32 = 2;
/// What the shell sees of the original's `exit(-1)`.
pub const FAILED: i32 = 255;
pub const NOT_ALLOWED: i32 = 2;

/// A command line that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub text: String,
    pub status: i32,
    /// As a line of `-R`: nothing after it is carried out.
    pub ends_restore: bool,
}

impl Refusal {
    pub fn report(&self, io: &mut Io) -> i32 {
        // Nothing is left to tell when standard error is closed.
        let _ = writeln!(io.stderr, "{}", self.text);
        self.status
    }
}

/// Says why an order failed; the answer is `status`, except to a caller without permission.
pub fn report(error: &Error, status: i32, io: &mut Io) -> i32 {
    let _ = writeln!(io.stderr, "{}", kernel_words(error));
    if matches!(error, Error::PermissionDenied(_)) { NOT_ALLOWED } else { status }
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
        Error::PermissionDenied(_) => {
            "Can't initialize ipvs: Permission denied (you must be root)\n\
             Are you sure that IP Virtual Server is built in the kernel or as module?"
        }
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
    Refusal { text: text.into(), status: WRONG_USE, ends_restore: true }
}

pub fn try_help() -> Refusal {
    let text = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.";
    Refusal { text: text.to_owned(), status: FAILED, ends_restore: true }
}

/// popt's words.
pub fn cannot_cut(words: &Words, fault: Fault) -> Refusal {
    let reason = match fault {
        Fault::Unknown => "unknown option",
        Fault::MissingArgument => "missing argument",
        Fault::UnwantedArgument => "option does not take an argument",
    };
    Refusal { text: format!("{}: {reason}", words.last_word()), status: FAILED, ends_restore: false }
}
