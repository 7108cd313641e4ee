//! heliosdb-runtime
