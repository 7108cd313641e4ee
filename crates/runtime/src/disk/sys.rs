//! The few system calls std does not offer.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Reserves blocks up to `len`, so that a later write cannot fail for lack of space.
#[cfg(target_os = "linux")]
pub(super) fn allocate(file: &File, len: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let len = libc::off_t::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    loop {
        // SAFETY: the descriptor is open as long as `file` is borrowed; no memory is passed.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP) => return extend(file, len as u64),
            _ => return Err(error),
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn allocate(file: &File, len: u64) -> io::Result<()> {
    extend(file, len)
}

/// Some file systems cannot reserve; zeros that were really written are the best there is.
fn extend(file: &File, len: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut at = file.metadata()?.len();
    while at < len {
        let part = ZEROS.len().min((len - at) as usize);
        file.write_all_at(&ZEROS[..part], at)?;
        at += part as u64;
    }
    Ok(())
}

/// The end of the last part of a file that is no hole. Blocks that were reserved and never written are one.
#[cfg(target_os = "linux")]
pub(super) fn written_end(file: &File, len: u64) -> io::Result<u64> {
    let mut end = 0;
    while let Some(data) = seek(file, end, libc::SEEK_DATA)? {
        match seek(file, data, libc::SEEK_HOLE)? {
            Some(hole) if hole > end => end = hole,
            // Cannot be: there is a hole behind every file.
            _ => return Ok(len),
        }
    }
    Ok(end.min(len))
}

/// The next place of a kind from `from` on. `None`: there is none before the end.
#[cfg(target_os = "linux")]
fn seek(file: &File, from: u64, kind: libc::c_int) -> io::Result<Option<u64>> {
    use std::os::fd::AsRawFd;
    let from = libc::off_t::try_from(from).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the descriptor is open as long as `file` is borrowed; no memory is passed. All other reads and writes name their
    // offset, so nobody minds that the file's own is moved.
    let found = unsafe { libc::lseek(file.as_raw_fd(), from, kind) };
    match u64::try_from(found) {
        Ok(found) => Ok(Some(found)),
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            error => Err(error),
        },
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn written_end(_file: &File, len: u64) -> io::Result<u64> {
    Ok(len)
}

/// Starts to read a range into the page cache.
#[cfg(target_os = "linux")]
pub(crate) fn announce(file: &File, offset: u64, len: u64) {
    // The kernel takes no more of a call than one request may have, which on most disks is at least this.
    const STEP: u64 = 512 << 10;
    let end = offset.saturating_add(len);
    let mut at = offset;
    while at < end {
        let part = STEP.min(end - at);
        advise(file, at, part, libc::POSIX_FADV_WILLNEED);
        at += part;
    }
}

/// Turns off the kernel's own reading ahead, which would fetch what lies beside each small read.
#[cfg(target_os = "linux")]
pub(super) fn expect_scattered_reads(file: &File) {
    advise(file, 0, 0, libc::POSIX_FADV_RANDOM);
}

#[cfg(target_os = "linux")]
fn advise(file: &File, offset: u64, len: u64, advice: libc::c_int) {
    use std::os::fd::AsRawFd;
    let (Ok(offset), Ok(len)) = (libc::off_t::try_from(offset), libc::off_t::try_from(len)) else { return };
    // SAFETY: the descriptor is open as long as `file` is borrowed; no memory is passed. What it returns is not asked for: the
    // kernel may leave advice aside anyway.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), offset, len, advice) };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn announce(_file: &File, _offset: u64, _len: u64) {}

#[cfg(not(target_os = "linux"))]
pub(super) fn expect_scattered_reads(_file: &File) {}

/// Asks for large pages below memory that is about to be filled: a page fault for each 4 kB of it can cost more than reading a
/// file into it. Only a wish; nothing is said when it is not granted.
#[cfg(target_os = "linux")]
pub(super) fn wish_for_large_pages(memory: &mut [u8]) {
    const PAGE: usize = 2 << 20;
    let range = memory.as_mut_ptr_range();
    let (first, end) = ((range.start as usize).next_multiple_of(PAGE), range.end as usize / PAGE * PAGE);
    if end > first {
        // SAFETY: the range is within memory that is borrowed here; the advice changes no byte of it.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn wish_for_large_pages(_memory: &mut [u8]) {}

/// Bytes an unprivileged process may still write on the file system of `path`.
pub(super) fn available_space(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: all-zero is a valid `statvfs`; the call gets a terminated string and a valid place to write to.
    let stats = unsafe {
        let mut stats: libc::statvfs = std::mem::zeroed();
        if libc::statvfs(path.as_ptr(), &mut stats) != 0 {
            return Err(io::Error::last_os_error());
        }
        stats
    };
    // The fields' widths differ by platform.
    #[allow(clippy::unnecessary_cast)]
    Ok((stats.f_bavail as u64).saturating_mul(stats.f_frsize as u64))
}
