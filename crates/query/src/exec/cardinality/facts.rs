//! What is known of the rows a step gives.

use std::sync::Arc;

use heliosdb_types::{PhysicalType, SqlType};

use super::UNKNOWN_DISTINCT;
use crate::catalog::{Combined, Profile, Relation};

/// A table somewhere below.
#[derive(Debug)]
pub(crate) struct Source {
    /// All of its rows, whatever was left out since.
    pub rows: f64,
    /// Attributes of its primary key.
    pub key: Vec<i16>,
    /// What CREATE STATISTICS had ANALYZE find.
    pub combined: Vec<Arc<Combined>>,
}

/// One column of an output.
#[derive(Clone, Debug)]
pub(crate) struct ColumnFacts {
    /// Of the table's column, or of the part of it that conditions leave.
    pub profile: Option<Arc<Profile>>,
    /// `None`: computed.
    pub types: Option<(SqlType, PhysicalType)>,
    /// Different values, whatever rows are left.
    pub distinct: f64,
    pub null_frac: f64,
    /// The table's column it is.
    pub origin: Option<(Arc<Source>, i16)>,
    /// Bytes of a value in a batch.
    pub width: f64,
}

impl ColumnFacts {
    pub fn unknown() -> ColumnFacts {
        ColumnFacts { profile: None, types: None, distinct: UNKNOWN_DISTINCT, null_frac: 0.0, origin: None, width: 8.0 }
    }
}

/// Rows with what is known of their columns.
#[derive(Clone, Debug)]
pub(crate) struct Estimate {
    pub rows: f64,
    pub columns: Vec<ColumnFacts>,
}

impl Estimate {
    /// A table of `rows` rows; `None` if it was never analyzed. The row reference, if there is one, comes last.
    pub fn of_table(relation: &Relation, rows: f64, columns: usize) -> Option<Estimate> {
        let (statistics, table) = (relation.statistics()?, relation.table()?);
        statistics.rows?;
        let rows = rows.max(1.0);
        let key = table.primary_key.as_ref().map(|key| key.attributes.clone()).unwrap_or_default();
        let combined = statistics.combinations(relation);
        let source = Arc::new(Source { rows, key, combined });
        let facts = |column: &crate::catalog::Column| {
            let profile = statistics.profile(relation, column.attribute);
            let unique = source.key == [column.attribute];
            let distinct = match &profile {
                _ if unique => rows,
                Some(profile) if profile.distinct < 0.0 => -profile.distinct * rows,
                Some(profile) if profile.distinct > 0.0 => profile.distinct,
                _ => UNKNOWN_DISTINCT,
            };
            let physical = column.sql_type.physical()?;
            let width = profile.as_ref().map_or(24.0, |profile| profile.width + 16.0);
            let fixed = heliosdb_contracts::arrow_type(physical).primitive_width();
            Some(ColumnFacts {
                distinct: distinct.clamp(1.0, rows),
                null_frac: profile.as_ref().map_or(0.0, |profile| profile.null_frac),
                profile,
                types: Some((column.sql_type.clone(), physical)),
                origin: Some((Arc::clone(&source), column.attribute)),
                width: fixed.map_or(width, |width| width as f64),
            })
        };
        let known = relation.columns.iter().map(|column| facts(column).unwrap_or_else(ColumnFacts::unknown));
        let columns = known.chain(std::iter::repeat_with(ColumnFacts::unknown)).take(columns).collect();
        Some(Estimate { rows, columns })
    }

    pub fn column(&self, at: usize) -> Option<&ColumnFacts> {
        self.columns.get(at)
    }

    /// The columns at these places.
    pub fn projected(&self, places: &[usize]) -> Estimate {
        let column = |at: &usize| self.column(*at).cloned().unwrap_or_else(ColumnFacts::unknown);
        Estimate { rows: self.rows, columns: places.iter().map(column).collect() }
    }

    pub fn with_rows(mut self, rows: f64) -> Estimate {
        self.rows = if rows.is_finite() { rows.max(1.0) } else { 1.0 };
        self
    }

    /// Bytes of the rows in batches.
    pub fn bytes(&self) -> f64 {
        self.rows * self.columns.iter().map(|column| column.width).sum::<f64>().max(1.0)
    }
}
