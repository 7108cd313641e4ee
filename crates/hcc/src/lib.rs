//! heliosdb-hcc
