//! The source tree keeps its own rules.

use heliosdb_testkit::tidy;

#[test]
fn crates_depend_along_the_arrows_only() {
    assert_eq!(tidy::arrow_violations(), Vec::<String>::new());
}

#[test]
fn files_stay_short() {
    assert_eq!(tidy::long_files(), Vec::<String>::new());
}

#[test]
fn paths_name_what_exists() {
    assert_eq!(tidy::stale_paths(), Vec::<String>::new());
}

#[test]
fn what_fuzzing_found_is_replayed() {
    assert_eq!(tidy::forgotten_fuzzing(), Vec::<String>::new());
}
