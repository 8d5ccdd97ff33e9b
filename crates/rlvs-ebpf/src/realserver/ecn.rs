//! Congestion marks when a header goes away: RFC 6040, section 4.2, the normal mode of decapsulation.
//!
//! | outer \ inner | Not-ECT | ECT  | CE |
//! |---------------|---------|------|----|
//! | not CE        | Not-ECT | ECT  | CE |
//! | CE            | drop    | CE   | CE |
//!
//! One cell of the RFC is left out: outer ECT(1) over inner ECT(0) stays ECT(0).

/// The bits of "congestion experienced" in a TOS byte or traffic class.
pub const CE: u8 = 0b11;

/// The ECN field of an IPv4 header's TOS byte, or of an IPv6 traffic class.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ecn(u8);

impl Ecn {
    const NOT_ECT: Ecn = Ecn(0b00);
    const CE: Ecn = Ecn(CE);

    pub fn is_ce(self) -> bool {
        self == Ecn::CE
    }

    pub fn of(tos: u8) -> Ecn {
        Ecn(tos & 0b11)
    }
}

/// What the inner packet needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Keep,
    SetCe,
    Drop,
}

pub fn decapsulate(outer: Ecn, inner: Ecn) -> Mark {
    match (outer == Ecn::CE, inner == Ecn::NOT_ECT) {
        (false, _) => Mark::Keep,
        (true, false) => Mark::SetCe,
        (true, true) => Mark::Drop,
    }
}
