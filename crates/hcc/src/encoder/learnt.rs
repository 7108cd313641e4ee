//! What an encoder learns from the blocks of a column and shares between them.

use ::fsst::Compressor;

use crate::encoding::fsst::{self, Compressed};
use crate::encoding::phrase::{self, Cut};
use crate::encoding::words::Growing;
use crate::layout::Writer;
use crate::phrases::Cutter;
use crate::shared::{SECTIONS_MAX, Section, section_bytes};
use crate::symbols::write_table;

/// Text that phrases are learnt from a second time, once there is so much of it.
const SAMPLE_BYTES: usize = 1 << 20;
/// Text of a block that goes into that sample.
const BLOCK_SAMPLE_BYTES: usize = 256 << 10;

/// Sections written so far, and tables in use.
#[derive(Default)]
pub(super) struct Learnt {
    sections: Vec<Known>,
    symbols: Option<Trained<Compressor>>,
    phrases: Option<Trained<Cutter>>,
    words: Growing,
    words_section: Option<usize>,
    sample: Vec<Box<[u8]>>,
    sample_bytes: usize,
    learnt_twice: bool,
}

/// A section: bytes, or the place of the list that still grows.
enum Known {
    Bytes(Vec<u8>),
    Words,
}

/// A table, how well it did on the block it was trained on (in thousandths), and the section it is in, once a block uses it.
struct Trained<T> {
    table: T,
    permille: usize,
    section: Option<usize>,
}

fn permille(part: usize, total: usize) -> usize {
    part * 1000 / total.max(1)
}

impl Learnt {
    fn has_room(&self) -> bool {
        self.sections.len() < SECTIONS_MAX
    }

    /// Compresses with the symbols at hand; trains new ones if there are none or they do much worse than when they were new.
    /// `None` if there is no room for another table.
    pub(super) fn compress(&mut self, values: &[&[u8]], total: usize) -> Option<Compressed> {
        if let Some(trained) = &self.symbols {
            let compressed = fsst::compress(&trained.table, values);
            let worst = trained.permille + trained.permille / 8;
            if permille(compressed.codes.len(), total) <= worst || !self.has_room() {
                return Some(compressed);
            }
        }
        if !self.has_room() {
            return None;
        }
        let table = Compressor::train(&values.to_vec());
        let compressed = fsst::compress(&table, values);
        let permille = permille(compressed.codes.len(), total);
        self.symbols = Some(Trained { table, permille, section: None });
        Some(compressed)
    }

    /// The section of the symbols last compressed with.
    pub(super) fn symbols_section(&mut self) -> Option<usize> {
        let trained = self.symbols.as_mut()?;
        if trained.section.is_none() {
            let mut writer = Writer::default();
            write_table(&mut writer, &trained.table);
            trained.section = Some(self.sections.len());
            self.sections.push(Known::Bytes(section_bytes(Section::Symbols, writer)));
        }
        trained.section
    }

    /// Cuts into the phrases at hand; learns new ones as [`Learnt::compress`] does, and once more when enough text was seen:
    /// the first block is all there is to learn from at first.
    pub(super) fn cut(&mut self, values: &[&[u8]], total: usize) -> Option<Cut> {
        if !self.learnt_twice && self.sample_bytes >= SAMPLE_BYTES && self.has_room() {
            let sample: Vec<&[u8]> = self.sample.iter().map(|value| value.as_ref()).collect();
            let table = Cutter::learn(&sample);
            let cut = phrase::cut(&table, values);
            self.phrases = Some(Trained { table, permille: permille(cut.codes.len(), total), section: None });
            self.sample = Vec::new();
            self.learnt_twice = true;
            return Some(cut);
        }
        self.remember(values, total);
        if let Some(trained) = &self.phrases {
            let cut = phrase::cut(&trained.table, values);
            if permille(cut.codes.len(), total) <= trained.permille + trained.permille / 8 || !self.has_room() {
                return Some(cut);
            }
        }
        if !self.has_room() {
            return None;
        }
        let table = Cutter::learn(values);
        let cut = phrase::cut(&table, values);
        self.phrases = Some(Trained { table, permille: permille(cut.codes.len(), total), section: None });
        Some(cut)
    }

    fn remember(&mut self, values: &[&[u8]], total: usize) {
        if self.learnt_twice {
            return;
        }
        let step = total.div_ceil(BLOCK_SAMPLE_BYTES).max(1);
        for value in values.iter().step_by(step) {
            self.sample.push(Box::from(*value));
            self.sample_bytes += value.len();
        }
    }

    /// The section of the phrases last cut into.
    pub(super) fn phrases_section(&mut self) -> Option<usize> {
        let trained = self.phrases.as_mut()?;
        if trained.section.is_none() {
            let mut writer = Writer::default();
            trained.table.write(&mut writer);
            trained.section = Some(self.sections.len());
            self.sections.push(Known::Bytes(section_bytes(Section::Phrases, writer)));
        }
        trained.section
    }

    /// The list of words so far; `None` if there is no room for it.
    pub(super) fn words(&self) -> Option<&Growing> {
        (self.words_section.is_some() || self.has_room()).then_some(&self.words)
    }

    /// Codes of words, which are added where they are new, and the section they are in.
    pub(super) fn word_codes(&mut self, words: &[&[u8]]) -> (usize, Vec<u32>) {
        let section = *self.words_section.get_or_insert_with(|| {
            self.sections.push(Known::Words);
            self.sections.len() - 1
        });
        (section, self.words.codes(words))
    }

    pub(super) fn byte_len(&self) -> usize {
        let len = |section: &Known| match section {
            Known::Bytes(bytes) => bytes.len(),
            Known::Words => self.words.byte_len(),
        };
        self.sections.iter().map(len).sum()
    }

    pub(super) fn into_sections(self) -> Vec<Vec<u8>> {
        let bytes = |section| match section {
            Known::Bytes(bytes) => bytes,
            Known::Words => {
                let mut writer = Writer::default();
                self.words.write_section(&mut writer);
                section_bytes(Section::Words, writer)
            }
        };
        self.sections.into_iter().map(bytes).collect()
    }
}
