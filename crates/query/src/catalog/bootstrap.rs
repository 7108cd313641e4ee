//! The first start: system trees and what every database has from the beginning. Later starts bring what older versions
//! of this program did not have.

use std::sync::Arc;

use heliosdb_contracts::{LockWait, ShardClient};
use heliosdb_types::{BranchId, CommandId, DatabaseId, Oid, Result};

use super::load::{self, load};
use super::model::{Database, DatabaseFacts, Role, RoleFacts, Schema};
use super::system::{
    self, ALL, DATABASE_OWNER_ROLE, DATABASES, INFORMATION_SCHEMA, PG_CATALOG, POSTGRES_DATABASE,
    POSTGRES_DATABASE_OID, POSTGRES_ROLE, PUBLIC_SCHEMA, SHARED, SYSTEM_SCHEMA, SystemTree, TEMPLATE0_DATABASE_OID,
    TEMPLATE1_DATABASE_OID,
};
use super::writer::CatalogWriter;

/// Fills an empty shard, in one transaction; any other gets what it lacks.
pub async fn bootstrap(shard: &Arc<dyn ShardClient>) -> Result<()> {
    let txn = shard.begin(BranchId(0))?;
    let mut writer = CatalogWriter {
        shard: Arc::clone(shard),
        branch: BranchId(0),
        database: POSTGRES_DATABASE,
        txn,
        command: CommandId(1),
        wait: LockWait::FOREVER,
        defaults: Vec::new(),
    };
    let done = match shard.descriptor(None, DATABASES.tree(POSTGRES_DATABASE)) {
        None => fill(&mut writer).await,
        Some(_) => upgrade(&mut writer).await,
    };
    match done {
        Ok(true) => shard.commit(txn).await.map(|_| ()),
        Ok(false) => {
            shard.rollback(txn);
            Ok(())
        }
        Err(error) => {
            shard.rollback(txn);
            Err(error.context("initialize the catalog"))
        }
    }
}

async fn fill(writer: &mut CatalogWriter) -> Result<bool> {
    define(writer, ALL.iter().filter(|tree| tree.shared), SHARED)?;
    let facts =
        RoleFacts { create_role: true, create_db: true, replication: true, bypass_rls: true, ..RoleFacts::default() };
    let name = "postgres".to_owned();
    let role = Role { oid: POSTGRES_ROLE, name, superuser: true, can_login: true, password: None, facts };
    writer.create_role(&role).await?;
    for database in first_databases() {
        writer.create_database(&database).await?;
        fill_database(writer, database.id).await?;
    }
    Ok(true)
}

/// Trees in a newer shape, and databases there were not. True if anything was written.
async fn upgrade(writer: &mut CatalogWriter) -> Result<bool> {
    let mut changed = renew(writer, SHARED)?;
    for database in load::databases(&*writer.shard, &writer.read())? {
        changed |= renew(writer, database.id)?;
    }
    let catalog = load(&*writer.shard, &writer.read(), POSTGRES_DATABASE, None)?;
    if changed && let Some(first) = catalog.roles.get(&POSTGRES_ROLE) {
        let facts = RoleFacts {
            create_role: true,
            create_db: true,
            replication: true,
            bypass_rls: true,
            ..first.facts.clone()
        };
        writer.update_role(&Role { facts, ..(**first).clone() }).await?;
    }
    for database in first_databases() {
        if !catalog.databases.contains_key(&database.oid) && writer.create_database(&database).await? {
            fill_database(writer, database.id).await?;
            changed = true;
        }
    }
    Ok(changed)
}

/// Defines the trees of a database that are missing or older than we know them.
fn renew(writer: &mut CatalogWriter, database: DatabaseId) -> Result<bool> {
    let mut changed = false;
    for tree in ALL.iter().filter(|tree| tree.shared == (database == SHARED)) {
        let known = writer.shard.descriptor(None, tree.tree(database));
        if known.is_none_or(|known| known.version.0 < tree.version) {
            define(writer, [tree], database)?;
            changed = true;
        }
    }
    Ok(changed)
}

fn define<'a>(
    writer: &mut CatalogWriter,
    trees: impl IntoIterator<Item = &'a SystemTree>,
    database: DatabaseId,
) -> Result<()> {
    for tree in trees {
        writer.shard.define_tree(writer.txn, writer.command, tree.descriptor(database))?;
    }
    writer.next_command();
    Ok(())
}

/// With PostgreSQL's OIDs; a database's id is its OID.
fn first_databases() -> [Database; 3] {
    let database = |oid: Oid, name: &str, is_template: bool, closed: bool| Database {
        oid,
        id: DatabaseId(oid.0),
        name: name.to_owned(),
        owner: POSTGRES_ROLE,
        facts: DatabaseFacts {
            acl: is_template.then(|| system::template_acl(POSTGRES_ROLE)),
            is_template,
            closed,
            ..DatabaseFacts::default()
        },
    };
    [
        database(POSTGRES_DATABASE_OID, "postgres", false, false),
        database(TEMPLATE1_DATABASE_OID, "template1", true, false),
        database(TEMPLATE0_DATABASE_OID, "template0", true, true),
    ]
}

/// Gives a new database its system trees and schemas. The writer goes on in its own database.
pub async fn fill_database(writer: &mut CatalogWriter, database: DatabaseId) -> Result<()> {
    let before = std::mem::replace(&mut writer.database, database);
    let filled = fill_schemas(writer).await;
    writer.database = before;
    filled
}

async fn fill_schemas(writer: &mut CatalogWriter) -> Result<()> {
    define(writer, ALL.iter().filter(|tree| !tree.shared), writer.database)?;
    let schemas = [
        (PG_CATALOG, "pg_catalog"),
        (PUBLIC_SCHEMA, "public"),
        (INFORMATION_SCHEMA, "information_schema"),
        (SYSTEM_SCHEMA, "pg_helios"),
    ];
    for (oid, name) in schemas {
        let owner = if oid == PUBLIC_SCHEMA { DATABASE_OWNER_ROLE } else { POSTGRES_ROLE };
        let facts = system::schema_facts(oid, owner);
        writer.create_schema(&Schema { oid, name: name.to_owned(), owner, facts }).await?;
    }
    Ok(())
}
