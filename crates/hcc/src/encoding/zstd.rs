//! Strings in frames of zstd: for long ones (documents), and for cold ones of any length.
//!
//! ```text
//! expanded length u64 | rows a frame u64 | length u64 | spans: where each string ends, expanded
//!   | spans: where each frame ends | frames
//! ```
//! A frame holds neighbouring rows and is compressed alone (RFC 8878), so a row costs one frame: some kilobytes when
//! settled, the block when cold. No dictionary: phrases serve the short strings that would need one.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::{Buffer, NullBuffer};
use heliosdb_types::{Error, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::expanded_array;
use crate::cell::Cell;
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::filter::{BytesTest, Test};
use crate::filtering::search_all;
use crate::layout::{Reader, Writer, corrupt};
use crate::offsets::{Spans, span_bytes, write_spans};
use crate::order::comparable_bytes;

/// zstd shrinks nothing by more than about this; a frame that claims to is damaged.
const RATIO_MAX: usize = 1 << 15;

/// Compressed frames.
pub(crate) struct Frames {
    pub(crate) frame_rows: usize,
    pub(crate) bytes: Vec<u8>,
    pub(crate) frame_ends: Vec<u64>,
}

/// Compresses strings, about `frame_bytes` of them to a frame.
pub(crate) fn compress(values: &[&[u8]], total: usize, frame_bytes: usize, level: i32) -> Result<Frames> {
    let average = (total / values.len().max(1)).max(1);
    let frame_rows = (frame_bytes / average).clamp(1, values.len().max(1));
    let fails = |error| Error::internal(format!("zstd could not compress: {error}"));
    let mut compressor = zstd::bulk::Compressor::new(level).map_err(fails)?;
    let mut frames = Frames { frame_rows, bytes: Vec::new(), frame_ends: Vec::new() };
    for rows in values.chunks(frame_rows) {
        frames.bytes.extend(compressor.compress(&rows.concat()).map_err(fails)?);
        frames.frame_ends.push(frames.bytes.len() as u64);
    }
    Ok(frames)
}

/// Bytes of the body; `ends` of the strings.
pub(crate) fn size(frames: &Frames, ends: &[u64]) -> usize {
    32 + span_bytes(ends) + span_bytes(&frames.frame_ends) + frames.bytes.len()
}

pub(crate) fn write(writer: &mut Writer, frames: &Frames, ends: &[u64]) {
    writer.u64(ends.last().copied().unwrap_or(0));
    writer.u64(frames.frame_rows as u64);
    writer.u64(frames.bytes.len() as u64);
    write_spans(writer, ends);
    write_spans(writer, &frames.frame_ends);
    writer.raw(&frames.bytes);
}

pub(crate) fn read(reader: &mut Reader, physical: PhysicalType, rows: usize) -> Result<ZstdStrings> {
    let expanded_len = reader.count(i32::MAX as usize, "strings are longer than 2 GiB")?;
    let frame_rows = reader.count(rows, "a frame has too many rows")?;
    let len = reader.count(i32::MAX as usize, "strings are longer than 2 GiB")?;
    let spans = Spans::read(reader, rows, expanded_len)?;
    if frame_rows == 0 {
        return Err(corrupt("a frame without rows"));
    }
    let count = rows.div_ceil(frame_rows);
    let frames = Spans::read(reader, count, len)?;
    let bytes = reader.raw(len)?;
    if expanded_len / RATIO_MAX > len {
        return Err(corrupt("expanded length is beyond what the frames can give"));
    }
    Ok(ZstdStrings { physical, rows, frame_rows, spans, frames, bytes })
}

#[derive(Debug)]
pub(crate) struct ZstdStrings {
    physical: PhysicalType,
    rows: usize,
    frame_rows: usize,
    spans: Spans,
    frames: Spans,
    bytes: Buffer,
}

impl ZstdStrings {
    /// Appends a frame's strings, all of them.
    fn expand_frame(&self, frame: usize, out: &mut Vec<u8>) -> Result<()> {
        let (start, end) = self.frames.bounds(frame);
        let first = frame * self.frame_rows;
        let last = (first + self.frame_rows).min(self.rows);
        let len = self.spans.bounds(last - 1).1 - self.spans.bounds(first).0;
        let at = out.len();
        out.resize(at + len, 0);
        let target = out.get_mut(at..).unwrap_or(&mut []);
        let fails = |_| corrupt("a zstd frame is damaged");
        let mut decompressor = zstd::bulk::Decompressor::new().map_err(fails)?;
        let source = self.bytes.as_slice().get(start..end).unwrap_or(&[]);
        if decompressor.decompress_to_buffer(source, target).map_err(fails)? != len {
            return Err(corrupt("a zstd frame has another length than its strings"));
        }
        Ok(())
    }

    /// The frames that hold a range of rows, and where the first begins among all strings.
    fn expand(&self, range: Range<usize>) -> Result<(Vec<u8>, usize)> {
        let mut out = Vec::new();
        if range.is_empty() {
            return Ok((out, 0));
        }
        let frames = range.start / self.frame_rows..(range.end - 1) / self.frame_rows + 1;
        let base = self.spans.bounds(frames.start * self.frame_rows).0;
        for frame in frames {
            self.expand_frame(frame, &mut out)?;
        }
        Ok((out, base))
    }

    /// Calls `visit` with rows in the order given; a frame is expanded once for the rows that follow one another in it.
    fn visit(&self, rows: impl Iterator<Item = usize>, mut visit: impl FnMut(usize, &[u8])) -> Result<()> {
        let (mut data, mut frame, mut base) = (Vec::new(), usize::MAX, 0);
        for row in rows {
            if row / self.frame_rows != frame {
                frame = row / self.frame_rows;
                base = self.spans.bounds(frame * self.frame_rows).0;
                data.clear();
                self.expand_frame(frame, &mut data)?;
            }
            let (start, end) = self.spans.bounds(row);
            visit(row, data.get(start - base..end - base).unwrap_or(&[]));
        }
        Ok(())
    }
}

impl Encoded for ZstdStrings {
    fn cell<'a>(&'a self, row: usize, scratch: &mut Vec<u8>) -> Result<Cell<'a>> {
        let at = scratch.len();
        self.visit(std::iter::once(row), |_, value| scratch.extend_from_slice(value))?;
        Cell::scratch(scratch, at, self.physical)
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let (data, base) = self.expand(range.clone())?;
        let bounds: Vec<usize> = match range.is_empty() {
            true => vec![0],
            false => self.spans.decode(range).into_iter().map(|bound| bound - base).collect(),
        };
        expanded_array(Buffer::from_vec(data), &bounds, nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let (mut data, mut bounds) = (Vec::new(), Vec::with_capacity(rows.len() + 1));
        bounds.push(0);
        self.visit(rows.iter().map(|row| *row as usize), |_, value| {
            data.extend_from_slice(value);
            bounds.push(data.len());
        })?;
        expanded_array(Buffer::from_vec(data), &bounds, nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let Test::Bytes(test) = test else { return Err(misplaced("numbers")) };
        if let BytesTest::Contains(finder) = test
            && selection.count() * 2 > self.rows
        {
            let (data, _) = self.expand(0..self.rows)?;
            search_all(&data, &self.spans.decode(0..self.rows), finder, selection);
            return Ok(());
        }
        let mut kept = Bitmap::all_clear(self.rows);
        self.visit(selection.iter(), |row, value| {
            if test.matches(comparable_bytes(value, self.physical)) {
                kept.set(row);
            }
        })?;
        selection.and(&kept);
        Ok(())
    }

    fn equal_range(&self, _: Range<usize>, _: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        // Every step of a search would expand a frame; the caller reads the rows it wants.
        Ok(None)
    }
}
