//! Text, bytes, bare numerics.

use heliosdb_types::{Error, Result};

use super::{Body, ColumnEncoder, Values};
use crate::choose::{Plan, Profile, Sample, Temperature, choose, common, considered, distinct, runs};
use crate::encoding::fsst::{self, Compressed};
use crate::encoding::phrase::{self, Cut};
use crate::encoding::stencil::Stencil;
use crate::encoding::zstd::{self, Frames};
use crate::encoding::{dictionary, plain, words};
use crate::kind::Encoding;
use crate::layout::Writer;

/// Below this no table of symbols or phrases pays for itself.
const TEXT_BYTES_MIN: usize = 4096;
/// Strings that are this long on average may be kept in frames of zstd when settled.
const LONG: usize = 96;
/// Text in a frame: a row costs one.
const SETTLED_FRAME_BYTES: usize = 8 << 10;
const COLD_FRAME_BYTES: usize = 256 << 10;
const SETTLED_LEVEL: i32 = 3;
const COLD_LEVEL: i32 = 15;
/// A new word costs its bytes, an offset, and what readers keep in memory for it.
const WORD_OVERHEAD: usize = 4;
/// Lists of words are written compressed, to about one byte in this many.
const WORDS_PACK: usize = 3;

/// What was written while measuring.
#[derive(Default)]
struct Tried {
    compressed: Option<Compressed>,
    cut: Option<Cut>,
    frames: Option<Frames>,
}

pub(super) fn ends_of(values: &[&[u8]]) -> Vec<u64> {
    let mut end = 0;
    values
        .iter()
        .map(|value| {
            end += value.len() as u64;
            end
        })
        .collect()
}

impl ColumnEncoder {
    pub(super) fn encode_strings(&mut self, values: &[&[u8]], depth: usize) -> Result<(Body, Option<Plan>)> {
        let ends = ends_of(values);
        let total = ends.last().copied().unwrap_or(0) as usize;
        if i32::try_from(total).is_err() {
            return Err(Error::internal("the strings of a block exceed 2 GiB"));
        }
        let forced = self.forced(depth);
        let limit = match forced {
            None => self.options.dictionary_values_max.min(values.len() / 2 + 1),
            Some(Encoding::Dictionary | Encoding::Words | Encoding::Constant) => usize::MAX,
            Some(_) => 0,
        };
        let found = if limit == 0 { None } else { distinct_strings(values, limit) };
        if let Some((found, _)) = &found
            && let [only] = found.as_slice()
            && forced.is_none_or(|forced| forced == Encoding::Constant)
        {
            return Ok((self.constant(only), None));
        }
        let mut profile = Profile {
            rows: values.len(),
            distinct: found.as_ref().map(|(found, _)| found.len()),
            runs: if forced == Some(Encoding::Plain) { values.len() } else { runs(values) },
            plain_bytes: plain::strings_size(&ends),
            longest: values.iter().map(|value| value.len()).max().unwrap_or(0),
            ..Profile::default()
        };
        let mut sample = Sample::default();
        let mut smallest =
            found.as_ref().map_or(usize::MAX, |(found, _)| self.weigh_words(found, values.len(), &mut sample));
        let stencil = match forced {
            None | Some(Encoding::Stencil) => Stencil::of(values),
            Some(_) => None,
        };
        if let Some(stencil) = &stencil {
            let bytes = stencil.size(values.len());
            smallest = smallest.min(bytes);
            sample.sizes.push((Encoding::Stencil, bytes));
        }
        let nested = if forced == Some(Encoding::Plain) {
            Vec::new()
        } else {
            profile.common = common(values);
            self.try_nested(values, &profile, depth, &mut sample, Values::Strings)?
        };
        // Symbols are eight bytes at most and text halves or thirds in practice, so a dictionary far below that wins without
        // trying.
        let few = smallest < profile.plain_bytes / 5 || total < TEXT_BYTES_MIN;
        let tried = self.try_text(values, &ends, total, forced, few, &mut sample)?;
        let plan = choose(&sample, &profile, self.options.temperature);
        let chosen = forced.unwrap_or(plan.encoding);
        let mut writer = Writer::default();
        let mut section = None;
        match (chosen, tried, found) {
            (Encoding::Plain, _, _) => plain::write_strings(&mut writer, values, &ends),
            (Encoding::Dictionary, _, Some((mut found, mut codes))) => {
                dictionary::sort(&mut found, &mut codes, |word| *word);
                dictionary::write_strings(&mut writer, &found, &ends_of(&found), &codes);
            }
            (Encoding::Words, _, Some((found, rows)))
                if self.learnt.words().is_some_and(|w| w.growth(&found).is_some()) =>
            {
                let (list, codes) = self.learnt.word_codes(&found);
                section = Some(list);
                words::write(&mut writer, &codes, &rows);
            }
            (Encoding::Fsst, Tried { compressed: Some(compressed), .. }, _) => {
                section = self.learnt.symbols_section();
                fsst::write(&mut writer, &compressed, total);
            }
            (Encoding::Phrases, Tried { cut: Some(cut), .. }, _) => {
                section = self.learnt.phrases_section();
                phrase::write(&mut writer, &cut, total);
            }
            (Encoding::Stencil, _, _) => stencil.ok_or_else(|| self.misfit())?.write(&mut writer, values),
            (Encoding::Zstd, Tried { frames: Some(frames), .. }, _) => zstd::write(&mut writer, &frames, &ends),
            (other, _, _) => {
                let nested = nested.into_iter().find(|nested| nested.encoding() == other);
                return Ok((nested.ok_or_else(|| self.misfit())?.into_body(), Some(plan)));
            }
        }
        Ok((Body { encoding: chosen, section, bytes: writer.into_unaligned() }, Some(plan)))
    }

    /// Sizes of a list of the block's distinct words: its own, or the one that its blocks share. The smaller of both.
    fn weigh_words(&self, found: &[&[u8]], rows: usize, sample: &mut Sample) -> usize {
        let own = dictionary::strings_size(&ends_of(found), rows);
        sample.sizes.push((Encoding::Dictionary, own));
        let Some(words) = self.learnt.words() else { return own };
        let Some(growth) = words.growth(found) else { return own };
        // The list is compressed, and what the first block adds serves those after it.
        let divisor = if words.is_empty() { 4 * WORDS_PACK } else { WORDS_PACK };
        let added = growth.bytes / divisor + growth.words * WORD_OVERHEAD;
        let shared = words::size(&growth, rows) + added;
        sample.sizes.push((Encoding::Words, shared));
        own.min(shared)
    }

    /// Compresses, in the ways that may pay, to learn the sizes.
    fn try_text(
        &mut self,
        values: &[&[u8]],
        ends: &[u64],
        total: usize,
        forced: Option<Encoding>,
        few: bool,
        sample: &mut Sample,
    ) -> Result<Tried> {
        let temperature = self.options.temperature;
        let cold = temperature == Temperature::Cold;
        let long = total / values.len().max(1) >= LONG;
        let wanted = |encoding: Encoding| match (forced, encoding) {
            (Some(forced), _) => forced == encoding,
            (None, Encoding::Zstd) => !few && considered(encoding, temperature) && (long || cold),
            // Where phrases are allowed they beat symbols.
            (None, Encoding::Fsst) => !few && !considered(Encoding::Phrases, temperature),
            _ => !few && considered(encoding, temperature),
        };
        let mut tried = Tried::default();
        if wanted(Encoding::Fsst) {
            tried.compressed = self.learnt.compress(values, total);
            sample.sizes.extend(tried.compressed.as_ref().map(|tried| (Encoding::Fsst, fsst::size(tried))));
        }
        if wanted(Encoding::Phrases) {
            tried.cut = self.learnt.cut(values, total);
            sample.sizes.extend(tried.cut.as_ref().map(|tried| (Encoding::Phrases, phrase::size(tried))));
        }
        if wanted(Encoding::Zstd) {
            let (frame, level) =
                if cold { (COLD_FRAME_BYTES, COLD_LEVEL) } else { (SETTLED_FRAME_BYTES, SETTLED_LEVEL) };
            let frames = zstd::compress(values, total, frame, level)?;
            sample.sizes.push((Encoding::Zstd, zstd::size(&frames, ends)));
            tried.frames = Some(frames);
        }
        Ok(tried)
    }
}

/// As [`distinct`]. Strings of up to 15 bytes are compared as numbers.
fn distinct_strings<'a>(values: &[&'a [u8]], limit: usize) -> Option<(Vec<&'a [u8]>, Vec<u32>)> {
    const SHORT: usize = 15;
    if values.iter().any(|value| value.len() > SHORT) {
        return distinct(values, limit);
    }
    let number = |value: &&[u8]| {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(*value).for_each(|(to, from)| *to = *from);
        bytes[SHORT] = value.len() as u8;
        u128::from_le_bytes(bytes)
    };
    let (found, codes) = distinct(&values.iter().map(number).collect::<Vec<u128>>(), limit)?;
    let mut words: Vec<&[u8]> = vec![&[]; found.len()];
    for (value, code) in values.iter().zip(&codes) {
        words[*code as usize] = value;
    }
    Some((words, codes))
}
