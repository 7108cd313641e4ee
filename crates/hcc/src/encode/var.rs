//! Text, bytes, numerics: constant, dictionary, FSST, plain.

use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use fsst::Compressor;
use heliosdb_types::{Error, Result};

use super::fixed::{distinct, sort_dictionary};
use super::{ColumnEncoder, EncodedBlock, Rows, Trained};
use crate::fsst::{Compressed, compress, table_bytes, write_table};
use crate::input::var_values;
use crate::kind::Encoding;
use crate::layout::Writer;
use crate::offsets::{offset_bytes, write_offsets};
use crate::packed::{packed_bytes, width_of, write_packed};

/// Below this a symbol table does not pay for itself.
const FSST_BYTES_MIN: usize = 4096;

impl ColumnEncoder {
    pub(super) fn encode_var(&mut self, array: &ArrayRef, rows: &Rows<'_>) -> Result<EncodedBlock> {
        let values = var_values(array, self.physical)?;
        let ends = ends_of(&values);
        let total = ends.last().copied().unwrap_or(0) as usize;
        if i32::try_from(total).is_err() {
            return Err(Error::internal("the strings of a block exceed 2 GiB"));
        }
        let forced = self.options.force;
        let plain_bytes = total + offset_bytes(&ends);
        let limit = match forced {
            None => self.options.dictionary_values_max.min(rows.len / 2 + 1),
            Some(_) => usize::MAX,
        };
        let found = self.distinct_strings(array, &values, rows, limit);
        if let Some((words, _)) = &found
            && words.len() == 1
            && self.options.allows(Encoding::Constant)
        {
            return Ok(self.write_var_dictionary(rows, Encoding::Constant, words, &vec![0; rows.len]));
        }
        let dictionary_bytes = match &found {
            Some((words, _)) if self.options.allows(Encoding::Dictionary) => {
                let ends = ends_of(words);
                let codes = packed_bytes(rows.len, width_of(words.len() as u64 - 1));
                ends.last().copied().unwrap_or(0) as usize + offset_bytes(&ends) + codes
            }
            _ => usize::MAX,
        };
        // Symbols are eight bytes at most and FSST halves or thirds text in practice, so a dictionary far below that wins
        // without trying.
        let compressed = match forced {
            None if dictionary_bytes < plain_bytes / 4 || total < FSST_BYTES_MIN => None,
            _ if self.options.allows(Encoding::Fsst) => Some(self.compress(&values, total)),
            _ => None,
        };
        let fsst_bytes = match (&compressed, &self.trained) {
            (Some(compressed), Some(trained)) => {
                compressed.codes.len() + offset_bytes(&compressed.ends) + table_bytes(&trained.compressor)
            }
            _ => usize::MAX,
        };
        if let Some((mut words, mut codes)) = found
            && (forced == Some(Encoding::Dictionary) || dictionary_bytes <= fsst_bytes.min(plain_bytes))
            && dictionary_bytes != usize::MAX
        {
            sort_dictionary(&mut words, &mut codes, |word| *word);
            return Ok(self.write_var_dictionary(rows, Encoding::Dictionary, &words, &codes));
        }
        if let Some(compressed) = &compressed
            && (forced == Some(Encoding::Fsst) || fsst_bytes < plain_bytes / 10 * 9)
        {
            return self.write_fsst(rows, compressed, total);
        }
        if !self.options.allows(Encoding::Plain) {
            return Err(self.misfit());
        }
        let mut writer = self.start(rows, Encoding::Plain);
        write_strings(&mut writer, &values, &ends);
        Ok(EncodedBlock { encoding: Encoding::Plain, bytes: writer.finish() })
    }

    /// As [`distinct`]. Strings of up to 12 bytes lie inside their views, which are then compared as numbers.
    fn distinct_strings<'a>(
        &self,
        array: &ArrayRef,
        values: &[&'a [u8]],
        rows: &Rows<'_>,
        limit: usize,
    ) -> Option<(Vec<&'a [u8]>, Vec<u32>)> {
        const INLINE: usize = 12;
        let views = match array.as_string_view_opt() {
            Some(strings) => strings.views(),
            None => array.as_binary_view_opt()?.views(),
        };
        if values.iter().any(|value| value.len() > INLINE) {
            return distinct(values, rows, limit);
        }
        let (found, codes) = distinct::<u128>(views, rows, limit)?;
        let mut words: Vec<&[u8]> = vec![&[]; found.len()];
        for (row, code) in codes.iter().enumerate().filter(|(row, _)| rows.is_valid(*row)) {
            words[*code as usize] = values[row];
        }
        Some((words, codes))
    }

    /// Compresses with the table at hand; trains a new one if there is none or it does much worse than when it was new.
    fn compress(&mut self, values: &[&[u8]], total: usize) -> Compressed {
        let permille = |compressed: &Compressed| compressed.codes.len() * 1000 / total.max(1);
        if let Some(trained) = &self.trained {
            let compressed = compress(&trained.compressor, values);
            if permille(&compressed) <= trained.permille + trained.permille / 8 {
                return compressed;
            }
        }
        let compressor = Compressor::train(&values.to_vec());
        let compressed = compress(&compressor, values);
        self.trained = Some(Trained { permille: permille(&compressed), compressor });
        compressed
    }

    fn write_fsst(&self, rows: &Rows<'_>, compressed: &Compressed, total: usize) -> Result<EncodedBlock> {
        let trained = self.trained.as_ref().ok_or_else(|| Error::internal("compressed without a symbol table"))?;
        let mut writer = self.start(rows, Encoding::Fsst);
        writer.u64(total as u64);
        write_table(&mut writer, &trained.compressor);
        writer.u64(compressed.codes.len() as u64);
        write_offsets(&mut writer, &compressed.ends);
        writer.raw(&compressed.codes);
        Ok(EncodedBlock { encoding: Encoding::Fsst, bytes: writer.finish() })
    }

    fn write_var_dictionary(
        &self,
        rows: &Rows<'_>,
        encoding: Encoding,
        words: &[&[u8]],
        codes: &[u32],
    ) -> EncodedBlock {
        let mut writer = self.start(rows, encoding);
        writer.u64(words.len() as u64);
        write_strings(&mut writer, words, &ends_of(words));
        writer.align();
        write_packed(&mut writer, codes.len(), words.len() as u64 - 1, |row| u64::from(codes[row]));
        EncodedBlock { encoding, bytes: writer.finish() }
    }
}

fn ends_of(values: &[&[u8]]) -> Vec<u64> {
    let mut end = 0;
    values
        .iter()
        .map(|value| {
            end += value.len() as u64;
            end
        })
        .collect()
}

/// Writes `length u64 | offsets | bytes`.
fn write_strings(writer: &mut Writer, values: &[&[u8]], ends: &[u64]) {
    writer.u64(ends.last().copied().unwrap_or(0));
    write_offsets(writer, ends);
    values.iter().for_each(|value| writer.raw(value));
}
