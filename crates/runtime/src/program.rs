//! The program's own code, which a start with an empty page cache reads from disk too.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // this is the seam the ban points to

use std::fs::File;

use crate::disk::sys;

/// Starts to read this program's code into the page cache, on a thread of its own, and does not wait for it. Otherwise each part
/// is read when it is first run: a query that is the first of its kind would wait some milliseconds for each of many. Advice: what
/// fails is left alone.
pub fn announce_program() {
    let read = || {
        let (Ok(maps), Ok(file)) = (std::fs::read_to_string("/proc/self/maps"), File::open("/proc/self/exe")) else {
            return;
        };
        let Ok(path) = std::fs::read_link("/proc/self/exe") else { return };
        for (offset, len) in code(&maps, &path.to_string_lossy()) {
            sys::announce(&file, offset, len);
        }
    };
    // Not waited for: it ends by itself in a fraction of a second.
    let _ = std::thread::Builder::new().name("program".into()).spawn(read);
}

/// Where the executable parts of a file lie in it, of those that are mapped: offsets and lengths.
fn code<'a>(maps: &'a str, path: &'a str) -> impl Iterator<Item = (u64, u64)> + 'a {
    maps.lines().filter_map(move |line| {
        let mut fields = line.split_ascii_whitespace();
        let (range, rights, offset) = (fields.next()?, fields.next()?, fields.next()?);
        let (from, to) = range.split_once('-')?;
        let number = |hex| u64::from_str_radix(hex, 16).ok();
        let ours = rights.contains('x') && line.ends_with(path);
        ours.then_some((number(offset)?, number(to)?.checked_sub(number(from)?)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_parts_of_the_file_are_found() {
        let maps = "55d0c0000000-55d0c16e6000 r--p 00000000 fe:00 77    /opt/heliosdb\n\
                    55d0c16e6000-55d0c5ba0000 r-xp 016e5000 fe:00 77    /opt/heliosdb\n\
                    7f0000000000-7f0000100000 r-xp 00026000 fe:00 12    /lib/libc.so.6\n\
                    7fff00000000-7fff00001000 r-xp 00000000 00:00 0     [vdso]\n";
        assert_eq!(code(maps, "/opt/heliosdb").collect::<Vec<_>>(), [(0x16e_5000, 0x44b_a000)]);
        assert_eq!(code(maps, "/opt/other").count(), 0);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let path = std::fs::read_link("/proc/self/exe").unwrap();
        let bytes: u64 = code(&maps, &path.to_string_lossy()).map(|(_, len)| len).sum();
        assert!(bytes > 100_000, "{bytes} bytes of code");
        announce_program();
    }
}
