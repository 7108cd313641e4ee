// pgjdbc, as any Java service uses it: prepared statements, batches, generated keys, metadata, COPY, savepoints, cursors.
import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.*;
import java.time.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;

public class Jdbc {
    static void check(boolean holds, Object what) {
        if (!holds) throw new AssertionError(String.valueOf(what));
    }

    static String env(String name, String otherwise) {
        return Optional.ofNullable(System.getenv(name)).orElse(otherwise);
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://" + env("PGHOST", "127.0.0.1") + ":" + env("PGPORT", "5432") + "/" + env("PGDATABASE", "postgres");
        // Text first, then the binary transfer the driver switches to after a few executions.
        for (String mode : List.of("prepareThreshold=0", "prepareThreshold=1", "prepareThreshold=-1", "preferQueryMode=simple")) {
            try (Connection conn = DriverManager.getConnection(url + "?" + mode, env("PGUSER", "postgres"), System.getenv("PGPASSWORD"))) {
                if (!mode.endsWith("simple")) { // The simple mode has no untyped parameters for bytea.
                    types(conn, mode);
                    everyType(conn, mode, Path.of(arguments[0]));
                }
                work(conn);
            }
        }
        System.out.println("ok");
    }

    static void types(Connection conn, String mode) throws SQLException {
        Object[][] cases = {
            {"boolean", true}, {"int2", 7}, {"int4", Integer.MIN_VALUE}, {"int8", Long.MAX_VALUE}, {"float4", 1.5f}, {"float8", -1e300},
            {"numeric", new BigDecimal("-12345678901234567890.000000001")}, {"text", "naïve ☃"}, {"bytea", new byte[] {0, -1}},
            {"date", LocalDate.of(2026, 2, 28)}, {"time", LocalTime.of(23, 59, 59, 999_999_000)},
            {"timestamp", LocalDateTime.of(2026, 5, 6, 7, 8, 9, 123_456_000)},
            {"timestamptz", OffsetDateTime.of(2026, 5, 6, 7, 8, 9, 0, ZoneOffset.UTC)}, {"uuid", new UUID(1, 2)},
        };
        for (Object[] one : cases) {
            try (PreparedStatement statement = conn.prepareStatement("select ?::" + one[0] + ", null::" + one[0])) {
                statement.setObject(1, one[1]);
                for (int round = 0; round < 3; round++) {
                    try (ResultSet rows = statement.executeQuery()) {
                        check(rows.next(), "a row");
                        Object got = one[1] instanceof byte[] ? rows.getBytes(1) : rows.getObject(1, one[1].getClass());
                        check(Objects.deepEquals(got, one[1]), mode + " " + one[0] + ": sent " + one[1] + ", got " + got);
                        check(rows.getObject(2) == null && rows.wasNull(), "NULL");
                    }
                }
            }
        }
        try (PreparedStatement statement = conn.prepareStatement("select ?::int[], ?::text[], ?::jsonb")) {
            statement.setArray(1, conn.createArrayOf("int4", new Integer[] {1, null, 3}));
            statement.setArray(2, conn.createArrayOf("text", new String[] {"a,b", "\"q\"", null}));
            statement.setObject(3, "{\"a\": [1, 2]}", Types.OTHER);
            for (int round = 0; round < 3; round++) {
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    check(Arrays.equals((Integer[]) rows.getArray(1).getArray(), new Integer[] {1, null, 3}), "int[]");
                    check(Arrays.equals((String[]) rows.getArray(2).getArray(), new String[] {"a,b", "\"q\"", null}), "text[]");
                    check(rows.getString(3).equals("{\"a\": [1, 2]}"), rows.getString(3));
                }
            }
        }
    }

    // Every type of wire_types.tsv (type, input, text as PostgreSQL shows it): what text is sent as, what objects it is read as in this
    // mode's formats, and what those are sent as.
    static void everyType(Connection conn, String mode, Path expected) throws Exception {
        Map<String, Class<?>> times = Map.of("date", LocalDate.class, "time", LocalTime.class, "timestamp", LocalDateTime.class, "timestamptz", OffsetDateTime.class);
        try (Statement statement = conn.createStatement()) {
            statement.execute("create type mood as enum ('sad', 'ok', 'happy'); set intervalstyle = postgres; set timezone = 'UTC'");
        }
        int seen = 0;
        for (String line : Files.readAllLines(expected)) {
            String[] fields = line.split("\t", -1);
            String type = fields[0], shown = unquoted(fields[2]);
            try (PreparedStatement send = conn.prepareStatement("select ?::" + type + ", null::" + type);
                    PreparedStatement back = conn.prepareStatement("select format('%s', ?::" + type + ")")) {
                send.setObject(1, unquoted(fields[1]), Types.OTHER);
                for (int round = 0; round < 2; round++) {
                    try (ResultSet rows = send.executeQuery()) {
                        check(rows.next() && rows.getObject(2) == null && rows.wasNull(), type + ": NULL");
                        // What the driver has no objects for: infinite numbers, the end of a day.
                        if (type.startsWith("numeric") && shown.contains("Infinity") || type.equals("time") && shown.startsWith("24:")) continue;
                        if (type.endsWith("[]")) {
                            if (shown.startsWith("[")) continue; // The driver has no arrays that begin elsewhere.
                            Object[] elements = (Object[]) rows.getArray(1).getArray();
                            check(shown.equals("{}") == (elements.length == 0), type + ": " + elements.length + " elements");
                            back.setArray(1, rows.getArray(1));
                        } else if (times.containsKey(type)) {
                            back.setObject(1, rows.getObject(1, times.get(type)));
                        } else if (List.of("real", "double precision").contains(type)) {
                            back.setObject(1, rows.getObject(1));
                        } else if (type.equals("bytea")) {
                            back.setBytes(1, rows.getBytes(1));
                        } else {
                            Object value = rows.getObject(1);
                            if (value instanceof BigDecimal number) back.setBigDecimal(1, number);
                            else back.setObject(1, rows.getString(1), Types.OTHER);
                        }
                    }
                    try (ResultSet rows = back.executeQuery()) {
                        rows.next();
                        check(rows.getString(1).equals(shown), mode + " " + type + " " + fields[1] + ": came back as " + rows.getString(1) + ", not " + shown);
                    }
                    seen++;
                }
            }
        }
        check(seen > 300, seen + " values");
        try (Statement statement = conn.createStatement()) {
            statement.execute("drop type mood; reset timezone");
        }
    }

    // A Python string literal.
    static String unquoted(String literal) {
        StringBuilder out = new StringBuilder();
        for (int at = 1; at < literal.length() - 1; at++) {
            char c = literal.charAt(at);
            if (c == '\\') {
                c = literal.charAt(++at);
                c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
            }
            out.append(c);
        }
        return out.toString();
    }

    static void work(Connection conn) throws Exception {
        try (Statement statement = conn.createStatement()) {
            statement.execute("create table product (id bigserial primary key, name varchar(40) not null unique, price numeric(10,2), added timestamptz default now())");
            statement.execute("create table sold (id int generated always as identity primary key, product bigint references product on delete restrict, n int not null)");
        }
        try (PreparedStatement insert = conn.prepareStatement("insert into product (name, price) values (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
            for (int n = 1; n <= 100; n++) {
                insert.setString(1, "product " + n);
                insert.setBigDecimal(2, new BigDecimal(n).movePointLeft(1));
                insert.addBatch();
            }
            check(Arrays.stream(insert.executeBatch()).sum() == 100, "batch");
            try (ResultSet keys = insert.getGeneratedKeys()) {
                long sum = 0;
                while (keys.next()) sum += keys.getLong("id");
                check(sum == 5050, sum);
            }
        }
        conn.setAutoCommit(false);
        try (Statement statement = conn.createStatement()) {
            statement.executeUpdate("insert into sold (product, n) select id, 1 from product");
            Savepoint savepoint = conn.setSavepoint("here");
            try {
                statement.executeUpdate("delete from product where id = 1");
                check(false, "the foreign key did not hold");
            } catch (PSQLException error) {
                check(error.getSQLState().equals("23503"), error);
                check(error.getServerErrorMessage().getTable().equals("sold"), error.getServerErrorMessage().getTable());
            }
            conn.rollback(savepoint);
            // Portals with row limits: a fetch size inside a transaction.
            statement.setFetchSize(7);
            int seen = 0;
            try (ResultSet rows = statement.executeQuery("select p.name, s.n from product p join sold s on s.product = p.id")) {
                while (rows.next()) seen += rows.getInt(2);
            }
            check(seen == 100, seen);
        }
        conn.commit();
        conn.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        try (Statement statement = conn.createStatement();
                ResultSet rows = statement.executeQuery("select count(*) from sold")) {
            rows.next();
            check(rows.getInt(1) == 100, "count");
        }
        conn.rollback();
        conn.setAutoCommit(true);
        conn.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        long copied = conn.unwrap(PGConnection.class).getCopyAPI().copyIn("copy product (name, price) from stdin csv", new StringReader("a,1\nb,2\n"));
        check(copied == 2, copied);
        java.io.ByteArrayOutputStream out = new java.io.ByteArrayOutputStream();
        conn.unwrap(PGConnection.class).getCopyAPI().copyOut("copy (select name from product where price <= 2 and length(name) = 1 order by 1) to stdout", out);
        check(out.toString(StandardCharsets.UTF_8).equals("a\nb\n"), out);

        DatabaseMetaData meta = conn.getMetaData();
        check(names(meta.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME").containsAll(List.of("product", "sold")), "tables");
        check(names(meta.getColumns(null, "public", "product", "%"), "COLUMN_NAME").equals(List.of("id", "name", "price", "added")), "columns");
        check(names(meta.getPrimaryKeys(null, "public", "product"), "COLUMN_NAME").equals(List.of("id")), "keys");
        check(names(meta.getImportedKeys(null, "public", "sold"), "PKTABLE_NAME").equals(List.of("product")), "imported keys");
        check(names(meta.getExportedKeys(null, "public", "product"), "FKTABLE_NAME").equals(List.of("sold")), "exported keys");
        check(names(meta.getIndexInfo(null, "public", "product", true, true), "INDEX_NAME").containsAll(List.of("product_pkey", "product_name_key")), "indexes");
        check(names(meta.getTypeInfo(), "TYPE_NAME").containsAll(List.of("int4", "text", "jsonb")), "types");
        check(names(meta.getSchemas(), "TABLE_SCHEM").contains("public"), "schemas");
        try (Statement statement = conn.createStatement()) {
            new Timer(true).schedule(new TimerTask() {
                @Override
                public void run() {
                    try {
                        statement.cancel();
                    } catch (SQLException ignored) {
                        // The test below fails if nothing was cancelled.
                    }
                }
            }, 300);
            try {
                statement.execute("select pg_sleep(30)");
                check(false, "nothing was cancelled");
            } catch (PSQLException error) {
                check(error.getSQLState().equals("57014"), error);
            }
            statement.execute("drop table sold, product");
        }
    }

    static List<String> names(ResultSet rows, String column) throws SQLException {
        List<String> found = new ArrayList<>();
        while (rows.next()) found.add(rows.getString(column));
        return found;
    }
}
