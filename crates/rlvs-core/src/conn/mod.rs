//! The connection table: set-associative, one cache line per IPv4 connection, no lock.
//!
//! `CONNS` is an array of sets of 1,024 bytes. A set begins with 16 bytes of tags: byte *w* is the tag of way *w*, or 0
//! for a free way (there is no way 0); all of them are compared at once, as two 64-bit words. Word 4 counts entries
//! that passed by here because there was no room. From word 16 on come the ways, 16 words each (an IPv6 table
//! has 32-word ways). Where a connection is, follows from (protocol, client address,
//! client port) alone, as in IPVS: so the request and the reply of a masqueraded connection find the same entry, and
//! an established packet pays for one look-up in either direction.
//! Each flow has a favourite way, taken if it is free: there it is looked for first, so that in a table that is not
//! crowded one cache line is read, not two. When its home set is full it goes to the next set of its row ([`hash`]).
//!
//! Beside connections the table holds what else must be found and forgotten in time: *templates* (which server a
//! client got: persistence) and *mappings* (which server an address got: lblc and lblcr), told apart by their
//! [`Word`](entry::Word).
//!
//! An entry lives through the word [`WORD`]: *free* → *pending* → *live* → *free*; each step is one compare-and-swap,
//! so that of several processors exactly one opens an entry, and exactly one closes it and gives its load back.
//! [`table`] inserts, [`find`] finds, [`entry`] names the words of an entry; `path::expire` closes what has expired.

pub mod entry;
pub mod find;
pub mod hash;
pub mod table;
pub mod tags;

use crate::wire::Be16;
pub use entry::Entry;
pub use find::{Visit, each_kept, find_inbound, find_kept, find_outbound, find_reply};
pub use table::{Inserted, Outcome, Sets, Step, claim, insert, release, rival_wins};

/// Words and ways of a set.
pub const SET_WORDS: usize = 256;
pub const WAYS: usize = 15;
/// The word that counts entries which belong here or passed by, and went on to another set.
pub const OVERFLOWED: usize = 4;

/// The flow of a connection as a client's packet shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow<A> {
    pub client: A,
    pub virtual_addr: A,
    pub client_port: Be16,
    pub virtual_port: Be16,
    pub proto: u8,
    /// Of a template for one call (persistence engine `sip`): what the call is known by; else 0.
    pub call: u64,
}

impl<A> Flow<A> {
    /// What is asked for by a server's packet to a client: server and port stand where the virtual ones are.
    #[inline(always)]
    pub fn of_reply(proto: u8, (server, port): (A, Be16), (client, client_port): (A, Be16)) -> Flow<A> {
        Flow { client, virtual_addr: server, client_port, virtual_port: port, proto, call: 0 }
    }
}
