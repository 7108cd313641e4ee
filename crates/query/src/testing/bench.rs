//! A table in a shard in memory, an executor, and the plans a binder would have made.

use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, col, lit};
use futures::StreamExt;
use heliosdb_contracts::{IsolationLevel, LockWait, ReadContext, ShardClient, Snapshot, datum_at};
use heliosdb_runtime::{Pool, RealClock, RealDisk};
use heliosdb_types::{BranchId, CommandId, Datum, DatumRef, Result, TextContext, TxnId};

use super::MemShard;
use crate::catalog::Relation;
use crate::exec::{
    CancelFlag, Executor, ExecutorOptions, HeliosTable, RowWriteNode, RowWriteOp, StatementScope, TierMark,
};

pub(crate) struct Bench {
    pub shard: Arc<MemShard>,
    pub table: Arc<Relation>,
    pub executor: Executor,
    pub pool: Pool,
    _spill: tempfile::TempDir,
}

impl Bench {
    /// The table exists and is empty.
    pub(crate) fn new(table: Relation) -> Bench {
        let pool = Pool::new("bench", 2).unwrap();
        let spill = tempfile::tempdir().unwrap();
        let executor = Executor::new(ExecutorOptions {
            spawner: pool.spawner(),
            threads: 2,
            memory_bytes: 64 << 20,
            queries_max: 8,
            clock: Arc::new(RealClock::new()),
            spill: Arc::new(RealDisk::new(spill.path()).unwrap()),
        });
        let bench =
            Bench { shard: Arc::default(), table: Arc::new(table), executor: executor.unwrap(), pool, _spill: spill };
        let txn = bench.begin();
        let tree = Arc::clone(&bench.table.table().unwrap().tree);
        bench.shard.define_tree(txn, CommandId(0), tree).unwrap();
        bench.commit(txn);
        bench
    }

    pub(crate) fn begin(&self) -> TxnId {
        self.shard.begin(BranchId(0)).unwrap()
    }

    pub(crate) fn commit(&self, txn: TxnId) {
        self.pool.block_on(self.shard.commit(txn)).unwrap();
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.shard.snapshot(BranchId(0))
    }

    /// A scope with a fresh snapshot.
    pub(crate) fn scope(&self, txn: Option<TxnId>, command: u32) -> StatementScope {
        let read = ReadContext {
            txn,
            command: CommandId(command),
            snapshot: self.snapshot(),
            isolation: IsolationLevel::ReadCommitted,
        };
        StatementScope {
            shard: Arc::clone(&self.shard) as Arc<dyn ShardClient>,
            read,
            lock_wait: LockWait::FOREVER,
            cancel: CancelFlag::default(),
            short_path: true,
            join_order_seed: None,
            memory_bytes: None,
            admission_timeout: None,
            in_order: false,
            now_micros: 0,
            references: Arc::default(),
            parts: Arc::default(),
            facts: None,
            tier: TierMark::default(),
            text: Arc::new(TextContext::default()),
        }
    }

    pub(crate) fn run(&self, plan: &LogicalPlan, scope: StatementScope) -> Result<Vec<RecordBatch>> {
        self.pool.block_on(async {
            let mut rows = self.executor.run(plan, Vec::new(), &[], Arc::new(scope));
            let mut batches = Vec::new();
            while let Some(batch) = rows.next().await {
                batches.push(batch?);
            }
            Ok(batches)
        })
    }

    pub(crate) fn write(&self, plan: &LogicalPlan, scope: StatementScope) -> Result<u64> {
        self.pool.block_on(self.executor.run_write(plan, Vec::new(), &[], Arc::new(scope)))
    }

    /// Runs a write in a transaction of its own.
    pub(crate) fn autocommit(&self, plan: &LogicalPlan) -> Result<u64> {
        let txn = self.begin();
        let written = self.write(plan, self.scope(Some(txn), 0));
        match written {
            Ok(_) => self.commit(txn),
            Err(_) => self.shard.rollback(txn),
        }
        written
    }

    pub(crate) fn scan(&self) -> LogicalPlanBuilder {
        self.scan_of(HeliosTable::new(Arc::clone(&self.table)).unwrap())
    }

    fn scan_of(&self, provider: HeliosTable) -> LogicalPlanBuilder {
        let source = provider_as_source(Arc::new(provider));
        LogicalPlanBuilder::scan(self.table.name.as_str(), source, None).unwrap()
    }

    /// All rows a new snapshot sees, in key order.
    pub(crate) fn rows(&self) -> Vec<Vec<Datum>> {
        let mut rows = values(&self.table, &self.run(&self.scan().build().unwrap(), self.scope(None, 0)).unwrap());
        rows.sort_by_key(|row| format!("{row:?}"));
        rows
    }

    pub(crate) fn insert(&self, rows: Vec<Vec<Expr>>) -> LogicalPlan {
        let input = LogicalPlanBuilder::values(rows).unwrap().build().unwrap();
        let new_row = input.schema().columns().into_iter().map(Expr::Column).collect();
        self.node(RowWriteOp::Insert, input, None, new_row)
    }

    /// `predicate` is over the table's columns; `set` replaces columns by name.
    pub(crate) fn update(&self, predicate: Option<Expr>, set: &[(&str, Expr)]) -> LogicalPlan {
        let input = self.targets(predicate.clone());
        let new = |name: &String| {
            let set = set.iter().find(|(column, _)| column == name);
            set.map_or_else(|| col(format!("{}.{name}", self.table.name)), |(_, expr)| expr.clone())
        };
        let new_row = self.table.columns.iter().map(|column| new(&column.name)).collect();
        self.node(RowWriteOp::Update, input, predicate, new_row)
    }

    pub(crate) fn delete(&self, predicate: Option<Expr>) -> LogicalPlan {
        self.node(RowWriteOp::Delete, self.targets(predicate.clone()), predicate, Vec::new())
    }

    fn targets(&self, predicate: Option<Expr>) -> LogicalPlan {
        let scan = self.scan_of(HeliosTable::new(Arc::clone(&self.table)).unwrap().with_row_ref());
        match predicate {
            Some(predicate) => scan.filter(predicate).unwrap().build().unwrap(),
            None => scan.build().unwrap(),
        }
    }

    pub(crate) fn node(
        &self,
        op: RowWriteOp,
        input: LogicalPlan,
        predicate: Option<Expr>,
        new_row: Vec<Expr>,
    ) -> LogicalPlan {
        let width = self.table.columns.len();
        let insert = op == RowWriteOp::Insert;
        let count = LogicalPlanBuilder::empty(true).project(vec![lit(0i64).alias("count")]).unwrap().build().unwrap();
        let node = RowWriteNode {
            recheck: None,
            op,
            table: Arc::clone(&self.table),
            row_ref: (!insert).then_some(width),
            old_row: if insert { Vec::new() } else { (0..width).collect() },
            input: Arc::new(input),
            predicate,
            new_row,
            checks: Vec::new(),
            indexes: Vec::new(),
            foreign: Default::default(),
            conflict: None,
            merge: Vec::new(),
            generated: Vec::new(),
            returning: false,
            schema: Arc::clone(count.schema()),
        };
        LogicalPlan::Extension(Extension { node: Arc::new(node) })
    }

    /// The same write with RETURNING.
    pub(crate) fn returning(&self, plan: &LogicalPlan) -> LogicalPlan {
        self.with_node(plan, |node| {
            let mut fields = Vec::new();
            let name = self.table.name.as_str();
            for field in HeliosTable::new(Arc::clone(&self.table)).map(|t| schema(&t)).unwrap().fields() {
                fields.push((Some(name.into()), Arc::clone(field)));
            }
            node.returning = true;
            if node.op == RowWriteOp::Insert {
                let input = node.input.schema().iter().map(|(q, f)| (q.cloned(), Arc::clone(f)));
                fields.extend(input);
            }
            node.schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default()).unwrap());
        })
    }

    pub(crate) fn with_checks(&self, plan: &LogicalPlan, checks: Vec<(String, Expr)>) -> LogicalPlan {
        self.with_node(plan, |node| node.checks = checks)
    }

    fn with_node(&self, plan: &LogicalPlan, change: impl FnOnce(&mut RowWriteNode)) -> LogicalPlan {
        let LogicalPlan::Extension(extension) = plan else { panic!("not a write") };
        let mut node = extension.node.as_any().downcast_ref::<RowWriteNode>().unwrap().clone();
        change(&mut node);
        LogicalPlan::Extension(Extension { node: Arc::new(node) })
    }
}

fn schema(table: &HeliosTable) -> arrow_schema::SchemaRef {
    datafusion::catalog::TableProvider::schema(table)
}

/// The first columns of each batch as a table's values.
pub(crate) fn values(table: &Relation, batches: &[RecordBatch]) -> Vec<Vec<Datum>> {
    let mut rows = Vec::new();
    for batch in batches {
        for at in 0..batch.num_rows() {
            let value = |(column, array): (&crate::catalog::Column, _)| {
                datum_at(array, at, column.sql_type.physical().unwrap()).map(|v: DatumRef<'_>| v.to_owned()).unwrap()
            };
            rows.push(table.columns.iter().zip(batch.columns()).map(value).collect());
        }
    }
    rows
}

pub(crate) fn text(value: &str) -> Expr {
    lit(ScalarValue::Utf8View(Some(value.into())))
}
