//! What a file is, by its name.

/// A kind of data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    Parquet,
    /// With any delimiter.
    Csv,
    /// Objects one after the other, or one array of them.
    Json,
}

impl Form {
    /// The endings that are known, for messages.
    pub const ENDINGS: &'static str = ".parquet, .csv, .tsv, .json, .jsonl, .ndjson; the texts also with .gz";

    pub fn of(path: &str) -> Option<Form> {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        let (name, packed) = match name.strip_suffix(".gz") {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        match name.rsplit_once('.')?.1 {
            "parquet" | "pq" if !packed => Some(Form::Parquet),
            "csv" | "tsv" => Some(Form::Csv),
            "json" | "jsonl" | "ndjson" => Some(Form::Json),
            _ => None,
        }
    }

    /// As users say it.
    pub fn name(self) -> &'static str {
        match self {
            Form::Parquet => "Parquet",
            Form::Csv => "CSV",
            Form::Json => "JSON",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_in_any_case_and_packed() {
        for (path, form) in [
            ("a.parquet", Some(Form::Parquet)),
            ("dir.csv/a.PQ", Some(Form::Parquet)),
            ("a.tsv.gz", Some(Form::Csv)),
            ("/x/*.ndjson", Some(Form::Json)),
            ("a.parquet.gz", None),
            ("a.txt", None),
            ("csv", None),
            ("dir.csv/a", None),
            ("", None),
        ] {
            assert_eq!(Form::of(path), form, "{path}");
        }
    }
}
