//! `json_agg`, `json_object_agg` and their jsonb twins.

use heliosdb_types::{
    Datum, DatumRef, Error, JsonTree, Jsonb, PhysicalType, Result, SqlState, SqlType, write_json_string,
};

use super::super::json::Converter;
use super::fold::{Fold, FoldAggregate, parts, push_part};
use crate::exec::check_cancelled;

/// Values and, in an object, their keys, as they came: JSON text, or jsonb bytes.
struct Parts {
    binary: bool,
    key: Option<Converter>,
    value: Converter,
    /// For each row its key, empty in an array, and its value, as [`parts`] reads them: millions of values are one allocation, which
    /// is given back at once.
    rows: Vec<u8>,
}

impl Fold for Parts {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        let (key, value) = match (&self.key, args) {
            (None, [value]) => (String::new(), *value),
            (Some(_), [DatumRef::Null, _]) => {
                return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, "field name must not be null"));
            }
            (Some(converter), [key, value]) => (converter.member_name(*key)?, *value),
            _ => return Err(Error::internal("a JSON aggregate of other arguments")),
        };
        let part = if self.binary {
            self.value.tree(value)?.encode()?
        } else {
            let mut out = String::new();
            self.value.write(value, false, &mut out)?;
            out.into_bytes()
        };
        push_part(key.as_bytes(), &mut self.rows);
        push_part(&part, &mut self.rows);
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        Ok(self.rows.clone())
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        self.rows.extend_from_slice(saved);
        Ok(())
    }

    fn bytes(&self, _came: usize) -> usize {
        self.rows.capacity()
    }

    fn finish(&self) -> Result<Datum> {
        if self.rows.is_empty() {
            return Ok(Datum::Null);
        }
        let rows = parts(&self.rows)?;
        let rows = rows.chunks_exact(2).filter_map(|row| <[&[u8]; 2]>::try_from(row).ok());
        if self.binary { self.finish_binary(rows) } else { self.finish_text(rows) }
    }
}

impl Parts {
    fn finish_binary<'a>(&self, rows: impl Iterator<Item = [&'a [u8]; 2]>) -> Result<Datum> {
        let encoded = |part: &[u8]| JsonTree::Owned(part.to_vec());
        let tree = match &self.key {
            None => JsonTree::Array(rows.map(|[_, part]| encoded(part)).collect()),
            Some(_) => {
                JsonTree::Object(rows.map(|[key, part]| (String::from_utf8_lossy(key), encoded(part))).collect())
            }
        };
        let bytes = tree.encode()?;
        debug_assert!(Jsonb::new(&bytes).kind().is_ok());
        Ok(Datum::Bytes(bytes))
    }

    fn finish_text<'a>(&self, rows: impl Iterator<Item = [&'a [u8]; 2]>) -> Result<Datum> {
        let mut out = String::with_capacity(self.rows.len());
        for (at, [key, part]) in rows.enumerate() {
            check_cancelled()?;
            match (&self.key, at) {
                (None, 0) => out.push('['),
                (None, _) if self.value.is_container() => out.push_str(", \n "),
                (Some(_), 0) => out.push_str("{ "),
                _ => out.push_str(", "),
            }
            if self.key.is_some() {
                write_json_string(&String::from_utf8_lossy(key), &mut out);
                out.push_str(" : ");
            }
            out.push_str(std::str::from_utf8(part).map_err(|_| Error::internal("damaged aggregate state"))?);
        }
        out.push_str(if self.key.is_some() { " }" } else { "]" });
        Ok(Datum::Text(out))
    }
}

/// The fold of such an aggregate and the type it gives.
pub(super) fn aggregate(
    name: &str,
    key: Option<Converter>,
    value: Converter,
    arguments: Vec<PhysicalType>,
) -> (FoldAggregate, SqlType) {
    let binary = name.starts_with("jsonb");
    let (returns, physical) =
        if binary { (SqlType::Jsonb, PhysicalType::Bytes) } else { (SqlType::Json, PhysicalType::Text) };
    let tag = format!("{name} {arguments:?} {:?} {}", key.as_ref().map(Converter::key), value.key());
    let fold = FoldAggregate::new(name, tag, arguments, physical, false, move || Parts {
        binary,
        key: key.clone(),
        value: value.clone(),
        rows: Vec::new(),
    });
    (fold, returns)
}
