//! Data files of users: Parquet, CSV and JSON, alone or many by a pattern; what columns they have, and their rows.
//!
//! Does: say what a file is by its name, find the files a pattern means, guess the types of text, read Parquet into the
//! engine's own Arrow types, choose row groups by their statistics, write Parquet. Does not: decide who may read what, or know SQL
//! beyond its types. Invariants: the files are somebody else's and may be cut off, damaged or malicious: no length in them is
//! believed before it is checked, and nothing in them is a panic for the caller; there is one guesser of types, for `heliosdb
//! import` and for queries over files. May depend on: types, contracts, runtime.
//!
//! ```
//! use heliosdb_files::{Form, Guess};
//! assert_eq!(Form::of("/data/trips-2026.CSV.gz"), Some(Form::Csv));
//! let mut guess = Guess::default();
//! ["1", "2.5"].iter().for_each(|value| guess.see(value));
//! assert_eq!(guess.name(), "numeric");
//! ```

mod column;
mod csv;
mod form;
mod glob;
mod guess;
mod input;
mod json;
mod parquet;
mod shape;

pub use column::{FileColumn, plain_name, unique_names};
pub use csv::{csv_field, push_csv_field};
pub use form::Form;
pub use glob::{FILES_MAX, find_files, is_pattern};
pub use guess::Guess;
pub use input::{TextInput, open_text};
pub use json::{JsonObject, JsonObjects};
pub use parquet::{ParquetCompression, ParquetFile, ParquetRows, ParquetSink, ParquetTable};
pub use shape::{CsvOptions, Shape, csv_shape, json_shape};
