//! heliosdb-wal
