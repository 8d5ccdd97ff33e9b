//! SCTP: the state of an association, guessed from the chunks that pass by (RFC 9260, section 4).
//!
//! The type of a packet's first chunk is the event; where that is COOKIE ECHO or COOKIE ACK an ABORT behind it counts
//! instead. Only an established association is active.

use super::View;
use crate::wire::{Frame, View as _};

pub const NONE: u8 = 0;
pub const INIT1: u8 = 1;
pub const INIT: u8 = 2;
pub const COOKIE_SENT: u8 = 3;
pub const COOKIE_REPLIED: u8 = 4;
pub const COOKIE_WAIT: u8 = 5;
pub const COOKIE: u8 = 6;
pub const COOKIE_ECHOED: u8 = 7;
pub const ESTABLISHED: u8 = 8;
pub const SHUTDOWN_SENT: u8 = 9;
pub const SHUTDOWN_RECEIVED: u8 = 10;
pub const SHUTDOWN_ACK_SENT: u8 = 11;
pub const REJECTED: u8 = 12;
pub const CLOSED: u8 = 13;

pub const NAMES: [&str; 14] = [
    "NONE",
    "INIT1",
    "INIT",
    "C-SENT",
    "C-REPLIED",
    "C-WAIT",
    "COOKIE",
    "C-ECHOED",
    "ESTABLISHED",
    "S-SENT",
    "S-RECEIVED",
    "S-ACK-SENT",
    "REJECTED",
    "CLOSED",
];

/// Default timeouts in seconds, by state.
pub const TIMEOUT_SECS: [u32; 14] = [2, 4, 61, 61, 61, 61, 61, 61, 900, 61, 61, 61, 4, 61];

/// Chunk types (RFC 9260, section 3.2).
pub const INIT_CHUNK: u8 = 1;
pub const ABORT_CHUNK: u8 = 6;
const COOKIE_ECHO_CHUNK: u8 = 10;
const COOKIE_ACK_CHUNK: u8 = 11;

/// Length of the common header.
const HEADER_LEN: usize = 12;

/// The chunk that counts, of a packet whose common header (and first chunk's head, both in `head`) starts at `at`.
#[inline(always)]
pub fn deciding_chunk<F: Frame>(frame: F, at: usize, head: F::View) -> u8 {
    let first = head.u8(HEADER_LEN);
    if first == COOKIE_ECHO_CHUNK || first == COOKIE_ACK_CHUNK {
        // Chunks are padded to four bytes.
        let len = (head.be16(HEADER_LEN + 2).get() as usize + 3) & 0x7fc;
        if frame.view(at + HEADER_LEN + len, 4).is_some_and(|second| second.u8(0) == ABORT_CHUNK) {
            return ABORT_CHUNK;
        }
    }
    first
}

#[inline(always)]
pub const fn is_active(state: u8) -> bool {
    state == ESTABLISHED
}

/// Rows of the table by chunk type.
const fn event(chunk: u8) -> usize {
    match chunk {
        1 => 1,  // INIT
        2 => 2,  // INIT ACK
        10 => 3, // COOKIE ECHO
        11 => 4, // COOKIE ACK
        7 => 5,  // SHUTDOWN
        8 => 6,  // SHUTDOWN ACK
        14 => 7, // SHUTDOWN COMPLETE
        9 => 8,  // ERROR
        6 => 9,  // ABORT
        _ => 0,  // DATA, SACK, HEARTBEAT, …
    }
}

const NO: u8 = NONE;
const I1: u8 = INIT1;
const IN: u8 = INIT;
const CS: u8 = COOKIE_SENT;
const CR: u8 = COOKIE_REPLIED;
const CW: u8 = COOKIE_WAIT;
const CO: u8 = COOKIE;
const CE: u8 = COOKIE_ECHOED;
const ES: u8 = ESTABLISHED;
const SS: u8 = SHUTDOWN_SENT;
const SR: u8 = SHUTDOWN_RECEIVED;
const SA: u8 = SHUTDOWN_ACK_SENT;
const RJ: u8 = REJECTED;
const CL: u8 = CLOSED;

type Row = [u8; 16];

const fn row(r: [u8; 14]) -> Row {
    let mut out = [CL; 16];
    let mut i = 0;
    while i < 14 {
        out[i] = r[i];
        i += 1;
    }
    out
}

/// Rows by view (3) and event (10, in the order of [`event`]); the next state for each of NO I1 IN CS CR CW CO CE ES SS SR
/// SA RJ CL.
static TABLE: [Row; 32] = {
    let mut t = [row([NO; 14]); 32];
    // from the client
    t[0] = row([ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL]); // d
    t[1] = row([I1, IN, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, IN, IN]); // i
    t[2] = row([CW, CW, CW, CS, CR, CO, CO, CE, ES, SS, SR, SA, RJ, CL]); // ia
    t[3] = row([CR, IN, IN, CR, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL]); // ce
    t[4] = row([ES, I1, IN, CS, CR, CW, CO, ES, ES, SS, SR, SA, RJ, CL]); // ca
    t[5] = row([SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL]); // s
    t[6] = row([CL, IN, IN, CS, CR, CW, CO, CE, ES, CL, SR, CL, RJ, CL]); // sa
    t[7] = row([CL, CL, CL, CS, CR, CW, CO, CE, ES, SS, SR, CL, RJ, CL]); // sc
    t[8] = row([CL, I1, IN, CS, CR, CW, CO, CL, ES, SS, SR, SA, RJ, CL]); // er
    t[9] = row([CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL]); // ab
    // from the server
    t[10] = row([ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL]); // d
    t[11] = row([CW, CW, CW, CW, CW, CW, CW, CW, ES, CW, CW, CW, CW, CW]); // i
    t[12] = row([CS, CS, CS, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL]); // ia
    t[13] = row([CE, CE, CE, CE, CE, CE, CE, CE, ES, SS, SR, SA, RJ, CL]); // ce
    t[14] = row([ES, ES, ES, ES, ES, ES, ES, ES, ES, SS, SR, SA, RJ, CL]); // ca
    t[15] = row([SS, SS, SS, SS, SS, SS, SS, SS, SS, SS, SR, SA, RJ, CL]); // s
    t[16] = row([SA, SA, SA, SA, SA, CW, CO, CE, ES, SA, SA, SA, RJ, CL]); // sa
    t[17] = row([CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL]); // sc
    t[18] = row([CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, SR, SA, RJ, CL]); // er
    t[19] = row([CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL]); // ab
    // from the client, the server is not seen
    t[20] = row([ES, I1, IN, CS, CR, ES, CO, CE, ES, SS, SR, SA, RJ, CL]); // d
    t[21] = row([I1, IN, IN, IN, IN, IN, CO, CE, ES, SS, SR, SA, IN, IN]); // i
    t[22] = row([CE, CE, CE, CE, CE, CE, CO, CE, ES, SS, SR, SA, RJ, CL]); // ia
    t[23] = row([ES, ES, ES, ES, ES, ES, CO, CE, ES, SS, SR, SA, RJ, CL]); // ce
    t[24] = row([ES, I1, IN, ES, ES, CW, ES, ES, ES, SS, SR, SA, RJ, CL]); // ca
    t[25] = row([SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL]); // s
    t[26] = row([CL, IN, IN, CS, CR, CW, CO, CE, CL, CL, SR, CL, RJ, CL]); // sa
    t[27] = row([CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, CL, CL, RJ, CL]); // sc
    t[28] = row([CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL]); // er
    t[29] = row([CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL]); // ab
    t
};

/// The state after a packet.
#[inline(always)]
pub fn next(chunk: u8, view: View, state: u8) -> u8 {
    let view = match view {
        View::Input => 0,
        View::Output => 10,
        View::InputOnly => 20,
    };
    TABLE[(view + event(chunk)) & 31][(state & 15) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_association_seen_from_both_sides() {
        use View::*;
        let steps = [
            (Input, 1, INIT1),
            (Output, 2, COOKIE_SENT),
            (Input, 10, COOKIE_REPLIED),
            (Output, 11, ESTABLISHED),
            (Input, 0, ESTABLISHED),
            (Input, 7, SHUTDOWN_RECEIVED),
            (Output, 8, SHUTDOWN_ACK_SENT),
            (Input, 14, CLOSED),
        ];
        let mut state = NONE;
        for (view, chunk, expected) in steps {
            state = next(chunk, view, state);
            assert_eq!(NAMES[state as usize], NAMES[expected as usize], "after chunk {chunk}");
        }
    }

    #[test]
    fn seen_from_the_client_only() {
        use View::*;
        let after = |state, chunk| next(chunk, InputOnly, state);
        assert_eq!(after(after(NONE, 1), 10), ESTABLISHED);
        assert_eq!(after(ESTABLISHED, 6), CLOSED);
    }

    #[test]
    fn an_abort_behind_a_cookie_counts() {
        let packet = [0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 6, 1, 2, 0, 0, 6, 0, 0, 4];
        assert_eq!(deciding_chunk(&packet[..], 0, &packet[..16]), ABORT_CHUNK);
        assert_eq!(deciding_chunk(&packet[..20], 0, &packet[..16]), 10);
    }
}
