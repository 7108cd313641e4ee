use super::*;

fn n(text: &str) -> Numeric {
    Numeric::parse(text).unwrap()
}

#[test]
fn text_round_trips() {
    for text in [
        "0",
        "1",
        "-1",
        "0.00",
        "123456789.123456789",
        "-0.0001",
        "100000000000000000000000000000000000000000.5",
        "NaN",
        "Infinity",
        "-Infinity",
    ] {
        assert_eq!(n(text).to_string(), text);
    }
}
