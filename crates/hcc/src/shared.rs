//! Sections that several blocks of a column share: symbol tables, phrases, words.
//!
//! ```text
//! kind u8 (1 symbols, 2 phrases, 3 words) | packed u8 (1: what follows is zstd) | version u16 | length u32, expanded
//!   | padding | the section
//! ```
//! A writer makes them while it encodes and gives them out at the end; a reader opens all of a column's at once and hands
//! them to every block. Sections are small (words: 4 MiB at most) and stay in memory while blocks are read.

use std::sync::Arc;

use arrow_buffer::Buffer;
use heliosdb_types::{PhysicalType, Result};

use crate::encoding::dictionary::WordList;
use crate::encoding::words;
use crate::kind::Kind;
use crate::layout::{ALIGNMENT, Reader, Writer, corrupt};
use crate::phrases::PhraseTable;
use crate::symbols::SymbolTable;

const VERSION: u16 = 1;
/// No section expands to more.
const SECTION_MAX: usize = 8 << 20;
/// A column has no more sections than this.
pub(crate) const SECTIONS_MAX: usize = 64;
const LEVEL: i32 = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Symbols = 1,
    Phrases = 2,
    Words = 3,
}

#[derive(Clone, Debug)]
enum Opened {
    Symbols(Arc<SymbolTable>),
    Phrases(Arc<PhraseTable>),
    Words(Arc<WordList>),
}

/// A column's shared sections, opened. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    sections: Vec<Opened>,
    bytes: usize,
}

/// A section's bytes: compressed if that makes them smaller.
pub(crate) fn section_bytes(kind: Section, body: Writer) -> Vec<u8> {
    let body = body.finish();
    let packed = zstd::bulk::compress(&body, LEVEL).ok().filter(|packed| packed.len() + ALIGNMENT < body.len());
    let mut out = vec![kind as u8, u8::from(packed.is_some())];
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.resize(ALIGNMENT, 0);
    out.extend_from_slice(packed.as_deref().unwrap_or(&body));
    out
}

impl Shared {
    /// Opens a column's sections, in the order [`crate::ColumnEncoder::finish`] gave them. Damage is a `Corrupt` error.
    pub fn open(sections: impl IntoIterator<Item = Buffer>, physical: PhysicalType) -> Result<Shared> {
        let mut shared = Shared::default();
        for bytes in sections {
            if Kind::of(physical) != Kind::Var || shared.sections.len() == SECTIONS_MAX {
                return Err(corrupt("a column has shared sections it cannot use"));
            }
            let (section, len) = open_section(bytes, physical)?;
            shared.sections.push(section);
            shared.bytes += len;
        }
        Ok(shared)
    }

    /// What the sections cost in memory, about.
    pub fn byte_len(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    fn get(&self, section: Option<usize>) -> Result<&Opened> {
        section.and_then(|section| self.sections.get(section)).ok_or_else(|| corrupt("a shared section is missing"))
    }

    pub(crate) fn symbols(&self, section: Option<usize>) -> Result<Arc<SymbolTable>> {
        match self.get(section)? {
            Opened::Symbols(table) => Ok(table.clone()),
            _ => Err(corrupt("a shared section is of another kind")),
        }
    }

    pub(crate) fn phrases(&self, section: Option<usize>) -> Result<Arc<PhraseTable>> {
        match self.get(section)? {
            Opened::Phrases(table) => Ok(table.clone()),
            _ => Err(corrupt("a shared section is of another kind")),
        }
    }

    pub(crate) fn words(&self, section: Option<usize>) -> Result<Arc<WordList>> {
        match self.get(section)? {
            Opened::Words(words) => Ok(words.clone()),
            _ => Err(corrupt("a shared section is of another kind")),
        }
    }
}

fn open_section(bytes: Buffer, physical: PhysicalType) -> Result<(Opened, usize)> {
    let mut reader = Reader::new(bytes);
    let (kind, packed) = (reader.u8()?, reader.u8()?);
    let version = u16::from(reader.u8()?) | u16::from(reader.u8()?) << 8;
    let len = reader.u32()? as usize;
    reader.align();
    if version != VERSION || packed > 1 || len > SECTION_MAX {
        return Err(corrupt("a shared section has an unknown header"));
    }
    let mut body = reader.rest()?;
    if packed == 1 {
        let expanded =
            zstd::bulk::decompress(body.as_slice(), len).map_err(|_| corrupt("a shared section is damaged"))?;
        body = Buffer::from_vec(expanded);
    }
    if body.len() != len {
        return Err(corrupt("a shared section has another length than it says"));
    }
    let mut reader = Reader::new(body);
    Ok(match kind {
        1 => (Opened::Symbols(Arc::new(SymbolTable::read(&mut reader)?)), size_of::<SymbolTable>()),
        2 => (Opened::Phrases(Arc::new(PhraseTable::read(&mut reader)?)), 17 << 12),
        3 => {
            let words = words::read_section(&mut reader, physical)?;
            // Each word has a bound and a view beside its bytes.
            let bytes = len + words.len() * 24;
            (Opened::Words(Arc::new(words)), bytes)
        }
        _ => return Err(corrupt("a shared section is of an unknown kind")),
    })
}
