//! heliosdb-txn
