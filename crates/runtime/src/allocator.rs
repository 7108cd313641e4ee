//! Memory for two kinds of work. Statements take many small pieces, and other threads free them much later: those come from mimalloc,
//! which has a list of free pieces for each page and thread. Operators take few and large pieces, one batch after the other, and the C
//! library was measured to serve them faster. Whoever frees knows the size, so no piece needs to say where it is from.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};

use mimalloc::MiMalloc;

/// The largest small piece: what a statement reads and writes is smaller, a batch's column larger.
const SMALL_BYTES: usize = 16 << 10;

/// The allocator of programs that serve.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

const fn is_small(bytes: usize) -> bool {
    bytes <= SMALL_BYTES
}

// SAFETY: every piece is freed and grown by the allocator it is from, as both are told its size, or its layout is changed by taking
// another piece, which is the caller's from then on.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises, passed on.
        unsafe { if is_small(layout.size()) { MiMalloc.alloc(layout) } else { System.alloc(layout) } }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises, passed on.
        unsafe { if is_small(layout.size()) { MiMalloc.alloc_zeroed(layout) } else { System.alloc_zeroed(layout) } }
    }

    #[inline]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises, passed on to the one that made the piece.
        unsafe { if is_small(layout.size()) { MiMalloc.dealloc(piece, layout) } else { System.dealloc(piece, layout) } }
    }

    #[inline]
    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's promises, passed on to the one that made the piece; or a piece of the new size, filled as far as both
        // go. The caller promises that the size, rounded up to the alignment, is none that overflows.
        unsafe {
            match (is_small(layout.size()), is_small(bytes)) {
                (true, true) => MiMalloc.realloc(piece, layout, bytes),
                (false, false) => System.realloc(piece, layout, bytes),
                _ => {
                    let moved = self.alloc(Layout::from_size_align_unchecked(bytes, layout.align()));
                    if !moved.is_null() {
                        std::ptr::copy_nonoverlapping(piece, moved, layout.size().min(bytes));
                        self.dealloc(piece, layout);
                    }
                    moved
                }
            }
        }
    }
}

/// Gives memory that was freed back to the system. Worth its milliseconds after much was freed at once: large pieces that threads
/// allocated and others freed otherwise stay with the process. Of small pieces, only what this thread has or no thread has any more.
pub fn release_memory() {
    // SAFETY: takes a plain truth value.
    unsafe { libmimalloc_sys::mi_collect(true) };
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes and returns plain numbers.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_all_sizes_keep_what_is_in_them_while_they_grow_and_shrink() {
        let sizes = [1, 8, 4096, SMALL_BYTES - 1, SMALL_BYTES, SMALL_BYTES + 1, 5 * SMALL_BYTES, 40 << 20];
        for align in [1, 8, 64, 4096] {
            for from in sizes {
                for to in sizes {
                    let layout = Layout::from_size_align(from, align).unwrap();
                    // SAFETY: pieces of the layouts they were made with, freed once.
                    unsafe {
                        let piece = Allocator.alloc_zeroed(layout);
                        assert!(!piece.is_null() && (piece as usize).is_multiple_of(align));
                        assert!(std::slice::from_raw_parts(piece, from).iter().all(|byte| *byte == 0));
                        (0..from.min(100)).for_each(|at| piece.add(at).write(at as u8 + 1));
                        let piece = Allocator.realloc(piece, layout, to);
                        assert!(!piece.is_null() && (piece as usize).is_multiple_of(align));
                        assert!((0..from.min(to).min(100)).all(|at| piece.add(at).read() == at as u8 + 1));
                        piece.add(to - 1).write(7);
                        Allocator.dealloc(piece, Layout::from_size_align(to, align).unwrap());
                    }
                }
            }
        }
        release_memory();
    }

    #[test]
    fn what_one_thread_takes_another_frees() {
        let (sender, pieces) = std::sync::mpsc::channel::<(usize, Layout)>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for at in 0..20_000 {
                    let layout = Layout::from_size_align(1 + at * 37 % (2 * SMALL_BYTES), 8).unwrap();
                    // SAFETY: the other thread frees it, once.
                    unsafe {
                        let piece = Allocator.alloc(layout);
                        piece.write(at as u8);
                        piece.add(layout.size() - 1).write(at as u8);
                        sender.send((piece as usize, layout)).unwrap();
                    }
                }
            });
            scope.spawn(move || {
                for (at, (piece, layout)) in pieces.iter().enumerate() {
                    let piece = piece as *mut u8;
                    // SAFETY: made by the other thread with this layout.
                    unsafe {
                        assert_eq!(piece.add(layout.size() - 1).read(), at as u8);
                        Allocator.dealloc(piece, layout);
                    }
                }
            });
        });
    }
}
