//! What ANALYZE found about a table: one JSON row a table in the tree `statistics`, whose fields may be added to.
//!
//! Invariants: values are kept as PostgreSQL's text of them, which outlives changes of how values are stored; what was found
//! about a column counts only while the column has the type it had then, and its attribute number is never given again. Whoever
//! estimates asks for the parsed form, which is made once for each version of the row.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use heliosdb_types::{Datum, DatumRef, Oid, SqlType, TextContext, array_sort_bytes, encode_key, parse_text};
use serde::{Deserialize, Serialize};

use super::model::{ExtendedStatistics, Relation};

/// The statistics of a table.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct TableStatistics {
    /// When they were last changed: microseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub changed_micros: i64,
    /// Rows there were; `None`: never analyzed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_analyze: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_autoanalyze: Option<i64>,
    #[serde(default)]
    pub analyze_count: i64,
    #[serde(default)]
    pub autoanalyze_count: i64,
    /// By attribute number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<i16, ColumnStatistics>,
    /// Of several columns, by the OID of the object that asks for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub combined: BTreeMap<u32, CombinedStatistics>,
    /// ALTER COLUMN ... SET STATISTICS, by attribute number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<i16, i32>,
    #[serde(skip)]
    profiles: OnceLock<HashMap<i16, Arc<Profile>>>,
    #[serde(skip)]
    combinations: OnceLock<HashMap<Oid, Arc<Combined>>>,
}

/// The same as it is kept, read when somebody asks.
#[derive(Debug)]
pub struct StoredStatistics {
    /// A number of its own for each version.
    pub changed: i64,
    json: String,
    read: OnceLock<Option<TableStatistics>>,
}

impl StoredStatistics {
    pub fn new(changed: i64, json: String) -> StoredStatistics {
        StoredStatistics { changed, json, read: OnceLock::new() }
    }

    /// `None`: it cannot be read, which only makes plans worse.
    pub fn get(&self) -> Option<&TableStatistics> {
        self.read.get_or_init(|| serde_json::from_str(&self.json).ok()).as_ref()
    }

    /// What cannot be read counts as nothing, to be written anew.
    pub fn take(self) -> Option<TableStatistics> {
        Some(serde_json::from_str(&self.json).unwrap_or_default())
    }
}

/// What is known of one column, as `pg_stats` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// The column's type when it was looked at.
    pub sql_type: String,
    pub null_frac: f32,
    /// Average bytes of a value, as PostgreSQL would store it.
    pub width: i32,
    /// Distinct values; below zero: their number divided by that of rows, negated. Zero: unknown.
    pub distinct: f32,
    /// Values that are more common than others, the most common first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub common: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frequencies: Vec<f32>,
    /// Bounds of groups of about as many rows each, the common values left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<String>,
    /// How well the order of the values agrees with that of the rows: from -1 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<f32>,
}

/// What is known of several columns together, as `pg_stats_ext` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CombinedStatistics {
    /// The columns' types when they were looked at.
    pub sql_types: Vec<String>,
    /// Different combinations of some of the columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distinct: Vec<(Vec<i16>, f64)>,
    /// The share of rows in which some columns decide another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<(Vec<i16>, i16, f64)>,
    /// The most common first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub common: Vec<CommonCombination>,
}

/// A combination of values of all columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommonCombination {
    pub values: Vec<Option<String>>,
    pub frequency: f64,
    /// Its frequency if the columns had nothing to do with each other.
    pub base: f64,
}

/// The same as estimates want it.
#[derive(Debug)]
pub struct Combined {
    /// Ascending.
    pub attributes: Vec<i16>,
    pub distinct: Vec<(Vec<i16>, f64)>,
    pub dependencies: Vec<(Vec<i16>, i16, f64)>,
    pub common: Vec<KnownCombination>,
}

/// A common combination as estimates want it.
#[derive(Debug)]
pub struct KnownCombination {
    /// Compare as the values do; `None` is NULL.
    pub keys: Vec<Option<Vec<u8>>>,
    pub frequency: f64,
    pub base: f64,
}

/// A column's statistics as estimates want them.
#[derive(Debug, Default)]
pub struct Profile {
    pub null_frac: f64,
    pub width: f64,
    /// As in [`ColumnStatistics::distinct`].
    pub distinct: f64,
    pub common: Vec<(Place, f64)>,
    pub bounds: Vec<Place>,
}

/// A value by its place in the order of its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Compares as the values do.
    pub key: Vec<u8>,
    /// Where it is on a line, if the type has one.
    pub number: Option<f64>,
    pub value: Datum,
}

impl Place {
    pub fn of(sql_type: &SqlType, value: Datum) -> Place {
        Place { key: order_key(sql_type, value.as_ref()), number: number(value.as_ref()), value }
    }
}

/// Bytes that compare as values of a type do.
pub fn order_key(sql_type: &SqlType, value: DatumRef<'_>) -> Vec<u8> {
    let mut key = Vec::new();
    match (sql_type, value) {
        (SqlType::Array(element), DatumRef::Bytes(bytes)) => {
            encode_key(&mut key, DatumRef::Bytes(array_sort_bytes(element, bytes)), false);
        }
        (SqlType::Jsonb, DatumRef::Bytes(bytes)) => {
            let sort = heliosdb_types::Jsonb::new(bytes).sort_key().unwrap_or_else(|_| bytes.to_vec());
            encode_key(&mut key, DatumRef::Bytes(&sort), false);
        }
        (SqlType::Char(_), DatumRef::Text(text)) => {
            encode_key(&mut key, DatumRef::Text(text.trim_end_matches(' ')), false);
        }
        (_, value) => encode_key(&mut key, value, false),
    }
    key
}

/// A place on a line, for values that have one.
pub fn number(value: DatumRef<'_>) -> Option<f64> {
    Some(match value {
        DatumRef::Int16(v) => f64::from(v),
        DatumRef::Int32(v) | DatumRef::Date(v) => f64::from(v),
        DatumRef::Int64(v) | DatumRef::Time(v) | DatumRef::Timestamp(v) | DatumRef::TimestampTz(v) => v as f64,
        DatumRef::Float32(v) if v.is_finite() => f64::from(v),
        DatumRef::Float64(v) if v.is_finite() => v,
        // Unscaled: values of one column share its scale.
        DatumRef::Decimal { unscaled, .. } => unscaled as f64,
        DatumRef::Interval(v) => v.total_micros() as f64,
        DatumRef::Bool(v) => f64::from(u8::from(v)),
        _ => return None,
    })
}

impl TableStatistics {
    /// What was found about a column, if it still counts.
    pub fn column(&self, relation: &Relation, attribute: i16) -> Option<&ColumnStatistics> {
        let column = relation.columns.iter().find(|column| column.attribute == attribute)?;
        self.columns.get(&attribute).filter(|found| found.sql_type == type_name(&column.sql_type))
    }

    /// The same as estimates want it.
    pub fn profile(&self, relation: &Relation, attribute: i16) -> Option<Arc<Profile>> {
        let profiles = self.profiles.get_or_init(|| {
            let of_column = |column: &super::Column| {
                let found = self.column(relation, column.attribute)?;
                Some((column.attribute, Arc::new(parsed(found, &column.sql_type))))
            };
            relation.columns.iter().filter_map(of_column).collect()
        });
        self.column(relation, attribute).and_then(|_| profiles.get(&attribute).cloned())
    }

    /// What was found about several columns, if it still counts.
    pub fn combined(&self, relation: &Relation, extended: &ExtendedStatistics) -> Option<&CombinedStatistics> {
        let types = extended.attributes.iter().map(|attribute| {
            let column = relation.columns.iter().find(|column| column.attribute == *attribute)?;
            Some(type_name(&column.sql_type))
        });
        let types = types.collect::<Option<Vec<_>>>()?;
        self.combined.get(&extended.oid.0).filter(|found| found.sql_types == types)
    }

    /// The same of all that the table has, as estimates want it.
    pub fn combinations(&self, relation: &Relation) -> Vec<Arc<Combined>> {
        let extended = relation.table().map_or(&[][..], |table| &table.extended);
        let counts = |extended: &&ExtendedStatistics| self.combined(relation, extended).is_some();
        // What is kept is of objects that were there then; those of today decide.
        let known = self.combinations.get_or_init(|| {
            let parsed = |extended: &ExtendedStatistics| {
                let found = self.combined(relation, extended)?;
                Some((extended.oid, Arc::new(parsed_combination(relation, extended, found))))
            };
            extended.iter().filter_map(parsed).collect()
        });
        extended.iter().filter(counts).filter_map(|extended| known.get(&extended.oid).cloned()).collect()
    }
}

impl Relation {
    /// What ANALYZE found, if it was ever there.
    pub fn statistics(&self) -> Option<&TableStatistics> {
        self.table()?.statistics.as_ref()?.get()
    }
}

/// A type by a name that no longer holds once values are compared differently.
pub fn type_name(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Enum(of) => format!("enum {}", of.oid),
        other => other.name(),
    }
}

fn parsed_combination(relation: &Relation, extended: &ExtendedStatistics, found: &CombinedStatistics) -> Combined {
    let context = TextContext::default();
    let key = |attribute: &i16, text: &Option<String>| {
        let Some(text) = text else { return Some(None) };
        let column = relation.columns.iter().find(|column| column.attribute == *attribute)?;
        let value = parse_text(&column.sql_type, text, &context).ok()?;
        Some(Some(order_key(&column.sql_type, value.as_ref())))
    };
    let common = found.common.iter().filter_map(|one| {
        let keys = extended.attributes.iter().zip(&one.values).map(|(attribute, text)| key(attribute, text));
        Some(KnownCombination { keys: keys.collect::<Option<Vec<_>>>()?, frequency: one.frequency, base: one.base })
    });
    Combined {
        attributes: extended.attributes.clone(),
        distinct: found.distinct.clone(),
        dependencies: found.dependencies.clone(),
        common: common.collect(),
    }
}

fn parsed(found: &ColumnStatistics, sql_type: &SqlType) -> Profile {
    let context = TextContext::default();
    let place =
        |text: &String| -> Option<Place> { Some(Place::of(sql_type, parse_text(sql_type, text, &context).ok()?)) };
    let frequencies = found.frequencies.iter().map(|frequency| f64::from(*frequency));
    // Labels of an enum that was changed since are left out, as all that cannot be read is.
    Profile {
        null_frac: f64::from(found.null_frac),
        width: f64::from(found.width),
        distinct: f64::from(found.distinct),
        common: found.common.iter().map(place).zip(frequencies).filter_map(|(p, f)| Some((p?, f))).collect(),
        bounds: found.bounds.iter().filter_map(place).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_a_column_end_with_its_type() {
        let mut relation = crate::testing::relation("t", &[("a", SqlType::Int4)], &[]);
        let found = ColumnStatistics {
            sql_type: type_name(&SqlType::Int4),
            distinct: -0.5,
            common: vec!["7".into(), "not a number".into()],
            frequencies: vec![0.5, 0.25],
            bounds: vec!["1".into(), "300".into()],
            ..ColumnStatistics::default()
        };
        let statistics = TableStatistics { columns: [(1, found)].into(), ..TableStatistics::default() };
        let profile = statistics.profile(&relation, 1).unwrap();
        assert_eq!(profile.common, vec![(Place::of(&SqlType::Int4, Datum::Int32(7)), 0.5)]);
        assert_eq!(profile.bounds[1].number, Some(300.0));
        assert!(profile.bounds[0].key < profile.bounds[1].key);
        relation.columns[0].sql_type = SqlType::Int8;
        assert!(statistics.column(&relation, 1).is_none());
    }

    #[test]
    fn keys_order_values_as_their_types_do() {
        let padded = |text| order_key(&SqlType::Char(Some(4)), DatumRef::Text(text));
        assert_eq!(padded("a "), padded("a"));
        let array = |text: &str| {
            let of = SqlType::Array(Box::new(SqlType::Int4));
            order_key(&of, parse_text(&of, text, &TextContext::default()).unwrap().as_ref())
        };
        assert!(array("{1,2}") < array("{1,10}"));
    }
}
