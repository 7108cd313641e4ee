//! The bytes around a file in a tar archive (POSIX ustar; GNU's form of sizes that ustar cannot hold).

const BLOCK: usize = 512;
/// What eleven octal digits hold.
const OCTAL_MAX: u64 = 0o777_7777_7777;

/// A regular file's header. Names are ours: ASCII, shorter than 100 bytes.
pub(super) fn header(name: &str, bytes: u64, seconds: u64) -> [u8; BLOCK] {
    let mut out = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| {
        if let Some(place) = out.get_mut(at..at + text.len()) {
            place.copy_from_slice(text);
        }
    };
    put(0, name.as_bytes().get(..name.len().min(99)).unwrap_or_default());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if bytes <= OCTAL_MAX {
        put(124, format!("{bytes:011o}\0").as_bytes());
    } else {
        let mut wide = [0x80; 12];
        wide[1..4].fill(0);
        wide[4..].copy_from_slice(&bytes.to_be_bytes());
        put(124, &wide);
    }
    put(136, format!("{:011o}\0", seconds.min(OCTAL_MAX)).as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = out.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    out[148..156].copy_from_slice(sum.as_bytes());
    out
}

/// Zeros behind a file's bytes.
pub(super) fn padding(bytes: u64) -> usize {
    (BLOCK - (bytes % BLOCK as u64) as usize) % BLOCK
}

/// What an archive ends with.
pub(super) fn end() -> [u8; BLOCK * 2] {
    [0; BLOCK * 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_posix_has_them() {
        let header = header("shard-0/CURRENT", 42, 1_700_000_000);
        assert_eq!(&header[..16], b"shard-0/CURRENT\0");
        assert_eq!(&header[124..136], b"00000000052\0");
        assert_eq!(&header[257..265], b"ustar\x0000");
        let stored = u32::from_str_radix(std::str::from_utf8(&header[148..154]).unwrap(), 8).unwrap();
        let mut blank = header;
        blank[148..156].fill(b' ');
        assert_eq!(stored, blank.iter().map(|byte| u32::from(*byte)).sum::<u32>());
        let large = super::header("x", 1 << 40, 0);
        assert_eq!((large[124], &large[128..136]), (0x80, &(1_u64 << 40).to_be_bytes()[..]));
        assert_eq!((padding(0), padding(1), padding(512), padding(513)), (0, 511, 0, 511));
    }
}
