use proptest::prelude::*;

use super::*;
use crate::{Datum, DatumRef, Interval, Numeric, TextContext, parse_text};

fn parse(element: &SqlType, text: &str) -> Result<Vec<u8>> {
    parse_array(element, text, &TextContext::default())
}

fn show(element: &SqlType, bytes: &[u8]) -> String {
    let mut out = String::new();
    write_array(element, bytes, &TextContext::default(), &mut out);
    out
}

fn shown_again(element: &SqlType, text: &str) -> String {
    show(element, &parse(element, text).unwrap())
}

#[test]
fn literals_are_read_and_printed_as_postgresql_does() {
    let int = SqlType::Int4;
    for (given, shown) in [
        ("{}", "{}"),
        (" { } ", "{}"),
        ("{1,2,NULL}", "{1,2,NULL}"),
        ("{{1,2},{3,4}}", "{{1,2},{3,4}}"),
        ("{{{1},{2}},{{3},{4}}}", "{{{1},{2}},{{3},{4}}}"),
        ("[2:3]={4,5}", "[2:3]={4,5}"),
        ("[0:1][-1:0] = {{1,2},{3,4}}", "[0:1][-1:0]={{1,2},{3,4}}"),
        ("[3]={1,2,3}", "{1,2,3}"),
    ] {
        assert_eq!(shown_again(&int, given), shown, "{given}");
    }
    let text = SqlType::Text;
    let given = r#"{ a , "b c" ,"q\"\\",null,"NULL","",x y,\{}"#;
    assert_eq!(shown_again(&text, given), r#"{a,"b c","q\"\\",NULL,"NULL","","x y","{"}"#);
}

#[test]
fn malformed_literals_are_explained() {
    let detail = |text: &str| {
        let error = parse(&SqlType::Text, text).unwrap_err();
        assert_eq!(error.message(), format!("malformed array literal: \"{text}\""));
        error.detail().unwrap().to_owned()
    };
    assert_eq!(detail("a"), "Array value must start with \"{\" or dimension information.");
    assert_eq!(detail("{a"), "Unexpected end of input.");
    assert_eq!(detail("{a,}"), "Unexpected \"}\" character.");
    assert_eq!(detail("{,a}"), "Unexpected \",\" character.");
    assert_eq!(detail("{a}x"), "Junk after closing right brace.");
    assert_eq!(detail("{{a},b}"), "Unexpected array element.");
    assert_eq!(detail("{{a,b},{c}}"), "Multidimensional arrays must have sub-arrays with matching dimensions.");
    assert_eq!(detail("[1:2]={a}"), "Specified array dimensions do not match array contents.");
    assert_eq!(detail("[1:2{a}"), "Missing \"]\" after array dimensions.");
    let deep = "{".repeat(7);
    let error = parse(&SqlType::Text, &deep).unwrap_err();
    assert_eq!(error.message(), "number of array dimensions (7) exceeds the maximum allowed (6)");
    assert_eq!(parse(&SqlType::Text, "[2:1]={}").unwrap_err().state(), SqlState::ARRAY_SUBSCRIPT_ERROR);
    assert_eq!(parse(&SqlType::Int4, "{x}").unwrap_err().message(), "invalid input syntax for type integer: \"x\"");
}

#[test]
fn order_is_postgresqls() {
    let int = SqlType::Int4;
    let sorted = ["{}", "{-5}", "{1}", "{{1}}", "[2:2]={1}", "{1,2}", "{1,2,0}", "{1,NULL}", "{2}", "{NULL}"];
    // Same elements: the number of dimensions decides before the bounds do.
    let sorted = [&sorted[..3], &["[2:2]={1}", "{{1}}"], &sorted[5..]].concat();
    let coded: Vec<Vec<u8>> = sorted.iter().map(|text| parse(&int, text).unwrap()).collect();
    assert!(coded.is_sorted(), "{sorted:?}");
}

#[test]
fn what_a_key_loses_is_kept_aside() {
    for (element, text) in [
        (SqlType::Numeric(None), "{1.10,2,NULL,NaN,0.000}"),
        (SqlType::Float8, "{-0,0,1.5,NaN,NULL,-Infinity}"),
        (SqlType::Float4, "{-0,0.1}"),
        (SqlType::Interval, "{\"1 mon\",\"30 days\",NULL,720:00:00}"),
        (SqlType::Char(None), "{\"a  \",b}"),
    ] {
        let bytes = parse(&element, text).unwrap();
        assert_eq!(show(&element, &bytes), text);
        assert!(has_residue(&element));
        assert!(array_sort_bytes(&element, &bytes).len() < bytes.len());
    }
    let numeric = SqlType::Numeric(None);
    let (a, b) = (parse(&numeric, "{1.0,2}").unwrap(), parse(&numeric, "{1,2.00}").unwrap());
    assert_ne!(a, b);
    assert_eq!(array_sort_bytes(&numeric, &a), array_sort_bytes(&numeric, &b));
}

#[test]
fn elements_are_found_by_subscripts() {
    let bytes = parse(&SqlType::Int4, "[0:1][5:7]={{1,2,3},{4,5,6}}").unwrap();
    let array = ArrayView::new(&SqlType::Int4, &bytes).unwrap();
    let at = |subscripts: &[i32]| {
        array.position(subscripts).map(|position| array.get(position).unwrap().unwrap().into_datum())
    };
    assert_eq!(at(&[1, 6]), Some(Datum::Int32(5)));
    assert_eq!(at(&[2, 6]), None);
    assert_eq!(at(&[0]), None);
    assert_eq!(at(&[-1, 5]), None);
}

fn values() -> impl Strategy<Value = (SqlType, Vec<Datum>)> {
    let list = |sql_type: SqlType, value: BoxedStrategy<Datum>| {
        let element = prop_oneof![6 => value, 1 => Just(Datum::Null)];
        prop::collection::vec(element, 0..12).prop_map(move |values| (sql_type.clone(), values)).boxed()
    };
    let interval = (-30i32..30, -90i32..90, -90_000_000_000i64..90_000_000_000)
        .prop_map(|(months, days, micros)| Datum::Interval(Interval { months, days, micros }));
    let numeric = "-?[0-9]{1,8}(\\.[0-9]{0,5})?".prop_map(|text| Datum::Numeric(Numeric::parse(&text).unwrap()));
    prop_oneof![
        list(SqlType::Int4, any::<i32>().prop_map(Datum::Int32).boxed()),
        list(SqlType::Text, "[a\\x01 é]{0,5}".prop_map(Datum::Text).boxed()),
        list(SqlType::Char(None), "[a ]{0,4}".prop_map(Datum::Text).boxed()),
        list(SqlType::Bytea, prop::collection::vec(0u8..3, 0..5).prop_map(Datum::Bytes).boxed()),
        list(SqlType::Float8, any::<i8>().prop_map(|v| Datum::Float64(f64::from(v) * -0.0 + f64::from(v))).boxed()),
        list(SqlType::Numeric(None), numeric.boxed()),
        list(SqlType::Interval, interval.boxed()),
        list(SqlType::Uuid, any::<[u8; 16]>().prop_map(Datum::Uuid).boxed()),
    ]
}

fn build(element: &SqlType, values: &[Datum]) -> Vec<u8> {
    let mut builder = ArrayBuilder::new(element).unwrap();
    values.iter().for_each(|value| builder.push(value.as_ref()).unwrap());
    builder.finish().unwrap()
}

proptest! {
    #[test]
    fn elements_come_back((element, values) in values()) {
        let bytes = build(&element, &values);
        let array = ArrayView::new(&element, &bytes).unwrap();
        let keys: Vec<Option<Vec<u8>>> = array.keys().map(|key| key.unwrap().map(<[u8]>::to_vec)).collect();
        let expected: Vec<_> = values.iter().map(|value| element_key(&element, value.as_ref()).unwrap()).collect();
        prop_assert_eq!(keys, expected);
        prop_assert_eq!(array.to_datums().unwrap(), values);
    }

    #[test]
    fn text_comes_back((element, values) in values()) {
        let bytes = build(&element, &values);
        prop_assert_eq!(parse(&element, &show(&element, &bytes)).unwrap(), bytes);
    }

    #[test]
    fn hostile_bytes_never_panic((element, values) in values(), at in 0usize..200, byte in any::<u8>(), len in 0usize..300) {
        let mut bytes = build(&element, &values);
        let place = at % bytes.len();
        bytes[place] = byte;
        bytes.truncate(len);
        if let Ok(array) = ArrayView::new(&element, &bytes) {
            let _ = array.to_datums();
            let _ = array.keys().count();
        }
        let _ = show(&element, &bytes);
        let _ = array_sort_bytes(&element, &bytes);
    }

    #[test]
    fn hostile_literals_never_panic(text in "[{}\\[\\]:=,\"\\\\0-9a \\-]{0,30}") {
        if let Ok(bytes) = parse(&SqlType::Text, &text) {
            prop_assert_eq!(parse(&SqlType::Text, &show(&SqlType::Text, &bytes)).unwrap(), bytes);
        }
        let _ = parse_text(&SqlType::Int4.array_of(), &text, &TextContext::default());
    }
}

#[test]
fn a_value_of_another_type_is_refused() {
    let mut builder = ArrayBuilder::new(&SqlType::Int4).unwrap();
    assert!(builder.push(DatumRef::Int64(1)).is_err());
    assert!(ArrayBuilder::new(&SqlType::Void).is_err());
}
