//! Its build dependencies are what matters.

fn main() {}
