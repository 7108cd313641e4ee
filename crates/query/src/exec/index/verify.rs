//! Whether an index has an entry for each row that it must have one for, and no other; and whether rows are what their table
//! promises. At one snapshot, so that writers need not stop.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use bytes::Bytes;
use heliosdb_contracts::ScanRequest;
use heliosdb_types::{ColumnId, Error, Result};

use super::build::{Job, job, shaped};
use super::entry::{ENTRY_KEY, ENTRY_ROW, IndexWrite, tree_key};
use crate::catalog::Relation;
use crate::exec::foreign::FirstBytes;
use crate::exec::scope::StatementScope;
use crate::exec::state::Executor;

/// Of each rule so many are told one by one.
const SHOWN_MAX: u64 = 10;
const BATCH_ROWS: usize = 4096;

/// What was read, and the rules found broken, each with what breaks it.
#[derive(Debug, Default)]
pub(crate) struct TableFindings {
    pub rows: u64,
    pub problems: Vec<(&'static str, String)>,
}

/// How often a rule is broken.
struct Count {
    rule: &'static str,
    count: u64,
}

impl Count {
    fn found(&mut self, findings: &mut TableFindings, problem: impl FnOnce() -> Result<String>) -> Result<()> {
        self.count += 1;
        if self.count <= SHOWN_MAX {
            findings.problems.push((self.rule, problem()?));
        }
        Ok(())
    }

    fn rest(self, findings: &mut TableFindings) {
        if self.count > SHOWN_MAX {
            findings.problems.push((self.rule, format!("and {} more of the kind", self.count - SHOWN_MAX)));
        }
    }
}

fn scan_of(tree: heliosdb_types::TreeRef, projection: Vec<ColumnId>) -> ScanRequest {
    ScanRequest {
        tree,
        projection,
        predicates: Vec::new(),
        row_refs: false,
        limit: None,
        target_partitions: 1,
        batch_rows: BATCH_ROWS,
    }
}

/// Reads every row that `scope` sees. Runs on the analytics pool.
pub(crate) async fn verify_rows(
    executor: &Executor,
    relation: &Arc<Relation>,
    scope: Arc<StatementScope>,
) -> Result<TableFindings> {
    let table = relation.table().ok_or_else(|| Error::internal("only tables have rows"))?;
    let request = scan_of(table.tree.tree, relation.columns.iter().map(|column| column.id).collect());
    let columns: Vec<_> = relation.columns.iter().map(|column| (column.name.clone(), column.not_null)).collect();
    let task = executor.spawner.task(async move {
        let mut findings = TableFindings::default();
        let mut nulls: Vec<u64> = vec![0; columns.len()];
        let scan = scope.shard.scan(&scope.read, &request)?;
        for partition in 0..scan.partition_count() {
            let mut reader = scan.open(partition)?;
            while let Some(batch) = reader.next_batch()? {
                scope.cancel.check()?;
                findings.rows += batch.num_rows() as u64;
                for (array, count) in batch.columns().iter().zip(&mut nulls) {
                    *count += array.null_count() as u64;
                }
            }
        }
        for ((name, not_null), count) in columns.iter().zip(nulls) {
            if *not_null && count > 0 {
                findings.problems.push(("not_null_holds", format!("{count} rows have no value in column \"{name}\"")));
            }
        }
        Ok(findings)
    });
    task.await?
}

/// Compares an index with its table's rows. Runs on the analytics pool.
pub(crate) async fn verify_index(
    executor: &Executor,
    relation: &Arc<Relation>,
    index: &IndexWrite,
    scope: Arc<StatementScope>,
) -> Result<TableFindings> {
    let job = job(executor, relation, index, &scope)?;
    let task = executor.spawner.task(async move {
        let mut findings = TableFindings::default();
        let expected = rows_have_entries(&job, &scope, &mut findings)?;
        let entries = count(&job, &scope)?;
        if entries != expected {
            // Only now is it worth the memory.
            entries_have_rows(&job, &scope, &mut findings)?;
            if findings.problems.is_empty() {
                let problem = format!("{entries} entries for {expected} rows");
                findings.problems.push(("index_has_as_many_entries_as_rows", problem));
            }
        }
        Ok(findings)
    });
    task.await?
}

/// Looks up the entry of every row. Gives how many there must be.
fn rows_have_entries(job: &Job, scope: &StatementScope, findings: &mut TableFindings) -> Result<u64> {
    let mut missing = Count { rule: "every_row_has_its_index_entry", count: 0 };
    let mut wrong = Count { rule: "index_entries_lead_to_their_rows", count: 0 };
    let mut expected = 0;
    each_entry(job, scope, |rows, at, entry_key, row_key| {
        expected += 1;
        findings.rows += 1;
        let mut found = FirstBytes(None);
        let tree = job.spec.tree.tree;
        let there = scope.shard.get(&scope.read, tree, &tree_key(entry_key), &[ENTRY_ROW], &mut found)?;
        if !there {
            missing.found(findings, || Ok(format!("no entry for the row {}", job.spec.shown(rows, at, &scope.text)?)))
        } else if found.0.as_ref() != Some(row_key) {
            wrong.found(findings, || {
                Ok(format!("the entry of the row {} leads to another", job.spec.shown(rows, at, &scope.text)?))
            })
        } else {
            Ok(())
        }
    })?;
    missing.rest(findings);
    wrong.rest(findings);
    Ok(expected)
}

/// Calls `each` with the batch, the row's place in it, the key of its entry and its own.
fn each_entry(
    job: &Job,
    scope: &StatementScope,
    mut each: impl FnMut(&arrow_array::RecordBatch, usize, &[u8], &Bytes) -> Result<()>,
) -> Result<()> {
    let scan = scope.shard.scan(&scope.read, &job.request)?;
    let mut entry_key = Vec::new();
    for partition in 0..scan.partition_count() {
        let mut reader = scan.open(partition)?;
        while let Some(batch) = reader.next_batch()? {
            scope.cancel.check()?;
            let (rows, keys) = shaped(&batch, &job.schema)?;
            for (at, (entry, key)) in job.spec.entries(&rows)?.iter().zip(&keys).enumerate() {
                let Some(entry) = entry else { continue };
                entry_key.clear();
                entry.append_key(key, &mut entry_key);
                each(&rows, at, &entry_key, key)?;
            }
        }
    }
    Ok(())
}

fn count(job: &Job, scope: &StatementScope) -> Result<u64> {
    let scan = scope.shard.scan(&scope.read, &scan_of(job.spec.tree.tree, vec![ENTRY_ROW]))?;
    let mut count = 0;
    for partition in 0..scan.partition_count() {
        let mut reader = scan.open(partition)?;
        while let Some(batch) = reader.next_batch()? {
            scope.cancel.check()?;
            count += batch.num_rows() as u64;
        }
    }
    Ok(count)
}

/// Names the entries that no row has.
fn entries_have_rows(job: &Job, scope: &StatementScope, findings: &mut TableFindings) -> Result<()> {
    let mut expected: HashSet<Vec<u8>> = HashSet::new();
    each_entry(job, scope, |_, _, entry_key, _| {
        expected.insert(entry_key.to_vec());
        Ok(())
    })?;
    let mut extra = Count { rule: "every_index_entry_has_its_row", count: 0 };
    let scan = scope.shard.scan(&scope.read, &scan_of(job.spec.tree.tree, vec![ENTRY_KEY]))?;
    for partition in 0..scan.partition_count() {
        let mut reader = scan.open(partition)?;
        while let Some(batch) = reader.next_batch()? {
            scope.cancel.check()?;
            let keys = batch.columns().first().and_then(|array| array.as_binary_view_opt().cloned());
            let keys = keys.ok_or_else(|| Error::internal("entries without keys"))?;
            for key in keys.iter().flatten().filter(|key| !expected.contains(*key)) {
                extra.found(findings, || {
                    let hex: String = key.iter().take(40).map(|byte| format!("{byte:02x}")).collect();
                    Ok(format!("no row has the entry \\x{hex}"))
                })?;
            }
        }
    }
    extra.rest(findings);
    Ok(())
}
