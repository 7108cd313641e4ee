//! PostgreSQL's binary COPY format: a signature, rows of length-prefixed fields, a trailer.

use std::ops::Range;

use heliosdb_types::{Error, Result, SqlState};

pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// The longest row accepted; PostgreSQL's own fields end there too.
const ROW_BYTES_MAX: usize = 1 << 30;
/// Bits of the header's flags whose meaning a reader must know.
const CRITICAL: u32 = 0xffff_0000;

/// The header: signature, no flags, no extension.
pub(super) fn header() -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    out.extend_from_slice(&[0; 8]);
    out
}

fn malformed(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, message)
}

/// Collects bytes and gives complete rows.
#[derive(Default)]
pub(super) struct BinaryRows {
    buffer: Vec<u8>,
    /// Bytes of `buffer` already given out.
    start: usize,
    begun: bool,
    ended: bool,
    /// Number of the row given last, from 1.
    pub line: u64,
}

/// A row's fields as ranges of [`BinaryRows::bytes`]; `None` is NULL.
pub(super) type Fields = Vec<Option<Range<usize>>>;

impl BinaryRows {
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        if self.ended && !chunk.is_empty() {
            return Err(malformed("received copy data after EOF marker"));
        }
        if self.buffer.len() + chunk.len() > ROW_BYTES_MAX + (1 << 20) {
            return Err(Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row of COPY data is too long"));
        }
        self.buffer.extend_from_slice(chunk);
        Ok(())
    }

    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or(&[])
    }

    fn at<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.buffer.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    /// The next complete row; at `end` of the data an incomplete one is an error.
    pub fn next(&mut self, columns: usize, end: bool) -> Result<Option<Fields>> {
        if !self.begun && !self.begin(end)? {
            return Ok(None);
        }
        if self.ended {
            if self.start < self.buffer.len() {
                return Err(malformed("received copy data after EOF marker"));
            }
            return Ok(None);
        }
        let incomplete =
            |complete: bool| if complete { Err(malformed("unexpected EOF in COPY data")) } else { Ok(None) };
        let Some(count) = self.at::<2>(self.start).map(i16::from_be_bytes) else {
            // A file without a trailer ends where a row would begin.
            return if self.start == self.buffer.len() { Ok(None) } else { incomplete(end) };
        };
        if count == -1 {
            self.start += 2;
            self.ended = true;
            return self.next(columns, end);
        }
        if usize::try_from(count) != Ok(columns) {
            self.line += 1;
            return Err(malformed(format!("row field count is {count}, expected {columns}")));
        }
        let mut at = self.start + 2;
        let mut fields = Vec::with_capacity(columns);
        for _ in 0..columns {
            let Some(length) = self.at::<4>(at).map(i32::from_be_bytes) else { return incomplete(end) };
            at += 4;
            if length == -1 {
                fields.push(None);
                continue;
            }
            let length = usize::try_from(length).map_err(|_| malformed("invalid field size"))?;
            if length > ROW_BYTES_MAX {
                return Err(malformed("invalid field size"));
            }
            if self.buffer.len() < at + length {
                return incomplete(end);
            }
            fields.push(Some(at..at + length));
            at += length;
        }
        self.start = at;
        self.line += 1;
        Ok(Some(fields))
    }

    /// Reads the header; false if it is not all there yet.
    fn begin(&mut self, end: bool) -> Result<bool> {
        let Some(signature) = self.at::<11>(0) else {
            return if end { Err(malformed("COPY file signature not recognized")) } else { Ok(false) };
        };
        if signature != *SIGNATURE {
            return Err(malformed("COPY file signature not recognized"));
        }
        let Some(flags) = self.at::<4>(11).map(u32::from_be_bytes) else {
            return if end { Err(malformed("invalid COPY file header (missing flags)")) } else { Ok(false) };
        };
        if flags & CRITICAL != 0 {
            return Err(malformed("unrecognized critical flags in COPY file header"));
        }
        let Some(length) = self.at::<4>(15).map(i32::from_be_bytes) else {
            return if end { Err(malformed("invalid COPY file header (missing length)")) } else { Ok(false) };
        };
        let Some(after) =
            usize::try_from(length).ok().filter(|length| *length <= ROW_BYTES_MAX).map(|length| 19 + length)
        else {
            return Err(malformed("invalid COPY file header (missing length)"));
        };
        if self.buffer.len() < after {
            return if end { Err(malformed("invalid COPY file header (wrong length)")) } else { Ok(false) };
        }
        (self.start, self.begun) = (after, true);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(data: &[u8], step: usize) -> Result<Vec<Vec<Option<Vec<u8>>>>> {
        let mut reader = BinaryRows::default();
        let mut out = Vec::new();
        let mut take = |reader: &mut BinaryRows, end: bool| -> Result<()> {
            while let Some(fields) = reader.next(2, end)? {
                out.push(fields.into_iter().map(|field| field.map(|range| reader.bytes(range).to_vec())).collect());
            }
            Ok(())
        };
        for chunk in data.chunks(step) {
            reader.push(chunk)?;
            take(&mut reader, false)?;
        }
        take(&mut reader, true)?;
        Ok(out)
    }

    #[test]
    fn rows_come_out_however_they_were_cut() {
        let mut data = header();
        data.extend_from_slice(b"\0\x02\0\0\0\x03abc\xff\xff\xff\xff");
        data.extend_from_slice(b"\0\x02\0\0\0\0\0\0\0\x01x\xff\xff");
        for step in [1, 2, 7, 1000] {
            let rows = rows(&data, step).unwrap();
            assert_eq!(rows, [vec![Some(b"abc".to_vec()), None], vec![Some(Vec::new()), Some(b"x".to_vec())]]);
        }
        assert!(rows(&data[..data.len() - 6], 3).is_err());
        assert!(rows(b"not binary at all", 3).is_err());
        data.push(b'x');
        assert!(rows(&data, 5).is_err());
        let mut hostile = header();
        hostile.extend_from_slice(b"\0\x02\x7f\xff\xff\xff");
        assert!(rows(&hostile, 100).is_err());
    }
}
