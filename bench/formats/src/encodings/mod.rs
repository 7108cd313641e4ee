//! `--encodings`: what each encoding costs, beside the library it is built on or competes with.
//!
//! Blocks of 8,192 rows that suit the encoding, warm, one thread, the best of several runs. Encode counts Arrow bytes that go
//! in (for ours choosing and statistics included), decode those that come out. A filter keeps the rows above a literal; all
//! must keep as many.

mod columns;
mod libraries;
mod parquet_column;

use std::hint::black_box;
use std::time::Instant;

use heliosdb_hcc::{
    Bitmap, BlockView, ColumnEncoder, CompareOp, EncodeOptions, Encoding, Filter, Predicate, Shared, Temperature,
};
use parquet::basic::Encoding as Parquet;

use columns::{Column, ROWS};
use libraries::{FastLanes, Fsst, Memory, Pco, Zstd};
use parquet_column::ParquetColumn;

/// One way to keep a column.
trait Contestant {
    fn name(&self) -> String;
    /// Blocks that one call of the others is about.
    fn blocks(&self) -> usize {
        1
    }
    fn bits(&self) -> f64;
    fn encode(&mut self);
    fn decode(&self);
    fn row(&self, row: usize);
    /// Rows above the column's literal, of one block.
    fn filter(&self) -> usize;
}

/// Ours.
struct Block<'a> {
    column: &'a Column,
    encoder: ColumnEncoder,
    view: BlockView,
    block_bytes: usize,
    filter: Filter,
    shared_bytes: usize,
}

impl<'a> Block<'a> {
    fn new(column: &'a Column, encoding: Encoding) -> Block<'a> {
        let physical = column.physical();
        let options = EncodeOptions { force: Some(encoding), ..EncodeOptions::default() };
        let mut first = ColumnEncoder::new(physical, options);
        let block = first.encode(&column.array).expect("a column that suits the encoding");
        let (sections, block_bytes) = (first.finish(), block.bytes.len());
        let shared_bytes = sections.iter().map(Vec::len).sum();
        let shared = Shared::open(sections.into_iter().map(Into::into), physical).expect("sections");
        let view = BlockView::open_with(block.bytes.into(), physical, ROWS, &shared).expect("a block");
        assert_eq!(&view.decode(0..ROWS).expect("decode"), &column.array);
        let mut encoder = ColumnEncoder::new(physical, options);
        // What is learnt from the first block serves the others.
        encoder.encode(&column.array).expect("encode");
        let literal = Predicate::Compare(CompareOp::Gt, &column.literal);
        let filter = Filter::compile(&literal, physical).expect("a filter");
        Block { column, encoder, view, block_bytes, filter, shared_bytes }
    }
}

impl Contestant for Block<'_> {
    fn name(&self) -> String {
        let shared = if self.shared_bytes > 0 { format!(" (+ {} B shared)", self.shared_bytes) } else { String::new() };
        format!("**{:?}**{shared}", self.view.encoding())
    }

    fn bits(&self) -> f64 {
        self.block_bytes as f64 * 8.0 / ROWS as f64
    }

    fn encode(&mut self) {
        black_box(self.encoder.encode(&self.column.array).expect("encode"));
    }

    fn decode(&self) {
        black_box(self.view.decode(0..ROWS).expect("decode"));
    }

    fn row(&self, row: usize) {
        let mut scratch = Vec::new();
        black_box(self.view.get(row, &mut scratch).expect("a row"));
    }

    fn filter(&self) -> usize {
        let mut selection = Bitmap::all_set(ROWS);
        self.view.filter(&self.filter, &mut selection).expect("filter");
        selection.count()
    }
}

/// Seconds of the quickest of several runs of `count` calls, for one call.
fn best(count: usize, mut call: impl FnMut(usize)) -> f64 {
    let run = |call: &mut dyn FnMut(usize)| {
        let begun = Instant::now();
        (0..count).for_each(&mut *call);
        begun.elapsed().as_secs_f64() / count as f64
    };
    (0..7).map(|_| run(&mut call)).fold(f64::MAX, f64::min)
}

/// As many calls as take a few milliseconds.
fn calls(mut call: impl FnMut(usize)) -> usize {
    let once = best(1, &mut call);
    ((4e-3 / once) as usize).clamp(1, 4096)
}

fn print(column: &Column, contestant: &mut dyn Contestant) -> usize {
    let blocks = contestant.blocks() as f64;
    let bytes = column.bytes as f64 * blocks;
    let timed = |call: &mut dyn FnMut(usize)| best(calls(&mut *call), &mut *call);
    let encode = timed(&mut |_| contestant.encode());
    let decode = timed(&mut |_| contestant.decode());
    let row = timed(&mut |call| contestant.row(call.wrapping_mul(7919) % ROWS));
    let kept = contestant.filter();
    let filter = timed(&mut |_| {
        black_box(contestant.filter());
    });
    println!(
        "| {} | {:.2} | {:.0} | {:.2} | {:.1} | {:.2} |",
        contestant.name(),
        contestant.bits(),
        bytes / encode / 1e6,
        bytes / decode / 1e9,
        row * 1e9,
        filter * 1e9 / (ROWS as f64 * blocks)
    );
    kept
}

/// What stands beside an encoding.
fn peers(encoding: Encoding, column: &Column) -> Vec<Box<dyn Contestant + '_>> {
    let parquet = |encoding| Box::new(ParquetColumn::new(column, encoding)) as Box<dyn Contestant>;
    match encoding {
        Encoding::Frame => vec![Box::new(FastLanes::new(column))],
        Encoding::Plain => vec![Box::new(Memory::new(column))],
        Encoding::Delta | Encoding::Jumps => vec![parquet(Parquet::DELTA_BINARY_PACKED)],
        Encoding::Alp | Encoding::AlpDelta | Encoding::AlpRd | Encoding::Planes => vec![Box::new(Pco::new(column))],
        Encoding::Fsst | Encoding::Phrases => vec![Box::new(Fsst::new(column))],
        Encoding::Zstd => vec![Box::new(Zstd::new(column))],
        Encoding::Stencil => vec![parquet(Parquet::DELTA_BYTE_ARRAY)],
        _ => vec![parquet(Parquet::RLE_DICTIONARY)],
    }
}

pub fn print_all() {
    println!("| encoding | bits a value | encode MB/s | decode GB/s | random row ns | filtered value ns |");
    println!("|---|---|---|---|---|---|");
    for encoding in Encoding::ALL.into_iter().filter(|encoding| *encoding != Encoding::AllNull) {
        let column = Column::that_suits(encoding);
        let kept = print(&column, &mut Block::new(&column, encoding));
        for mut peer in peers(encoding, &column) {
            assert_eq!(print(&column, peer.as_mut()), kept, "{} keeps other rows than {encoding:?}", peer.name());
        }
    }
    // The choice itself, for what young and settled blocks cost to write.
    for temperature in [Temperature::Young, Temperature::Settled, Temperature::Cold] {
        let (mut bytes, mut seconds) = (0.0, 0.0);
        for encoding in [Encoding::Frame, Encoding::Delta, Encoding::Alp, Encoding::Fsst, Encoding::Words] {
            let column = Column::that_suits(encoding);
            let options = EncodeOptions { temperature, ..EncodeOptions::default() };
            let mut encoder = ColumnEncoder::new(column.physical(), options);
            encoder.encode(&column.array).expect("encode");
            seconds += best(4, |_| drop(black_box(encoder.encode(&column.array).expect("encode"))));
            bytes += column.bytes as f64;
        }
        println!("\n{temperature:?}, freely chosen, five columns: {:.0} MB/s", bytes / seconds / 1e6);
    }
}
