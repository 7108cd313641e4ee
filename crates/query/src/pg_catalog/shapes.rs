//! The columns of PostgreSQL 15's catalog tables, as its own catalog describes them (`data/shapes.tsv`).

use std::sync::LazyLock;

/// A virtual table's shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub schema: &'static str,
    pub name: &'static str,
    pub is_view: bool,
    pub oid: u32,
    /// Everybody may read it.
    pub public: bool,
    /// `name:type`, `!` for NOT NULL.
    pub columns: &'static str,
}

/// All of `pg_catalog` and `information_schema` there is.
pub(super) static SHAPES: LazyLock<Vec<Shape>> =
    LazyLock::new(|| include_str!("data/shapes.tsv").lines().filter_map(read).collect());

fn read(line: &'static str) -> Option<Shape> {
    let mut fields = line.split('\t');
    Some(Shape {
        schema: fields.next()?,
        name: fields.next()?,
        is_view: fields.next()? == "v",
        oid: fields.next()?.parse().ok()?,
        public: fields.next()? == "p",
        columns: fields.next()?,
    })
}

pub(super) fn is_view(schema: &str, name: &str) -> bool {
    SHAPES.iter().any(|shape| shape.schema == schema && shape.name == name && shape.is_view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_shape() {
        assert_eq!(SHAPES.len(), include_str!("data/shapes.tsv").lines().count());
        assert!(SHAPES.iter().any(|shape| shape.name == "pg_class" && shape.oid == 1259 && !shape.is_view));
    }
}
