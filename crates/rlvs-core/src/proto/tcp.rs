//! TCP: the director guesses the state of both ends from the flags that pass by.
//!
//! The first that applies of RST, SYN, FIN, ACK is the event; a segment with none of them closes. With DR and TUN
//! the director never sees the server's segments, so those connections use the table [`View::InputOnly`].

use super::View;
use crate::wire::tcp_flags::{ACK, FIN, RST, SYN};

pub const NONE: u8 = 0;
pub const ESTABLISHED: u8 = 1;
pub const SYN_SENT: u8 = 2;
pub const SYN_RECV: u8 = 3;
pub const FIN_WAIT: u8 = 4;
pub const TIME_WAIT: u8 = 5;
pub const CLOSE: u8 = 6;
pub const CLOSE_WAIT: u8 = 7;
pub const LAST_ACK: u8 = 8;
pub const LISTEN: u8 = 9;
pub const SYNACK: u8 = 10;

pub const NAMES: [&str; 11] = [
    "NONE",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "SYNACK",
];

/// Default timeouts in seconds, by state.
pub const TIMEOUT_SECS: [u32; 11] = [2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120];

/// Half-open and open connections are active, closing ones are not.
#[inline(always)]
pub const fn is_active(state: u8) -> bool {
    matches!(state, ESTABLISHED | SYN_SENT | SYN_RECV | SYNACK)
}

const NO: u8 = NONE;
const ES: u8 = ESTABLISHED;
const SS: u8 = SYN_SENT;
const SR: u8 = SYN_RECV;
const FW: u8 = FIN_WAIT;
const TW: u8 = TIME_WAIT;
const CL: u8 = CLOSE;
const CW: u8 = CLOSE_WAIT;
const LA: u8 = LAST_ACK;
const LI: u8 = LISTEN;
const SA: u8 = SYNACK;

/// A row: the next state for each state (16 columns, so that an index can be masked).
type Row = [u8; 16];

const fn row(r: [u8; 11]) -> Row {
    let mut out = [CL; 16];
    let mut i = 0;
    while i < 11 {
        out[i] = r[i];
        i += 1;
    }
    out
}

const SYN_EVENT: usize = 0;
const FIN_EVENT: usize = 1;
const ACK_EVENT: usize = 2;
const RST_EVENT: usize = 3;

/// Rows by view (3) and event (4, in the order above); a second set of 12 for secure_tcp.
static TABLE: [Row; 32] = {
    let mut t = [row([NO; 11]); 32];
    //            NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
    t[0] = row([SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR]);
    t[1] = row([CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW]);
    t[2] = row([ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES]);
    t[3] = row([CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR]);
    // from the server
    t[4] = row([SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR]);
    t[5] = row([TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW]);
    t[6] = row([ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES]);
    t[7] = row([CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL]);
    // from the client, the server is not seen
    t[8] = row([SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR]);
    t[9] = row([CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW]);
    t[10] = row([ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES]);
    t[11] = row([CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL]);
    // secure_tcp: established only after the server was heard
    t[16] = row([SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SA]);
    t[17] = row([CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, SA]);
    t[18] = row([ES, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA]);
    t[19] = row([CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL]);
    t[20] = row([SS, ES, SS, SA, SS, SS, SS, SS, SS, LI, SA]);
    t[21] = row([TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW]);
    t[22] = row([ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES]);
    t[23] = row([CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL]);
    t[24] = row([SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA]);
    t[25] = row([CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW]);
    t[26] = row([ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES]);
    t[27] = row([CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL]);
    t
};

/// The state after a segment with these flags.
#[inline(always)]
pub fn next(flags: u8, view: View, state: u8, secure: bool) -> u8 {
    let event = if flags & RST != 0 {
        RST_EVENT
    } else if flags & SYN != 0 {
        SYN_EVENT
    } else if flags & FIN != 0 {
        FIN_EVENT
    } else if flags & ACK != 0 {
        ACK_EVENT
    } else {
        return CLOSE;
    };
    let view = match view {
        View::Input => 0,
        View::Output => 4,
        View::InputOnly => 8,
    };
    let secure = if secure { 16 } else { 0 };
    TABLE[(secure + view + event) & 31][(state & 15) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(view: &[(View, u8)]) -> u8 {
        view.iter().fold(NONE, |s, (v, f)| next(*f, *v, s, false))
    }

    #[test]
    fn a_whole_connection_seen_from_both_sides() {
        use View::*;
        assert_eq!(walk(&[(Input, SYN)]), SYN_RECV);
        assert_eq!(walk(&[(Input, SYN), (Output, SYN | ACK), (Input, ACK)]), ESTABLISHED);
        let fin = [(Input, SYN), (Output, SYN | ACK), (Input, ACK), (Input, FIN | ACK)];
        assert_eq!(walk(&fin), CLOSE_WAIT);
        assert_eq!(next(FIN | ACK, Output, CLOSE_WAIT, false), TIME_WAIT);
        assert_eq!(
            walk(&[(Input, SYN), (Input, RST)]),
            SYN_RECV,
            "a client's RST in SYN_RECV changes nothing"
        );
    }

    #[test]
    fn seen_from_the_client_only() {
        use View::*;
        assert_eq!(walk(&[(InputOnly, SYN), (InputOnly, ACK), (InputOnly, FIN | ACK)]), FIN_WAIT);
        assert_eq!(walk(&[(InputOnly, SYN), (InputOnly, 0)]), CLOSE, "no flags close");
    }

    #[test]
    fn secure_tcp_waits_for_the_server() {
        use View::*;
        assert_eq!(next(ACK, Input, SYN_RECV, true), SYN_RECV);
        assert_eq!(next(SYN | ACK, Output, SYN_RECV, true), SYNACK);
    }
}
