//! What is put into the table.

use super::Word;
use crate::conn::Flow;
use crate::conn::hash::{self, Place};
use crate::wire::{Addr, Be16};

/// What a new entry holds.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<A> {
    pub flow: Flow<A>,
    pub dest_addr: A,
    pub dest_port: Be16,
    pub word: Word,
    pub dest: u32,
    pub now: u32,
    pub timeout: u32,
    /// A link to the template it belongs to, or [`NONE`](crate::maps::NONE); of a mapping, its service.
    pub control: u32,
    /// Firewall mark; of a template 0 connections; of a mapping the time of its last change.
    pub mark: u32,
    /// Packets so far: 0; of a mapping its number.
    pub serial: u32,
}

impl<A: Addr> NewEntry<A> {
    /// Where it belongs.
    #[inline(always)]
    pub fn place(&self, seed: u64) -> Place {
        let flow = &self.flow;
        if self.word.is_kept() {
            hash::place_kept(flow.proto, flow.client, flow.virtual_addr, flow.call, seed)
        } else {
            hash::place(flow.proto, flow.client, flow.client_port, seed)
        }
    }
}
