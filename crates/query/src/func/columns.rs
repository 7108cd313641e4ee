//! Arguments of functions that work a column at a time: a constant or a column, read by row.

use arrow_array::cast::AsArray;
use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{Array, ArrayRef, PrimitiveArray, StringViewArray};
use arrow_schema::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;
use heliosdb_types::{Error, Result};

/// What a kernel over columns is given: at least one argument is a column, and the rows there are.
pub(super) type Columns = fn(&[ColumnarValue], usize) -> Result<ArrayRef>;

/// A column of texts or the same for every row.
pub(super) enum Texts<'a> {
    One(Option<&'a str>),
    Each(&'a StringViewArray),
}

impl<'a> Texts<'a> {
    pub fn of(args: &'a [ColumnarValue], at: usize) -> Result<Texts<'a>> {
        match args.get(at) {
            Some(ColumnarValue::Array(array)) if array.data_type() == &DataType::Null => Ok(Texts::One(None)),
            Some(ColumnarValue::Array(array)) => array.as_string_view_opt().map(Texts::Each).ok_or_else(wrong),
            Some(ColumnarValue::Scalar(ScalarValue::Utf8View(text) | ScalarValue::Utf8(text))) => {
                Ok(Texts::One(text.as_deref()))
            }
            Some(ColumnarValue::Scalar(other)) if other.is_null() => Ok(Texts::One(None)),
            _ => Err(wrong()),
        }
    }

    #[inline]
    pub fn at(&self, row: usize) -> Option<&'a str> {
        match self {
            Texts::One(text) => *text,
            Texts::Each(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }

    /// The whole column, if it is one.
    pub fn column(&self) -> Option<&'a StringViewArray> {
        match self {
            Texts::One(_) => None,
            Texts::Each(array) => Some(array),
        }
    }
}

/// A column of numbers or the same for every row.
pub(super) enum Numbers<'a, T: ArrowPrimitiveType> {
    One(Option<T::Native>),
    Each(&'a PrimitiveArray<T>),
}

impl<'a, T: ArrowPrimitiveType> Numbers<'a, T> {
    pub fn of(args: &'a [ColumnarValue], at: usize) -> Result<Numbers<'a, T>> {
        match args.get(at) {
            Some(ColumnarValue::Array(array)) if array.data_type() == &DataType::Null => Ok(Numbers::One(None)),
            Some(ColumnarValue::Array(array)) => array.as_primitive_opt::<T>().map(Numbers::Each).ok_or_else(wrong),
            Some(ColumnarValue::Scalar(value)) if value.is_null() => Ok(Numbers::One(None)),
            Some(ColumnarValue::Scalar(value)) => {
                let array = value.to_array().map_err(crate::exec::from_datafusion)?;
                let array = array.as_primitive_opt::<T>().ok_or_else(wrong)?;
                Ok(Numbers::One(Some(array.value(0))))
            }
            None => Err(wrong()),
        }
    }

    #[inline]
    pub fn at(&self, row: usize) -> Option<T::Native> {
        match self {
            Numbers::One(value) => *value,
            Numbers::Each(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

pub(super) fn wrong() -> Error {
    Error::internal("a function over columns got arguments of other types than planned")
}
