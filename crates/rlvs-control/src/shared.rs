//! Map memory seen directly: arrays made with `BPF_F_MMAPABLE` are mapped into this process, so that listings and
//! edits need no system call for each entry.
//!
//! Other processors write at the same time. So everything is read and written word by word, volatile, never through a
//! Rust reference; a value of several words may mix old and new, which every reader of such a value must bear.

use crate::{Error, Result};
use aya::maps::{MapData, MapInfo};
use rlvs_core::maps::{
    DestConfig, Filter, MarkRule, ServiceConfig, ServiceKey, Settings, SourceConfig, TraceConfig,
};
use rlvs_core::mem::Mem;
use std::cell::OnceCell;
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Types that are plain words: any bit pattern is a value, there is no padding.
///
/// # Safety
/// `repr(C)`, only integers (and arrays and structs of them), size and alignment a multiple of 4, no padding.
pub unsafe trait Words: Copy + 'static {}
// SAFETY: see the layout tests in rlvs-core.
unsafe impl Words for Settings {}
// SAFETY: likewise.
unsafe impl Words for Filter {}
// SAFETY: likewise.
unsafe impl Words for ServiceConfig {}
// SAFETY: likewise.
unsafe impl Words for DestConfig {}
// SAFETY: likewise.
unsafe impl Words for MarkRule {}
// SAFETY: likewise.
unsafe impl Words for SourceConfig {}
// SAFETY: likewise.
unsafe impl Words for TraceConfig {}
// SAFETY: two words.
unsafe impl Words for u64 {}
// SAFETY: so many words.
unsafe impl<const N: usize> Words for [u32; N] {}

/// A service key as aya wants it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Key(pub ServiceKey);
// SAFETY: a transparent wrapper around integers without padding.
unsafe impl aya::Pod for Key {}

/// An array map in our memory.
pub struct Shared<T> {
    start: *mut u32,
    stride_words: usize,
    len: u32,
    bytes: usize,
    _values: PhantomData<T>,
}

impl<T: Words> Shared<T> {
    pub fn map(map: &MapData, name: &str) -> Result<Shared<T>> {
        Shared::map_part(map, name, None)
    }

    /// The values from one on, so many; all of them if none are named. The first one must be where a page begins.
    fn map_part(map: &MapData, name: &str, part: Option<(u32, u32)>) -> Result<Shared<T>> {
        let info: MapInfo =
            map.info().map_err(|e| Error::system(format!("reading map {name}"), io::Error::other(e)))?;
        let (first, len) = part.unwrap_or((0, info.max_entries()));
        let stride = size_of::<T>().next_multiple_of(8);
        if info.value_size() as usize != size_of::<T>() {
            let why = format!("values have {} bytes, not {}", info.value_size(), size_of::<T>());
            return Err(Error::system(format!("reading map {name}"), io::Error::other(why)));
        }
        let bytes = stride * len as usize;
        // SAFETY: a new mapping of a file descriptor that is open; nothing of ours is touched.
        let start = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                protection,
                libc::MAP_SHARED,
                map.fd().as_fd().as_raw_fd(),
                (stride * first as usize) as libc::off_t, // maps are far smaller than 2^63 bytes
            )
        };
        if start == libc::MAP_FAILED {
            return Err(Error::system(format!("mapping {name} into memory"), io::Error::last_os_error()));
        }
        Ok(Shared { start: start.cast(), stride_words: stride / 4, len, bytes, _values: PhantomData })
    }

    pub fn len(&self) -> u32 {
        self.len
    }

    /// The words of one value. The index must be in range.
    pub fn words(&self, index: u32) -> Row<'_> {
        assert!(index < self.len, "index {index} of {}", self.len);
        // SAFETY: inside the mapping, which lives as long as `self`.
        let start = unsafe { self.start.add(index as usize * self.stride_words) };
        Row { start, len: size_of::<T>() / 4, _map: PhantomData }
    }

    pub fn get(&self, index: u32) -> T {
        let row = self.words(index);
        let mut value = MaybeUninit::<T>::uninit();
        for i in 0..size_of::<T>() / 4 {
            // SAFETY: inside `value`, which is aligned at least to 4 bytes.
            unsafe { value.as_mut_ptr().cast::<u32>().add(i).write(row.load(i)) }
        }
        // SAFETY: all words are written, and any bit pattern is a value (`Words`).
        unsafe { value.assume_init() }
    }

    /// Writes those words that differ, from the last to the first.
    pub fn set(&self, index: u32, value: &T) {
        let row = self.words(index);
        for i in (0..size_of::<T>() / 4).rev() {
            // SAFETY: inside `value`; `Words` has no padding.
            let word = unsafe { (value as *const T).cast::<u32>().add(i).read() };
            if row.load(i) != word {
                row.store(i, word);
            }
        }
    }

    /// Edits a value in place.
    pub fn edit(&self, index: u32, change: impl FnOnce(&mut T)) {
        let mut value = self.get(index);
        change(&mut value);
        self.set(index, &value);
    }
}

/// A large array map, mapped when it is first used: to map hundreds of megabytes costs more than all else a command does.
pub struct Lazy<T> {
    map: MapData,
    name: &'static str,
    len: u32,
    mapped: OnceCell<Shared<T>>,
}

impl<T: Words> Lazy<T> {
    pub fn new(map: MapData, name: &'static str) -> Result<Lazy<T>> {
        let info =
            map.info().map_err(|e| Error::system(format!("reading map {name}"), io::Error::other(e)))?;
        Ok(Lazy { len: info.max_entries(), map, name, mapped: OnceCell::new() })
    }

    pub fn len(&self) -> u32 {
        self.len
    }

    /// A part of it alone, which is mapped until dropped. It has to begin at a page.
    pub fn part(&self, first: u32, len: u32) -> Result<Shared<T>> {
        Shared::map_part(&self.map, self.name, Some((first, len)))
    }

    pub fn mapped(&self) -> Result<&Shared<T>> {
        if let Some(shared) = self.mapped.get() {
            return Ok(shared);
        }
        let shared = Shared::map(&self.map, self.name)?;
        Ok(self.mapped.get_or_init(|| shared))
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `map`; rows borrow from `self`, so none is left.
        unsafe { libc::munmap(self.start.cast(), self.bytes) };
    }
}

/// One value of a shared array, as words.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    start: *mut u32,
    len: usize,
    _map: PhantomData<&'a ()>,
}

impl Row<'_> {
    fn at(self, word: usize) -> *mut u32 {
        assert!(word < self.len);
        // SAFETY: inside the value.
        unsafe { self.start.add(word) }
    }
    fn atomic(self, word: usize) -> &'static AtomicU32 {
        // SAFETY: aligned, inside a mapping that outlives every use (rows do not outlive their map), and all
        // accesses on our side are atomic or volatile.
        unsafe { AtomicU32::from_ptr(self.at(word)) }
    }
    fn atomic64(self, word: usize) -> &'static AtomicU64 {
        assert!(word.is_multiple_of(2) && word + 1 < self.len);
        // SAFETY: as above; values start at multiples of 8 bytes.
        unsafe { AtomicU64::from_ptr(self.at(word).cast()) }
    }
}

impl Mem for Row<'_> {
    fn load(self, word: usize) -> u32 {
        self.atomic(word).load(Ordering::Relaxed)
    }
    fn store(self, word: usize, value: u32) {
        self.atomic(word).store(value, Ordering::Relaxed)
    }
    fn fetch_add(self, word: usize, delta: u32) -> u32 {
        self.atomic(word).fetch_add(delta, Ordering::SeqCst)
    }
    fn add(self, word: usize, delta: u32) {
        self.atomic(word).fetch_add(delta, Ordering::Relaxed);
    }
    fn compare_swap(self, word: usize, old: u32, new: u32) -> u32 {
        self.atomic(word).compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).unwrap_or_else(|x| x)
    }
    fn load64(self, word: usize) -> u64 {
        self.atomic64(word).load(Ordering::Relaxed)
    }
    fn store64(self, word: usize, value: u64) {
        self.atomic64(word).store(value, Ordering::Relaxed)
    }
    fn compare_swap64(self, word: usize, old: u64, new: u64) -> u64 {
        self.atomic64(word)
            .compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
            .unwrap_or_else(|x| x)
    }
}
