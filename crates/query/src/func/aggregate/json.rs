//! `json_agg`, `json_object_agg` and their jsonb twins.

use std::borrow::Cow;

use heliosdb_types::{
    Datum, DatumRef, Error, JsonTree, Jsonb, PhysicalType, Result, SqlState, SqlType, write_json_string,
};

use super::super::json::Converter;
use super::fold::{Fold, FoldAggregate, parts};

/// Values and, in an object, their keys, as they came: JSON text, or jsonb bytes.
struct Parts {
    binary: bool,
    key: Option<Converter>,
    value: Converter,
    parts: Vec<(String, Vec<u8>)>,
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
        self.parts.push((key, part));
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for (key, part) in &self.parts {
            for bytes in [key.as_bytes(), part] {
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(bytes);
            }
        }
        Ok(out)
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        for pair in parts(saved)?.chunks_exact(2) {
            let [key, part] = pair else { continue };
            self.parts.push((String::from_utf8_lossy(key).into_owned(), part.to_vec()));
        }
        Ok(())
    }

    fn bytes(&self, came: usize) -> usize {
        came + self.parts.capacity() * size_of::<(String, Vec<u8>)>()
    }

    fn finish(&self) -> Result<Datum> {
        if self.parts.is_empty() {
            return Ok(Datum::Null);
        }
        if self.binary { self.finish_binary() } else { self.finish_text() }
    }
}

impl Parts {
    fn finish_binary(&self) -> Result<Datum> {
        let encoded = |part: &'_ Vec<u8>| JsonTree::Owned(part.clone());
        let tree = match &self.key {
            None => JsonTree::Array(self.parts.iter().map(|(_, part)| encoded(part)).collect()),
            Some(_) => {
                let members = self.parts.iter().map(|(key, part)| (Cow::Borrowed(key.as_str()), encoded(part)));
                JsonTree::Object(members.collect())
            }
        };
        let bytes = tree.encode()?;
        debug_assert!(Jsonb::new(&bytes).kind().is_ok());
        Ok(Datum::Bytes(bytes))
    }

    fn finish_text(&self) -> Result<Datum> {
        let mut out = String::new();
        for (at, (key, part)) in self.parts.iter().enumerate() {
            match (&self.key, at) {
                (None, 0) => out.push('['),
                (None, _) if self.value.is_container() => out.push_str(", \n "),
                (Some(_), 0) => out.push_str("{ "),
                _ => out.push_str(", "),
            }
            if self.key.is_some() {
                write_json_string(key, &mut out);
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
        parts: Vec::new(),
    });
    (fold, returns)
}
