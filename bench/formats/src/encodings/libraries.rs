//! The libraries by themselves, used as their own examples use them.

use std::hint::black_box;

use fastlanes::BitPacking;
use pco::ChunkConfig;
use pco::standalone::{simple_compress, simple_decompress_into};

use heliosdb_types::Datum;

use super::Contestant;
use super::columns::{Column, ROWS, Values};

fn ints(column: &Column) -> &[i64] {
    match &column.values {
        Values::Ints(values) => values,
        _ => &[],
    }
}

fn int_literal(column: &Column) -> i64 {
    if let Datum::Int64(literal) = column.literal { literal } else { 0 }
}

fn bits_of(bytes: usize) -> f64 {
    bytes as f64 * 8.0 / ROWS as f64
}

/// Values as they are, copied.
pub struct Memory<'a> {
    values: &'a [i64],
    literal: i64,
}

impl Memory<'_> {
    pub fn new(column: &Column) -> Memory<'_> {
        Memory { values: ints(column), literal: int_literal(column) }
    }
}

impl Contestant for Memory<'_> {
    fn name(&self) -> String {
        "a copy in memory".into()
    }

    fn bits(&self) -> f64 {
        64.0
    }

    fn encode(&mut self) {
        black_box(self.values.to_vec());
    }

    fn decode(&self) {
        black_box(self.values.to_vec());
    }

    fn row(&self, row: usize) {
        black_box(self.values[row]);
    }

    fn filter(&self) -> usize {
        self.values.iter().filter(|value| **value > self.literal).count()
    }
}

/// Distances from the smallest value in 32-bit words.
pub struct FastLanes<'a> {
    values: &'a [i64],
    literal: i64,
    low: i64,
    width: usize,
    packed: Vec<u32>,
}

const CHUNK: usize = 1024;

fn pack(values: &[i64]) -> (i64, usize, Vec<u32>) {
    let (low, high) = values.iter().fold((i64::MAX, i64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    let width = (64 - ((high - low) as u64).leading_zeros()) as usize;
    let mut packed = vec![0; values.len() / CHUNK * 32 * width];
    let mut distances = [0_u32; CHUNK];
    for (values, packed) in values.chunks_exact(CHUNK).zip(packed.chunks_exact_mut(32 * width)) {
        distances.iter_mut().zip(values).for_each(|(distance, value)| *distance = (value - low) as u32);
        // SAFETY: 1,024 values go in, 1024 * width / 32 words come out.
        unsafe { u32::unchecked_pack(width, &distances, packed) };
    }
    (low, width, packed)
}

impl FastLanes<'_> {
    pub fn new(column: &Column) -> FastLanes<'_> {
        let values = ints(column);
        let (low, width, packed) = pack(values);
        FastLanes { values, literal: int_literal(column), low, width, packed }
    }

    fn each(&self, mut visit: impl FnMut(&[u32; CHUNK])) {
        let mut distances = [0_u32; CHUNK];
        for packed in self.packed.chunks_exact(32 * self.width) {
            // SAFETY: 1024 * width / 32 words go in, 1,024 values come out.
            unsafe { u32::unchecked_unpack(self.width, packed, &mut distances) };
            visit(&distances);
        }
    }
}

impl Contestant for FastLanes<'_> {
    fn name(&self) -> String {
        "fastlanes".into()
    }

    fn bits(&self) -> f64 {
        bits_of(self.packed.len() * 4)
    }

    fn encode(&mut self) {
        black_box(pack(self.values));
    }

    fn decode(&self) {
        let mut out = Vec::with_capacity(ROWS);
        self.each(|distances| out.extend(distances.iter().map(|distance| self.low + i64::from(*distance))));
        black_box(out);
    }

    fn row(&self, row: usize) {
        let packed = &self.packed[row / CHUNK * 32 * self.width..][..32 * self.width];
        // SAFETY: the words of one chunk, and a place in it.
        black_box(self.low + i64::from(unsafe { u32::unchecked_unpack_single(self.width, packed, row % CHUNK) }));
    }

    fn filter(&self) -> usize {
        let (literal, mut count) = ((self.literal - self.low) as u32, 0);
        self.each(|distances| count += distances.iter().filter(|distance| **distance > literal).count());
        count
    }
}

/// Numbers in one chunk of pco, at its default level.
pub enum Pco<'a> {
    Ints { values: &'a [i64], literal: i64, packed: Vec<u8> },
    Floats { values: &'a [f64], literal: f64, packed: Vec<u8> },
}

fn squeeze<T: pco::data_types::Number>(values: &[T]) -> Vec<u8> {
    simple_compress(values, &ChunkConfig::default()).expect("compress")
}

fn expand<T: pco::data_types::Number + Default>(packed: &[u8]) -> Vec<T> {
    let mut out = vec![T::default(); ROWS];
    simple_decompress_into(packed, &mut out).expect("decompress");
    out
}

impl Pco<'_> {
    pub fn new(column: &Column) -> Pco<'_> {
        match (&column.values, &column.literal) {
            (Values::Floats(values), Datum::Float64(literal)) => {
                Pco::Floats { values, literal: *literal, packed: squeeze(values) }
            }
            _ => Pco::Ints { values: ints(column), literal: int_literal(column), packed: squeeze(ints(column)) },
        }
    }
}

impl Contestant for Pco<'_> {
    fn name(&self) -> String {
        "pco".into()
    }

    fn bits(&self) -> f64 {
        match self {
            Pco::Ints { packed, .. } | Pco::Floats { packed, .. } => bits_of(packed.len()),
        }
    }

    fn encode(&mut self) {
        match self {
            Pco::Ints { values, .. } => drop(black_box(squeeze(values))),
            Pco::Floats { values, .. } => drop(black_box(squeeze(values))),
        }
    }

    fn decode(&self) {
        match self {
            Pco::Ints { packed, .. } => drop(black_box(expand::<i64>(packed))),
            Pco::Floats { packed, .. } => drop(black_box(expand::<f64>(packed))),
        }
    }

    fn row(&self, row: usize) {
        match self {
            Pco::Ints { packed, .. } => drop(black_box(expand::<i64>(packed).get(row).copied())),
            Pco::Floats { packed, .. } => drop(black_box(expand::<f64>(packed).get(row).copied())),
        }
    }

    fn filter(&self) -> usize {
        match self {
            Pco::Ints { packed, literal, .. } => expand::<i64>(packed).iter().filter(|v| **v > *literal).count(),
            Pco::Floats { packed, literal, .. } => expand::<f64>(packed).iter().filter(|v| **v > *literal).count(),
        }
    }
}

/// Strings compressed one by one, and an end of 32 bits each.
pub struct Fsst<'a> {
    strings: Vec<&'a [u8]>,
    compressor: fsst::Compressor,
    codes: Vec<u8>,
    ends: Vec<u64>,
}

fn strings(column: &Column) -> Vec<&[u8]> {
    match &column.values {
        Values::Texts(values) => values.iter().map(|value| value.as_bytes()).collect(),
        _ => Vec::new(),
    }
}

const ABOVE: &[u8] = b"j";

impl Fsst<'_> {
    pub fn new(column: &Column) -> Fsst<'_> {
        let strings = strings(column);
        let compressor = fsst::Compressor::train(&strings);
        let (codes, ends) = squeeze_text(&compressor, &strings);
        Fsst { strings, compressor, codes, ends }
    }

    fn string(&self, row: usize) -> Vec<u8> {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        self.compressor.decompressor().decompress(&self.codes[start..self.ends[row] as usize])
    }
}

fn squeeze_text(compressor: &fsst::Compressor, strings: &[&[u8]]) -> (Vec<u8>, Vec<u64>) {
    let (mut codes, mut ends) = (Vec::new(), Vec::new());
    compressor.compress_bulk_into::<{ fsst::Compressor::DEFAULT_BULK_LANES }>(strings, &mut codes, &mut ends);
    (codes, ends)
}

impl Contestant for Fsst<'_> {
    fn name(&self) -> String {
        "fsst-rs".into()
    }

    fn bits(&self) -> f64 {
        bits_of(self.codes.len() + 4 * ROWS)
    }

    fn encode(&mut self) {
        black_box(squeeze_text(&self.compressor, &self.strings));
    }

    fn decode(&self) {
        // All codes are expanded at once; the strings' ends would be added up beside.
        black_box(self.compressor.decompressor().decompress(&self.codes));
    }

    fn row(&self, row: usize) {
        black_box(self.string(row));
    }

    fn filter(&self) -> usize {
        (0..ROWS).filter(|row| self.string(*row).as_slice() > ABOVE).count()
    }
}

/// A block in one frame of zstd level 3, and an end of 32 bits each.
pub struct Zstd {
    text: Vec<u8>,
    ends: Vec<u32>,
    frame: Vec<u8>,
}

impl Zstd {
    pub fn new(column: &Column) -> Zstd {
        let (text, ends) = column.text();
        let frame = zstd::bulk::compress(&text, 3).expect("compress");
        Zstd { text, ends, frame }
    }

    fn expand(&self) -> Vec<u8> {
        zstd::bulk::decompress(&self.frame, self.text.len()).expect("decompress")
    }

    fn string<'a>(&self, text: &'a [u8], row: usize) -> &'a [u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &text[start..self.ends[row] as usize]
    }
}

impl Contestant for Zstd {
    fn name(&self) -> String {
        "zstd-3, one frame".into()
    }

    fn bits(&self) -> f64 {
        bits_of(self.frame.len() + 4 * ROWS)
    }

    fn encode(&mut self) {
        black_box(zstd::bulk::compress(&self.text, 3).expect("compress"));
    }

    fn decode(&self) {
        black_box(self.expand());
    }

    fn row(&self, row: usize) {
        black_box(self.string(&self.expand(), row));
    }

    fn filter(&self) -> usize {
        let text = self.expand();
        (0..ROWS).filter(|row| self.string(&text, *row) > ABOVE).count()
    }
}
