//! CHECK DATABASE and CHECK TABLE: whether everything stored is what it must be.
//!
//! CHECK DATABASE has the shard check its files first (of all databases), then that the catalog and the shard name the same
//! trees and that sequences hand out what is reserved, then each table of this database as CHECK TABLE does: shape, NOT NULL, CHECK constraints, foreign keys, and every
//! index against its table's rows in both directions, at one snapshot, beside writers. A row for each finding; none: sound.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use heliosdb_contracts::{Checked, Execution, Finding, ResultColumn, RowsTag, TreeLockMode};
use heliosdb_types::{BranchId, Error, ErrorKind, Result, SqlState, TreeRef};
use sqlparser::ast;

use crate::access::Rights;
use crate::bind;
use crate::catalog::{CatalogSnapshot, ForeignKey, Relation, RelationKind};
use crate::ddl::changed_too_often;
use crate::exec::{TableFindings, verify_index, verify_rows};
use crate::pg_catalog::quote_identifier;
use crate::session::{CheckWhat, Running, Session, text_rows};

/// What CHECK gives for each finding. All text; the place is a number of bytes or empty.
const CHECK_COLUMNS: [&str; 6] = ["severity", "relation", "rule", "file", "place", "problem"];

/// One line of the answer.
struct Line {
    harmless: bool,
    relation: String,
    rule: String,
    file: String,
    place: String,
    problem: String,
}

impl Line {
    fn of_relation(relation: &str, rule: &str, problem: String) -> Line {
        let (file, place) = Default::default();
        Line { harmless: false, relation: relation.to_owned(), rule: rule.to_owned(), file, place, problem }
    }
}

impl Session {
    pub(crate) fn finding_columns() -> Vec<ResultColumn> {
        CHECK_COLUMNS.map(Session::text_column).to_vec()
    }

    pub(crate) async fn check(&mut self, what: &CheckWhat) -> Result<Execution> {
        self.require_no_block("CHECK")?;
        let running = self.start_cancellable();
        let mut lines = Vec::new();
        let relations = match what {
            CheckWhat::Database | CheckWhat::Catalog => {
                if !self.user.superuser {
                    let message = "must be superuser to check the database";
                    return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message)
                        .with_hint("CHECK TABLE checks tables of your own."));
                }
                if matches!(what, CheckWhat::Database) {
                    self.check_files(&running, &mut lines).await?;
                }
                self.check_trees(&mut lines)?;
                self.check_sequences(&mut lines)?;
                self.tables_of_database()?
            }
            CheckWhat::Tables(named) => self.tables_to_check(named)?,
        };
        let mut rows = 0;
        for relation in relations {
            rows += self.check_table(&relation, &running, &mut lines).await?;
            self.finish_implicit().await?;
        }
        let damage = lines.iter().filter(|line| !line.harmless).count();
        self.notice(
            "INFO",
            Error::invalid(SqlState::SUCCESSFUL_COMPLETION, format!("{rows} rows checked, {damage} errors")),
        );
        let rows = lines.into_iter().map(|line| {
            let severity = if line.harmless { "note" } else { "error" };
            vec![severity.to_owned(), line.relation, line.rule, line.file, line.place, line.problem]
        });
        text_rows(Session::finding_columns(), rows.collect(), RowsTag::Fixed("CHECK"))
    }

    fn tables_of_database(&mut self) -> Result<Vec<Arc<Relation>>> {
        let catalog = self.catalog()?;
        let mut tables: Vec<_> =
            catalog.relations.values().filter(|relation| relation.table().is_some()).cloned().collect();
        tables.sort_by_key(|relation| relation.oid);
        Ok(tables)
    }

    fn tables_to_check(&mut self, names: &[ast::ObjectName]) -> Result<Vec<Arc<Relation>>> {
        let catalog = self.catalog()?;
        let path = self.search_path();
        let mut tables = Vec::with_capacity(names.len());
        for name in names {
            let (schema, name) = bind::object_name(name)?;
            let found = catalog
                .resolve(schema.as_deref(), &name, &path)
                .cloned()
                .ok_or_else(|| crate::ddl::undefined_relation(&catalog, schema.as_deref(), &name))?;
            if !Rights::of(&catalog, self.user.oid).owns(found.owner) {
                let message = format!("must be owner of {} {}", crate::ddl::kind_name(&found.kind), found.name);
                return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message));
            }
            if !matches!(found.kind, RelationKind::Table(_)) {
                let message = format!("\"{}\" is not a table", found.name);
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
            }
            tables.push(found);
        }
        Ok(tables)
    }

    /// The shard's files, of all databases.
    async fn check_files(&mut self, running: &Running, lines: &mut Vec<Line>) -> Result<()> {
        let flag = running.flag.clone();
        let Checked { files, bytes, rows, findings } = self.engine.shard.check(Arc::new(move || flag.check())).await?;
        let names = tree_names(&*self.catalog()?);
        for Finding { harmless, rule, tree, file, offset, problem } in findings {
            let relation = tree.map(|tree| names.get(&tree).cloned().unwrap_or_else(|| format!("tree {tree}")));
            lines.push(Line {
                harmless,
                relation: relation.unwrap_or_default(),
                rule,
                file: file.unwrap_or_default(),
                place: offset.map(|offset| offset.to_string()).unwrap_or_default(),
                problem,
            });
        }
        let message = format!("{files} files of {bytes} bytes with {rows} row versions read");
        self.notice("INFO", Error::invalid(SqlState::SUCCESSFUL_COMPLETION, message));
        Ok(())
    }

    /// Every tree is some relation's. Looked at before and after the catalogs, so that one that is just being made or dropped
    /// is not taken for a stray.
    fn check_trees(&mut self, lines: &mut Vec<Line>) -> Result<()> {
        let engine = Arc::clone(&self.engine);
        let before = engine.shard.trees();
        let mut named = BTreeSet::new();
        let databases: Vec<_> = self.catalog()?.databases.values().map(|database| database.id).collect();
        for database in databases {
            named.extend(tree_names(&*engine.catalog(database, BranchId(0))?).into_keys());
        }
        let after: BTreeSet<TreeRef> = engine.shard.trees().into_iter().collect();
        for tree in before {
            if after.contains(&tree) && !tree.is_system() && !named.contains(&tree) {
                let problem = "no table and no index has it".to_owned();
                lines.push(Line::of_relation(&format!("tree {tree}"), "every_tree_is_named", problem));
            }
        }
        Ok(())
    }

    /// What sequences are about to hand out is reserved, so that no restart hands it out again.
    fn check_sequences(&mut self, lines: &mut Vec<Line>) -> Result<()> {
        let catalog = self.catalog()?;
        let engine = Arc::clone(&self.engine);
        for relation in catalog.relations.values() {
            let RelationKind::Sequence(sequence) = &relation.kind else { continue };
            if let Some(unreserved) = engine.sequences.unreserved(&*engine.shard, sequence)? {
                let problem = format!("is about to hand out {unreserved} values that a restart would hand out again");
                lines.push(Line::of_relation(
                    &self.qualified(relation)?,
                    "sequences_hand_out_reserved_values",
                    problem,
                ));
            }
        }
        Ok(())
    }

    /// Rows, constraints and indexes of one table, at one snapshot each. Gives the rows read.
    async fn check_table(&mut self, named: &Arc<Relation>, running: &Running, lines: &mut Vec<Line>) -> Result<u64> {
        let Some(relation) = self.still_there(named, running).await? else { return Ok(0) };
        let Some(table) = relation.table() else { return Ok(0) };
        let name = self.qualified(&relation)?;
        let shape = self.engine.shard.descriptor(None, table.tree.tree);
        if shape.as_ref().is_none_or(|shape| shape.columns != table.tree.columns || shape.key != table.tree.key) {
            let problem = "the catalog describes other columns than the shard has".to_owned();
            lines.push(Line::of_relation(&name, "catalog_describes_the_rows", problem));
            return Ok(0);
        }
        let engine = Arc::clone(&self.engine);
        let scope = self.newest_scope(running)?;
        self.next_command();
        let found = verify_rows(&engine.executor, &relation, Arc::clone(&scope)).await;
        let rows = take(&name, "rows_read", found, lines)?;
        for index in &table.indexes {
            if !index.is_readable(scope.read.snapshot.ts) {
                continue;
            }
            let schema = self.catalog()?.schemas.get(&relation.schema).map(|schema| schema.name.clone());
            let index_name =
                format!("{}.{}", quote_identifier(&schema.unwrap_or_default()), quote_identifier(&index.name));
            let binding = self.binding()?;
            let bound = bind::bind_index(index, &relation, &binding.context(&[])).map_err(Error::without_position)?;
            let found = verify_index(&engine.executor, &relation, &bound, Arc::clone(&scope)).await;
            take(&index_name, "index_reads", found, lines)?;
        }
        for check in table.checks.iter().filter(|check| check.validated) {
            let sql = format!("SELECT count(*) FROM {name} WHERE ({}) IS FALSE", check.expression);
            let rule = "check_constraints_hold";
            self.none_may_break(&sql, &name, rule, &check.name, lines).await?;
        }
        for key in table.foreign_keys.iter().filter(|key| key.validated) {
            if let Some(sql) = self.orphans_of(&relation, key)? {
                self.none_may_break(&sql, &name, "foreign_keys_hold", &key.name, lines).await?;
            }
        }
        Ok(rows)
    }

    /// The table as it is by now, locked against being dropped; `None` if it is gone.
    async fn still_there(&mut self, named: &Relation, running: &Running) -> Result<Option<Arc<Relation>>> {
        for _ in 0..crate::ddl::LOOKS_MAX {
            let Some(relation) = self.catalog()?.relations.get(&named.oid).cloned() else { return Ok(None) };
            if crate::ddl::is_system_relation(&relation)
                || self.lock_unchanged(&relation, TreeLockMode::AccessShare, running).await?
            {
                return Ok(Some(relation));
            }
        }
        Err(changed_too_often("the table"))
    }

    /// Counts the rows that break a constraint.
    async fn none_may_break(
        &mut self,
        sql: &str,
        relation: &str,
        rule: &str,
        constraint: &str,
        lines: &mut Vec<Line>,
    ) -> Result<()> {
        let counted = match self.query(sql).await {
            Ok((_, batches)) => batches,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                lines.push(Line::of_relation(relation, "rows_read", error.message().to_owned()));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let first =
            counted.iter().find(|batch| batch.num_rows() > 0).and_then(|batch| batch.columns().first().cloned());
        let count = first.as_ref().and_then(|array| array.as_primitive_opt::<Int64Type>()).map(|array| array.value(0));
        match count {
            Some(0) => {}
            Some(count) => {
                let problem = format!("{count} rows break constraint {}", quote_identifier(constraint));
                lines.push(Line::of_relation(relation, rule, problem));
            }
            None => return Err(Error::internal("a count without a value")),
        }
        Ok(())
    }

    /// A query that counts rows without the row they refer to.
    fn orphans_of(&mut self, child: &Relation, key: &ForeignKey) -> Result<Option<String>> {
        let catalog = self.catalog()?;
        let Some(parent) = catalog.relations.get(&key.parent).cloned() else { return Ok(None) };
        let column = |relation: &Relation, attribute: &i16| {
            let found = relation.columns.iter().find(|column| column.attribute == *attribute);
            found.map(|column| quote_identifier(&column.name))
        };
        let (mut present, mut equal) = (Vec::new(), Vec::new());
        for (own, theirs) in key.attributes.iter().zip(&key.parent_attributes) {
            let (Some(own), Some(theirs)) = (column(child, own), column(&parent, theirs)) else { return Ok(None) };
            present.push(format!("c.{own} IS NOT NULL"));
            equal.push(format!("p.{theirs} = c.{own}"));
        }
        Ok(Some(format!(
            "SELECT count(*) FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
            self.qualified(child)?,
            present.join(" AND "),
            self.qualified(&parent)?,
            equal.join(" AND ")
        )))
    }
}

/// Puts findings into lines; what could not be read is a finding too.
fn take(relation: &str, rule: &str, found: Result<TableFindings>, lines: &mut Vec<Line>) -> Result<u64> {
    match found {
        Ok(found) => {
            lines.extend(found.problems.into_iter().map(|(rule, problem)| Line::of_relation(relation, rule, problem)));
            Ok(found.rows)
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            lines.push(Line::of_relation(relation, rule, error.message().to_owned()));
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

/// The relations behind trees, by full name.
fn tree_names(catalog: &CatalogSnapshot) -> BTreeMap<TreeRef, String> {
    let mut names = BTreeMap::new();
    for relation in catalog.relations.values() {
        let Some(table) = relation.table() else { continue };
        let schema = catalog.schemas.get(&relation.schema).map_or("", |schema| schema.name.as_str());
        let full = |name: &str| format!("{}.{}", quote_identifier(schema), quote_identifier(name));
        names.insert(table.tree.tree, full(&relation.name));
        for index in &table.indexes {
            names.insert(table.index_tree(index), full(&index.name));
        }
    }
    names
}
