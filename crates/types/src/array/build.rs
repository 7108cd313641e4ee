//! Making an array's bytes.

use super::{
    ARRAY_BYTES_MAX, ARRAY_DIMENSIONS_MAX, ARRAY_ELEMENTS_MAX, Dimension, Residue, element_count, element_physical,
    residue_of, too_large, too_many_dimensions,
};
use crate::{DatumRef, Error, Numeric, PhysicalType, Result, SqlType, encode_key};

/// Collects elements in row-major order; [`ArrayBuilder::finish`] gives them their dimensions.
#[derive(Clone)]
pub struct ArrayBuilder {
    physical: PhysicalType,
    residue: Residue,
    out: Vec<u8>,
    lost: Vec<u8>,
    /// Whether any element lost something.
    loses: bool,
    count: usize,
}

impl ArrayBuilder {
    /// Of elements of this type; 0A000 where there are no arrays of it.
    pub fn new(element: &SqlType) -> Result<ArrayBuilder> {
        let physical = element_physical(element)
            .ok_or_else(|| Error::unsupported(format!("an array of type {}", element.name())))?;
        let residue = residue_of(element);
        Ok(ArrayBuilder { physical, residue, out: Vec::new(), lost: Vec::new(), loses: false, count: 0 })
    }

    /// Elements so far.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far.
    pub fn byte_len(&self) -> usize {
        self.out.len() + self.lost.len()
    }

    /// Appends an element; numerics may come as decimals.
    pub fn push(&mut self, value: DatumRef<'_>) -> Result<()> {
        if self.count >= ARRAY_ELEMENTS_MAX || self.byte_len() > ARRAY_BYTES_MAX {
            return Err(too_large());
        }
        match (value, self.physical) {
            (DatumRef::Decimal { unscaled, scale }, PhysicalType::Numeric) => {
                let number = Numeric::from_unscaled(unscaled, scale);
                self.push_element(DatumRef::Numeric(number.as_bytes()))?;
            }
            (DatumRef::Text(text), _) if self.residue == Residue::Blanks => {
                let body = text.trim_end_matches(' ');
                self.note(DatumRef::Text(text));
                encode_key(&mut self.out, DatumRef::Text(body), false);
            }
            (value, _) => self.push_element(value)?,
        }
        self.count += 1;
        Ok(())
    }

    fn push_element(&mut self, value: DatumRef<'_>) -> Result<()> {
        use DatumRef as D;
        use PhysicalType as P;
        let fits = matches!(
            (value, self.physical),
            (D::Null, _)
                | (D::Bool(_), P::Bool)
                | (D::Int16(_), P::Int16)
                | (D::Int32(_), P::Int32)
                | (D::Int64(_), P::Int64)
                | (D::Float32(_), P::Float32)
                | (D::Float64(_), P::Float64)
                | (D::Numeric(_), P::Numeric)
                | (D::Text(_), P::Text)
                | (D::Bytes(_), P::Bytes)
                | (D::Date(_), P::Date)
                | (D::Time(_), P::Time)
                | (D::Timestamp(_), P::Timestamp)
                | (D::TimestampTz(_), P::TimestampTz)
                | (D::Interval(_), P::Interval)
                | (D::Uuid(_), P::Uuid)
        );
        if !fits {
            return Err(Error::internal(format!("{value:?} in an array of {:?}", self.physical)));
        }
        self.note(value);
        encode_key(&mut self.out, value, false);
        Ok(())
    }

    /// Keeps what the key will lose.
    fn note(&mut self, value: DatumRef<'_>) {
        match self.residue {
            Residue::None => {}
            Residue::ZeroSign => {
                let minus = match value {
                    DatumRef::Float32(v) => v == 0.0 && v.is_sign_negative(),
                    DatumRef::Float64(v) => v == 0.0 && v.is_sign_negative(),
                    _ => false,
                };
                if self.count.is_multiple_of(8) {
                    self.lost.push(0);
                }
                if minus && let Some(byte) = self.lost.last_mut() {
                    *byte |= 1 << (self.count % 8);
                    self.loses = true;
                }
            }
            Residue::Scale => {
                let scale = match value {
                    DatumRef::Numeric(bytes) => {
                        let scale = bytes.last_chunk::<2>().map_or(0, |scale| u16::from_be_bytes(*scale));
                        // A reader without a residue shows as few digits as it can.
                        self.loses |= scale != 0
                            && Numeric::from_bytes_unchecked(bytes).min_scale().is_some_and(|s| s != i32::from(scale));
                        scale
                    }
                    _ => 0,
                };
                self.lost.extend_from_slice(&scale.to_be_bytes());
            }
            Residue::Parts => {
                let (months, days) = match value {
                    DatumRef::Interval(v) => (v.months, v.days),
                    _ => (0, 0),
                };
                self.loses |= months != 0 || days != 0;
                self.lost.extend_from_slice(&months.to_be_bytes());
                self.lost.extend_from_slice(&days.to_be_bytes());
            }
            Residue::Blanks => {
                let blanks = match value {
                    DatumRef::Text(text) => (text.len() - text.trim_end_matches(' ').len()) as u32,
                    _ => 0,
                };
                self.loses |= blanks != 0;
                self.lost.extend_from_slice(&blanks.to_be_bytes());
            }
        }
    }

    /// The elements alone, as they compare.
    pub(super) fn into_keys(self) -> Vec<u8> {
        self.out
    }

    /// One dimension from 1; no elements give the empty array.
    pub fn finish(self) -> Result<Vec<u8>> {
        let dimension = Dimension::of(self.count)?;
        self.finish_as(&[dimension])
    }

    /// The array with these dimensions, which must be those of the elements. Without elements it is the empty array.
    pub fn finish_as(mut self, dimensions: &[Dimension]) -> Result<Vec<u8>> {
        if dimensions.len() > ARRAY_DIMENSIONS_MAX {
            return Err(too_many_dimensions(dimensions.len()));
        }
        if element_count(dimensions)? != self.count {
            return Err(Error::internal(format!("{} elements for dimensions {dimensions:?}", self.count)));
        }
        let dimensions = if self.count == 0 { &[] } else { dimensions };
        self.out.push(0);
        self.out.push(dimensions.len() as u8);
        for dimension in dimensions {
            self.out.extend_from_slice(&dimension.length.to_be_bytes());
        }
        for dimension in dimensions {
            self.out.extend_from_slice(&((dimension.lower as u32) ^ (1 << 31)).to_be_bytes());
        }
        self.out.push(dimensions.len() as u8);
        if self.residue != Residue::None {
            if !self.loses {
                self.lost.clear();
            }
            self.out.extend_from_slice(&self.lost);
            self.out.extend_from_slice(&(self.lost.len() as u32).to_be_bytes());
        }
        if self.out.len() > ARRAY_BYTES_MAX {
            return Err(too_large());
        }
        Ok(self.out)
    }
}
