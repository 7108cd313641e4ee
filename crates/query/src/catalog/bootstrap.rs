//! The first start: system trees and what every database has from the beginning.

use std::sync::Arc;

use heliosdb_contracts::{LockWait, ShardClient};
use heliosdb_types::{BranchId, CommandId, Result, TxnId};

use super::model::{Database, Role, Schema};
use super::system::{
    ALL, DATABASE_OWNER_ROLE, DATABASES, INFORMATION_SCHEMA, PG_CATALOG, POSTGRES_DATABASE, POSTGRES_DATABASE_OID,
    POSTGRES_ROLE, PUBLIC_SCHEMA, SYSTEM_SCHEMA,
};
use super::writer::CatalogWriter;

/// Fills an empty shard, in one transaction; does nothing on any other.
pub async fn bootstrap(shard: &Arc<dyn ShardClient>) -> Result<()> {
    if shard.descriptor(None, DATABASES.tree(POSTGRES_DATABASE)).is_some() {
        return Ok(());
    }
    let txn = shard.begin(BranchId(0))?;
    match fill(shard, txn).await {
        Ok(()) => shard.commit(txn).await.map(|_| ()),
        Err(error) => {
            shard.rollback(txn);
            Err(error.context("initialize the catalog"))
        }
    }
}

async fn fill(shard: &Arc<dyn ShardClient>, txn: TxnId) -> Result<()> {
    for tree in ALL {
        shard.define_tree(txn, CommandId(0), tree.descriptor(POSTGRES_DATABASE))?;
    }
    let mut writer = CatalogWriter {
        shard: Arc::clone(shard),
        branch: BranchId(0),
        database: POSTGRES_DATABASE,
        txn,
        command: CommandId(1),
        wait: LockWait { timeout: None },
    };
    let role =
        Role { oid: POSTGRES_ROLE, name: "postgres".to_owned(), superuser: true, can_login: true, password: None };
    writer.create_role(&role).await?;
    let owner = Role {
        oid: DATABASE_OWNER_ROLE,
        name: "pg_database_owner".to_owned(),
        superuser: false,
        can_login: false,
        password: None,
    };
    writer.create_role(&owner).await?;
    let database = Database {
        oid: POSTGRES_DATABASE_OID,
        id: POSTGRES_DATABASE,
        name: "postgres".to_owned(),
        owner: POSTGRES_ROLE,
    };
    writer.create_database(&database).await?;
    let schemas = [
        (PG_CATALOG, "pg_catalog"),
        (PUBLIC_SCHEMA, "public"),
        (INFORMATION_SCHEMA, "information_schema"),
        (SYSTEM_SCHEMA, "pg_helios"),
    ];
    for (oid, name) in schemas {
        let owner = if oid == PUBLIC_SCHEMA { DATABASE_OWNER_ROLE } else { POSTGRES_ROLE };
        writer.create_schema(&Schema { oid, name: name.to_owned(), owner }).await?;
    }
    Ok(())
}
