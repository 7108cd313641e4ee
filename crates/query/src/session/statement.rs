//! Statements between parsing and running.

use std::any::Any;
use std::sync::Arc;

use heliosdb_contracts::{Prepared, ResultColumn, Script};
use heliosdb_types::{DatabaseId, Oid, SqlType, TreeRef};
use parking_lot::Mutex;
use sqlparser::ast;

use super::own_syntax::OwnStatement;
use super::templates::Templated;
use crate::bind::BoundStatement;
use crate::catalog::CatalogSnapshot;
use crate::exec::Compiled;
use crate::statistics::Entry;

/// A parsed statement: the parser's, or one of those it does not know.
#[derive(Clone, Debug)]
pub(crate) enum Parsed {
    Ast(Box<ast::Statement>),
    Own(OwnStatement),
}

/// A statement of a script.
#[derive(Clone)]
pub(crate) enum ScriptStatement {
    /// With the whole text its positions refer to.
    Parsed {
        parsed: Arc<Parsed>,
        text: Arc<str>,
        /// Which of the text's statements it is, from 0.
        nth: usize,
        /// It is the only one, and the same text has come before.
        again: bool,
    },
    Templated(Arc<Templated>),
}

impl ScriptStatement {
    /// What the client sent.
    pub fn text(&self) -> &Arc<str> {
        match self {
            ScriptStatement::Parsed { text, .. } => text,
            ScriptStatement::Templated(templated) => &templated.text,
        }
    }
}

impl Script for ScriptStatement {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A bound plan and what it was bound with.
#[derive(Clone)]
pub(crate) struct CachedPlan {
    pub generation: u64,
    pub settings_version: u64,
    pub bound: Arc<BoundStatement>,
    /// The bound statement's columns, to be shared with results.
    pub columns: Option<Arc<[ResultColumn]>>,
    pub compiled: Arc<Compiled>,
    /// What it reads and does not lock otherwise.
    pub reads: Arc<[TreeRef]>,
    /// It has something of its session in it: no other may run it.
    pub personal: bool,
}

impl CachedPlan {
    pub fn new(
        catalog: &CatalogSnapshot,
        database: DatabaseId,
        settings_version: u64,
        bound: BoundStatement,
        personal: bool,
    ) -> Self {
        let columns = bound.columns.as_deref().map(Arc::from);
        let locked =
            |oid: &Oid| bound.targets().any(|target| target == *oid) || bound.row_locks.iter().any(|(l, _)| l == oid);
        let read = bound.relations.iter().filter(|oid| !locked(oid)).filter_map(|oid| catalog.relations.get(oid));
        let reads = read.filter_map(|relation| relation.lock_tree(database)).collect();
        let (generation, compiled) = (catalog.generation, Arc::default());
        CachedPlan { generation, settings_version, bound: Arc::new(bound), columns, compiled, reads, personal }
    }
}

/// A prepared statement.
pub(crate) struct PreparedStatement {
    /// `None`: an empty statement.
    pub parsed: Option<Arc<Parsed>>,
    pub text: Arc<str>,
    /// Which of the text's statements it is, from 0.
    pub nth: usize,
    /// Types the client declared.
    pub declared: Vec<Option<SqlType>>,
    pub parameters: Vec<SqlType>,
    pub columns: Option<Arc<[ResultColumn]>>,
    pub plan: Mutex<Option<Arc<CachedPlan>>>,
    /// Where it is counted, once it has run.
    pub entry: Mutex<Option<Arc<Entry>>>,
}

impl PreparedStatement {
    pub fn empty(text: Arc<str>) -> PreparedStatement {
        PreparedStatement {
            parsed: None,
            text,
            nth: 0,
            declared: Vec::new(),
            parameters: Vec::new(),
            columns: None,
            plan: Mutex::new(None),
            entry: Mutex::new(None),
        }
    }
}

impl PreparedStatement {
    /// Whether it is allowed in a failed transaction.
    pub fn ends_transaction(&self) -> bool {
        self.parsed.as_ref().is_none_or(|parsed| parsed.ends_transaction())
    }
}

impl Prepared for PreparedStatement {
    fn parameters(&self) -> &[SqlType] {
        &self.parameters
    }

    fn columns(&self) -> Option<&[ResultColumn]> {
        self.columns.as_deref()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Parsed {
    /// Whether it is allowed in a failed transaction.
    pub fn ends_transaction(&self) -> bool {
        matches!(
            self,
            Parsed::Ast(statement) if matches!(
                **statement,
                ast::Statement::Commit { .. } | ast::Statement::Rollback { .. }
            )
        ) || matches!(self, Parsed::Own(OwnStatement::Abort { .. }))
    }

    /// Bound to a plan (as opposed to run from its syntax tree).
    pub fn is_planned(&self) -> bool {
        matches!(
            self,
            Parsed::Ast(statement) if matches!(
                **statement,
                ast::Statement::Query(_)
                    | ast::Statement::Insert(_)
                    | ast::Statement::Update(_)
                    | ast::Statement::Delete(_)
                    | ast::Statement::Merge(_)
            )
        )
    }
}
