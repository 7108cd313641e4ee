//! CREATE, ALTER and DROP STATISTICS.

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::OwnStatement;
use super::cursor::Cursor;
use crate::catalog::StatisticsKind;

/// What is done to statistics of several columns.
#[derive(Clone, Debug)]
pub(crate) enum StatisticsStatement {
    Create {
        name: Option<ast::ObjectName>,
        if_not_exists: bool,
        /// All of them if nothing is said.
        kinds: Vec<StatisticsKind>,
        columns: Vec<ast::Ident>,
        table: ast::ObjectName,
    },
    Rename {
        name: ast::ObjectName,
        to: ast::Ident,
    },
    Move {
        name: ast::ObjectName,
        schema: ast::Ident,
    },
    Give {
        name: ast::ObjectName,
        owner: ast::Ident,
    },
    Target {
        name: ast::ObjectName,
        if_exists: bool,
        target: i64,
    },
    Drop {
        names: Vec<ast::ObjectName>,
        if_exists: bool,
    },
}

/// `CREATE STATISTICS [[IF NOT EXISTS] name] [(kinds)] ON a, b FROM t`, after CREATE.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("STATISTICS")?;
    let if_not_exists = cursor.eat("IF NOT EXISTS");
    let unnamed = !if_not_exists && (cursor.word() == "ON" || cursor.peek() == Some(&Token::LParen));
    let name = if unnamed { None } else { Some(cursor.name()?) };
    let mut kinds = Vec::new();
    if cursor.eat_token(&Token::LParen) {
        kinds = cursor.list(kind)?;
        cursor.expect_token(&Token::RParen)?;
    }
    cursor.expect("ON")?;
    let columns = cursor.list(column)?;
    cursor.expect("FROM")?;
    let table = cursor.name()?;
    if cursor.peek() == Some(&Token::Comma) {
        return Err(Error::unsupported("CREATE STATISTICS: only a single relation is allowed"));
    }
    cursor.expect_end()?;
    let create = StatisticsStatement::Create { name, if_not_exists, kinds, columns, table };
    Ok(OwnStatement::Statistics(Box::new(create)))
}

fn kind(cursor: &mut Cursor<'_>) -> Result<StatisticsKind> {
    let name = cursor.folded()?;
    StatisticsKind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| Error::invalid(SqlState::SYNTAX_ERROR, format!("unrecognized statistics kind \"{name}\"")))
}

fn column(cursor: &mut Cursor<'_>) -> Result<ast::Ident> {
    let ends = matches!(cursor.peek_at(1), Some(Token::Comma) | None) || cursor.word_at(1) == "FROM";
    let is_column = ends && matches!(cursor.peek(), Some(Token::Word(_)));
    if !is_column && !cursor.is_at_end() {
        return Err(Error::unsupported("statistics of an expression"));
    }
    cursor.identifier()
}

/// `ALTER STATISTICS name ...`, after ALTER.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("STATISTICS")?;
    let if_exists = cursor.eat("IF EXISTS");
    let name = cursor.name()?;
    let statement = if cursor.eat("SET STATISTICS") {
        StatisticsStatement::Target { name, if_exists, target: cursor.integer()? }
    } else if if_exists {
        return Err(cursor.error());
    } else if cursor.eat("RENAME TO") {
        StatisticsStatement::Rename { name, to: cursor.identifier()? }
    } else if cursor.eat("SET SCHEMA") {
        StatisticsStatement::Move { name, schema: cursor.identifier()? }
    } else if cursor.eat("OWNER TO") {
        StatisticsStatement::Give { name, owner: cursor.identifier()? }
    } else {
        return Err(cursor.error());
    };
    cursor.expect_end()?;
    Ok(OwnStatement::Statistics(Box::new(statement)))
}

/// `DROP STATISTICS [IF EXISTS] name, ... [CASCADE | RESTRICT]`: nothing depends on them.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("DROP")?;
    cursor.expect("STATISTICS")?;
    let if_exists = cursor.eat("IF EXISTS");
    let names = cursor.names()?;
    let _ = cursor.eat("CASCADE") || cursor.eat("RESTRICT");
    cursor.expect_end()?;
    Ok(OwnStatement::Statistics(Box::new(StatisticsStatement::Drop { names, if_exists })))
}

#[cfg(test)]
mod tests {
    use super::super::parse_script;
    use super::*;
    use crate::session::statement::Parsed;

    fn parsed(sql: &str) -> StatisticsStatement {
        match parse_script(sql).unwrap().remove(0) {
            Parsed::Own(OwnStatement::Statistics(statement)) => *statement,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn statements_are_read_as_written() {
        let StatisticsStatement::Create { name, kinds, columns, table, .. } =
            parsed("create statistics s.one (ndistinct, mcv) on a, \"B\" from x.t")
        else {
            panic!("a CREATE")
        };
        assert_eq!(name.unwrap().to_string(), "s.one");
        assert_eq!(kinds, [StatisticsKind::Distinct, StatisticsKind::Common]);
        assert_eq!((columns.len(), table.to_string()), (2, "x.t".to_owned()));
        let unnamed = parsed("create statistics on a, b from t");
        assert!(matches!(unnamed, StatisticsStatement::Create { name: None, ref kinds, .. } if kinds.is_empty()));
        assert!(
            matches!(parsed("drop statistics if exists a, b cascade"), StatisticsStatement::Drop { ref names, if_exists: true } if names.len() == 2)
        );
        assert!(matches!(parsed("alter statistics a set statistics 5"), StatisticsStatement::Target { target: 5, .. }));
        for (sql, state) in [
            ("create statistics s (nothing) on a, b from t", SqlState::SYNTAX_ERROR),
            ("create statistics s on (a + 1), b from t", SqlState::FEATURE_NOT_SUPPORTED),
            ("create statistics s on a, b from t, u", SqlState::FEATURE_NOT_SUPPORTED),
            ("create statistics s on a, b", SqlState::SYNTAX_ERROR),
            ("create statistics if not exists on a, b from t", SqlState::SYNTAX_ERROR),
        ] {
            assert_eq!(parse_script(sql).unwrap_err().state(), state, "{sql}");
        }
    }
}
