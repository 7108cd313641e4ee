//! The columns of PostgreSQL 15's catalog tables, as its own catalog describes them: `name:type`, `!` for NOT NULL.

/// A virtual table's shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub name: &'static str,
    pub oid: u32,
    pub columns: &'static str,
}

const fn shape(name: &'static str, oid: u32, columns: &'static str) -> Shape {
    Shape { name, oid, columns }
}

pub(super) const PG_CATALOG: &[Shape] = &[
    shape(
        "pg_aggregate",
        2600,
        "aggfnoid:regproc! aggkind:char! aggnumdirectargs:int2! aggtransfn:regproc! aggfinalfn:regproc! \
         aggcombinefn:regproc! aggserialfn:regproc! aggdeserialfn:regproc! aggmtransfn:regproc! \
         aggminvtransfn:regproc! aggmfinalfn:regproc! aggfinalextra:bool! aggmfinalextra:bool! \
         aggfinalmodify:char! aggmfinalmodify:char! aggsortop:oid! aggtranstype:oid! aggtransspace:int4! \
         aggmtranstype:oid! aggmtransspace:int4! agginitval:text aggminitval:text",
    ),
    shape("pg_am", 2601, "oid:oid! amname:name! amhandler:regproc! amtype:char!"),
    shape("pg_attrdef", 2604, "oid:oid! adrelid:oid! adnum:int2! adbin:pg_node_tree!"),
    shape(
        "pg_attribute",
        1249,
        "attrelid:oid! attname:name! atttypid:oid! attstattarget:int4! attlen:int2! attnum:int2! \
         attndims:int4! attcacheoff:int4! atttypmod:int4! attbyval:bool! attalign:char! attstorage:char! \
         attcompression:char! attnotnull:bool! atthasdef:bool! atthasmissing:bool! attidentity:char! \
         attgenerated:char! attisdropped:bool! attislocal:bool! attinhcount:int4! attcollation:oid! \
         attacl:_aclitem attoptions:_text attfdwoptions:_text attmissingval:anyarray",
    ),
    shape("pg_auth_members", 1261, "roleid:oid! member:oid! grantor:oid! admin_option:bool!"),
    shape(
        "pg_authid",
        1260,
        "oid:oid! rolname:name! rolsuper:bool! rolinherit:bool! rolcreaterole:bool! rolcreatedb:bool! \
         rolcanlogin:bool! rolreplication:bool! rolbypassrls:bool! rolconnlimit:int4! rolpassword:text \
         rolvaliduntil:timestamptz",
    ),
    shape("pg_cast", 2605, "oid:oid! castsource:oid! casttarget:oid! castfunc:oid! castcontext:char! castmethod:char!"),
    shape(
        "pg_class",
        1259,
        "oid:oid! relname:name! relnamespace:oid! reltype:oid! reloftype:oid! relowner:oid! relam:oid! \
         relfilenode:oid! reltablespace:oid! relpages:int4! reltuples:float4! relallvisible:int4! \
         reltoastrelid:oid! relhasindex:bool! relisshared:bool! relpersistence:char! relkind:char! \
         relnatts:int2! relchecks:int2! relhasrules:bool! relhastriggers:bool! relhassubclass:bool! \
         relrowsecurity:bool! relforcerowsecurity:bool! relispopulated:bool! relreplident:char! \
         relispartition:bool! relrewrite:oid! relfrozenxid:xid! relminmxid:xid! relacl:_aclitem \
         reloptions:_text relpartbound:pg_node_tree",
    ),
    shape(
        "pg_collation",
        3456,
        "oid:oid! collname:name! collnamespace:oid! collowner:oid! collprovider:char! \
         collisdeterministic:bool! collencoding:int4! collcollate:text collctype:text colliculocale:text \
         collversion:text",
    ),
    shape(
        "pg_constraint",
        2606,
        "oid:oid! conname:name! connamespace:oid! contype:char! condeferrable:bool! condeferred:bool! \
         convalidated:bool! conrelid:oid! contypid:oid! conindid:oid! conparentid:oid! confrelid:oid! \
         confupdtype:char! confdeltype:char! confmatchtype:char! conislocal:bool! coninhcount:int4! \
         connoinherit:bool! conkey:_int2 confkey:_int2 conpfeqop:_oid conppeqop:_oid conffeqop:_oid \
         confdelsetcols:_int2 conexclop:_oid conbin:pg_node_tree",
    ),
    shape(
        "pg_conversion",
        2607,
        "oid:oid! conname:name! connamespace:oid! conowner:oid! conforencoding:int4! contoencoding:int4! \
         conproc:regproc! condefault:bool!",
    ),
    shape(
        "pg_database",
        1262,
        "oid:oid! datname:name! datdba:oid! encoding:int4! datlocprovider:char! datistemplate:bool! \
         datallowconn:bool! datconnlimit:int4! datfrozenxid:xid! datminmxid:xid! dattablespace:oid! \
         datcollate:text! datctype:text! daticulocale:text datcollversion:text datacl:_aclitem",
    ),
    shape("pg_db_role_setting", 2964, "setdatabase:oid! setrole:oid! setconfig:_text"),
    shape(
        "pg_default_acl",
        826,
        "oid:oid! defaclrole:oid! defaclnamespace:oid! defaclobjtype:char! defaclacl:_aclitem!",
    ),
    shape(
        "pg_depend",
        2608,
        "classid:oid! objid:oid! objsubid:int4! refclassid:oid! refobjid:oid! refobjsubid:int4! deptype:char!",
    ),
    shape("pg_description", 2609, "objoid:oid! classoid:oid! objsubid:int4! description:text!"),
    shape("pg_enum", 3501, "oid:oid! enumtypid:oid! enumsortorder:float4! enumlabel:name!"),
    shape(
        "pg_event_trigger",
        3466,
        "oid:oid! evtname:name! evtevent:name! evtowner:oid! evtfoid:oid! evtenabled:char! evttags:_text",
    ),
    shape(
        "pg_extension",
        3079,
        "oid:oid! extname:name! extowner:oid! extnamespace:oid! extrelocatable:bool! extversion:text! \
         extconfig:_oid extcondition:_text",
    ),
    shape(
        "pg_foreign_data_wrapper",
        2328,
        "oid:oid! fdwname:name! fdwowner:oid! fdwhandler:oid! fdwvalidator:oid! fdwacl:_aclitem \
         fdwoptions:_text",
    ),
    shape(
        "pg_foreign_server",
        1417,
        "oid:oid! srvname:name! srvowner:oid! srvfdw:oid! srvtype:text srvversion:text srvacl:_aclitem \
         srvoptions:_text",
    ),
    shape("pg_foreign_table", 3118, "ftrelid:oid! ftserver:oid! ftoptions:_text"),
    shape(
        "pg_index",
        2610,
        "indexrelid:oid! indrelid:oid! indnatts:int2! indnkeyatts:int2! indisunique:bool! \
         indnullsnotdistinct:bool! indisprimary:bool! indisexclusion:bool! indimmediate:bool! \
         indisclustered:bool! indisvalid:bool! indcheckxmin:bool! indisready:bool! indislive:bool! \
         indisreplident:bool! indkey:int2vector! indcollation:oidvector! indclass:oidvector! \
         indoption:int2vector! indexprs:pg_node_tree indpred:pg_node_tree",
    ),
    shape("pg_indexes", 12043, "schemaname:name tablename:name indexname:name tablespace:name indexdef:text"),
    shape("pg_inherits", 2611, "inhrelid:oid! inhparent:oid! inhseqno:int4! inhdetachpending:bool!"),
    shape(
        "pg_language",
        2612,
        "oid:oid! lanname:name! lanowner:oid! lanispl:bool! lanpltrusted:bool! lanplcallfoid:oid! \
         laninline:oid! lanvalidator:oid! lanacl:_aclitem",
    ),
    shape(
        "pg_matviews",
        12038,
        "schemaname:name matviewname:name matviewowner:name tablespace:name hasindexes:bool ispopulated:bool \
         definition:text",
    ),
    shape("pg_namespace", 2615, "oid:oid! nspname:name! nspowner:oid! nspacl:_aclitem"),
    shape(
        "pg_opclass",
        2616,
        "oid:oid! opcmethod:oid! opcname:name! opcnamespace:oid! opcowner:oid! opcfamily:oid! opcintype:oid! \
         opcdefault:bool! opckeytype:oid!",
    ),
    shape(
        "pg_operator",
        2617,
        "oid:oid! oprname:name! oprnamespace:oid! oprowner:oid! oprkind:char! oprcanmerge:bool! \
         oprcanhash:bool! oprleft:oid! oprright:oid! oprresult:oid! oprcom:oid! oprnegate:oid! \
         oprcode:regproc! oprrest:regproc! oprjoin:regproc!",
    ),
    shape("pg_opfamily", 2753, "oid:oid! opfmethod:oid! opfname:name! opfnamespace:oid! opfowner:oid!"),
    shape(
        "pg_partitioned_table",
        3350,
        "partrelid:oid! partstrat:char! partnatts:int2! partdefid:oid! partattrs:int2vector! \
         partclass:oidvector! partcollation:oidvector! partexprs:pg_node_tree",
    ),
    shape(
        "pg_policy",
        3256,
        "oid:oid! polname:name! polrelid:oid! polcmd:char! polpermissive:bool! polroles:_oid! \
         polqual:pg_node_tree polwithcheck:pg_node_tree",
    ),
    shape(
        "pg_proc",
        1255,
        "oid:oid! proname:name! pronamespace:oid! proowner:oid! prolang:oid! procost:float4! prorows:float4! \
         provariadic:oid! prosupport:regproc! prokind:char! prosecdef:bool! proleakproof:bool! \
         proisstrict:bool! proretset:bool! provolatile:char! proparallel:char! pronargs:int2! \
         pronargdefaults:int2! prorettype:oid! proargtypes:oidvector! proallargtypes:_oid proargmodes:_char \
         proargnames:_text proargdefaults:pg_node_tree protrftypes:_oid prosrc:text! probin:text \
         prosqlbody:pg_node_tree proconfig:_text proacl:_aclitem",
    ),
    shape(
        "pg_publication",
        6104,
        "oid:oid! pubname:name! pubowner:oid! puballtables:bool! pubinsert:bool! pubupdate:bool! \
         pubdelete:bool! pubtruncate:bool! pubviaroot:bool!",
    ),
    shape("pg_publication_namespace", 6237, "oid:oid! pnpubid:oid! pnnspid:oid!"),
    shape("pg_publication_rel", 6106, "oid:oid! prpubid:oid! prrelid:oid! prqual:pg_node_tree prattrs:int2vector"),
    shape("pg_publication_tables", 12068, "pubname:name schemaname:name tablename:name attnames:_name rowfilter:text"),
    shape(
        "pg_range",
        3541,
        "rngtypid:oid! rngsubtype:oid! rngmultitypid:oid! rngcollation:oid! rngsubopc:oid! \
         rngcanonical:regproc! rngsubdiff:regproc!",
    ),
    shape(
        "pg_rewrite",
        2618,
        "oid:oid! rulename:name! ev_class:oid! ev_type:char! ev_enabled:char! is_instead:bool! \
         ev_qual:pg_node_tree! ev_action:pg_node_tree!",
    ),
    shape(
        "pg_roles",
        12000,
        "rolname:name rolsuper:bool rolinherit:bool rolcreaterole:bool rolcreatedb:bool rolcanlogin:bool \
         rolreplication:bool rolconnlimit:int4 rolpassword:text rolvaliduntil:timestamptz rolbypassrls:bool \
         rolconfig:_text oid:oid",
    ),
    shape("pg_seclabel", 3596, "objoid:oid! classoid:oid! objsubid:int4! provider:text! label:text!"),
    shape(
        "pg_sequence",
        2224,
        "seqrelid:oid! seqtypid:oid! seqstart:int8! seqincrement:int8! seqmax:int8! seqmin:int8! \
         seqcache:int8! seqcycle:bool!",
    ),
    shape(
        "pg_sequences",
        12048,
        "schemaname:name sequencename:name sequenceowner:name data_type:regtype start_value:int8 \
         min_value:int8 max_value:int8 increment_by:int8 cycle:bool cache_size:int8 last_value:int8",
    ),
    shape(
        "pg_settings",
        12104,
        "name:text setting:text unit:text category:text short_desc:text extra_desc:text context:text \
         vartype:text source:text min_val:text max_val:text enumvals:_text boot_val:text reset_val:text \
         sourcefile:text sourceline:int4 pending_restart:bool",
    ),
    shape(
        "pg_shdepend",
        1214,
        "dbid:oid! classid:oid! objid:oid! objsubid:int4! refclassid:oid! refobjid:oid! deptype:char!",
    ),
    shape("pg_shdescription", 2396, "objoid:oid! classoid:oid! description:text!"),
    shape(
        "pg_locks",
        12073,
        "locktype:text database:oid relation:oid page:int4 tuple:int2 virtualxid:text transactionid:xid \
         classid:oid objid:oid objsubid:int2 virtualtransaction:text pid:int4 mode:text granted:bool \
         fastpath:bool waitstart:timestamptz",
    ),
    shape(
        "pg_stat_activity",
        12222,
        "datid:oid datname:name pid:int4 leader_pid:int4 usesysid:oid usename:name application_name:text \
         client_addr:inet client_hostname:text client_port:int4 backend_start:timestamptz \
         xact_start:timestamptz query_start:timestamptz state_change:timestamptz wait_event_type:text \
         wait_event:text state:text backend_xid:xid backend_xmin:xid query_id:int8 query:text \
         backend_type:text",
    ),
    shape(
        "pg_stat_user_tables",
        12161,
        "relid:oid schemaname:name relname:name seq_scan:int8 seq_tup_read:int8 idx_scan:int8 \
         idx_tup_fetch:int8 n_tup_ins:int8 n_tup_upd:int8 n_tup_del:int8 n_tup_hot_upd:int8 n_live_tup:int8 \
         n_dead_tup:int8 n_mod_since_analyze:int8 n_ins_since_vacuum:int8 last_vacuum:timestamptz \
         last_autovacuum:timestamptz last_analyze:timestamptz last_autoanalyze:timestamptz vacuum_count:int8 \
         autovacuum_count:int8 analyze_count:int8 autoanalyze_count:int8",
    ),
    shape(
        "pg_statistic_ext",
        3381,
        "oid:oid! stxrelid:oid! stxname:name! stxnamespace:oid! stxowner:oid! stxstattarget:int4! \
         stxkeys:int2vector! stxkind:_char! stxexprs:pg_node_tree",
    ),
    shape(
        "pg_subscription",
        6100,
        "oid:oid! subdbid:oid! subskiplsn:pg_lsn! subname:name! subowner:oid! subenabled:bool! \
         subbinary:bool! substream:bool! subtwophasestate:char! subdisableonerr:bool! subconninfo:text! \
         subslotname:name subsynccommit:text! subpublications:_text!",
    ),
    shape(
        "pg_tables",
        12033,
        "schemaname:name tablename:name tableowner:name tablespace:name hasindexes:bool hasrules:bool \
         hastriggers:bool rowsecurity:bool",
    ),
    shape("pg_tablespace", 1213, "oid:oid! spcname:name! spcowner:oid! spcacl:_aclitem spcoptions:_text"),
    shape(
        "pg_trigger",
        2620,
        "oid:oid! tgrelid:oid! tgparentid:oid! tgname:name! tgfoid:oid! tgtype:int2! tgenabled:char! \
         tgisinternal:bool! tgconstrrelid:oid! tgconstrindid:oid! tgconstraint:oid! tgdeferrable:bool! \
         tginitdeferred:bool! tgnargs:int2! tgattr:int2vector! tgargs:bytea! tgqual:pg_node_tree \
         tgoldtable:name tgnewtable:name",
    ),
    shape(
        "pg_type",
        1247,
        "oid:oid! typname:name! typnamespace:oid! typowner:oid! typlen:int2! typbyval:bool! typtype:char! \
         typcategory:char! typispreferred:bool! typisdefined:bool! typdelim:char! typrelid:oid! \
         typsubscript:regproc! typelem:oid! typarray:oid! typinput:regproc! typoutput:regproc! \
         typreceive:regproc! typsend:regproc! typmodin:regproc! typmodout:regproc! typanalyze:regproc! \
         typalign:char! typstorage:char! typnotnull:bool! typbasetype:oid! typtypmod:int4! typndims:int4! \
         typcollation:oid! typdefaultbin:pg_node_tree typdefault:text typacl:_aclitem",
    ),
    shape(
        "pg_user",
        12014,
        "usename:name usesysid:oid usecreatedb:bool usesuper:bool userepl:bool usebypassrls:bool passwd:text \
         valuntil:timestamptz useconfig:_text",
    ),
    shape("pg_views", 12028, "schemaname:name viewname:name viewowner:name definition:text"),
];

pub(super) const INFORMATION_SCHEMA: &[Shape] = &[
    shape(
        "check_constraints",
        13260,
        "constraint_catalog:sql_identifier constraint_schema:sql_identifier constraint_name:sql_identifier \
         check_clause:character_data",
    ),
    shape(
        "columns",
        13295,
        "table_catalog:sql_identifier table_schema:sql_identifier table_name:sql_identifier \
         column_name:sql_identifier ordinal_position:cardinal_number column_default:character_data \
         is_nullable:yes_or_no data_type:character_data character_maximum_length:cardinal_number \
         character_octet_length:cardinal_number numeric_precision:cardinal_number \
         numeric_precision_radix:cardinal_number numeric_scale:cardinal_number \
         datetime_precision:cardinal_number interval_type:character_data interval_precision:cardinal_number \
         character_set_catalog:sql_identifier character_set_schema:sql_identifier \
         character_set_name:sql_identifier collation_catalog:sql_identifier collation_schema:sql_identifier \
         collation_name:sql_identifier domain_catalog:sql_identifier domain_schema:sql_identifier \
         domain_name:sql_identifier udt_catalog:sql_identifier udt_schema:sql_identifier \
         udt_name:sql_identifier scope_catalog:sql_identifier scope_schema:sql_identifier \
         scope_name:sql_identifier maximum_cardinality:cardinal_number dtd_identifier:sql_identifier \
         is_self_referencing:yes_or_no is_identity:yes_or_no identity_generation:character_data \
         identity_start:character_data identity_increment:character_data identity_maximum:character_data \
         identity_minimum:character_data identity_cycle:yes_or_no is_generated:character_data \
         generation_expression:character_data is_updatable:yes_or_no",
    ),
    shape(
        "constraint_column_usage",
        13300,
        "table_catalog:sql_identifier table_schema:sql_identifier table_name:sql_identifier \
         column_name:sql_identifier constraint_catalog:sql_identifier constraint_schema:sql_identifier \
         constraint_name:sql_identifier",
    ),
    shape(
        "key_column_usage",
        13329,
        "constraint_catalog:sql_identifier constraint_schema:sql_identifier constraint_name:sql_identifier \
         table_catalog:sql_identifier table_schema:sql_identifier table_name:sql_identifier \
         column_name:sql_identifier ordinal_position:cardinal_number \
         position_in_unique_constraint:cardinal_number",
    ),
    shape(
        "referential_constraints",
        13339,
        "constraint_catalog:sql_identifier constraint_schema:sql_identifier constraint_name:sql_identifier \
         unique_constraint_catalog:sql_identifier unique_constraint_schema:sql_identifier \
         unique_constraint_name:sql_identifier match_option:character_data update_rule:character_data \
         delete_rule:character_data",
    ),
    shape(
        "schemata",
        13382,
        "catalog_name:sql_identifier schema_name:sql_identifier schema_owner:sql_identifier \
         default_character_set_catalog:sql_identifier default_character_set_schema:sql_identifier \
         default_character_set_name:sql_identifier sql_path:character_data",
    ),
    shape(
        "sequences",
        13386,
        "sequence_catalog:sql_identifier sequence_schema:sql_identifier sequence_name:sql_identifier \
         data_type:character_data numeric_precision:cardinal_number numeric_precision_radix:cardinal_number \
         numeric_scale:cardinal_number start_value:character_data minimum_value:character_data \
         maximum_value:character_data increment:character_data cycle_option:yes_or_no",
    ),
    shape(
        "table_constraints",
        13411,
        "constraint_catalog:sql_identifier constraint_schema:sql_identifier constraint_name:sql_identifier \
         table_catalog:sql_identifier table_schema:sql_identifier table_name:sql_identifier \
         constraint_type:character_data is_deferrable:yes_or_no initially_deferred:yes_or_no \
         enforced:yes_or_no nulls_distinct:yes_or_no",
    ),
    shape(
        "tables",
        13425,
        "table_catalog:sql_identifier table_schema:sql_identifier table_name:sql_identifier \
         table_type:character_data self_referencing_column_name:sql_identifier \
         reference_generation:character_data user_defined_type_catalog:sql_identifier \
         user_defined_type_schema:sql_identifier user_defined_type_name:sql_identifier \
         is_insertable_into:yes_or_no is_typed:yes_or_no commit_action:character_data",
    ),
    shape(
        "views",
        13483,
        "table_catalog:sql_identifier table_schema:sql_identifier table_name:sql_identifier \
         view_definition:character_data check_option:character_data is_updatable:yes_or_no \
         is_insertable_into:yes_or_no is_trigger_updatable:yes_or_no is_trigger_deletable:yes_or_no \
         is_trigger_insertable_into:yes_or_no",
    ),
];
