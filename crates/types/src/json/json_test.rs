use proptest::prelude::*;

use super::*;
use crate::{SqlType, TextContext, parse_text, text_of};

fn jsonb(text: &str) -> Vec<u8> {
    parse_jsonb(text).unwrap()
}

fn shown(bytes: &[u8]) -> String {
    let mut out = String::new();
    write_jsonb(Jsonb::new(bytes), false, &mut out).unwrap();
    out
}

#[test]
fn members_are_sorted_and_the_last_of_a_name_counts() {
    let value = jsonb(r#" {"bb": [1, 2.50, {}], "a":null, "c" : "x\u00e9\n", "a": true} "#);
    assert_eq!(shown(&value), r#"{"a": true, "c": "xé\n", "bb": [1, 2.50, {}]}"#);
    let value = Jsonb::new(&value);
    assert!(value.member("a").unwrap().unwrap().is_true());
    assert!(value.member("zz").unwrap().is_none());
    let array = value.member("bb").unwrap().unwrap();
    assert_eq!(array.element(-2).unwrap().unwrap().number().unwrap().to_string(), "2.50");
    assert!(array.element(3).unwrap().is_none());
}

#[test]
fn large_containers_use_wider_offsets() {
    for count in [0usize, 1, 200, 300, 40_000] {
        let text = format!("[{}]", (0..count).map(|i| format!("\"v{i}\"")).collect::<Vec<_>>().join(", "));
        let value = jsonb(&text);
        assert_eq!(shown(&value), text);
        let object: Vec<String> = (0..count).map(|i| format!("\"k{i}\": {i}")).collect();
        let value = jsonb(&format!("{{{}}}", object.join(",")));
        for i in (0..count).step_by(97) {
            let found = Jsonb::new(&value).member(&format!("k{i}")).unwrap().unwrap();
            assert_eq!(found.number().unwrap().to_i64(), Some(i as i64));
        }
    }
}

#[test]
fn complaints_are_postgresqls() {
    let detail = |text: &str| check_json(text).unwrap_err().detail().unwrap_or_default().to_owned();
    assert_eq!(detail("{\"a\":1"), "The input string ended unexpectedly.");
    assert_eq!(detail("nope"), "Token \"nope\" is invalid.");
    assert_eq!(detail("01"), "Token \"01\" is invalid.");
    assert_eq!(detail("{a: 1}"), "Token \"a\" is invalid.");
    assert_eq!(detail("[1 2]"), "Expected \",\" or \"]\", but found \"2\".");
    assert_eq!(detail("{\"a\" 1}"), "Expected \":\", but found \"1\".");
    assert_eq!(detail("{\"a\":1,}"), "Expected string, but found \"}\".");
    assert_eq!(detail("1 2"), "Expected end of input, but found \"2\".");
    assert_eq!(detail(r#""\x""#), "Escape sequence \"\\x\" is invalid.");
    assert_eq!(detail("\"\n\""), "Character with value 0x0a must be escaped.");
    assert_eq!(detail(""), "The input string ended unexpectedly.");
    let deep = "[".repeat(JSON_DEPTH_MAX + 2);
    assert_eq!(check_json(&deep).unwrap_err().state(), SqlState::STATEMENT_TOO_COMPLEX);
    assert!(parse_jsonb(r#""\u0000""#).is_err());
    assert!(parse_jsonb(r#""\ud83d""#).is_err());
    assert_eq!(shown(&jsonb(r#""\ud83d\ude00""#)), "\"😀\"");
}

#[test]
fn the_deepest_value_is_read_written_and_compared() {
    let text = format!("{}{}", "[".repeat(JSON_DEPTH_MAX), "]".repeat(JSON_DEPTH_MAX));
    let value = jsonb(&text);
    assert_eq!(shown(&value), text);
    assert!(jsonb_contains(Jsonb::new(&value), Jsonb::new(&value)).unwrap());
    Jsonb::new(&value).sort_key().unwrap();
}

#[test]
fn order_is_postgresqls() {
    let ascending = [
        "[]",
        "null",
        "\"\"",
        "\"a\"",
        "\"b\"",
        "-1",
        "1",
        "1.5",
        "false",
        "true",
        "[1]",
        "[[]]",
        "[1, 1]",
        "{}",
        "{\"a\": 1}",
        "{\"a\": 2}",
        "{\"b\": 0}",
        "{\"a\": 1, \"b\": 1}",
    ];
    let keys: Vec<Vec<u8>> = ascending.iter().map(|text| Jsonb::new(&jsonb(text)).sort_key().unwrap()).collect();
    assert!(keys.is_sorted_by(|a, b| a < b));
    assert_eq!(Jsonb::new(&jsonb("[1.0]")).sort_key().unwrap(), Jsonb::new(&jsonb("[1.00]")).sort_key().unwrap());
}

#[test]
fn containment() {
    let contains = |a: &str, b: &str| jsonb_contains(Jsonb::new(&jsonb(a)), Jsonb::new(&jsonb(b))).unwrap();
    assert!(!contains("[1, 2, [1, 3]]", "[3, 1]"));
    assert!(contains("[1, 2, [1, 3]]", "[1, [3]]"));
    assert!(contains("[1, 1.0]", "1.00"));
    assert!(!contains("1", "[1]"));
    assert!(contains("{\"a\": {\"b\": 1, \"c\": 2}}", "{\"a\": {\"c\": 2}}"));
    assert!(!contains("{\"a\": [[1]]}", "{\"a\": 1}"));
}

#[test]
fn json_keeps_its_text() {
    let context = TextContext::default();
    let text = " {\"b\":1 , \"a\": [ 1 ], \"b\":2}";
    let json = parse_text(&SqlType::Json, text, &context).unwrap();
    assert_eq!(text_of(json.as_ref(), &SqlType::Json, &context), text);
    let parts = split_json(text).unwrap();
    assert_eq!(parts.iter().map(|part| part.text).collect::<Vec<_>>(), ["1", "[ 1 ]", "2"]);
    let mut stripped = String::new();
    strip_json_nulls("{\"a\": null, \"b\" : [null, {\"c\":null}]}", &mut stripped).unwrap();
    assert_eq!(stripped, "{\"b\":[null,{}]}");
    let mut stripped = String::new();
    strip_json_nulls(" [\"\\u00e9\\/\", {\"k\\u0041\": \"\\n\"}]", &mut stripped).unwrap();
    assert_eq!(stripped, "[\"é/\",{\"kA\":\"\\n\"}]", "strings are written anew");
}

/// A JSON text of a few levels.
fn texts() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][+-]?[0-9])?",
        "\"[a-z\\\\u00e9 ]{0,4}\"".prop_map(|text| text.replace('\\', "\\\\")),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(("[a-c]{0,3}", inner), 0..6).prop_map(|all| {
                let members = all.into_iter().map(|(key, value)| format!("\"{key}\": {value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(" , "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn text_round_trips(text in texts()) {
        let value = jsonb(&text);
        let printed = shown(&value);
        prop_assert_eq!(&jsonb(&printed), &value);
        prop_assert!(jsonb_contains(Jsonb::new(&value), Jsonb::new(&value)).unwrap());
        let taken_apart = JsonTree::of(Jsonb::new(&value)).unwrap().encode().unwrap();
        prop_assert_eq!(taken_apart, value);
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), text in texts(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut damaged = jsonb(&text);
        let at = at.index(damaged.len());
        damaged[at] = byte;
        for bytes in [&bytes, &damaged] {
            let value = Jsonb::new(bytes);
            let mut out = String::new();
            let _ = write_jsonb(value, true, &mut out);
            let _ = value.sort_key();
            let _ = jsonb_contains(value, value);
            let _ = JsonTree::of(value).and_then(|tree| tree.encode());
            if value.kind().is_ok_and(|kind| kind == JsonbKind::Object) {
                let _ = value.member("a");
            }
        }
    }

    #[test]
    fn hostile_text_never_panics(text in "[\\[\\]{}\":,0-9eE+\\-a-z\\\\u \n]{0,40}") {
        let _ = parse_jsonb(&text);
        let _ = split_json(&text);
    }
}
