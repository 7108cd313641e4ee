//! The options of sequences, for CREATE SEQUENCE, ALTER SEQUENCE and identity columns.

use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::cursor::Cursor;

/// Options as written; `None`: not said.
#[derive(Clone, Debug, Default)]
pub(crate) struct SequenceOptions {
    pub data_type: Option<SqlType>,
    pub increment: Option<i64>,
    /// `Some(None)`: NO MINVALUE.
    pub min: Option<Option<i64>>,
    pub max: Option<Option<i64>>,
    pub start: Option<i64>,
    /// RESTART, perhaps WITH a value.
    pub restart: Option<Option<i64>>,
    pub cache: Option<i64>,
    pub cycle: Option<bool>,
    /// `Some(None)`: OWNED BY NONE.
    pub owned_by: Option<Option<ast::ObjectName>>,
    /// SEQUENCE NAME, as dumps write it for identity columns.
    pub name: Option<ast::ObjectName>,
}

impl SequenceOptions {
    /// Reads options as long as there are any.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<SequenceOptions> {
        let mut options = SequenceOptions::default();
        while options.read_one(cursor)? {}
        Ok(options)
    }

    /// False: what comes next is no option.
    pub(super) fn read_one(&mut self, cursor: &mut Cursor<'_>) -> Result<bool> {
        let at = *cursor;
        let repeated = match cursor.word().as_str() {
            "AS" => {
                cursor.expect("AS")?;
                self.data_type.replace(integer_type(cursor)?).is_some()
            }
            "INCREMENT" => {
                cursor.expect("INCREMENT")?;
                cursor.eat("BY");
                self.increment.replace(cursor.integer()?).is_some()
            }
            "MINVALUE" => {
                cursor.expect("MINVALUE")?;
                self.min.replace(Some(cursor.integer()?)).is_some()
            }
            "MAXVALUE" => {
                cursor.expect("MAXVALUE")?;
                self.max.replace(Some(cursor.integer()?)).is_some()
            }
            "NO" => {
                if cursor.eat("NO MINVALUE") {
                    self.min.replace(None).is_some()
                } else if cursor.eat("NO MAXVALUE") {
                    self.max.replace(None).is_some()
                } else {
                    cursor.expect("NO")?;
                    cursor.expect("CYCLE")?;
                    self.cycle.replace(false).is_some()
                }
            }
            "CYCLE" => {
                cursor.expect("CYCLE")?;
                self.cycle.replace(true).is_some()
            }
            "START" => {
                cursor.expect("START")?;
                cursor.eat("WITH");
                self.start.replace(cursor.integer()?).is_some()
            }
            "RESTART" => {
                cursor.expect("RESTART")?;
                let signed = matches!(cursor.peek(), Some(Token::Number(..) | Token::Minus | Token::Plus));
                let value = if cursor.eat("WITH") || signed { Some(cursor.integer()?) } else { None };
                self.restart.replace(value).is_some()
            }
            "CACHE" => {
                cursor.expect("CACHE")?;
                self.cache.replace(cursor.integer()?).is_some()
            }
            "OWNED" => {
                cursor.expect("OWNED")?;
                cursor.expect("BY")?;
                let owner = if cursor.eat("NONE") { None } else { Some(cursor.name()?) };
                self.owned_by.replace(owner).is_some()
            }
            "SEQUENCE" => {
                cursor.expect("SEQUENCE")?;
                cursor.expect("NAME")?;
                self.name.replace(cursor.name()?).is_some()
            }
            _ => return Ok(false),
        };
        if repeated {
            let error = Error::syntax("conflicting or redundant options");
            return Err(match at.error().position() {
                Some(position) => error.with_position(position),
                None => error,
            });
        }
        Ok(true)
    }

    /// Options the parser read, of an identity column.
    pub(crate) fn from_ast(options: &[ast::SequenceOptions]) -> Result<SequenceOptions> {
        let mut out = SequenceOptions::default();
        for option in options {
            match option {
                ast::SequenceOptions::IncrementBy(value, _) => out.increment = Some(number(value)?),
                ast::SequenceOptions::MinValue(value) => out.min = Some(value.as_ref().map(number).transpose()?),
                ast::SequenceOptions::MaxValue(value) => out.max = Some(value.as_ref().map(number).transpose()?),
                ast::SequenceOptions::StartWith(value, _) => out.start = Some(number(value)?),
                ast::SequenceOptions::Cycle(no) => out.cycle = Some(!*no),
                ast::SequenceOptions::Cache(value) => out.cache = Some(number(value)?),
            }
        }
        Ok(out)
    }
}

fn number(expr: &ast::Expr) -> Result<i64> {
    let text = expr.to_string().replace(' ', "");
    text.parse().map_err(|_| Error::syntax(format!("syntax error at or near \"{text}\"")))
}

fn integer_type(cursor: &mut Cursor<'_>) -> Result<SqlType> {
    let name = cursor.identifier()?.value.to_ascii_lowercase();
    match name.as_str() {
        "smallint" | "int2" => Ok(SqlType::Int2),
        "integer" | "int" | "int4" => Ok(SqlType::Int4),
        "bigint" | "int8" => Ok(SqlType::Int8),
        _ => {
            Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, "sequence type must be smallint, integer, or bigint"))
        }
    }
}
