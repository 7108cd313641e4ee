//! A few tables in a shard in memory and one way to send SQL to them.

use std::sync::Arc;

use futures::StreamExt;
use heliosdb_contracts::{IsolationLevel, LockWait, ReadContext, ShardClient, datum_at};
use heliosdb_runtime::{Pool, RealClock, RealDisk};
use heliosdb_types::{
    BranchId, CommandId, Datum, DatumRef, Error, Oid, PhysicalType, Result, SqlState, SqlType, TextContext, TreeId,
    TxnId, write_text,
};

use crate::bind::{BindContext, BoundStatement, bind_statement, parse};
use crate::catalog::{CatalogSnapshot, Relation, RelationKind, Schema, SchemaFacts};
use crate::exec::{CancelFlag, Executor, ExecutorOptions, StatementScope, TierMark};
use crate::func::{FuncContext, NameLookup, SequenceSource, Typed};
use crate::testing::MemShard;

pub(super) struct Sql {
    catalog: Arc<CatalogSnapshot>,
    shard: Arc<MemShard>,
    executor: Executor,
    pool: Pool,
    _spill: tempfile::TempDir,
}

impl Sql {
    /// Empty tables; OIDs and trees are renumbered in order.
    pub fn new(tables: Vec<Relation>) -> Sql {
        let pool = Pool::new("sql", 2).unwrap();
        let spill = tempfile::tempdir().unwrap();
        let executor = Executor::new(ExecutorOptions {
            spawner: pool.spawner(),
            threads: 2,
            memory_bytes: 64 << 20,
            queries_max: 8,
            clock: Arc::new(RealClock::new()),
            spill: Arc::new(RealDisk::new(spill.path()).unwrap()),
        });
        let mut catalog = CatalogSnapshot::default();
        for (oid, name) in [(11, "pg_catalog"), (2200, "public")] {
            let schema = Schema { oid: Oid(oid), name: name.into(), owner: Oid(10), facts: SchemaFacts::default() };
            catalog.schemas.insert(Oid(oid), Arc::new(schema));
        }
        let shard = Arc::<MemShard>::default();
        let txn = shard.begin(BranchId(0)).unwrap();
        for (at, mut table) in tables.into_iter().enumerate() {
            table.oid = Oid(20000 + at as u32);
            if let RelationKind::Table(info) = &mut table.kind {
                let mut tree = info.tree.as_ref().clone();
                tree.tree.tree = TreeId(2000 + at as u64);
                info.tree = Arc::new(tree);
                shard.define_tree(txn, CommandId(0), Arc::clone(&info.tree)).unwrap();
            }
            catalog.names.insert((table.schema, table.name.clone()), table.oid);
            catalog.relations.insert(table.oid, Arc::new(table));
        }
        pool.block_on(shard.commit(txn)).unwrap();
        Sql { catalog: Arc::new(catalog), shard, executor: executor.unwrap(), pool, _spill: spill }
    }

    /// Changes a table's definition.
    pub fn alter(&mut self, name: &str, change: impl FnOnce(&mut Relation)) {
        let mut catalog = self.catalog.as_ref().clone();
        let oid = *catalog.names.get(&(Oid(2200), name.to_owned())).unwrap();
        let mut relation = catalog.relations[&oid].as_ref().clone();
        change(&mut relation);
        catalog.relations.insert(oid, Arc::new(relation));
        self.catalog = Arc::new(catalog);
    }

    pub fn bind(&self, sql: &str, parameter_types: &[Option<SqlType>]) -> Result<BoundStatement> {
        let statements = parse(sql)?;
        let [statement] = statements.as_slice() else { panic!("one statement: {sql}") };
        let context = BindContext {
            denied: Vec::new(),
            files: Arc::default(),
            catalog: Arc::clone(&self.catalog),
            search_path: vec!["public".into()],
            func: FuncContext::new(
                Arc::new(TextContext::default()),
                Arc::new(Names(Arc::clone(&self.catalog))),
                Arc::new(NoSequences),
            ),
            parameter_types,
        };
        bind_statement(&statement.statement, sql, &context)
    }

    pub fn run(&self, sql: &str, parameters: Vec<Datum>) -> Result<Vec<Vec<String>>> {
        let bound = self.bind(sql, &[])?;
        let txn = self.shard.begin(BranchId(0)).unwrap();
        let result = self.run_bound(&bound, parameters, txn);
        match &result {
            Ok(_) => self.pool.block_on(self.shard.commit(txn)).map(|_| ())?,
            Err(_) => self.shard.rollback(txn),
        }
        result
    }

    fn run_bound(&self, bound: &BoundStatement, parameters: Vec<Datum>, txn: TxnId) -> Result<Vec<Vec<String>>> {
        let read = ReadContext {
            txn: Some(txn),
            command: CommandId(0),
            snapshot: self.shard.snapshot(BranchId(0)),
            isolation: IsolationLevel::ReadCommitted,
        };
        let scope = StatementScope {
            shard: Arc::clone(&self.shard) as Arc<dyn ShardClient>,
            read,
            lock_wait: LockWait::FOREVER,
            cancel: CancelFlag::default(),
            short_path: true,
            join_order_seed: None,
            memory_bytes: None,
            admission_timeout: None,
            in_order: false,
            now_micros: 1_700_000_000_000_000,
            references: Arc::default(),
            parts: Arc::default(),
            facts: None,
            tier: TierMark::default(),
            text: Arc::new(TextContext::default()),
        };
        let types: Vec<SqlType> = match &bound.columns {
            Some(columns) => columns.iter().map(|column| column.sql_type.clone()).collect(),
            None => vec![SqlType::Int8],
        };
        self.pool.block_on(async {
            let mut rows = self.executor.run(&bound.plan, parameters, &bound.parameters, Arc::new(scope));
            let mut out = Vec::new();
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                assert_eq!(batch.num_columns(), types.len(), "columns of {bound:?}");
                for row in 0..batch.num_rows() {
                    let cell = |(array, sql_type): (_, &SqlType)| {
                        // Catalog references come as name, zero byte, number.
                        let reference = matches!(sql_type, SqlType::Reg(_));
                        let physical = sql_type.physical().filter(|_| !reference);
                        let value = datum_at(array, row, physical.unwrap_or(PhysicalType::Text))?;
                        if let (true, DatumRef::Text(text)) = (reference, value) {
                            return Ok(text.split('\0').next().unwrap_or_default().to_owned());
                        }
                        if value.is_null() {
                            return Ok("NULL".to_owned());
                        }
                        let mut text = String::new();
                        write_text(value, sql_type, &TextContext::default(), &mut text);
                        Ok(text)
                    };
                    out.push(batch.columns().iter().zip(&types).map(cell).collect::<Result<Vec<_>>>()?);
                }
            }
            Ok(out)
        })
    }

    /// Rows as `a|b` lines, or `STATE: message` (with ` @position`, ` HINT: ...`).
    pub fn text(&self, sql: &str) -> String {
        match self.run(sql, Vec::new()) {
            Ok(rows) => lines(&rows),
            Err(error) => error_text(&error),
        }
    }

    pub fn error(&self, sql: &str) -> String {
        match self.bind(sql, &[]) {
            Ok(bound) => format!("no error: {}", bound.plan.display_indent()),
            Err(error) => error_text(&error),
        }
    }

    /// Checks that each query gives the rows after it; in any order where it does not say ORDER BY.
    pub fn check(&self, cases: &[(&str, &str)]) {
        let mut failed = Vec::new();
        for (sql, expected) in cases {
            let got = self.run(sql, Vec::new());
            let got = got.map_or_else(|e| format!("{}: {}", e.state(), e.message()), |rows| lines(&rows));
            let same = got == *expected || !sql.contains("ORDER BY") && in_some_order(&got) == in_some_order(expected);
            if !same {
                failed.push(format!("{sql}\n--- expected\n{expected}\n--- got\n{got}"));
            }
        }
        assert!(failed.is_empty(), "{} of {} failed\n{}", failed.len(), cases.len(), failed.join("\n\n"));
    }
}

fn in_some_order(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn lines(rows: &[Vec<String>]) -> String {
    rows.iter().map(|row| row.join("|")).collect::<Vec<_>>().join("\n")
}

pub(super) fn error_text(error: &Error) -> String {
    let mut text = format!("{}: {}", error.state(), error.message());
    if let Some(position) = error.position() {
        text.push_str(&format!(" @{position}"));
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!(" HINT: {hint}"));
    }
    text
}

struct Names(Arc<CatalogSnapshot>);

impl NameLookup for Names {
    fn relation_oid(&self, name: &str) -> Result<Oid> {
        let found = self.0.resolve(None, name, &["public".into()]).map(|relation| relation.oid);
        found.ok_or_else(|| Error::invalid(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")))
    }

    fn relation_name(&self, oid: Oid) -> Option<String> {
        self.0.relations.get(&oid).map(|relation| relation.name.clone())
    }

    fn schema_oid(&self, name: &str) -> Result<Oid> {
        self.0.schema_named(name).map(|schema| schema.oid).ok_or_else(|| Error::internal("no schema"))
    }

    fn schema_name(&self, oid: Oid) -> Option<String> {
        self.0.schemas.get(&oid).map(|schema| schema.name.clone())
    }

    fn role_oid(&self, _name: &str) -> Result<Oid> {
        Ok(Oid(10))
    }

    fn role_name(&self, _oid: Oid) -> Option<String> {
        Some("postgres".into())
    }

    fn call(&self, _name: &str, _args: &[Typed]) -> Option<Result<Typed>> {
        None
    }
}

struct NoSequences;

impl SequenceSource for NoSequences {
    fn nextval(&self, _sequence: Oid) -> Result<i64> {
        Ok(7)
    }

    fn currval(&self, _sequence: Oid) -> Result<i64> {
        Ok(7)
    }

    fn lastval(&self) -> Result<i64> {
        Ok(7)
    }

    fn setval(&self, _sequence: Oid, value: i64, _is_called: bool) -> Result<i64> {
        Ok(value)
    }
}
