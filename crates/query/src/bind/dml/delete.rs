//! DELETE.

use heliosdb_types::{Error, Result};
use sqlparser::ast;

use super::BoundWrite;
use crate::bind::binder::Binder;
use crate::bind::from::refuse;
use crate::catalog::Privileges;
use crate::exec::RowWriteOp;

impl Binder<'_> {
    pub fn bind_delete(&mut self, delete: &ast::Delete) -> Result<BoundWrite> {
        let ast::Delete {
            delete_token: _,
            optimizer_hints,
            tables,
            from,
            using,
            selection,
            returning,
            output,
            order_by,
            limit,
        } = delete;
        refuse(!optimizer_hints.is_empty(), "optimizer hints")?;
        refuse(!tables.is_empty(), "DELETE from several tables")?;
        refuse(output.is_some(), "OUTPUT")?;
        refuse(!order_by.is_empty() || limit.is_some(), "ORDER BY and LIMIT of DELETE")?;
        let ast::FromTable::WithFromKeyword(from) = from else { return Err(Error::syntax("DELETE needs FROM")) };
        let [ast::TableWithJoins { relation, joins }] = from.as_slice() else {
            return Err(Error::unsupported("DELETE from several tables"));
        };
        refuse(!joins.is_empty(), "DELETE from a join")?;
        let using = using.as_deref().unwrap_or_default();
        let (matched, _) =
            self.bind_matched(relation, using, selection.as_ref(), "DELETE from", |binder, target| {
                binder.require(target, Privileges::DELETE);
                Ok(Vec::new())
            })?;
        self.finish_changes(matched, RowWriteOp::Delete, Vec::new(), Vec::new(), returning.as_deref(), "DELETE")
    }
}
