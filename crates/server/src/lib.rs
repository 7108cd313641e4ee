//! heliosdb-server
