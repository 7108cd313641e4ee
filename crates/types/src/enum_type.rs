//! User-defined enums: their labels and the numbers that stand for them.
//!
//! A value is stored as its label's code. Codes order as labels do and never change, so comparing, sorting and keys need no
//! catalog, and a label put between two others takes a code from the gap between theirs: nothing is rewritten. A gap of
//! 2^40 is cut at a quarter each time, which is enough for dozens of labels at one place.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, Oid, Result, SqlState};

/// Between the codes of labels that were declared one after the other.
const GAP: i64 = 1 << 40;
/// The longest label, in bytes: PostgreSQL's NAMEDATALEN - 1.
pub const ENUM_LABEL_BYTES_MAX: usize = 63;
/// The most labels of an enum.
pub const ENUM_LABELS_MAX: usize = 100_000;

/// An enum as values of it need it. Two are equal if they are the same type, whatever was done to it since.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnumType {
    pub oid: Oid,
    pub array_oid: Oid,
    pub schema: String,
    /// Messages name it with its schema, since the session's search path does not find it.
    #[serde(skip)]
    pub qualified: bool,
    pub name: String,
    /// In order, which is that of their codes.
    pub labels: Vec<EnumLabel>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnumLabel {
    pub oid: Oid,
    pub code: i64,
    pub name: String,
}

/// Where a new label goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelPlace {
    /// Before the label at this position.
    Before(usize),
    After(usize),
    Last,
}

impl PartialEq for EnumType {
    fn eq(&self, other: &EnumType) -> bool {
        self.oid == other.oid
    }
}

impl Eq for EnumType {}

impl Hash for EnumType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.oid.hash(state);
    }
}

impl EnumType {
    /// The code of the label at a position of a new enum.
    pub fn first_code(position: usize) -> i64 {
        (position as i64 + 1) * GAP
    }

    /// The label of a code; `None` for a code this version of the type does not have.
    pub fn label(&self, code: i64) -> Option<&EnumLabel> {
        self.labels.binary_search_by_key(&code, |label| label.code).ok().and_then(|at| self.labels.get(at))
    }

    pub fn labelled(&self, name: &str) -> Option<&EnumLabel> {
        self.labels.iter().find(|label| label.name == name)
    }

    /// The code of a label, as text input has it: 22P02 for none.
    pub fn parse(&self, text: &str) -> Result<i64> {
        match self.labelled(text) {
            Some(label) => Ok(label.code),
            None => {
                let message = format!("invalid input value for enum {}: \"{text}\"", self.shown_name());
                Err(Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, message))
            }
        }
    }

    /// Position and code for a new label; 54000 if no number is left between its neighbours.
    pub fn place(&self, place: LabelPlace) -> Result<(usize, i64)> {
        let at = match place {
            LabelPlace::Before(at) => at,
            LabelPlace::After(at) => at + 1,
            LabelPlace::Last => self.labels.len(),
        };
        let code_at = |at: Option<usize>| at.and_then(|at| self.labels.get(at)).map(|label| label.code);
        let code = match (code_at(at.checked_sub(1)), code_at(Some(at))) {
            (None, None) => Some(GAP),
            (Some(last), None) => last.checked_add(GAP),
            (None, Some(first)) => first.checked_sub(GAP),
            (Some(low), Some(high)) => {
                // Near the label it was not said to be next to, so that the next one at this place finds room again.
                let quarter = ((high - low) / 4).max(1);
                let code = if matches!(place, LabelPlace::After(_)) { high - quarter } else { low + quarter };
                (low < code && code < high).then_some(code)
            }
        };
        if self.labels.len() >= ENUM_LABELS_MAX {
            let message = format!("an enum can have at most {ENUM_LABELS_MAX} labels");
            return Err(Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let code = code.ok_or_else(|| {
            let message = format!("no more labels fit at this place of enum {}", self.shown_name());
            Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                .with_hint("Add the label elsewhere, or create a new type and convert the columns.")
        })?;
        Ok((at, code))
    }

    /// The name as PostgreSQL prints it: quoted where it must be, with the schema where the search path does not find it.
    pub fn shown_name(&self) -> String {
        let name = quote_identifier(&self.name);
        if self.qualified { format!("{}.{name}", quote_identifier(&self.schema)) } else { name }
    }
}

/// An identifier in double quotes if it is not all lower-case letters, digits and underscores.
fn quote_identifier(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The type of an enum's number alone, for where its labels are looked up later.
pub(crate) fn reference(oid: Oid) -> Arc<EnumType> {
    Arc::new(EnumType {
        oid,
        array_oid: Oid(0),
        schema: String::new(),
        qualified: false,
        name: String::new(),
        labels: Vec::new(),
    })
}

/// A shared enum in serialized types: its OID alone, or all of it.
pub(crate) mod shared {
    use super::{Arc, EnumType};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &Arc<EnumType>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<EnumType>, D::Error> {
        EnumType::deserialize(deserializer).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mood(labels: &[&str]) -> EnumType {
        let labels = labels.iter().enumerate().map(|(at, name)| EnumLabel {
            oid: Oid(100 + at as u32),
            code: EnumType::first_code(at),
            name: (*name).to_owned(),
        });
        let labels = labels.collect();
        EnumType {
            oid: Oid(1),
            array_oid: Oid(2),
            schema: "public".into(),
            qualified: false,
            name: "mood".into(),
            labels,
        }
    }

    fn add(mood: &mut EnumType, name: &str, place: LabelPlace) -> Result<()> {
        let (at, code) = mood.place(place)?;
        mood.labels.insert(at, EnumLabel { oid: Oid(7), code, name: name.into() });
        assert!(mood.labels.is_sorted_by(|a, b| a.code < b.code), "{:?}", mood.labels);
        Ok(())
    }

    #[test]
    fn labels_are_found_both_ways() {
        let mood = mood(&["sad", "ok", "happy"]);
        let code = mood.parse("ok").unwrap();
        assert_eq!(mood.label(code).unwrap().name, "ok");
        assert!(mood.label(code + 1).is_none());
        let error = mood.parse("OK").unwrap_err();
        assert_eq!(error.message(), "invalid input value for enum mood: \"OK\"");
    }

    #[test]
    fn new_labels_go_anywhere_and_codes_stay() {
        let mut mood = mood(&["sad", "happy"]);
        let codes: Vec<i64> = mood.labels.iter().map(|label| label.code).collect();
        add(&mut mood, "first", LabelPlace::Before(0)).unwrap();
        add(&mut mood, "last", LabelPlace::Last).unwrap();
        for at in 0..50 {
            let before_happy = mood.labels.len() - 2;
            add(&mut mood, &format!("m{at}"), LabelPlace::Before(before_happy)).unwrap();
        }
        for at in 0..50 {
            add(&mut mood, &format!("n{at}"), LabelPlace::After(1)).unwrap();
        }
        assert_eq!(mood.parse("sad").unwrap(), codes[0]);
        assert_eq!(mood.parse("happy").unwrap(), codes[1]);
        let last = (0..1000).find_map(|at| add(&mut mood, &format!("o{at}"), LabelPlace::After(1)).err()).unwrap();
        assert_eq!(last.state(), SqlState::PROGRAM_LIMIT_EXCEEDED);
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        let mut mood = mood(&[]);
        mood.name = "My type".into();
        (mood.schema, mood.qualified) = ("app".into(), true);
        assert_eq!(mood.shown_name(), "app.\"My type\"");
    }
}
