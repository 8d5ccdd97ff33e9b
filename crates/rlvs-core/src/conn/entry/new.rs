//! What is put into the table.

use super::Word;
use crate::conn::Flow;
use crate::conn::hash::{self, Place};
use crate::maps::NONE;
use crate::wire::{Addr, Be16, Be32};

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
    /// A link to the template it belongs to, or [`NONE`]; of a mapping, its service.
    pub control: u32,
    /// Firewall mark; of a template 0 connections; of a mapping the time of its last change.
    pub mark: u32,
    /// Packets so far: 0; of a mapping its number.
    pub serial: u32,
}

impl<A: Addr> NewEntry<A> {
    /// To be filled in, field by field: a whole one on its way from one place to another would need room on the stack.
    #[inline(always)]
    pub fn empty() -> NewEntry<A> {
        let none = A::from_words(|_| Be32(0));
        NewEntry {
            flow: Flow::empty(),
            dest_addr: none,
            dest_port: Be16(0),
            word: Word(0),
            dest: NONE,
            now: 0,
            timeout: 0,
            control: NONE,
            mark: 0,
            serial: 0,
        }
    }

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
