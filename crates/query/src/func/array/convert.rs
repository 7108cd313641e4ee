//! Casting arrays element by element.

use heliosdb_types::{ArrayBuilder, ArrayView, Datum, DatumRef, Result, SqlType, TextContext};

use super::super::cast::convert;
use super::super::value::wrong_shape;

/// The array with every element cast; dimensions stay.
pub(in crate::func) fn convert_array(
    value: DatumRef<'_>,
    from: &SqlType,
    to: &SqlType,
    ctx: &TextContext,
) -> Result<Datum> {
    let DatumRef::Bytes(bytes) = value else { return Err(wrong_shape("an array", value)) };
    let array = ArrayView::new(from, bytes)?;
    let mut builder = ArrayBuilder::new(to)?;
    for value in array.iter() {
        let value = value?;
        if value.is_null() {
            builder.push(DatumRef::Null)?;
        } else {
            builder.push(convert(value.as_ref(), from, to, ctx)?.as_ref())?;
        }
    }
    builder.finish_as(array.dimensions()).map(Datum::Bytes)
}
