//! Changing jsonb: `||`, `-`, `#-`, jsonb_set, jsonb_insert, and values without nulls or on many lines.

use std::borrow::Cow;

use heliosdb_types::{
    Datum, DatumRef, Error, JsonTree, Jsonb, JsonbKind, Result, SqlState, SqlType, strip_json_nulls, write_jsonb,
};

use super::super::{FuncContext, Typed};
use super::{document, function, implicit, invalid, jsonb_of, list_of_texts, text_array, text_of_arg, wrong_arguments};

/// `left || right`: objects merge, anything else becomes one array.
pub(super) fn concat(left: Typed, right: Typed) -> Typed {
    function("jsonb_concat", "", vec![left, right], SqlType::Jsonb, true, |values| {
        let [left, right] = values else { return Err(wrong_arguments()) };
        let (left, right) = (jsonb_of(*left)?, jsonb_of(*right)?);
        let tree = match (JsonTree::of(left)?, JsonTree::of(right)?) {
            (JsonTree::Object(mut a), JsonTree::Object(b)) => {
                a.extend(b);
                JsonTree::Object(a)
            }
            (a, b) => {
                let mut elements = as_elements(a, left);
                elements.extend(as_elements(b, right));
                JsonTree::Array(elements)
            }
        };
        tree.encode().map(Datum::Bytes)
    })
}

fn as_elements<'a>(tree: JsonTree<'a>, value: Jsonb<'a>) -> Vec<JsonTree<'a>> {
    match tree {
        JsonTree::Array(elements) => elements,
        _ => vec![JsonTree::Encoded(value)],
    }
}

/// `value - key`, `value - keys`, `value - index`.
pub(super) fn delete(left: Typed, right: Typed) -> Typed {
    function("jsonb_delete", "", vec![left, right], SqlType::Jsonb, true, |values| {
        let [value, what] = values else { return Err(wrong_arguments()) };
        let value = jsonb_of(*value)?;
        let keys = match what {
            DatumRef::Bytes(_) => Some(list_of_texts(*what)?),
            _ => None,
        };
        if value.kind()?.is_scalar() {
            return Err(invalid("cannot delete from scalar"));
        }
        let mut tree = JsonTree::of(value)?;
        let keys: Vec<String> = match what {
            DatumRef::Int32(at) => {
                let JsonTree::Array(elements) = &mut tree else {
                    return Err(invalid("cannot delete from object using integer index"));
                };
                let at = if *at < 0 { elements.len() as i64 + i64::from(*at) } else { i64::from(*at) };
                if let Ok(at) = usize::try_from(at)
                    && at < elements.len()
                {
                    elements.remove(at);
                }
                Vec::new()
            }
            DatumRef::Text(key) => vec![(*key).to_owned()],
            _ => keys.into_iter().flatten().flatten().collect(),
        };
        match &mut tree {
            JsonTree::Object(members) => members.retain(|(key, _)| !keys.iter().any(|k| *k == **key)),
            JsonTree::Array(elements) => {
                let is_key = |element: &JsonTree<'_>| match element {
                    JsonTree::Encoded(value) if value.kind().is_ok_and(|kind| kind == JsonbKind::String) => {
                        value.text().is_ok_and(|text| keys.iter().any(|key| key == text))
                    }
                    _ => false,
                };
                elements.retain(|element| !is_key(element));
            }
            _ => {}
        }
        tree.encode().map(Datum::Bytes)
    })
}

/// `value #- path`.
pub(super) fn delete_path(left: Typed, right: Typed) -> Typed {
    function("jsonb_delete_path", "", vec![left, right], SqlType::Jsonb, true, |values| {
        let [value, path] = values else { return Err(wrong_arguments()) };
        let (value, path) = (jsonb_of(*value)?, list_of_texts(*path)?);
        if value.kind()?.is_scalar() {
            return Err(invalid("cannot delete path in scalar"));
        }
        change_path(value, &path, Change::Delete)
    })
}

/// What is done where a path ends.
#[derive(Clone, Copy)]
enum Change<'a> {
    Delete,
    /// Only where there is a value already.
    Replace(Jsonb<'a>),
    /// Also where there is none.
    Create(Jsonb<'a>),
    Insert {
        value: Jsonb<'a>,
        after: bool,
    },
}

impl<'a> Change<'a> {
    /// What is put where nothing is yet.
    fn new_value(self) -> Option<JsonTree<'a>> {
        match self {
            Change::Create(value) | Change::Insert { value, .. } => Some(JsonTree::Encoded(value)),
            _ => None,
        }
    }
}

fn change_path(value: Jsonb<'_>, path: &[Option<String>], change: Change<'_>) -> Result<Datum> {
    let unchanged = || Ok(Datum::Bytes(value.as_bytes().to_vec()));
    if path.is_empty() || (value.is_empty()? && change.new_value().is_none()) {
        return unchanged();
    }
    changed(value, path, 0, change)?.encode().map(Datum::Bytes)
}

fn changed<'a>(value: Jsonb<'a>, path: &[Option<String>], level: usize, change: Change<'a>) -> Result<JsonTree<'a>> {
    let Some(step) = path.get(level) else { return Ok(JsonTree::Encoded(value)) };
    let step = step.as_deref().ok_or_else(|| {
        let message = format!("path element at position {} is null", level + 1);
        Error::invalid(SqlState::NULL_VALUE_NOT_ALLOWED, message)
    })?;
    let last = level + 1 == path.len();
    match JsonTree::of(value)? {
        JsonTree::Object(mut members) => {
            let at = members.iter().position(|(key, _)| key == step);
            match (at, last) {
                (Some(at), true) => match change {
                    Change::Delete => {
                        members.remove(at);
                    }
                    Change::Replace(value) | Change::Create(value) => {
                        if let Some(member) = members.get_mut(at) {
                            member.1 = JsonTree::Encoded(value);
                        }
                    }
                    Change::Insert { .. } => {
                        return Err(invalid("cannot replace existing key")
                            .with_hint("Try using the function jsonb_set to replace key value."));
                    }
                },
                (Some(at), false) => {
                    if let Some((_, JsonTree::Encoded(inner))) = members.get(at) {
                        let inner = changed(*inner, path, level + 1, change)?;
                        if let Some(member) = members.get_mut(at) {
                            member.1 = inner;
                        }
                    }
                }
                (None, true) => {
                    members.extend(change.new_value().map(|value| (Cow::Owned(step.to_owned()), value)));
                }
                (None, false) => {}
            }
            Ok(JsonTree::Object(members))
        }
        JsonTree::Array(elements) => changed_array(elements, path, level, step, change),
        scalar => Ok(scalar),
    }
}

fn changed_array<'a>(
    mut elements: Vec<JsonTree<'a>>,
    path: &[Option<String>],
    level: usize,
    step: &str,
    change: Change<'a>,
) -> Result<JsonTree<'a>> {
    let last = level + 1 == path.len();
    let index: i32 = step.trim_start().parse().map_err(|_| {
        let message = format!("path element at position {} is not an integer: \"{step}\"", level + 1);
        Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, message)
    })?;
    let count = elements.len() as i64;
    let index = if index < 0 { count + i64::from(index) } else { i64::from(index) };
    let place = usize::try_from(index).ok().filter(|at| *at < elements.len());
    match (place, last) {
        (Some(at), true) => match change {
            Change::Delete => {
                elements.remove(at);
            }
            Change::Replace(value) | Change::Create(value) => {
                if let Some(element) = elements.get_mut(at) {
                    *element = JsonTree::Encoded(value);
                }
            }
            Change::Insert { value, after } => elements.insert(at + usize::from(after), JsonTree::Encoded(value)),
        },
        (Some(at), false) => {
            if let Some(JsonTree::Encoded(inner)) = elements.get(at) {
                let inner = changed(*inner, path, level + 1, change)?;
                if let Some(element) = elements.get_mut(at) {
                    *element = inner;
                }
            }
        }
        // Before the first element or after the last one.
        (None, true) => {
            if let Some(value) = change.new_value() {
                let at = if index < 0 { 0 } else { elements.len() };
                elements.insert(at, value);
            }
        }
        (None, false) => {}
    }
    Ok(JsonTree::Array(elements))
}

/// `jsonb_set(target, path, value [, create])` and `jsonb_insert(target, path, value [, after])`.
pub(super) fn set(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let all = set_arguments(name, args, ctx)?;
    let insert = name == "jsonb_insert";
    Ok(function(name, "", all, SqlType::Jsonb, true, move |values| {
        let [target, path, value, flag @ ..] = values else { return Err(wrong_arguments()) };
        let flag = flag.first().map(|flag| *flag == DatumRef::Bool(true));
        let value = jsonb_of(*value)?;
        let change = match (insert, flag) {
            (true, after) => Change::Insert { value, after: after.unwrap_or(false) },
            (false, Some(false)) => Change::Replace(value),
            (false, _) => Change::Create(value),
        };
        set_path(*target, *path, change)
    }))
}

fn set_path(target: DatumRef<'_>, path: DatumRef<'_>, change: Change<'_>) -> Result<Datum> {
    let (target, path) = (jsonb_of(target)?, list_of_texts(path)?);
    if target.kind()?.is_scalar() {
        return Err(invalid("cannot set path in scalar"));
    }
    change_path(target, &path, change)
}

fn set_arguments(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Vec<Typed>> {
    let types = [SqlType::Jsonb, text_array(), SqlType::Jsonb, SqlType::Bool, SqlType::Text];
    let all = types.iter().enumerate().take(args.len()).map(|(at, to)| implicit(name, args, at, to, ctx));
    all.collect()
}

/// `jsonb_set_lax(target, path, value [, create [, null treatment]])`.
pub(super) fn set_lax(args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let all = set_arguments("jsonb_set_lax", args, ctx)?;
    Ok(function("jsonb_set_lax", "", all, SqlType::Jsonb, false, |values| {
        let [target, path, value, rest @ ..] = values else { return Err(wrong_arguments()) };
        if target.is_null() || path.is_null() || rest.first().is_some_and(DatumRef::is_null) {
            return Ok(Datum::Null);
        }
        let create = rest.first() != Some(&DatumRef::Bool(false));
        let set = |value| if create { Change::Create(value) } else { Change::Replace(value) };
        if !value.is_null() {
            return set_path(*target, *path, set(jsonb_of(*value)?));
        }
        let treatment = match rest.get(1) {
            Some(DatumRef::Null) => None,
            Some(text) => Some(text_of_arg(*text)?),
            None => Some("use_json_null"),
        };
        match treatment {
            Some("raise_exception") => Err(Error::invalid(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "JSON value must not be null",
            )
            .with_detail("Exception was raised because null_value_treatment is \"raise_exception\".")
            .with_hint(
                "To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed.",
            )),
            Some("use_json_null") => {
                let null = JsonTree::Null.encode()?;
                set_path(*target, *path, set(Jsonb::new(&null)))
            }
            Some("delete_key") => set_path(*target, *path, Change::Delete),
            Some("return_target") => Ok(target.to_owned()),
            _ => Err(invalid(
                "null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"",
            )),
        }
    }))
}

/// `json_strip_nulls` and `jsonb_strip_nulls`: objects without members that are null.
pub(super) fn strip_nulls(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let document = document(name, args, ctx)?;
    let returns = document.sql_type.clone();
    Ok(function(name, "", vec![document], returns, true, |values| match values {
        [DatumRef::Text(text)] => {
            let mut out = String::with_capacity(text.len());
            strip_json_nulls(text, &mut out)?;
            Ok(Datum::Text(out))
        }
        [value] => stripped(jsonb_of(*value)?)?.encode().map(Datum::Bytes),
        _ => Err(wrong_arguments()),
    }))
}

fn stripped(value: Jsonb<'_>) -> Result<JsonTree<'_>> {
    Ok(match value.kind()? {
        JsonbKind::Object => {
            let mut members = Vec::new();
            for member in value.members()? {
                let (key, value) = member?;
                if !value.is_null() {
                    members.push((Cow::Borrowed(key), stripped(value)?));
                }
            }
            JsonTree::Object(members)
        }
        JsonbKind::Array => {
            JsonTree::Array(value.elements()?.map(|element| stripped(element?)).collect::<Result<_>>()?)
        }
        _ => JsonTree::Encoded(value),
    })
}

/// `jsonb_pretty`.
pub(super) fn pretty(args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let document = document("jsonb_pretty", args, ctx)?;
    Ok(function("jsonb_pretty", "", vec![document], SqlType::Text, true, |values| {
        let [value] = values else { return Err(wrong_arguments()) };
        let mut out = String::new();
        write_jsonb(jsonb_of(*value)?, true, &mut out)?;
        Ok(Datum::Text(out))
    }))
}
