use super::*;

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern, RegexOptions::default()).unwrap()
}

/// What `regexp_match` puts out: its groups, or all of the match if there are none.
fn first(pattern: &str, text: &str) -> String {
    let found = Regex::new(pattern, RegexOptions::default()).and_then(|regex| {
        let found = regex.captures(text)?;
        Ok(found.map(|found| {
            let groups = usize::from(found.len() > 1)..found.len();
            groups.map(|group| found.get(group).unwrap_or("NULL").to_owned()).collect::<Vec<_>>().join("|")
        }))
    });
    match found {
        Ok(found) => found.unwrap_or_else(|| "null".to_owned()),
        Err(error) => format!("ERROR {error}"),
    }
}

/// Each line: an expression, a text and what PostgreSQL 15 finds. Most were put together at random.
#[test]
fn matches_are_those_of_postgresql() {
    for line in include_str!("regex_test.tsv").lines() {
        let [pattern, text, wanted] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not three fields: {line}")
        };
        assert_eq!(first(pattern, text), wanted, "{pattern} in {text:?}");
    }
}

#[test]
fn lines_and_dots_follow_the_options() {
    let text = "a\nb";
    for (pattern, wanted) in [
        ("a.b", true),
        ("(?n)a.b", false),
        ("^b", false),
        ("(?n)^b", true),
        ("(?p)^b", false),
        ("(?w)^b", true),
        ("(?w)a.b", true),
        ("(?n)a[^x]b", false),
        (r"(?n)a\Wb", true),
    ] {
        assert_eq!(compiled(pattern).is_match(text), wanted, "{pattern}");
    }
}

#[test]
fn an_empty_match_may_follow_another() {
    let regex = compiled("a*");
    let found = regex.matches("baaac", 0).map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(found, [0..0, 1..4, 4..4, 5..5]);
}

#[test]
fn what_takes_more_than_linear_time_is_refused() {
    for pattern in [r"(a)\1", "(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b"] {
        let error = Regex::new(pattern, RegexOptions::default()).unwrap_err();
        assert_eq!(error.state(), SqlState::FEATURE_NOT_SUPPORTED, "{pattern}");
    }
    let deep = "(".repeat(10_000) + &")".repeat(10_000);
    assert_eq!(Regex::new(&deep, RegexOptions::default()).unwrap_err().to_string(), too_complex().to_string());
    let large = "(?:(?:(?:a{255}){255}){255}){255}";
    assert_eq!(Regex::new(large, RegexOptions::default()).unwrap_err().to_string(), too_complex().to_string());
}

#[test]
fn groups_of_long_texts_are_found() {
    let text = "ab".repeat(100_000);
    let regex = compiled("((?:a|ab)(?:c|bcd|b)*)*(b?)$");
    let found = regex.captures(&text).unwrap().unwrap();
    assert_eq!((found.range(1), found.get(2)), (Some(199_998..200_000), Some("")));
}

#[test]
fn letters_beyond_ascii_stand_beside_words() {
    // Where a deterministic automaton gives up.
    assert_eq!(first(r"\m(é+)(\w*?)\M", "aé ééb"), "éé|b");
    let error = compiled(r"(é.*)(é)\M").captures(&"é".repeat(10_000)).err().unwrap();
    assert_eq!(error.state(), SqlState::PROGRAM_LIMIT_EXCEEDED);
}
