//! SIP messages: reading their Call-ID in TC, and keeping its text for listings.

use crate::maps::{self, MESSAGE_LEN, Message};
use crate::steps::tables;
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated as helpers;
use core::ffi::c_void;
use rlvs_core::conn::{Sets, Step};
use rlvs_core::maps::CALL_ID_LEN;
use rlvs_core::proto::sip::{LOOKED_AT, Reader};
use rlvs_core::wire::{Be32, ip_proto};

/// Is a service there that asks for it, and is the packet of a protocol that may have it?
#[inline(always)]
pub fn are_asked_for(proto: u8) -> bool {
    proto == ip_proto::UDP && maps::SETTINGS.get(0).is_some_and(|s| s.sip_services != 0)
}

/// What the call of a message is known by, 0 for none: one of `len` bytes that begins at this offset of the packet.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rlvs_call_of(skb: *mut __sk_buff, at: u32, len: u32) -> u64 {
    let Some(message) = maps::MESSAGE.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: this processor's own, see `Scratch`.
    let message = unsafe { &mut *message };
    if len == 0 {
        return 0;
    }
    let len = len.min(LOOKED_AT);
    // The same number, in a form that shows the verifier of Linux 6.1 that it is not 0.
    let len = (core::hint::black_box(len.wrapping_sub(1)) & (MESSAGE_LEN as u32 - 1)) + 1;
    // SAFETY: the buffer is as long as the masked length can be.
    let read = unsafe {
        helpers::bpf_skb_load_bytes(skb.cast(), at, message.bytes.as_mut_ptr().cast::<c_void>(), len)
    };
    if read != 0 {
        return 0;
    }
    let tables = tables::<Be32>();
    let mut reading = Reading { message, reader: Reader::new(tables.seed(), tables.unknown(0)), len };
    tables.repeat(LOOKED_AT, &mut reading);
    let reader = reading.reader;
    let call = reader.call();
    if call != 0 {
        message.id_at = reader.start;
        // Its end, for who reads the text.
        let end = reader.start.wrapping_add(reader.len) as usize & (MESSAGE_LEN - 1);
        // SAFETY: masked to the buffer.
        unsafe { message.bytes.as_mut_ptr().add(end).write_volatile(0) };
    }
    call
}

struct Reading {
    message: *mut Message,
    reader: Reader,
    len: u32,
}

impl Step for Reading {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let at = self.reader.at();
        if at >= self.len {
            return true;
        }
        // SAFETY: masked to the buffer.
        let byte = unsafe {
            (&raw const (*self.message).bytes)
                .cast::<u8>()
                .add(at as usize & (MESSAGE_LEN - 1))
                .read_volatile()
        };
        self.reader.read(byte)
    }
}

/// Keeps the Call-ID that was read last, under the template's key.
#[inline(always)]
pub fn keep(template: &[u32; 2]) {
    let Some(message) = maps::MESSAGE.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: this processor's own; what is looked at ends so far before the end of the buffer that an ID of full length
    // fits.
    unsafe {
        let at = (&raw const (*message).id_at).read_volatile() as usize & (MESSAGE_LEN - 1);
        let at = at.min(MESSAGE_LEN - CALL_ID_LEN);
        let text: &[u8; CALL_ID_LEN] = &*(&raw const (*message).bytes).cast::<u8>().add(at).cast();
        let _ = maps::CALLS.insert(template, text, 0);
    }
}

#[inline(always)]
pub fn forget(template: &[u32; 2]) {
    let _ = maps::CALLS.remove(template);
}
