//! ANALYZE: what a table's columns hold, from a sample of its rows.
//!
//! Does: read a table (or pieces spread over a large one), count different values in all that is read, and reckon from a random
//! sample of 300 rows per unit of the statistics target what `pg_stats` shows. Does not: lock, or write the catalog.
//! Invariants: what is read is what the statement's snapshot sees, frozen or not; of a table that fits into the sample every figure
//! is exact, and the same as PostgreSQL's.

mod automatic;
mod column;
mod distinct;
mod extended;
mod sample;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use heliosdb_contracts::ScanRequest;
use heliosdb_runtime::Clock;
use heliosdb_types::{Error, Result};

use crate::catalog::{
    Column, ColumnStatistics, CombinedStatistics, ExtendedStatistics, IndexColumn, Relation, TableInfo,
};
use crate::exec::{Executor, StatementScope, from_datafusion};
use crate::func::is_its_own_key;
use column::{Cell, Size};
use sample::{Random, Sample, Wanted};

pub(crate) use automatic::{Changes, changes};

/// Rows sampled for each common value or group there may be: with these, groups are within a half of their right size with a
/// probability of 99 % (Chaudhuri, Motwani and Narasayya 1998; PostgreSQL's figure).
const ROWS_PER_TARGET: usize = 300;
/// Rows read for each row sampled, at most: enough blocks that a sample of them is spread over the table.
const READ_PER_SAMPLED: u64 = 40;
const BATCH_ROWS: usize = 8192;
/// Batches after which others get their turn.
const BATCHES_PER_TURN: usize = 8;

/// What was found.
pub(crate) struct Found {
    /// In the table: counted, or estimated if not all were read.
    pub rows: f64,
    pub rows_read: u64,
    pub rows_sampled: usize,
    pub columns: BTreeMap<i16, ColumnStatistics>,
    /// By the OID of the object that asks for them.
    pub combined: BTreeMap<u32, CombinedStatistics>,
}

/// How to look.
pub(crate) struct Look {
    /// Attribute numbers with how many common values and groups there may be.
    pub columns: Vec<(i16, usize)>,
    pub seed: u64,
    /// Rest so long after each turn, by this clock.
    pub pace: Option<(Arc<dyn Clock>, Duration)>,
}

/// Looks at a table on the analytics pool.
pub(crate) async fn collect(
    executor: &Executor,
    relation: &Arc<Relation>,
    look: Look,
    scope: Arc<StatementScope>,
) -> Result<Found> {
    let memory = executor.memory("Analyze");
    let relation = Arc::clone(relation);
    let task = executor.spawner.task(async move {
        let table = relation.table().ok_or_else(|| Error::internal("statistics of no table"))?;
        let wanted_column = |(attribute, target): &(i16, usize)| {
            let column = relation.columns.iter().find(|column| column.attribute == *attribute)?;
            let (sql_type, physical) = (column.sql_type.clone(), column.sql_type.physical()?);
            Some((column, *target, Wanted { hashable: is_its_own_key(&sql_type), sql_type, physical }))
        };
        let mut chosen: Vec<(&Column, usize)> = Vec::new();
        let mut wanted = Vec::new();
        for (column, target, of) in look.columns.iter().filter_map(wanted_column) {
            chosen.push((column, target));
            wanted.push(of);
        }
        let request = ScanRequest {
            tree: table.tree.tree,
            projection: chosen.iter().map(|(column, _)| column.id).collect(),
            predicates: Vec::new(),
            row_refs: false,
            limit: None,
            target_partitions: 1,
            batch_rows: BATCH_ROWS,
        };
        let scan = scope.shard.scan(&scope.read, &request)?;
        let targets: Vec<(i16, usize)> = chosen.iter().map(|(column, target)| (column.attribute, *target)).collect();
        let objects = objects(table, &targets);
        let largest = targets.iter().map(|(_, target)| *target).chain(objects.iter().map(|object| object.target)).max();
        let size = largest.unwrap_or(0).max(1) * ROWS_PER_TARGET;
        let estimated = scan.estimated_rows();
        let every = usize::try_from(estimated / (size as u64 * READ_PER_SAMPLED)).unwrap_or(usize::MAX);
        let thinned = every >= 2 && scan.thin(every, look.seed);
        let mut sample = Sample::new(&wanted, size, Random(look.seed));
        for object in &objects {
            for places in extended::combinations(object.places.len()) {
                sample.count(places.iter().filter_map(|at| object.places.get(*at)).copied().collect());
            }
        }
        for partition in 0..scan.partition_count() {
            let mut reader = scan.open(partition)?;
            let mut turn = 0;
            while let Some(batch) = reader.next_batch()? {
                scope.cancel.check()?;
                sample.add(&batch, thinned)?;
                memory.try_resize(sample.bytes).map_err(from_datafusion)?;
                turn += 1;
                if turn % BATCHES_PER_TURN == 0 {
                    match &look.pace {
                        Some((clock, rest)) => clock.sleep(*rest).await,
                        None => tokio::task::yield_now().await,
                    }
                }
            }
        }
        let rows = if thinned { (estimated as f64).max(sample.rows as f64) } else { sample.rows as f64 };
        let share = if rows > 0.0 { sample.rows as f64 / rows } else { 1.0 };
        let complete = sample.has_all() && !thinned;
        let mut columns = BTreeMap::new();
        let cells: Vec<Vec<Cell>> = (0..wanted.len()).map(|at| sample.column(at)).collect();
        for (at, ((column, target), of)) in chosen.iter().zip(&wanted).enumerate() {
            scope.cancel.check()?;
            let counted = sample.distinct.get(at).and_then(|distinct| distinct.as_ref());
            let size = Size {
                table_rows: rows,
                complete,
                distinct: counted.map(|distinct| distinct.whole(share)),
                unique: is_key(table, column),
            };
            let cells = cells.get(at).map_or(&[][..], Vec::as_slice);
            columns.extend(column::column(&of.sql_type, cells, size, *target).map(|found| (column.attribute, found)));
            tokio::task::yield_now().await;
        }
        let counted = sample.combinations(share);
        let mut combined = BTreeMap::new();
        for object in &objects {
            scope.cancel.check()?;
            let part = |at: &usize| {
                let ((column, _), cells) = (chosen.get(*at)?, cells.get(*at)?);
                Some(extended::Part { attribute: column.attribute, sql_type: &column.sql_type, cells })
            };
            let parts: Vec<extended::Part<'_>> = object.places.iter().filter_map(part).collect();
            let size = Size { table_rows: rows, complete, distinct: None, unique: false };
            let found = extended::combined(object.asked, &object.places, &parts, size, &counted, object.target);
            combined.insert(object.asked.oid.0, found);
            tokio::task::yield_now().await;
        }
        Ok(Found { rows, rows_read: sample.rows, rows_sampled: sample.len(), columns, combined })
    });
    task.await?
}

/// Statistics of several columns that are asked for.
struct Object<'a> {
    asked: &'a ExtendedStatistics,
    /// Of its columns among those that are looked at.
    places: Vec<usize>,
    target: usize,
}

/// Those of a table all of whose columns are looked at, which have these targets.
fn objects<'a>(table: &'a TableInfo, columns: &[(i16, usize)]) -> Vec<Object<'a>> {
    let object = |asked: &'a ExtendedStatistics| {
        let place = |attribute: &i16| columns.iter().position(|(column, _)| column == attribute);
        let places = asked.attributes.iter().map(place).collect::<Option<Vec<_>>>()?;
        let largest = places.iter().filter_map(|at| columns.get(*at)).map(|(_, target)| *target).max()?;
        let own = asked.target.and_then(|target| usize::try_from(target).ok());
        Some(Object { asked, places, target: own.unwrap_or(largest) })
    };
    table.extended.iter().filter_map(object).filter(|object| object.target > 0).collect()
}

/// Whether a key of the table is this column alone.
fn is_key(table: &TableInfo, column: &Column) -> bool {
    let primary = table.primary_key.as_ref().is_some_and(|key| key.attributes == [column.attribute]);
    primary
        || table.indexes.iter().any(|index| {
            let alone = match index.keys.as_slice() {
                [key] => key.column == IndexColumn::Attribute(column.attribute),
                _ => false,
            };
            alone && index.unique && index.predicate.is_none() && index.state.is_valid()
        })
}
