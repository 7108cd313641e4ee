//! A log file's name and header.
//!
//! `<dir>/<20 digits>` holds records; `<dir>/spare-<20 digits>` waits to be reused. The header fills one sector:
//! `magic 8 | version u32 | reserved u32 | sequence u64 | salt u64 | first_lsn u64 | crc32c u32 | zeros`. A file is given its
//! name only after its header is synced and all records below `first_lsn` are durable.

use heliosdb_types::{Error, Lsn, Result};

use crate::record::{u32_at, u64_at};

/// One sector, so that writing records never rewrites the header.
pub(crate) const HEADER_BYTES: usize = 512;
const MAGIC: &[u8; 8] = b"HELIOWAL";
/// Of log files.
pub const VERSION: u32 = 1;
const CRC_AT: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub sequence: u64,
    pub salt: u64,
    pub first_lsn: Lsn,
}

impl FileHeader {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.salt.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_lsn.0.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of the file at `path`, which its name says is number `sequence`.
    pub fn decode(bytes: &[u8], path: &str, sequence: u64) -> Result<FileHeader> {
        let damaged = |what: &str| Error::corrupt(format!("log file \"{path}\" is damaged at offset 0: {what}"));
        let head = bytes.get(..CRC_AT).ok_or_else(|| damaged("it is shorter than its header"))?;
        if !head.starts_with(MAGIC) {
            return Err(damaged("it does not begin as a log file"));
        }
        if u32_at(bytes, CRC_AT) != Some(crc32c::crc32c(head)) {
            return Err(damaged("the header's checksum does not match"));
        }
        let field = |at| u64_at(head, at).expect("within the header");
        let version = u32_at(head, 8).expect("within the header");
        if version != VERSION {
            return Err(Error::corrupt(format!(
                "log file \"{path}\" has format version {version}, known is {VERSION}"
            )));
        }
        let header = FileHeader { sequence: field(16), salt: field(24), first_lsn: Lsn(field(32)) };
        if header.sequence != sequence || header.first_lsn.0 == 0 {
            return Err(damaged("the header belongs to another file"));
        }
        Ok(header)
    }
}

pub(crate) fn file_path(dir: &str, sequence: u64) -> String {
    format!("{dir}/{sequence:020}")
}

pub(crate) fn spare_path(dir: &str, number: u64) -> String {
    format!("{dir}/spare-{number:020}")
}

/// The sequence number in a file's name; `None` for other files.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    if name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit()) { name.parse().ok() } else { None }
}

pub(crate) fn is_spare(name: &str) -> bool {
    name.starts_with("spare-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_every_flipped_bit_is_noticed() {
        let header = FileHeader { sequence: 7, salt: 0x1234_5678_9abc_def0, first_lsn: Lsn(99) };
        let bytes = header.encode();
        assert_eq!(FileHeader::decode(&bytes, "f", 7).unwrap(), header);
        assert!(FileHeader::decode(&bytes, "f", 8).is_err(), "renamed");
        for at in 0..CRC_AT + 4 {
            for bit in 0..8 {
                let mut bad = bytes;
                bad[at] ^= 1 << bit;
                assert!(FileHeader::decode(&bad, "f", 7).is_err(), "byte {at} bit {bit}");
            }
        }
        for len in 0..CRC_AT + 4 {
            assert!(FileHeader::decode(&bytes[..len], "f", 7).is_err());
        }
    }

    #[test]
    fn a_newer_version_is_refused() {
        let mut bytes = FileHeader { sequence: 7, salt: 1, first_lsn: Lsn(99) }.encode();
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        let error = FileHeader::decode(&bytes, "f", 7).unwrap_err();
        assert!(error.message().contains("has format version 2, known is 1"), "{error}");
    }

    #[test]
    fn only_log_files_have_a_number() {
        assert_eq!(parse_name("00000000000000000012"), Some(12));
        for other in ["12", "spare-00000000000000000012", "0000000000000000001x", "99999999999999999999", ""] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }
}
