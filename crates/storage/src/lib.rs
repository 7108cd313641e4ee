//! heliosdb-storage
