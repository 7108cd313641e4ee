//! COPY: bulk data in and out, as text or csv.

use heliosdb_contracts::Execution;
use heliosdb_types::{Error, Result};
use sqlparser::ast;

use crate::session::{PreparedStatement, Session};

impl Session {
    pub(crate) async fn copy(
        &mut self,
        _statement: &ast::Statement,
        _prepared: &PreparedStatement,
    ) -> Result<Execution> {
        Err(Error::unsupported("COPY"))
    }
}
