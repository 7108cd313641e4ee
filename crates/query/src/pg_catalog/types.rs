//! The built-in types, as PostgreSQL's `pg_type` has them.

/// A row of `pg_type`.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code)] // the table is readable as PostgreSQL has it
pub(super) struct TypeRow {
    pub oid: u32,
    pub name: &'static str,
    pub len: i16,
    pub by_value: bool,
    pub kind: char,
    pub category: char,
    pub preferred: bool,
    pub element: u32,
    pub array: u32,
    pub collation: u32,
    pub align: char,
    pub storage: char,
}

macro_rules! types {
    ($(($oid:literal, $name:literal, $len:literal, $by_value:literal, $kind:literal, $category:literal,
        $preferred:literal, $element:literal, $array:literal, $collation:literal, $align:literal, $storage:literal)),*
        $(,)?) => {
        pub(super) const TYPES: &[TypeRow] = &[$(TypeRow {
            oid: $oid, name: $name, len: $len, by_value: $by_value, kind: $kind, category: $category,
            preferred: $preferred, element: $element, array: $array, collation: $collation, align: $align,
            storage: $storage,
        }),*];
    };
}

#[rustfmt::skip]
types! {
    (16, "bool", 1, true, 'b', 'B', true, 0, 1000, 0, 'c', 'p'),
    (17, "bytea", -1, false, 'b', 'U', false, 0, 1001, 0, 'i', 'x'),
    (18, "char", 1, true, 'b', 'Z', false, 0, 1002, 0, 'c', 'p'),
    (19, "name", 64, false, 'b', 'S', false, 18, 1003, 950, 'c', 'p'),
    (20, "int8", 8, true, 'b', 'N', false, 0, 1016, 0, 'd', 'p'),
    (21, "int2", 2, true, 'b', 'N', false, 0, 1005, 0, 's', 'p'),
    (22, "int2vector", -1, false, 'b', 'A', false, 21, 1006, 0, 'i', 'p'),
    (23, "int4", 4, true, 'b', 'N', false, 0, 1007, 0, 'i', 'p'),
    (24, "regproc", 4, true, 'b', 'N', false, 0, 1008, 0, 'i', 'p'),
    (25, "text", -1, false, 'b', 'S', true, 0, 1009, 100, 'i', 'x'),
    (26, "oid", 4, true, 'b', 'N', true, 0, 1028, 0, 'i', 'p'),
    (28, "xid", 4, true, 'b', 'U', false, 0, 1011, 0, 'i', 'p'),
    (30, "oidvector", -1, false, 'b', 'A', false, 26, 1013, 0, 'i', 'p'),
    (114, "json", -1, false, 'b', 'U', false, 0, 199, 0, 'i', 'x'),
    (199, "_json", -1, false, 'b', 'A', false, 114, 0, 0, 'i', 'x'),
    (700, "float4", 4, true, 'b', 'N', false, 0, 1021, 0, 'i', 'p'),
    (701, "float8", 8, true, 'b', 'N', true, 0, 1022, 0, 'd', 'p'),
    (705, "unknown", -2, false, 'p', 'X', false, 0, 0, 0, 'c', 'p'),
    (1000, "_bool", -1, false, 'b', 'A', false, 16, 0, 0, 'i', 'x'),
    (1001, "_bytea", -1, false, 'b', 'A', false, 17, 0, 0, 'i', 'x'),
    (1002, "_char", -1, false, 'b', 'A', false, 18, 0, 0, 'i', 'x'),
    (1003, "_name", -1, false, 'b', 'A', false, 19, 0, 950, 'i', 'x'),
    (1005, "_int2", -1, false, 'b', 'A', false, 21, 0, 0, 'i', 'x'),
    (1006, "_int2vector", -1, false, 'b', 'A', false, 22, 0, 0, 'i', 'x'),
    (1007, "_int4", -1, false, 'b', 'A', false, 23, 0, 0, 'i', 'x'),
    (1008, "_regproc", -1, false, 'b', 'A', false, 24, 0, 0, 'i', 'x'),
    (1009, "_text", -1, false, 'b', 'A', false, 25, 0, 100, 'i', 'x'),
    (1011, "_xid", -1, false, 'b', 'A', false, 28, 0, 0, 'i', 'x'),
    (1013, "_oidvector", -1, false, 'b', 'A', false, 30, 0, 0, 'i', 'x'),
    (1014, "_bpchar", -1, false, 'b', 'A', false, 1042, 0, 100, 'i', 'x'),
    (1015, "_varchar", -1, false, 'b', 'A', false, 1043, 0, 100, 'i', 'x'),
    (1016, "_int8", -1, false, 'b', 'A', false, 20, 0, 0, 'd', 'x'),
    (1021, "_float4", -1, false, 'b', 'A', false, 700, 0, 0, 'i', 'x'),
    (1022, "_float8", -1, false, 'b', 'A', false, 701, 0, 0, 'd', 'x'),
    (1028, "_oid", -1, false, 'b', 'A', false, 26, 0, 0, 'i', 'x'),
    (1033, "aclitem", 12, false, 'b', 'U', false, 0, 1034, 0, 'i', 'p'),
    (1034, "_aclitem", -1, false, 'b', 'A', false, 1033, 0, 0, 'i', 'x'),
    (1042, "bpchar", -1, false, 'b', 'S', false, 0, 1014, 100, 'i', 'x'),
    (1043, "varchar", -1, false, 'b', 'S', false, 0, 1015, 100, 'i', 'x'),
    (1082, "date", 4, true, 'b', 'D', false, 0, 1182, 0, 'i', 'p'),
    (1083, "time", 8, true, 'b', 'D', false, 0, 1183, 0, 'd', 'p'),
    (1114, "timestamp", 8, true, 'b', 'D', false, 0, 1115, 0, 'd', 'p'),
    (1115, "_timestamp", -1, false, 'b', 'A', false, 1114, 0, 0, 'd', 'x'),
    (1182, "_date", -1, false, 'b', 'A', false, 1082, 0, 0, 'i', 'x'),
    (1183, "_time", -1, false, 'b', 'A', false, 1083, 0, 0, 'd', 'x'),
    (1184, "timestamptz", 8, true, 'b', 'D', true, 0, 1185, 0, 'd', 'p'),
    (1185, "_timestamptz", -1, false, 'b', 'A', false, 1184, 0, 0, 'd', 'x'),
    (1186, "interval", 16, false, 'b', 'T', true, 0, 1187, 0, 'd', 'p'),
    (1187, "_interval", -1, false, 'b', 'A', false, 1186, 0, 0, 'd', 'x'),
    (1231, "_numeric", -1, false, 'b', 'A', false, 1700, 0, 0, 'i', 'x'),
    (1700, "numeric", -1, false, 'b', 'N', false, 0, 1231, 0, 'i', 'm'),
    (2205, "regclass", 4, true, 'b', 'N', false, 0, 2210, 0, 'i', 'p'),
    (2206, "regtype", 4, true, 'b', 'N', false, 0, 2211, 0, 'i', 'p'),
    (2210, "_regclass", -1, false, 'b', 'A', false, 2205, 0, 0, 'i', 'x'),
    (2211, "_regtype", -1, false, 'b', 'A', false, 2206, 0, 0, 'i', 'x'),
    (2278, "void", 4, true, 'p', 'P', false, 0, 0, 0, 'i', 'p'),
    (2950, "uuid", 16, false, 'b', 'U', false, 0, 2951, 0, 'c', 'p'),
    (2951, "_uuid", -1, false, 'b', 'A', false, 2950, 0, 0, 'i', 'x'),
    (3802, "jsonb", -1, false, 'b', 'U', false, 0, 3807, 0, 'i', 'x'),
    (3807, "_jsonb", -1, false, 'b', 'A', false, 3802, 0, 0, 'i', 'x'),
    (4089, "regnamespace", 4, true, 'b', 'N', false, 0, 4090, 0, 'i', 'p'),
    (4090, "_regnamespace", -1, false, 'b', 'A', false, 4089, 0, 0, 'i', 'x'),
    (4096, "regrole", 4, true, 'b', 'N', false, 0, 4097, 0, 'i', 'p'),
    (4097, "_regrole", -1, false, 'b', 'A', false, 4096, 0, 0, 'i', 'x'),
}
