//! heliosdb-testkit
