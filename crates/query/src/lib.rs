//! heliosdb-query
