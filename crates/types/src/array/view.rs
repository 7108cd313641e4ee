//! Reading an array's bytes in place.

use super::{
    ARRAY_DIMENSIONS_MAX, Dimension, Residue, array_sort_bytes, damaged, element_count, element_physical, residue_of,
};
use crate::key::KeyReader;
use crate::{Datum, DatumRef, Error, Numeric, PhysicalType, Result, SqlType};

/// An array's bytes, checked as far as its dimensions.
#[derive(Clone, Copy, Debug)]
pub struct ArrayView<'a> {
    physical: PhysicalType,
    residue: Residue,
    dimensions: [Dimension; ARRAY_DIMENSIONS_MAX],
    dimension_count: usize,
    count: usize,
    elements: &'a [u8],
    lost: &'a [u8],
}

/// An element: borrowed where the array has it as it is.
#[derive(Clone, Debug)]
pub enum Element<'a> {
    Borrowed(DatumRef<'a>),
    Owned(Datum),
}

impl Element<'_> {
    pub fn as_ref(&self) -> DatumRef<'_> {
        match self {
            Element::Borrowed(value) => *value,
            Element::Owned(value) => value.as_ref(),
        }
    }

    pub fn is_null(&self) -> bool {
        self.as_ref().is_null()
    }

    pub fn into_datum(self) -> Datum {
        match self {
            Element::Borrowed(value) => value.to_owned(),
            Element::Owned(value) => value,
        }
    }
}

impl<'a> ArrayView<'a> {
    /// `element` is the type of the array's elements.
    pub fn new(element: &SqlType, bytes: &'a [u8]) -> Result<ArrayView<'a>> {
        let physical = element_physical(element)
            .ok_or_else(|| Error::unsupported(format!("an array of type {}", element.name())))?;
        let residue = residue_of(element);
        let sort = array_sort_bytes(element, bytes);
        let lost = match residue {
            Residue::None => &[],
            _ => bytes.get(sort.len()..bytes.len().saturating_sub(4)).ok_or_else(|| damaged("too short"))?,
        };
        let (&dimension_count, rest) = sort.split_last().ok_or_else(|| damaged("empty"))?;
        let dimension_count = usize::from(dimension_count);
        if dimension_count > ARRAY_DIMENSIONS_MAX {
            return Err(damaged("too many dimensions"));
        }
        let head = rest.len().checked_sub(8 * dimension_count + 2).ok_or_else(|| damaged("too short"))?;
        let (elements, shape) = rest.split_at_checked(head).ok_or_else(|| damaged("too short"))?;
        let shape = match shape {
            [0, count, shape @ ..] if usize::from(*count) == dimension_count => shape,
            _ => return Err(damaged("no dimensions")),
        };
        let (lengths, bounds) = shape.split_at_checked(4 * dimension_count).ok_or_else(|| damaged("too short"))?;
        let mut dimensions = [Dimension { length: 0, lower: 1 }; ARRAY_DIMENSIONS_MAX];
        let pairs = lengths.as_chunks::<4>().0.iter().zip(bounds.as_chunks::<4>().0);
        for (dimension, (length, lower)) in dimensions.iter_mut().zip(pairs) {
            let lower = (u32::from_be_bytes(*lower) ^ (1 << 31)) as i32;
            *dimension = Dimension::new(u32::from_be_bytes(*length) as usize, lower)
                .map_err(|_| damaged("a dimension is too large"))?;
        }
        let given = dimensions.get(..dimension_count).ok_or_else(|| damaged("too many dimensions"))?;
        let count = element_count(given).map_err(|_| damaged("too many elements"))?;
        // Every element takes a byte at least, so a count cannot ask for more memory than the bytes it came in.
        if count > elements.len() || (count == 0) != (dimension_count == 0) {
            return Err(damaged("fewer elements than its dimensions say"));
        }
        Ok(ArrayView { physical, residue, dimensions, dimension_count, count, elements, lost })
    }

    /// None for the empty array.
    pub fn dimensions(&self) -> &[Dimension] {
        self.dimensions.get(..self.dimension_count).unwrap_or(&[])
    }

    /// Number of elements of all dimensions.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The elements in row-major order. An error ends them.
    pub fn iter(&self) -> Elements<'a> {
        Elements { array: *self, reader: KeyReader::new(self.elements), at: 0 }
    }

    /// The bytes that elements compare by, `None` for NULL; see [`element_key`](super::element_key).
    pub fn keys(&self) -> impl Iterator<Item = Result<Option<&'a [u8]>>> + use<'a> {
        let (mut reader, physical, mut left) = (KeyReader::new(self.elements), self.physical, self.count);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let key = reader.slice(physical);
            if key.is_err() {
                left = 0;
            }
            Some(key)
        })
    }

    /// All elements.
    pub fn to_datums(&self) -> Result<Vec<Datum>> {
        self.iter().map(|element| element.map(Element::into_datum)).collect()
    }

    /// The element at a position counted from 0.
    pub fn get(&self, at: usize) -> Result<Option<Element<'a>>> {
        self.iter().nth(at).transpose()
    }

    /// The position, from 0, of the element with these subscripts; `None` outside the array.
    pub fn position(&self, subscripts: &[i32]) -> Option<usize> {
        if subscripts.len() != self.dimension_count {
            return None;
        }
        self.dimensions().iter().zip(subscripts).try_fold(0usize, |position, (dimension, &subscript)| {
            let offset = usize::try_from(i64::from(subscript) - i64::from(dimension.lower)).ok()?;
            (offset < dimension.length as usize).then_some(position * dimension.length as usize + offset)
        })
    }
}

/// See [`ArrayView::iter`].
pub struct Elements<'a> {
    array: ArrayView<'a>,
    reader: KeyReader<'a>,
    at: usize,
}

impl<'a> Elements<'a> {
    fn read(&mut self) -> Result<Element<'a>> {
        if self.array.physical == PhysicalType::Text
            && self.array.residue == Residue::None
            && let Some(text) = self.reader.plain_text()?
        {
            return Ok(Element::Borrowed(DatumRef::Text(text)));
        }
        let residue = match self.array.residue {
            Residue::None => return Ok(Element::Owned(self.reader.value(self.array.physical)?)),
            _ if self.array.lost.is_empty() => None,
            Residue::ZeroSign => Some((self.at / 8, 1)),
            Residue::Scale => Some((self.at * 2, 2)),
            Residue::Parts => Some((self.at * 8, 8)),
            Residue::Blanks => Some((self.at * 4, 4)),
        };
        let lost = residue.map(|(start, len)| {
            let tail = self.array.lost.get(start..).and_then(|tail| tail.get(..len));
            tail.ok_or_else(|| damaged("its residue is cut off"))
        });
        let lost = lost.transpose()?;
        if self.array.physical == PhysicalType::Interval {
            return Ok(Element::Owned(self.interval(lost)?));
        }
        let value = self.reader.value(self.array.physical)?;
        Ok(Element::Owned(match (value, lost) {
            (value, None) => value,
            (Datum::Float32(0.0), Some([bits])) if bits >> (self.at % 8) & 1 == 1 => Datum::Float32(-0.0),
            (Datum::Float64(0.0), Some([bits])) if bits >> (self.at % 8) & 1 == 1 => Datum::Float64(-0.0),
            (Datum::Numeric(number), Some(scale)) => {
                Datum::Numeric(Numeric::from_bytes(&[number.sort_bytes(), scale].concat())?)
            }
            (Datum::Text(mut text), Some(blanks)) => {
                let blanks = blanks.first_chunk::<4>().map_or(0, |blanks| u32::from_be_bytes(*blanks)) as usize;
                if blanks > super::ARRAY_BYTES_MAX {
                    return Err(damaged("too many blanks"));
                }
                text.extend(std::iter::repeat_n(' ', blanks));
                Datum::Text(text)
            }
            (value, Some(_)) => value,
        }))
    }

    fn interval(&mut self, lost: Option<&[u8]>) -> Result<Datum> {
        let Some(total) = self.reader.interval_total()? else { return Ok(Datum::Null) };
        let mut parts = crate::Interval::default();
        if let Some([a, b, c, d, e, f, g, h]) = lost {
            parts.months = i32::from_be_bytes([*a, *b, *c, *d]);
            parts.days = i32::from_be_bytes([*e, *f, *g, *h]);
        }
        let micros = total.checked_sub(parts.total_micros()).and_then(|micros| i64::try_from(micros).ok());
        parts.micros = micros.ok_or_else(|| damaged("not an interval"))?;
        Ok(Datum::Interval(parts))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.array.count {
            return None;
        }
        let element = self.read();
        // After damage nothing that follows means anything.
        self.at = if element.is_ok() { self.at + 1 } else { self.array.count };
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.array.count.saturating_sub(self.at)))
    }
}
