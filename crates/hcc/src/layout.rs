//! Bytes of a block: a 16-byte header, then sections that each start at a multiple of 16 so that they can be read in place.
//!
//! Header: version u8 | encoding u8 | flags u8 (1: has a validity bitmap, 2: NULL rows are left out of the body) | kind u8 |
//! rows u32 | nulls u32 | shared u32 (one more than the number of the shared section the body refers to; 0: none).

use arrow_buffer::{ArrowNativeType, Buffer, MutableBuffer, ScalarBuffer, ToByteSlice};
use heliosdb_types::{Error, Result};

pub(crate) const VERSION: u8 = 1;
/// Every section begins at a multiple of this, the widest value read in place (i128).
pub(crate) const ALIGNMENT: usize = 16;
pub(crate) const FLAG_VALIDITY: u8 = 1;
pub(crate) const FLAG_DENSE: u8 = 2;
/// No block has more rows, so that no header can ask for more memory than this times the width of a value.
pub(crate) const ROWS_MAX: usize = 1 << 24;

pub(crate) fn corrupt(what: &str) -> Error {
    Error::corrupt(format!("column block: {what}"))
}

/// Appends little-endian values; sections are aligned relative to the start of the block.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i128(&mut self, value: i128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn words<T: ArrowNativeType>(&mut self, words: &[T]) {
        self.bytes.extend_from_slice(words.to_byte_slice());
    }

    pub(crate) fn align(&mut self) {
        let len = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(len, 0);
    }

    pub(crate) fn into_unaligned(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.align();
        self.bytes
    }
}

/// Reads what [`Writer`] wrote. Every length is checked against the buffer before it is used.
pub(crate) struct Reader {
    buffer: Buffer,
    at: usize,
}

impl Reader {
    /// Copies the bytes if they do not start at an aligned address, so that sections can be used in place.
    pub(crate) fn new(buffer: Buffer) -> Reader {
        let buffer = if buffer.as_ptr().align_offset(ALIGNMENT) == 0 {
            buffer
        } else {
            let mut aligned = MutableBuffer::new(buffer.len());
            aligned.extend_from_slice(buffer.as_slice());
            aligned.into()
        };
        Reader { buffer, at: 0 }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.buffer.as_slice().get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let bytes = *bytes.ok_or_else(|| corrupt("ends early"))?;
        self.at += N;
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn i128(&mut self) -> Result<i128> {
        Ok(i128::from_le_bytes(self.array()?))
    }

    pub(crate) fn align(&mut self) {
        self.at = self.at.next_multiple_of(ALIGNMENT);
    }

    /// The next `len` bytes, shared, not copied.
    pub(crate) fn raw(&mut self, len: usize) -> Result<Buffer> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.buffer.len());
        let end = end.ok_or_else(|| corrupt("a section is longer than the block"))?;
        let section = self.buffer.slice_with_length(self.at, len);
        self.at = end;
        Ok(section)
    }

    /// What is left.
    pub(crate) fn rest(&mut self) -> Result<Buffer> {
        let len = self.buffer.len().saturating_sub(self.at);
        self.raw(len)
    }

    /// A number that must not exceed `max`.
    pub(crate) fn count(&mut self, max: usize, what: &str) -> Result<usize> {
        match usize::try_from(self.u64()?) {
            Ok(count) if count <= max => Ok(count),
            _ => Err(corrupt(what)),
        }
    }

    /// The next `count` values; the position must be aligned for them, which sections are.
    pub(crate) fn words<T: ArrowNativeType>(&mut self, count: usize) -> Result<ScalarBuffer<T>> {
        let len = count.checked_mul(size_of::<T>()).ok_or_else(|| corrupt("a section is longer than the block"))?;
        let section = self.raw(len)?;
        if section.as_ptr().align_offset(align_of::<T>()) != 0 {
            return Err(corrupt("a section is not aligned"));
        }
        Ok(ScalarBuffer::new(section, 0, count))
    }
}
