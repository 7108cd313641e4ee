//! Encodings that hold blocks: runs of equal values, and one value that most rows hold.

use heliosdb_types::Result;

use super::{Body, ColumnEncoder, Values};
use crate::choose::{Profile, Sample};
use crate::encoding::{runs, sparse};
use crate::kind::Encoding;
use crate::layout::Writer;

/// What lies inside is encoded, what lies around is not written yet.
pub(super) enum Nested {
    Runs { ends: Vec<u64>, inner: Vec<u8> },
    Sparse { others: Vec<u32>, common: Vec<u8>, inner: Vec<u8> },
}

impl Nested {
    pub(super) fn encoding(&self) -> Encoding {
        match self {
            Nested::Runs { .. } => Encoding::Runs,
            Nested::Sparse { .. } => Encoding::Sparse,
        }
    }

    fn size(&self) -> usize {
        match self {
            Nested::Runs { ends, inner } => runs::size(ends, inner.len()),
            Nested::Sparse { others, common, inner } => sparse::size(others, common.len(), inner.len()),
        }
    }

    pub(super) fn into_body(self) -> Body {
        let mut writer = Writer::default();
        match &self {
            Nested::Runs { ends, inner } => runs::write(&mut writer, ends, inner),
            Nested::Sparse { others, common, inner } => sparse::write(&mut writer, others, common, inner),
        }
        Body { encoding: self.encoding(), section: None, bytes: writer.finish() }
    }
}

impl ColumnEncoder {
    /// Splits values into runs, and takes apart what most rows hold and what the others do, where that may pay, to learn
    /// the sizes. `wrap` makes a block's values of some of them.
    pub(super) fn try_nested<'v, T: Copy + PartialEq>(
        &mut self,
        values: &[T],
        profile: &Profile,
        depth: usize,
        sample: &mut Sample,
        wrap: impl Fn(Vec<T>) -> Values<'v>,
    ) -> Result<Vec<Nested>> {
        let mut tried = Vec::new();
        let forced = self.forced(depth);
        if depth > 0 {
            return Ok(tried);
        }
        if forced == Some(Encoding::Runs) || (forced.is_none() && profile.runs * 2 <= profile.rows) {
            tried.push(self.split_runs(values, &wrap)?);
        }
        if forced.is_none_or(|forced| forced == Encoding::Sparse)
            && let Some((row, count)) = profile.common
            && count < values.len()
        {
            tried.push(self.split_common(values, row, &wrap)?);
        }
        sample.sizes.extend(tried.iter().map(|nested| (nested.encoding(), nested.size())));
        Ok(tried)
    }

    pub(super) fn split_runs<'v, T: Copy + PartialEq>(
        &mut self,
        values: &[T],
        wrap: &impl Fn(Vec<T>) -> Values<'v>,
    ) -> Result<Nested> {
        let (mut firsts, mut ends) = (Vec::new(), Vec::new());
        for (row, value) in values.iter().enumerate() {
            if row == 0 || values[row - 1] != *value {
                if row > 0 {
                    ends.push(row as u64);
                }
                firsts.push(*value);
            }
        }
        ends.push(values.len() as u64);
        let runs = firsts.len();
        Ok(Nested::Runs { ends, inner: self.nested(&wrap(firsts), runs)? })
    }

    /// `common`: a row that holds the common value.
    fn split_common<'v, T: Copy + PartialEq>(
        &mut self,
        values: &[T],
        common: usize,
        wrap: &impl Fn(Vec<T>) -> Values<'v>,
    ) -> Result<Nested> {
        let (mut others, mut rest) = (Vec::new(), Vec::new());
        for (row, value) in values.iter().enumerate().filter(|(_, value)| **value != values[common]) {
            others.push(row as u32);
            rest.push(*value);
        }
        let common = self.nested(&wrap(vec![values[common]]), 1)?;
        let count = rest.len();
        Ok(Nested::Sparse { others, common, inner: self.nested(&wrap(rest), count)? })
    }
}
