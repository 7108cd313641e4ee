//! Functions over the catalog and the session: what clients' tools call.

use std::sync::Arc;

use heliosdb_contracts::ShardClient;
use heliosdb_types::{Datum, DatumRef, Error, Oid, PhysicalType, RegKind, Result, SqlState, SqlType};

use super::indexes::index_named;
use super::table::{array_text, stored};
use super::{Facts, activity, constraints, fixed, locking, privileges, quote_identifier, statements, statistics};
use crate::catalog::{CLASS_RELATION, CommentKey, RelationKind};
use crate::func::{self, CastKind, FuncContext, Function, NameLookup, Typed};
use crate::session::{SettingChange, SettingName, check_setting, may_become, may_set, unrecognized};

type Body = fn(&Facts, &[DatumRef<'_>]) -> Result<Datum>;

/// One function: its parameters (the last `optional` may be left out), its result.
struct Definition {
    name: &'static str,
    parameters: &'static [SqlType],
    optional: usize,
    returns: Returns,
    /// NULL if any argument is.
    strict: bool,
    volatile: bool,
    body: Body,
}

#[derive(Clone, Copy)]
pub(super) enum Returns {
    Bool,
    Int4,
    Int8,
    Name,
    Names,
    Texts,
    Ints,
    Oid,
    Text,
    Timestamptz,
    Class,
    Role,
    Namespace,
    Type,
    Float8,
    Void,
}

impl Returns {
    fn sql_type(self) -> SqlType {
        match self {
            Returns::Bool => SqlType::Bool,
            Returns::Int4 => SqlType::Int4,
            Returns::Int8 => SqlType::Int8,
            Returns::Name => SqlType::Name,
            Returns::Names => SqlType::Array(Box::new(SqlType::Name)),
            Returns::Ints => SqlType::Array(Box::new(SqlType::Int4)),
            Returns::Texts => SqlType::Array(Box::new(SqlType::Text)),
            Returns::Role => SqlType::Reg(RegKind::Role),
            Returns::Namespace => SqlType::Reg(RegKind::Namespace),
            Returns::Type => SqlType::Reg(RegKind::Type),
            Returns::Oid => SqlType::Oid,
            Returns::Float8 => SqlType::Float8,
            Returns::Void => SqlType::Void,
            Returns::Text => SqlType::Text,
            Returns::Timestamptz => SqlType::Timestamptz(None),
            Returns::Class => SqlType::Reg(RegKind::Class),
        }
    }
}

const CLASS: SqlType = SqlType::Reg(RegKind::Class);
const OID: SqlType = SqlType::Oid;
const TEXT: SqlType = SqlType::Text;
const INT: SqlType = SqlType::Int4;
const BOOL: SqlType = SqlType::Bool;

macro_rules! functions {
    ($($name:literal ($($parameter:expr),*) optional $optional:literal $(strict $strict:tt)? -> $returns:ident
        = $body:expr;)*) => {
        static FUNCTIONS: &[Definition] = &[$(Definition {
            name: $name, parameters: &[$($parameter),*], optional: $optional, returns: Returns::$returns,
            strict: functions!(@strict $($strict)?), volatile: false, body: $body,
        }),*];
    };
    (@strict no) => { false };
    (@strict) => { true };
}

functions! {
    "pg_table_is_visible"(OID) optional 0 -> Bool = relation_visible;
    "pg_type_is_visible"(OID) optional 0 -> Bool = |_, _| yes();
    "pg_function_is_visible"(OID) optional 0 -> Bool = |_, _| yes();
    "pg_operator_is_visible"(OID) optional 0 -> Bool = |_, _| yes();
    "pg_collation_is_visible"(OID) optional 0 -> Bool = |_, _| yes();
    "pg_opclass_is_visible"(OID) optional 0 -> Bool = |_, _| yes();
    "pg_opfamily_is_visible"(OID) optional 0 -> Bool = |_, _| yes();
    "pg_conversion_is_visible"(OID) optional 0 -> Bool = |_, _| yes();
    "pg_statistics_obj_is_visible"(OID) optional 0 -> Bool = |facts, args| Ok(statistics::is_visible(facts, number(args, 0)));
    "format_type"(OID, INT) optional 0 strict no -> Text = format_type;
    "pg_get_expr"(TEXT, OID, BOOL) optional 1 -> Text = |facts, args| Ok(Datum::Text(shown_expression(facts, string(args, 0))));
    "pg_get_userbyid"(OID) optional 0 -> Name = user_by_id;
    "pg_get_constraintdef"(OID, BOOL) optional 1 -> Text = constraint_definition;
    "pg_get_indexdef"(OID, INT, BOOL) optional 2 -> Text = index_definition_of;
    "pg_get_viewdef"(CLASS, BOOL) optional 1 -> Text = |facts, args| Ok(optional(view_definition(facts, number(args, 0))));
    "pg_get_ruledef"(OID, BOOL) optional 1 -> Text = |_, _| Ok(Datum::Null);
    "pg_get_triggerdef"(OID, BOOL) optional 1 -> Text = |_, _| Ok(Datum::Null);
    "pg_get_functiondef"(OID) optional 0 -> Text = |_, _| Ok(Datum::Null);
    "pg_get_function_arguments"(OID) optional 0 -> Text = |_, args| Ok(optional(fixed::function_arguments(number(args, 0))));
    "pg_get_function_identity_arguments"(OID) optional 0 -> Text = |_, args| Ok(optional(fixed::function_arguments(number(args, 0))));
    "pg_get_function_sqlbody"(OID) optional 0 -> Text = |_, _| Ok(Datum::Null);
    "pg_get_function_result"(OID) optional 0 -> Text = |_, args| Ok(optional(fixed::function_result(number(args, 0))));
    "pg_get_statisticsobjdef_columns"(OID) optional 0 -> Text = |facts, args| Ok(optional(statistics::columns_definition(facts, number(args, 0))));
    "pg_get_statisticsobjdef"(OID) optional 0 -> Text = |facts, args| Ok(optional(statistics::definition(facts, number(args, 0))));
    "pg_get_partkeydef"(OID) optional 0 -> Text = |_, _| Ok(Datum::Null);
    "pg_get_partition_constraintdef"(OID) optional 0 -> Text = |_, _| Ok(Datum::Null);
    "pg_get_serial_sequence"(TEXT, TEXT) optional 0 -> Text = serial_sequence;
    "obj_description"(OID, SqlType::Name) optional 1 -> Text = |facts, args| Ok(description(facts, args));
    "shobj_description"(OID, SqlType::Name) optional 1 -> Text = |facts, args| Ok(description(facts, args));
    "col_description"(OID, INT) optional 0 -> Text = |facts, args| Ok(column_description(facts, args));
    "current_schema"() optional 0 -> Name = |facts, _| Ok(optional(schemas(facts, false).into_iter().next()));
    "current_schemas"(BOOL) optional 0 -> Names = |facts, args| Ok(Datum::Text(array_text(schemas(facts, truth(args, 0)))));
    "current_database"() optional 0 -> Name = |facts, _| Ok(Datum::Text(facts.database.name.clone()));
    "current_catalog"() optional 0 -> Name = |facts, _| Ok(Datum::Text(facts.database.name.clone()));
    "current_user"() optional 0 -> Name = |facts, _| Ok(Datum::Text(facts.user.name.clone()));
    "current_role"() optional 0 -> Name = |facts, _| Ok(Datum::Text(facts.user.name.clone()));
    "session_user"() optional 0 -> Name = |facts, _| Ok(Datum::Text(facts.session_user.name.clone()));
    "user"() optional 0 -> Name = |facts, _| Ok(Datum::Text(facts.user.name.clone()));
    "version"() optional 0 -> Text = |facts, _| Ok(Datum::Text(version(facts)));
    "pg_backend_pid"() optional 0 -> Int4 = |facts, _| Ok(Datum::Int32(facts.pid));
    "pg_is_in_recovery"() optional 0 -> Bool = |_, _| Ok(Datum::Bool(false));
    "pg_postmaster_start_time"() optional 0 -> Timestamptz = |facts, _| Ok(Datum::TimestampTz(facts.engine.start_micros));
    "pg_conf_load_time"() optional 0 -> Timestamptz = |facts, _| Ok(Datum::TimestampTz(facts.engine.start_micros));
    "inet_client_addr"() optional 0 -> Text = |facts, _| Ok(optional(facts.peer.map(|peer| peer.ip().to_string())));
    "inet_client_port"() optional 0 -> Int4 = |facts, _| Ok(facts.peer.map_or(Datum::Null, |peer| Datum::Int32(i32::from(peer.port()))));
    "pg_encoding_to_char"(INT) optional 0 -> Name = |_, args| Ok(Datum::Text((if int(args, 0) == 6 { "UTF8" } else { "" }).to_owned()));
    "pg_char_to_encoding"(SqlType::Name) optional 0 -> Int4 = |_, args| Ok(Datum::Int32(if string(args, 0).eq_ignore_ascii_case("utf8") { 6 } else { -1 }));
    "getdatabaseencoding"() optional 0 -> Name = |_, _| Ok(Datum::Text("UTF8".to_owned()));
    "pg_client_encoding"() optional 0 -> Name = |_, _| Ok(Datum::Text("UTF8".to_owned()));
    "pg_relation_size"(CLASS, TEXT) optional 1 -> Int8 = |facts, args| relation_size(facts, number(args, 0));
    "pg_table_size"(CLASS) optional 0 -> Int8 = |facts, args| relation_size(facts, number(args, 0));
    "pg_total_relation_size"(CLASS) optional 0 -> Int8 = |facts, args| total_size(facts, number(args, 0));
    "pg_indexes_size"(CLASS) optional 0 -> Int8 = |facts, args| Ok(Datum::Int64(indexes_size(facts, number(args, 0))));
    "pg_database_size"(SqlType::Name) optional 0 -> Int8 = database_size;
    "pg_relation_is_publishable"(CLASS) optional 0 -> Bool = |_, _| Ok(Datum::Bool(false));
    "pg_relation_filenode"(CLASS) optional 0 -> Oid = |facts, args| Ok(filenode(facts, number(args, 0)));
    "pg_my_temp_schema"() optional 0 -> Oid = |_, _| Ok(Datum::Int64(0));
    "pg_is_other_temp_schema"(OID) optional 0 -> Bool = |_, _| Ok(Datum::Bool(false));
    "pg_tablespace_location"(OID) optional 0 -> Text = |_, _| Ok(Datum::Text(String::new()));
    "pg_tablespace_size"(OID) optional 0 -> Int8 = |facts, _| all_sizes(facts);
    "pg_sequence_last_value"(CLASS) optional 0 -> Int8 = sequence_last_value;
    "to_regclass"(TEXT) optional 0 -> Class = to_regclass;
    "to_regnamespace"(TEXT) optional 0 -> Namespace = |facts, args| Ok(found(facts.schema_oid(string(args, 0))));
    "to_regrole"(TEXT) optional 0 -> Role = |facts, args| Ok(found(facts.role_oid(string(args, 0))));
    "to_regtype"(TEXT) optional 0 -> Type = |facts, args| Ok(found(type_named(facts, string(args, 0))));
    "acldefault"(SqlType::QuotedChar, OID) optional 0 -> Texts = |facts, args| privileges::default_acl(facts, string(args, 0), number(args, 1));
    "row_security_active"(OID) optional 0 -> Bool = |_, _| Ok(Datum::Bool(false));
    "pg_ts_config_is_visible"(OID) optional 0 -> Bool = |_, _| yes();
    "pg_ts_dict_is_visible"(OID) optional 0 -> Bool = |_, _| yes();
    "pg_ts_parser_is_visible"(OID) optional 0 -> Bool = |_, _| yes();
    "pg_ts_template_is_visible"(OID) optional 0 -> Bool = |_, _| yes();
    "inet_server_port"() optional 0 -> Int4 = |_, _| Ok(Datum::Null);
    "inet_server_addr"() optional 0 -> Text = |_, _| Ok(Datum::Null);
    "pg_index_column_has_property"(CLASS, INT, TEXT) optional 0 -> Bool = |_, _| Ok(Datum::Null);
    "pg_indexam_has_property"(OID, TEXT) optional 0 -> Bool = |_, args| Ok(Datum::Bool(matches!(string(args, 1), "can_order" | "can_unique" | "can_multi_col" | "can_include")));
}

/// Functions about what goes on now.
static VOLATILE: [Definition; 12] = [
    Definition {
        name: "pg_stat_statements_reset",
        parameters: &[OID, OID, SqlType::Int8],
        optional: 3,
        returns: Returns::Void,
        strict: true,
        volatile: true,
        body: |facts, args| statements::reset(facts, number(args, 0), number(args, 1), big(args, 2)),
    },
    Definition {
        name: "pg_notify",
        parameters: &[TEXT, TEXT],
        optional: 0,
        returns: Returns::Void,
        strict: false,
        volatile: true,
        // NULLs are empty strings here.
        body: |facts, args| {
            facts.said.lock().add(string(args, 0), string(args, 1)).map(|()| Datum::Text(String::new()))
        },
    },
    Definition {
        name: "pg_notification_queue_usage",
        parameters: &[],
        optional: 0,
        returns: Returns::Float8,
        strict: true,
        volatile: true,
        body: |facts, _| Ok(Datum::Float64(facts.engine.channels.usage())),
    },
    Definition {
        name: "pg_blocking_pids",
        parameters: &[INT],
        optional: 0,
        returns: Returns::Ints,
        strict: true,
        volatile: true,
        body: |facts, args| Ok(activity::blocking_pids(facts, int(args, 0))),
    },
    Definition {
        name: "pg_cancel_backend",
        parameters: &[INT],
        optional: 0,
        returns: Returns::Bool,
        strict: true,
        volatile: true,
        body: |facts, args| activity::cancel_backend(facts, int(args, 0)),
    },
    Definition {
        name: "pg_terminate_backend",
        parameters: &[INT, SqlType::Int8],
        optional: 1,
        returns: Returns::Bool,
        strict: true,
        volatile: true,
        body: |facts, args| activity::terminate_backend(facts, int(args, 0)),
    },
    SET_CONFIG_DEFINITION,
    Definition {
        name: "current_setting",
        parameters: &[TEXT, BOOL],
        optional: 1,
        returns: Returns::Text,
        strict: true,
        volatile: true,
        body: current_setting,
    },
    // What reading a sequence as a table reads.
    Definition {
        name: "pg_helios_sequence_last",
        parameters: &[CLASS],
        optional: 0,
        returns: Returns::Int8,
        strict: true,
        volatile: true,
        body: |facts, args| sequence_state(facts, args).map(|(last, _)| Datum::Int64(last)),
    },
    Definition {
        name: "pg_helios_sequence_called",
        parameters: &[CLASS],
        optional: 0,
        returns: Returns::Bool,
        strict: true,
        volatile: true,
        body: |facts, args| sequence_state(facts, args).map(|(_, called)| Datum::Bool(called)),
    },
    Definition {
        name: "clock_timestamp",
        parameters: &[],
        optional: 0,
        returns: Returns::Timestamptz,
        strict: true,
        volatile: true,
        body: |facts, _| Ok(Datum::TimestampTz(facts.engine.options.clock.now_micros())),
    },
    Definition {
        name: "timeofday",
        parameters: &[],
        optional: 0,
        returns: Returns::Text,
        strict: true,
        volatile: true,
        body: |facts, _| func::time_of_day(facts.engine.options.clock.now_micros(), &facts.text),
    },
];

fn sequence_state(facts: &Facts, args: &[DatumRef<'_>]) -> Result<(i64, bool)> {
    match facts.catalog.relations.get(&number(args, 0)).map(|relation| &relation.kind) {
        Some(RelationKind::Sequence(info)) => facts.engine.sequences.last(&*facts.engine.shard, info),
        _ => Err(Error::invalid(SqlState::UNDEFINED_TABLE, "the sequence was dropped")),
    }
}

const SET_CONFIG_DEFINITION: Definition = Definition {
    name: "set_config",
    parameters: &[TEXT, TEXT, BOOL],
    optional: 0,
    returns: Returns::Text,
    strict: false,
    volatile: true,
    body: set_config,
};

/// Resolves a call; `None` if no function of ours has that name.
pub(super) fn call(facts: &Arc<Facts>, name: &str, args: &[Typed]) -> Option<Result<Typed>> {
    if let Some(call) = super::uuid::call(facts, name, args) {
        return Some(call);
    }
    if let Some(call) = locking::call(facts, name, args) {
        return Some(call);
    }
    if name == "pg_has_role" {
        return Some(privileges::has_role(facts, args));
    }
    if let Some(privilege) = name.strip_prefix("has_").and_then(|rest| rest.strip_suffix("_privilege")) {
        return Some(privileges::privilege_call(facts, privilege, args));
    }
    let mut same_name = FUNCTIONS.iter().chain(&VOLATILE).filter(|definition| definition.name == name).peekable();
    same_name.peek()?;
    let fits = |definition: &&Definition| {
        let most = definition.parameters.len();
        (most - definition.optional..=most).contains(&args.len())
    };
    match same_name.find(fits) {
        Some(definition) => Some(build(facts, definition, args)),
        None => {
            let types: Vec<String> = args.iter().map(|arg| arg.sql_type.name()).collect();
            Some(Err(Error::invalid(
                SqlState::UNDEFINED_FUNCTION,
                format!("function {name}({}) does not exist", types.join(", ")),
            )
            .with_hint(
                "No function matches the given name and argument types. You might need to add explicit type casts.",
            )))
        }
    }
}

fn build(facts: &Arc<Facts>, definition: &'static Definition, args: &[Typed]) -> Result<Typed> {
    let context = facts.func_context();
    let mut exprs = Vec::with_capacity(args.len());
    let mut physical = Vec::with_capacity(args.len());
    for (arg, parameter) in args.iter().zip(definition.parameters) {
        exprs.push(argument(arg, parameter, &context)?.expr);
        physical.push(parameter.physical().unwrap_or(PhysicalType::Text));
    }
    Ok(typed(facts, definition.name, exprs, physical, definition.returns, definition.volatile, {
        let (strict, body) = (definition.strict, definition.body);
        move |facts: &Facts, values: &[DatumRef<'_>]| {
            if strict && values.iter().any(DatumRef::is_null) { Ok(Datum::Null) } else { body(facts, values) }
        }
    }))
}

/// Casts an argument; oid-like types stand for one another, as they do in PostgreSQL.
pub(super) fn argument(arg: &Typed, parameter: &SqlType, context: &FuncContext) -> Result<Typed> {
    let oid_like = |sql_type: &SqlType| matches!(sql_type, SqlType::Oid | SqlType::Reg(_));
    if oid_like(&arg.sql_type) && oid_like(parameter) {
        return Ok(arg.clone());
    }
    func::cast(arg.clone(), parameter, CastKind::Explicit, context)
}

pub(super) fn typed(
    facts: &Arc<Facts>,
    name: &str,
    exprs: Vec<datafusion::logical_expr::Expr>,
    physical: Vec<PhysicalType>,
    returns: Returns,
    volatile: bool,
    body: impl Fn(&Facts, &[DatumRef<'_>]) -> Result<Datum> + Send + Sync + 'static,
) -> Typed {
    let sql_type = returns.sql_type();
    let returned = sql_type.physical().unwrap_or(PhysicalType::Text);
    // What is captured decides which calls are the same.
    let key = format!("{name}@{}.{}", facts.catalog.generation, facts.settings.version);
    let captured = Arc::clone(facts);
    let shown = sql_type.clone();
    let function = Function::values(name, key, physical, returned, move |values| {
        body(&captured, values).and_then(|value| stored(&shown, &value))
    });
    let function = if volatile { function.volatile() } else { function };
    Typed { expr: function.call(exprs), sql_type, arrow: heliosdb_contracts::arrow_type(returned) }
}

fn yes() -> Result<Datum> {
    Ok(Datum::Bool(true))
}

fn optional(value: Option<String>) -> Datum {
    value.map_or(Datum::Null, Datum::Text)
}

fn number(args: &[DatumRef<'_>], at: usize) -> Oid {
    Oid(u32::try_from(big(args, at)).unwrap_or(0))
}

fn big(args: &[DatumRef<'_>], at: usize) -> i64 {
    match args.get(at) {
        Some(DatumRef::Int64(value)) => *value,
        _ => 0,
    }
}

fn int(args: &[DatumRef<'_>], at: usize) -> i32 {
    match args.get(at) {
        Some(DatumRef::Int32(value)) => *value,
        _ => 0,
    }
}

fn string<'a>(args: &[DatumRef<'a>], at: usize) -> &'a str {
    match args.get(at) {
        Some(DatumRef::Text(value)) => value,
        _ => "",
    }
}

fn truth(args: &[DatumRef<'_>], at: usize) -> bool {
    matches!(args.get(at), Some(DatumRef::Bool(true)))
}

/// A relation's or an index's schema and name.
fn place(facts: &Facts, oid: Oid) -> Option<(Oid, &str)> {
    if let Some(relation) = facts.catalog.relations.get(&oid) {
        return Some((relation.schema, &relation.name));
    }
    let index = index_named(&facts.catalog, oid)?;
    Some((index.table.schema, index.name))
}

fn relation_visible(facts: &Facts, args: &[DatumRef<'_>]) -> Result<Datum> {
    let oid = number(args, 0);
    let Some((_, name)) = place(facts, oid) else { return Ok(Datum::Null) };
    // The first schema of the path that has the name decides.
    let path = std::iter::once("pg_catalog")
        .filter(|_| !facts.search_path.iter().any(|schema| schema == "pg_catalog"))
        .chain(facts.search_path.iter().map(String::as_str));
    let found = path
        .filter_map(|schema| facts.catalog.schema_named(schema))
        .find_map(|schema| facts.catalog.names.get(&(schema.oid, name.to_owned())));
    Ok(Datum::Bool(found == Some(&oid)))
}

fn format_type(facts: &Facts, args: &[DatumRef<'_>]) -> Result<Datum> {
    let (Some(DatumRef::Int64(_)), modifier) = (args.first(), args.get(1)) else { return Ok(Datum::Null) };
    let oid = number(args, 0);
    if oid == Oid(0) {
        return Ok(Datum::Text("-".to_owned()));
    }
    let modifier = match modifier {
        Some(DatumRef::Int32(modifier)) if *modifier >= 0 => Some(*modifier),
        _ => None,
    };
    let user_type = || facts.catalog.type_of_oid(oid);
    Ok(Datum::Text(match SqlType::from_oid(oid).or_else(user_type) {
        Some(SqlType::Char(None)) if modifier.is_none() && args.get(1).is_some_and(DatumRef::is_null) => {
            "character".to_owned()
        }
        Some(sql_type) => match sql_type.enum_type() {
            Some(of) => {
                let name = user_type_shown(facts, of);
                if matches!(sql_type, SqlType::Array(_)) { format!("{name}[]") } else { name }
            }
            None => with_modifier(sql_type, modifier).name(),
        },
        None => type_shown(facts, oid),
    }))
}

/// A user's type, with its schema unless the search path finds it.
fn user_type_shown(facts: &Facts, of: &heliosdb_types::EnumType) -> String {
    let name = quote_identifier(&of.name);
    let found = facts.catalog.type_named(None, &of.name, &facts.search_path);
    if found.is_some_and(|found| found.oid() == of.oid) {
        return name;
    }
    format!("{}.{name}", quote_identifier(&of.schema))
}

/// A type without a value form of its own: a row type, or one of the catalog's.
pub(super) fn type_shown(facts: &Facts, oid: Oid) -> String {
    if oid.0 & 0x8000_0000 != 0 {
        let array = oid.0 & 0x4000_0000 != 0;
        if let Some(name) = facts.shown_name(Oid(oid.0 & 0x3fff_ffff)) {
            return if array { format!("{name}[]") } else { name };
        }
    }
    fixed::type_name(oid)
}

fn with_modifier(sql_type: SqlType, modifier: Option<i32>) -> SqlType {
    let Some(modifier) = modifier else { return sql_type };
    let length = u32::try_from(modifier - 4).ok();
    let fraction = u8::try_from(modifier).ok();
    match sql_type {
        SqlType::Varchar(_) => SqlType::Varchar(length),
        SqlType::Char(_) => SqlType::Char(length),
        SqlType::Numeric(_) if modifier >= 4 => {
            let packed = modifier - 4;
            let scale = ((packed & 0x7ff) ^ 1024) - 1024;
            SqlType::Numeric(Some(((packed >> 16) as u16, scale as i16)))
        }
        SqlType::Time(_) => SqlType::Time(fraction),
        SqlType::Timestamp(_) => SqlType::Timestamp(fraction),
        SqlType::Timestamptz(_) => SqlType::Timestamptz(fraction),
        SqlType::Array(element) => with_modifier(*element, Some(modifier)).array_of(),
        other => other,
    }
}

/// The sequence a default of ours takes its value from.
pub(super) fn sequence_of_default(expression: &str) -> Option<String> {
    let name = expression.strip_prefix("nextval('")?.strip_suffix("'::regclass)")?;
    Some(name.replace("''", "'"))
}

/// An expression without brackets around the whole of it.
pub(super) fn unbracketed(mut expression: &str) -> &str {
    while let Some(inner) = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        let (mut depth, mut quoted) = (1i32, false);
        for c in inner.chars() {
            match c {
                '\'' => quoted = !quoted,
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return expression;
            }
        }
        expression = inner;
    }
    expression
}

/// An expression of the catalog as it is shown: sequences by the shortest name that finds them.
pub(super) fn shown_expression(facts: &Facts, expression: &str) -> String {
    // Types print in capitals where they were written out.
    if let Some((literal, name)) = expression.rsplit_once("::")
        && literal.ends_with('\'')
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || " (),[]".contains(c))
    {
        return format!("{literal}::{}", name.to_ascii_lowercase());
    }
    // A literal of a user's type names the type.
    if let Some((literal, name)) = expression.rsplit_once("::")
        && literal.ends_with('\'')
        && let Some(of) = facts.catalog.types.values().find(|found| found.definition.name == name)
    {
        return format!("{literal}::{}", user_type_shown(facts, &of.definition));
    }
    let name = expression.strip_prefix("nextval('").and_then(|rest| rest.strip_suffix("'::regclass)"));
    let found = name.and_then(|name| {
        let oid = crate::func::NameLookup::relation_oid(facts, &name.replace("''", "'")).ok()?;
        facts.shown_name(oid)
    });
    match found {
        Some(name) => format!("nextval('{}'::regclass)", name.replace('\'', "''")),
        None => expression.to_owned(),
    }
}

fn user_by_id(facts: &Facts, args: &[DatumRef<'_>]) -> Result<Datum> {
    let oid = number(args, 0);
    let role = facts.catalog.roles.get(&oid);
    Ok(Datum::Text(role.map_or_else(|| format!("unknown (OID={oid})"), |role| role.name.clone())))
}

fn constraint_definition(facts: &Facts, args: &[DatumRef<'_>]) -> Result<Datum> {
    Ok(optional(constraints::definition(facts, number(args, 0), truth(args, 1))))
}

fn index_definition_of(facts: &Facts, args: &[DatumRef<'_>]) -> Result<Datum> {
    let Some(index) = index_named(&facts.catalog, number(args, 0)) else { return Ok(Datum::Null) };
    Ok(Datum::Text(match usize::try_from(int(args, 1)) {
        Ok(column) if column > 0 => index.column_text(column),
        _ => index.definition(facts, truth(args, 2)),
    }))
}

pub(super) fn view_definition(facts: &Facts, oid: Oid) -> Option<String> {
    match &facts.catalog.relations.get(&oid)?.kind {
        RelationKind::View(view) => Some(format!(" {};", super::view_text::view_text(facts, view))),
        _ => None,
    }
}

fn serial_sequence(facts: &Facts, args: &[DatumRef<'_>]) -> Result<Datum> {
    let table = crate::func::NameLookup::relation_oid(facts, string(args, 0))?;
    let relation = facts.catalog.relations.get(&table);
    let column = relation.and_then(|relation| relation.column(string(args, 1)));
    let Some((_, column)) = column else {
        let message = format!("column \"{}\" of relation \"{}\" does not exist", string(args, 1), string(args, 0));
        return Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message));
    };
    let owned = facts.catalog.relations.values().find(|relation| {
        matches!(&relation.kind, RelationKind::Sequence(info) if info.owned_by == Some((table, column.attribute)))
    });
    Ok(owned.map_or(Datum::Null, |sequence| {
        let schema = facts.catalog.schemas.get(&sequence.schema).map_or("", |schema| schema.name.as_str());
        Datum::Text(format!("{}.{}", quote_identifier(schema), quote_identifier(&sequence.name)))
    }))
}

/// obj_description and shobj_description: an object of the catalog that is named, or of any.
fn description(facts: &Facts, args: &[DatumRef<'_>]) -> Datum {
    let object = number(args, 0);
    let class = match args.get(1) {
        None => None,
        Some(_) => {
            let name = string(args, 1);
            let found = facts.catalog.resolve(Some("pg_catalog"), name, &[]).map(|relation| relation.oid);
            if found.is_none() {
                return Datum::Null;
            }
            found
        }
    };
    let about = |(key, _): &(CommentKey, &str)| {
        key.object == object && key.sub == 0 && class.is_none_or(|class| class == key.class)
    };
    super::comments::comments(&facts.catalog)
        .into_iter()
        .find(about)
        .map_or(Datum::Null, |(_, text)| Datum::Text(text.to_owned()))
}

fn column_description(facts: &Facts, args: &[DatumRef<'_>]) -> Datum {
    let sub = match args.get(1) {
        Some(DatumRef::Int32(sub)) if *sub > 0 => *sub,
        _ => return Datum::Null,
    };
    let key = CommentKey { class: CLASS_RELATION, object: number(args, 0), sub };
    facts.catalog.comments.get(&key).map_or(Datum::Null, |text| Datum::Text(text.clone()))
}

/// Schemas of the search path that exist.
fn schemas(facts: &Facts, implicit: bool) -> Vec<String> {
    let listed = facts.search_path.iter().any(|schema| schema == "pg_catalog");
    let first = (implicit && !listed).then(|| "pg_catalog".to_owned());
    let temporary = |schema: &&String| schema.starts_with(crate::session::TEMP_PREFIX);
    let existing = facts.search_path.iter().filter(|schema| facts.catalog.schema_named(schema).is_some());
    let own = existing.clone().filter(|schema| implicit && temporary(schema)).cloned();
    own.chain(first).chain(existing.filter(|schema| !temporary(schema)).cloned()).collect()
}

fn version(facts: &Facts) -> String {
    let architecture = std::env::consts::ARCH;
    format!("PostgreSQL 15.0 (HeliosDB {}) on {architecture}-linux", facts.engine.options.version)
}

fn current_setting(facts: &Facts, args: &[DatumRef<'_>]) -> Result<Datum> {
    let setting = || {
        let name = SettingName::of(string(args, 0))?;
        // What set_config changed in this very statement counts.
        let changes = facts.changes.lock();
        let changed = changes.iter().rfind(|change| change.name == name).map(|change| change.value.as_str());
        let value = changed.or_else(|| facts.settings.of(&name)).ok_or_else(|| unrecognized(name.as_str()))?;
        Ok(Datum::Text(value.to_owned()))
    };
    match setting() {
        Err(_) if truth(args, 1) => Ok(Datum::Null),
        setting => setting,
    }
}

fn set_config(facts: &Facts, args: &[DatumRef<'_>]) -> Result<Datum> {
    if args.first().is_none_or(DatumRef::is_null) {
        return Err(Error::invalid(SqlState::NULL_VALUE_NOT_ALLOWED, "SET requires parameter name"));
    }
    let name = SettingName::of(string(args, 0))?;
    may_set(&name, &facts.user)?;
    let value = check_setting(&name, string(args, 1))?;
    may_become(&facts.catalog, &facts.login_user, &facts.session_user, name.as_str(), &value)?;
    let local = truth(args, 2);
    let mut changes = facts.changes.lock();
    // One for each name is enough, however many rows ask.
    changes.retain(|change| (&change.name, change.local) != (&name, local));
    let mut settings = facts.settings.clone();
    for change in changes.iter().filter(|change| change.name.known().is_none()) {
        settings.give(&change.name, change.value.clone());
    }
    settings.fits(&name, &value)?;
    changes.push(SettingChange { name, value: value.clone(), local });
    Ok(Datum::Text(value))
}

fn relation_size(facts: &Facts, oid: Oid) -> Result<Datum> {
    let Some(relation) = facts.catalog.relations.get(&oid) else {
        return Ok(index_size(facts, oid));
    };
    let size = relation.table().map(|table| facts.engine.shard.tree_size(table.tree.tree)).unwrap_or_default();
    Ok(Datum::Int64(i64::try_from(size.disk_bytes + size.memory_bytes).unwrap_or(i64::MAX)))
}

/// A primary key is in its table's own tree.
fn index_size(facts: &Facts, oid: Oid) -> Datum {
    let Some(index) = index_named(&facts.catalog, oid) else { return Datum::Null };
    let tree = index.table.table().and_then(|table| Some(table.index_tree(table.index(oid)?)));
    let size = tree.map(|tree| facts.engine.shard.tree_size(tree)).unwrap_or_default();
    Datum::Int64(i64::try_from(size.disk_bytes + size.memory_bytes).unwrap_or(i64::MAX))
}

/// All indexes of a table.
fn indexes_size(facts: &Facts, oid: Oid) -> i64 {
    let table = facts.catalog.relations.get(&oid).and_then(|relation| relation.table());
    let trees = table.into_iter().flat_map(|table| table.indexes.iter().map(|index| table.index_tree(index)));
    let sizes = trees.map(|tree| facts.engine.shard.tree_size(tree));
    sizes.map(|size| i64::try_from(size.disk_bytes + size.memory_bytes).unwrap_or(i64::MAX)).sum()
}

fn total_size(facts: &Facts, oid: Oid) -> Result<Datum> {
    Ok(match relation_size(facts, oid)? {
        Datum::Int64(own) => Datum::Int64(own.saturating_add(indexes_size(facts, oid))),
        other => other,
    })
}

fn all_sizes(facts: &Facts) -> Result<Datum> {
    let tables = facts.catalog.relations.values().filter_map(|relation| relation.table());
    let sizes = tables.map(|table| facts.engine.shard.tree_size(table.tree.tree));
    let bytes: u64 = sizes.map(|size| size.disk_bytes + size.memory_bytes).sum();
    Ok(Datum::Int64(i64::try_from(bytes).unwrap_or(i64::MAX)))
}

fn database_size(facts: &Facts, args: &[DatumRef<'_>]) -> Result<Datum> {
    let name = string(args, 0);
    if facts.database.name != name && facts.database.oid.to_string() != name {
        return Err(Error::invalid(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" does not exist")));
    }
    all_sizes(facts)
}

fn filenode(facts: &Facts, oid: Oid) -> Datum {
    let stored = facts.catalog.relations.get(&oid).is_some_and(|relation| relation.table().is_some());
    if stored { Datum::Int64(i64::from(oid.0)) } else { Datum::Null }
}

fn sequence_last_value(facts: &Facts, args: &[DatumRef<'_>]) -> Result<Datum> {
    let Some(RelationKind::Sequence(info)) =
        facts.catalog.relations.get(&number(args, 0)).map(|relation| &relation.kind)
    else {
        return Ok(Datum::Null);
    };
    let (last, called) = facts.engine.sequences.last(&*facts.engine.shard as &dyn ShardClient, info)?;
    Ok(if called { Datum::Int64(last) } else { Datum::Null })
}

fn found(oid: Result<Oid>) -> Datum {
    oid.map_or(Datum::Null, |oid| Datum::Int64(i64::from(oid.0)))
}

fn type_named(facts: &Facts, name: &str) -> Result<Oid> {
    let sql = format!("CAST(NULL AS {name})");
    match crate::bind::parse_expression(&sql)? {
        sqlparser::ast::Expr::Cast { data_type, .. } => Ok(func::type_from_ast(&data_type, facts)?.oid()),
        _ => Err(Error::syntax("not a type")),
    }
}

fn to_regclass(facts: &Facts, args: &[DatumRef<'_>]) -> Result<Datum> {
    match crate::func::NameLookup::relation_oid(facts, string(args, 0)) {
        Ok(oid) => Ok(Datum::Int64(i64::from(oid.0))),
        Err(_) => Ok(Datum::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_brackets_around_the_whole_go() {
        assert_eq!(unbracketed("((a > 0))"), "a > 0");
        assert_eq!(unbracketed("(a) > (b)"), "(a) > (b)");
        assert_eq!(unbracketed("(a = ')')"), "a = ')'");
    }

    #[test]
    fn types_are_formatted_with_their_modifiers() {
        let numeric = SqlType::Numeric(Some((10, 2)));
        assert_eq!(with_modifier(SqlType::Numeric(None), Some(numeric.typmod())), numeric);
        let varchar = SqlType::Varchar(Some(20));
        assert_eq!(with_modifier(SqlType::Varchar(None), Some(varchar.typmod())), varchar);
        let negative = SqlType::Numeric(Some((5, -2)));
        assert_eq!(with_modifier(SqlType::Numeric(None), Some(negative.typmod())), negative);
    }
}
