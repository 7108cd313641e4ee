//! CHECK, BACKUP, and what views say of segments and of COPY.

use heliosdb_contracts::ShardClient;
use heliosdb_types::{BranchId, CommandId, TreeId, TreeRef};

use super::Server;
use crate::catalog::POSTGRES_DATABASE;

fn tree_key_of(entry: &[u8]) -> bytes::Bytes {
    let mut key = Vec::new();
    heliosdb_types::encode_key(&mut key, heliosdb_types::DatumRef::Bytes(entry), false);
    key.into()
}

/// The tree and the keys of what a table's first index holds.
fn entries(server: &Server, index: &str) -> (TreeRef, Vec<bytes::Bytes>) {
    let catalog = server.engine.catalog(POSTGRES_DATABASE, BranchId(0)).unwrap();
    let tables = catalog.relations.values().filter_map(|relation| relation.table());
    let found = tables.flat_map(|table| table.indexes.iter().map(move |found| (table, found)));
    let (table, found) = found.into_iter().find(|(_, found)| found.name == index).unwrap();
    let tree = TreeRef { tree: TreeId(found.tree.0), ..table.tree.tree };
    (tree, server.shard.keys_of(tree))
}

#[test]
fn a_sound_database_gives_no_rows() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table p (id int primary key, v text unique);
         create table c (id int primary key, p int references p, n int not null check (n > 0));
         create index c_n on c (n desc) where n > 5; create index c_e on c ((n * 2), p);
         insert into p select i, 'v' || i from generate_series(1, 50) i;
         insert into c select i, i % 50 + 1, i from generate_series(1, 200) i;
         update c set n = n + 1 where id % 3 = 0; delete from c where id % 7 = 0",
    );
    let said = client.run("check table p, c");
    assert_eq!(said, "INFO: 222 rows checked, 0 errors\n");
    let said = client.run("check database");
    assert!(!said.contains("|") && said.contains("0 errors"), "{said}");
}

#[test]
fn a_lost_and_a_stray_entry_are_named() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, v int, w text); create index t_v on t (v); create unique index t_w on t (w)");
    client.run("insert into t select i, i * 10, 'w' || i from generate_series(1, 20) i");
    assert_eq!(client.run("check table t"), "INFO: 20 rows checked, 0 errors\n");
    let (tree, keys) = entries(&server, "t_v");
    let shard = &server.shard;
    let txn = shard.begin(BranchId(0)).unwrap();
    let descriptor = shard.descriptor(None, tree).unwrap();
    shard.write_entries(txn, CommandId(0), descriptor.clone(), Vec::new(), vec![keys[4].clone()]).unwrap();
    futures::executor::block_on(shard.commit(txn)).unwrap();
    assert_eq!(
        client.run("check table t"),
        "error|public.t_v|every_row_has_its_index_entry|||no entry for the row (v)=(50)\n\
         INFO: 20 rows checked, 1 errors\n"
    );
    client.run("reindex table t");
    assert_eq!(client.run("check table t"), "INFO: 20 rows checked, 0 errors\n");
    // An entry that no row has.
    let (unique, unique_keys) = entries(&server, "t_w");
    let stray = heliosdb_types::decode_key(&[heliosdb_types::PhysicalType::Bytes], &unique_keys[0]).unwrap();
    let heliosdb_types::Datum::Bytes(mut entry) = stray[0].clone() else { panic!("{stray:?}") };
    entry.push(b'!');
    let descriptor = shard.descriptor(None, unique).unwrap();
    let mut row = Vec::new();
    let values = [heliosdb_types::DatumRef::Bytes(&entry), heliosdb_types::DatumRef::Bytes(b"nobody")];
    heliosdb_types::encode_row(&descriptor.physical_types(), &values, &mut row).unwrap();
    let put = heliosdb_contracts::KeyedRow { key: tree_key_of(&entry), row: row.into() };
    let txn = shard.begin(BranchId(0)).unwrap();
    shard.write_entries(txn, CommandId(0), descriptor, vec![put], Vec::new()).unwrap();
    futures::executor::block_on(shard.commit(txn)).unwrap();
    let said = client.run("check table t");
    assert!(said.starts_with("error|public.t_w|every_index_entry_has_its_row|||no row has the entry \\x"), "{said}");
    assert!(said.ends_with("INFO: 20 rows checked, 1 errors\n"), "{said}");
}

#[test]
fn broken_constraints_are_named() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table p (id int primary key); insert into p values (1), (2);
         create table c (id int primary key, p int references p); insert into c values (1, 1), (2, 2), (3, null)",
    );
    // Behind the back of the foreign key.
    let catalog = server.engine.catalog(POSTGRES_DATABASE, BranchId(0)).unwrap();
    let parent = catalog.relations.values().find(|relation| relation.name == "p").unwrap();
    let descriptor = parent.table().unwrap().tree.clone();
    let key = server.shard.keys_of(descriptor.tree)[1].clone();
    let txn = server.shard.begin(BranchId(0)).unwrap();
    server.shard.write_entries(txn, CommandId(0), descriptor, Vec::new(), vec![key]).unwrap();
    futures::executor::block_on(server.shard.commit(txn)).unwrap();
    assert_eq!(
        client.run("check table c"),
        "error|public.c|foreign_keys_hold|||1 rows break constraint c_p_fkey\nINFO: 3 rows checked, 1 errors\n"
    );
}

#[test]
fn a_sequence_that_would_repeat_itself_is_named() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create sequence s; create sequence u increment -3; select nextval('s'), nextval('u'), nextval('u')");
    assert!(client.run("check catalog").ends_with(" 0 errors\n"));
    let catalog = server.engine.catalog(POSTGRES_DATABASE, BranchId(0)).unwrap();
    let id = catalog.relations.values().find_map(|relation| match &relation.kind {
        crate::catalog::RelationKind::Sequence(sequence) if relation.name == "s" => Some(sequence.id),
        _ => None,
    });
    server.shard.set_sequence(id.unwrap(), 5).unwrap();
    let said = client.run("check catalog");
    assert!(said.starts_with("error|public.s|sequences_hand_out_reserved_values|||is about to hand out 27"), "{said}");
}

#[test]
fn who_may_and_where() {
    let server = Server::new();
    let mut root = server.client();
    root.run("create role bob login; create role carol login replication; create table t (id int primary key)");
    let mut bob = server.client_as("bob").unwrap();
    for (sql, message) in [
        ("check catalog", "ERROR 42501: must be superuser to check the database"),
        ("check database", "ERROR 42501: must be superuser to check the database"),
        ("check table t", "ERROR 42501: must be owner of table t"),
        ("backup to stdout", "ERROR 42501: must be superuser or replication role to take a backup"),
        ("backup to '/tmp/x'", "ERROR 0A000: BACKUP to a place of the server's is not supported"),
        ("check table", "ERROR 42601"),
        ("check", "ERROR 42601"),
        ("check table nope", "ERROR 42P01: relation \"nope\" does not exist"),
        ("begin; backup to stdout", "BEGIN\nERROR"),
    ] {
        let said = bob.run(sql);
        assert!(said.starts_with(message), "{sql}: {said}");
    }
    for sql in ["backup to stdout", "check database"] {
        assert!(root.run(&format!("begin; {sql}")).contains("ERROR 25001"), "{sql}");
        root.run("rollback");
    }
    // Carol may; a shard in memory has nothing to copy.
    let said = server.client_as("carol").unwrap().run("backup to stdout");
    assert!(said.starts_with("ERROR 0A000: a backup of a shard without files"), "{said}");
    root.run("create view v as select 1 a");
    assert!(root.run("check table v").contains("ERROR 42809: \"v\" is not a table"));
    // Words like any others elsewhere.
    assert_eq!(root.run("select 1 as check, 2 as backup"), "1|2\n");
}

#[test]
fn a_copy_shows_how_far_it_is() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int primary key, b text); create role bob login");
    let watched = |client: &mut super::Client, sql: &str, parts: &[&str], watch: &mut dyn FnMut(usize)| {
        client.copy_in_parts(sql, parts, watch)
    };
    let mut other = server.client();
    let mut bob = server.client_as("bob").unwrap();
    let show = "select datname, relid::regclass, command, type, bytes_processed, bytes_total, tuples_processed, \
                tuples_excluded from pg_stat_progress_copy";
    let mut seen = Vec::new();
    let rows: String = (0..5000).map(|i| format!("{i}\tx\n")).collect();
    let said = watched(&mut client, "copy t from stdin where a % 2 = 0", &[&rows, "6000\ty\n"], &mut |_| {
        seen.push(other.run(show));
        assert_eq!(
            bob.run("select pid, datid is not null, relid, bytes_processed from pg_stat_progress_copy"),
            "42|t||\n"
        );
    });
    assert_eq!(said, "COPY 2501\n");
    assert_eq!(
        seen,
        [
            "postgres|t|COPY FROM|PIPE|0|0|0|0\n".to_owned(),
            format!("postgres|t|COPY FROM|PIPE|{}|0|2048|2048\n", rows.len()),
            format!("postgres|t|COPY FROM|PIPE|{}|0|2048|2048\n", rows.len() + 7),
        ]
    );
    assert_eq!(other.run(show), "");
    let failed = watched(&mut client, "copy t from stdin", &["7000\tz\n", "x\n"], &mut |_| {});
    assert!(failed.starts_with("ERROR 22"), "{failed}");
    assert_eq!(other.run(show), "");
}
