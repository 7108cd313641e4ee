//! One file for each encoding: its bytes, writing, reading, size. The contract is `encoded.rs`.

use heliosdb_types::{PhysicalType, Result};

use crate::Shared;
use crate::encoded::Encoded;
use crate::kind::{Encoding, Kind};
use crate::layout::{Reader, corrupt};

pub(crate) mod alp;
pub(crate) mod alp_delta;
pub(crate) mod alp_rd;
pub(crate) mod constant;
pub(crate) mod delta;
pub(crate) mod dictionary;
pub(crate) mod frame;
pub(crate) mod fsst;
pub(crate) mod phrase;
pub(crate) mod plain;
pub(crate) mod planes;
pub(crate) mod runs;
pub(crate) mod sparse;
pub(crate) mod stencil;
pub(crate) mod words;
pub(crate) mod zstd;

/// Opens a body of `rows` values. `section`: the number of the shared section it refers to; `depth`: how many blocks it
/// lies in.
pub(crate) fn read(
    reader: &mut Reader,
    encoding: Encoding,
    physical: PhysicalType,
    rows: usize,
    shared: &Shared,
    section: Option<usize>,
    depth: usize,
) -> Result<Box<dyn Encoded>> {
    let kind = Kind::of(physical);
    let whole = matches!(kind, Kind::Int { .. });
    let float = matches!(physical, PhysicalType::Float32 | PhysicalType::Float64);
    let strings = kind == Kind::Var;
    Ok(match encoding {
        Encoding::Constant => Box::new(constant::read(reader, physical)?),
        Encoding::Plain => plain::read(reader, physical, rows)?,
        Encoding::Dictionary => dictionary::read(reader, physical, rows)?,
        Encoding::Runs => Box::new(runs::read(reader, physical, rows, shared, depth)?),
        Encoding::Sparse => Box::new(sparse::read(reader, physical, rows, shared, depth)?),
        Encoding::Frame if whole || kind == Kind::Wide => Box::new(frame::read(reader, physical, rows)?),
        Encoding::Delta if whole => Box::new(delta::read(reader, physical, rows)?),
        Encoding::Jumps if whole => Box::new(delta::read_jumps(reader, physical, rows)?),
        Encoding::Alp if float => Box::new(alp::read(reader, physical, rows)?),
        Encoding::AlpDelta if float => Box::new(alp_delta::read(reader, physical, rows)?),
        Encoding::AlpRd if float => Box::new(alp_rd::read(reader, physical, rows)?),
        Encoding::Planes if whole || float => Box::new(planes::read(reader, physical, rows)?),
        Encoding::Fsst if strings => Box::new(fsst::read(reader, physical, rows, shared.symbols(section)?)?),
        Encoding::Phrases if strings => Box::new(phrase::read(reader, physical, rows, shared.phrases(section)?)?),
        Encoding::Words if strings => Box::new(words::read(reader, physical, rows, shared.words(section)?)?),
        Encoding::Stencil if strings => Box::new(stencil::read(reader, physical, rows)?),
        Encoding::Zstd if strings => Box::new(zstd::read(reader, physical, rows)?),
        _ => return Err(corrupt("encoding does not fit the column's type")),
    })
}
