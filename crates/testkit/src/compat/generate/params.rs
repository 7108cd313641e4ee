//! Parameters: marked while a statement's text is put together, numbered at its end.

use super::ty::Ty;

/// A parameter's value and the type it is declared with (0: left to the server).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    pub value: String,
    pub oid: u32,
}

const OPEN: char = '\u{1}';
const BETWEEN: char = '\u{2}';
const CLOSE: char = '\u{3}';

/// A parameter in a text still to be numbered.
pub fn mark(ty: Ty, value: &str, untyped: bool) -> String {
    let oid = if untyped { 0 } else { ty.oid() };
    format!("{OPEN}{oid}{BETWEEN}{value}{CLOSE}")
}

/// `$1`, `$2`... for the marks; the same value and type get the same number, so that equal expressions stay equal.
pub fn number(text: &str) -> (String, Vec<Param>) {
    let (mut sql, mut all) = (String::new(), Vec::<Param>::new());
    let mut pieces = text.split(OPEN);
    sql.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (inside, after) = piece.split_once(CLOSE).expect("each mark is closed");
        let (oid, value) = inside.split_once(BETWEEN).expect("each mark has a type");
        let param = Param { value: value.to_owned(), oid: oid.parse().expect("an OID") };
        let at = all.iter().position(|known| *known == param).unwrap_or_else(|| {
            all.push(param);
            all.len() - 1
        });
        sql.push_str(&format!("${}{after}", at + 1));
    }
    (sql, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parameters_share_a_number() {
        let text =
            format!("f({}, {}, {})", mark(Ty::Int4, "1", false), mark(Ty::Text, "x", true), mark(Ty::Int4, "1", false));
        let (sql, all) = number(&text);
        assert_eq!(sql, "f($1, $2, $1)");
        assert_eq!(all, [Param { value: "1".into(), oid: 23 }, Param { value: "x".into(), oid: 0 }]);
    }
}
