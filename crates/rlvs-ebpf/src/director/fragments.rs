//! Fragments in TC: those that come before the first one of their datagram are set aside (a program cannot hold a packet, so
//! the bytes are copied), and when that comes they come in again after it.

use crate::family::Family;
use crate::frame::{bounded, ptr};
use crate::maps;
use crate::memory::Words;
use crate::steps::tables;
use crate::tables::count_drop;
use crate::tc;
use aya_ebpf::bindings::{__sk_buff, BPF_F_INGRESS, BPF_F_RECOMPUTE_CSUM};
use aya_ebpf::helpers::generated as helpers;
use core::ffi::c_void;
use rlvs_core::maps::{Datagram, FragmentKey, global};
use rlvs_core::mem::Mem;
use rlvs_core::path::fragment::{self, ARRIVAL_SECS};
use rlvs_core::path::{DropReason, Located, Tables};
use rlvs_core::wire::{Be32, Packet};

/// Fragments that can wait at once, and the longest frame that can.
pub const PLACES: u32 = 256;
const FRAME_LEN: u32 = 2048;

/// Words of a place, before the frame.
const STATE: usize = 0;
const LEN: usize = 1;
const SINCE: usize = 2;
const IFINDEX: usize = 3;
const KEY: usize = 4;
const KEY_WORDS: usize = size_of::<FragmentKey>() / 4;
const HEAD: usize = 16;
pub const PLACE_WORDS: usize = HEAD + FRAME_LEN as usize / 4;

/// States of a place.
const FREE: u32 = 0;
const BUSY: u32 = 1;
const TAKEN: u32 = 2;

/// Headers up to the ports: of Ethernet, the longest of IPv4 (or extensions of IPv6) and TCP.
const HEADERS: u32 = tc::EXTENDED_HEADERS + 60;

type Place = Words<15>;

// SAFETY (all below): values of array maps live as long as the programs.
#[inline(always)]
fn place(number: u32) -> Option<(Place, *mut u8)> {
    let value = maps::FRAGMENTS_ASIDE.get_ptr_mut(number & (PLACES - 1))?;
    Some(unsafe { (Words::new(value), value.cast::<u32>().add(HEAD).cast()) })
}

#[inline(always)]
fn global() -> Option<Words<63>> {
    maps::GLOBAL.get_ptr_mut(0).map(|p| unsafe { Words::new(p) })
}

/// What becomes of a fragment, as the code of a [`Located`]: `Up` if it was set aside.
#[inline(always)]
pub fn sort<A: Family>(skb: *mut __sk_buff, packet: &mut Packet<A>, now: u32) -> u64 {
    let read = tc::reading(skb, HEADERS, |frame| A::read_fragment(frame, packet));
    let located = fragment::sort(read, packet, &tables::<A>(), now);
    if located != Located::Up {
        return located.code();
    }
    let key = FragmentKey::of(packet);
    let Some(number) = set_aside(skb, &key, now) else {
        return Located::Drop(DropReason::FragmentLost).code();
    };
    // The first one may have come meanwhile, and not have seen this one: then it goes on, if it can be had back.
    let known = fragment::sort(Ok(()), packet, &tables::<A>(), now);
    match place(number) {
        Some((at, _)) if known != Located::Up && take(at) => {
            at.store(STATE, FREE);
            known.code()
        }
        _ => Located::Up.code(),
    }
}

/// Copies a fragment; where to.
#[inline(always)]
fn set_aside(skb: *mut __sk_buff, key: &FragmentKey, now: u32) -> Option<u32> {
    let global = global()?;
    let number = global.fetch_add(global::ASIDE_AT, 1);
    let (at, frame) = place(number)?;
    // The oldest has to give way.
    if take(at) {
        count_drop(DropReason::FragmentLost);
    } else if at.compare_swap(STATE, FREE, TAKEN) != FREE {
        return None;
    }
    // SAFETY: the context of the running program; the place has room for FRAME_LEN bytes.
    let copied = unsafe {
        let len = (&raw const (*skb).len).read_volatile();
        at.store(LEN, len);
        at.store(SINCE, now);
        at.store(IFINDEX, (&raw const (*skb).ifindex).read_volatile());
        len <= FRAME_LEN
            && helpers::bpf_skb_load_bytes(skb.cast(), 0, frame.cast(), bounded::<FRAME_LEN>(len)) == 0
    };
    let words = ptr(key).cast::<u32>();
    let mut i = 0;
    while i < KEY_WORDS {
        // SAFETY: inside the key.
        at.store(KEY + i, unsafe { words.add(i).read() });
        i += 1;
    }
    if copied {
        global.add(global::ASIDE, 1);
        at.compare_swap(STATE, TAKEN, BUSY); // with a barrier: only now it can be seen
        Some(number)
    } else {
        at.store(STATE, FREE);
        None
    }
}

/// Takes what waits there; one of several wins.
#[inline(always)]
fn take(at: Place) -> bool {
    let won = at.compare_swap(STATE, BUSY, TAKEN) == BUSY;
    if won && let Some(global) = global() {
        global.add(global::ASIDE, u32::MAX);
    }
    won
}

struct Release {
    skb: *mut __sk_buff,
    key: FragmentKey,
    now: u32,
    released: u32,
}

/// A first fragment: before anything becomes of it (`located` is the code of `New`) and after, when it is noted. If others
/// wait for it, they come in again, after a copy of itself: then 1, and the packet is used up. (So it is scheduled once; but
/// another processor may set one aside between the two looks.)
#[inline(always)]
pub fn first<A: Family>(skb: *mut __sk_buff, packet: &Packet<A>, located: u64, now: u32) -> u64 {
    let mut release = Release { skb, key: FragmentKey::of(packet), now, released: 0 };
    if located != Located::New.code() {
        let noted: Datagram = fragment::note(packet, Located::from_code(located), now);
        if maps::DATAGRAMS.insert(release.key, noted, 0).is_err() {
            return 0;
        }
    }
    if global().is_none_or(|global| global.load(global::ASIDE) == 0) {
        return 0;
    }
    // SAFETY: the callback gets the pointer to `release`, which outlives the loop.
    unsafe { helpers::bpf_loop(PLACES, look as *const () as *mut c_void, (&raw mut release).cast(), 0) };
    (release.released != 0) as u64
}

unsafe extern "C" fn look(number: u64, release: *mut c_void) -> i64 {
    // SAFETY: the pointer that `first` gave to `bpf_loop`.
    let release = unsafe { &mut *release.cast::<Release>() };
    let Some((at, frame)) = place(number as u32) else {
        return 1;
    };
    if at.load(STATE) != BUSY {
        return 0;
    }
    let words = (&raw const release.key).cast::<u32>();
    let (mut i, mut other) = (0, 0);
    while i < KEY_WORDS {
        // SAFETY: inside the key.
        other |= at.load(KEY + i) ^ unsafe { words.add(i).read() };
        i += 1;
    }
    if other != 0 || !take(at) {
        return 0;
    }
    let is_late = is_late(at, release.now);
    if is_late || come_in_again(release, at, frame).is_none() {
        count_drop(DropReason::FragmentLost);
    }
    at.store(STATE, FREE);
    0
}

#[inline(always)]
fn come_in_again(release: &mut Release, at: Place, frame: *mut u8) -> Option<()> {
    let (skb, len) = (release.skb, bounded::<FRAME_LEN>(at.load(LEN)));
    let ingress = BPF_F_INGRESS as u64;
    // SAFETY: the context of the running program; the place holds `len` bytes.
    unsafe {
        if release.released == 0 {
            let ifindex = (&raw const (*skb).ifindex).read_volatile();
            if helpers::bpf_clone_redirect(skb, ifindex, ingress) != 0 {
                return None;
            }
            release.released = 1;
        }
        let flags = BPF_F_RECOMPUTE_CSUM as u64;
        let done = helpers::bpf_skb_change_tail(skb, len, 0) == 0
            && helpers::bpf_skb_store_bytes(skb, 0, frame.cast(), len, flags) == 0
            && helpers::bpf_clone_redirect(skb, at.load(IFINDEX), ingress) == 0;
        done.then_some(())
    }
}

#[inline(always)]
fn is_late(at: Place, now: u32) -> bool {
    let limit = <_ as Tables<Be32>>::hz(&tables::<Be32>()).wrapping_mul(ARRIVAL_SECS);
    now.wrapping_sub(at.load(SINCE)) > limit
}

/// Gives up those whose first one does not come. By the timer, one after another.
#[inline(always)]
pub fn give_up(number: u32, now: u32) {
    if let Some((at, _)) = place(number)
        && at.load(STATE) == BUSY
        && is_late(at, now)
        && take(at)
    {
        count_drop(DropReason::FragmentLost);
        at.store(STATE, FREE);
    }
}

/// Does any fragment wait?
#[inline(always)]
pub fn any_waits() -> bool {
    global().is_some_and(|global| global.load(global::ASIDE) != 0)
}
