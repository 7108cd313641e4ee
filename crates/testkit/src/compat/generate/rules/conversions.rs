//! Casts between all pairs of types, and to types with a length or scale.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::Rule;
use crate::compat::generate::ty::Ty::{self, *};

/// The template of a cast to each type.
const PLAIN: &[(Ty, &str)] = &[
    (Bool, "($1)::boolean"),
    (Int2, "($1)::smallint"),
    (Int4, "CAST($1 AS integer)"),
    (Int8, "($1)::bigint"),
    (Float4, "($1)::real"),
    (Float8, "($1)::float8"),
    (Numeric, "($1)::numeric"),
    (Text, "($1)::text"),
    (Varchar, "($1)::varchar"),
    (Bpchar, "($1)::char(4)"),
    (Date, "($1)::date"),
    (Time, "($1)::time"),
    (Timestamp, "($1)::timestamp"),
    (Timestamptz, "($1)::timestamptz"),
    (Interval, "($1)::interval"),
    (Uuid, "($1)::uuid"),
    (Bytea, "($1)::bytea"),
    (Json, "($1)::json"),
    (Jsonb, "CAST($1 AS jsonb)"),
    (Mood, "($1)::mood"),
    (IntArray, "($1)::integer[]"),
    (NumArray, "($1)::numeric[]"),
    (TextArray, "($1)::text[]"),
];

/// Any pair of types: a cast that does not exist must say so as PostgreSQL does.
pub fn pair(rng: &mut StdRng) -> (Ty, &'static str, Ty) {
    let (to, template) = *PLAIN.choose(rng).expect("types");
    // Half of all pairs do not exist; to and from text they all do.
    let from = if rng.random_bool(0.3) { Text } else { *Ty::ALL.choose(rng).expect("types") };
    if rng.random_bool(0.2) { (Text, "($1)::text", to) } else { (to, template, from) }
}

/// Casts that exist, and those with a length, scale or precision.
pub const CASTS: &[Rule] = &[
    (Bool, "($1)::boolean", &[Int4]),
    (Int2, "($1)::smallint", &[Int4]),
    (Int2, "($1)::smallint", &[Numeric]),
    (Int4, "($1)::integer", &[Bool]),
    (Int4, "($1)::integer", &[Float8]),
    (Int4, "($1)::integer", &[Numeric]),
    (Int4, "($1)::int", &[Int8]),
    (Int8, "($1)::bigint", &[Float8]),
    (Int8, "($1)::int8", &[Numeric]),
    (Int8, "($1)::bigint", &[Int2]),
    (Float4, "($1)::float4", &[Numeric]),
    (Float4, "($1)::real", &[Float8]),
    (Float4, "($1)::real", &[Int8]),
    (Float8, "($1)::double precision", &[Float4]),
    (Float8, "($1)::float8", &[Numeric]),
    (Numeric, "($1)::numeric", &[Float8]),
    (Numeric, "($1)::numeric", &[Float4]),
    (Numeric, "($1)::numeric", &[Int4]),
    (Numeric, "($1)::numeric(10,2)", &[Numeric]),
    (Numeric, "($1)::numeric(10,2)", &[Float8]),
    (Numeric, "($1)::numeric(5)", &[Int8]),
    (Numeric, "($1)::numeric(20,3)::numeric", &[Int4]),
    (Text, "($1)::text", &[Int8]),
    (Text, "($1)::text", &[Numeric]),
    (Text, "($1)::text", &[Bool]),
    (Text, "($1)::text", &[Timestamp]),
    (Text, "($1)::text", &[Timestamptz]),
    (Text, "($1)::text", &[Interval]),
    (Text, "($1)::text", &[Date]),
    (Text, "($1)::text", &[Time]),
    (Text, "($1)::text", &[Uuid]),
    (Text, "($1)::text", &[Float8]),
    (Text, "($1)::text", &[Float4]),
    (Text, "($1)::text", &[Bytea]),
    (Text, "($1)::text", &[Jsonb]),
    (Text, "($1)::text", &[Json]),
    (Text, "($1)::text", &[Mood]),
    (Text, "($1)::text", &[Bpchar]),
    (Text, "($1)::text", &[IntArray]),
    (Text, "($1)::text", &[NumArray]),
    (Text, "($1)::text", &[TextArray]),
    (Text, "($1)::char(3)::text", &[Text]),
    (Text, "($1)::name::text", &[Text]),
    (Varchar, "($1)::varchar(3)", &[Text]),
    (Varchar, "($1)::varchar(2)", &[Varchar]),
    (Varchar, "($1)::varchar(5)", &[Numeric]),
    (Varchar, "($1)::varchar", &[Mood]),
    (Bpchar, "($1)::char(4)", &[Text]),
    (Bpchar, "($1)::char(4)", &[Int4]),
    (Date, "($1)::date", &[Timestamp]),
    (Date, "($1)::date", &[Timestamptz]),
    (Time, "($1)::time", &[Timestamp]),
    (Time, "($1)::time", &[Timestamptz]),
    (Time, "($1)::time", &[Interval]),
    (Time, "($1)::time(2)", &[Time]),
    (Timestamp, "($1)::timestamp", &[Date]),
    (Timestamp, "($1)::timestamp", &[Timestamptz]),
    (Timestamp, "($1)::timestamp(0)", &[Timestamp]),
    (Timestamptz, "($1)::timestamptz", &[Timestamp]),
    (Timestamptz, "($1)::timestamptz(1)", &[Timestamptz]),
    (Interval, "($1)::interval", &[Time]),
    (IntArray, "($1)::int2[]::int4[]", &[IntArray]),
    (IntArray, "($1)::integer[]", &[NumArray]),
    (NumArray, "($1)::numeric(6,1)[]", &[NumArray]),
    (TextArray, "($1)::varchar(2)[]::text[]", &[TextArray]),
    (Mood, "($1)::mood", &[Text]),
    (Uuid, "($1)::uuid", &[Text]),
    (Bytea, "($1)::bytea", &[Text]),
    (Jsonb, "($1)::jsonb", &[Json]),
    (Json, "($1)::json", &[Jsonb]),
];
