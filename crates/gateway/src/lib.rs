//! heliosdb-gateway
