import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.largeobject.LargeObjectManager;

/** pgjdbc: named statements, portions by fetchSize, batches, fastpath, COPY, cancelling, its catalogue queries. */
public class Jdbc {
  public static void main(String[] arguments) throws Exception {
    var environment = System.getenv();
    var settings = new Properties();
    settings.put("user", environment.get("PGUSER"));
    settings.put("password", environment.get("PGPASSWORD"));
    settings.put("ApplicationName", "jdbc");
    settings.put("prepareThreshold", "2");
    settings.put("sslmode", "disable");
    var url = "jdbc:postgresql://127.0.0.1:" + environment.get("PGPORT") + "/shop";
    try (var connection = DriverManager.getConnection(url, settings)) {
      types(connection);
      tables(connection);
      transactions(connection);
      largeObject(connection);
      copies(connection);
      cancelled(connection);
    }
  }

  static void types(Connection connection) throws SQLException {
    for (var mode : List.of("text", "text", "binary", "binary")) {
      try (var s = connection.prepareStatement("select ?::int8, ?::numeric, ?::text, ?::timestamptz, ?::bytea, ?::bool, ?::int[], ?::float8")) {
        s.setLong(1, Long.MIN_VALUE);
        s.setBigDecimal(2, new BigDecimal("-1234567890.0987654321"));
        s.setString(3, "naïve 😀 \u2028");
        s.setTimestamp(4, Timestamp.valueOf("2026-02-03 04:05:06.789"));
        s.setBytes(5, new byte[] {0, 1, (byte) 255});
        s.setNull(6, Types.BOOLEAN);
        s.setArray(7, connection.createArrayOf("int4", new Object[] {1, null, 3}));
        s.setDouble(8, Math.PI);
        try (var rows = s.executeQuery()) {
          rows.next();
          var line = new StringJoiner(" ");
          for (int i = 1; i <= 8; i++) line.add(String.valueOf(i == 5 ? Arrays.toString(rows.getBytes(i)) : rows.getString(i)));
          System.out.println("types " + line);
        }
      }
    }
  }

  static void tables(Connection connection) throws SQLException {
    try (var rows = connection.getMetaData().getColumns(null, "public", "%", "%")) {
      while (rows.next()) System.out.println(rows.getString("TABLE_NAME") + "." + rows.getString("COLUMN_NAME") + " " + rows.getString("TYPE_NAME"));
    }
    try (var rows = connection.getMetaData().getImportedKeys(null, "public", "payments")) {
      while (rows.next()) System.out.println("key " + rows.getString("FK_NAME"));
    }
  }

  static void transactions(Connection connection) throws SQLException {
    connection.setAutoCommit(false);
    try (var s = connection.createStatement()) {
      s.execute("create temp table pair (n int primary key, t text)");
      try (var batch = connection.prepareStatement("insert into pair values (?, ?)")) {
        for (int n = 0; n < 500; n++) {
          batch.setInt(1, n);
          batch.setString(2, n % 7 == 0 ? null : "row " + n);
          batch.addBatch();
        }
        System.out.println("batch " + Arrays.stream(batch.executeBatch()).sum());
      }
      var savepoint = connection.setSavepoint("s");
      try (var batch = connection.prepareStatement("insert into pair values (?, 'x')")) {
        for (int n : new int[] {1000, 1, 1001}) {
          batch.setInt(1, n);
          batch.addBatch();
        }
        batch.executeBatch();
      } catch (BatchUpdateException error) {
        System.out.println("refused " + error.getSQLState() + " " + error.getMessage() + " " + Arrays.toString(error.getUpdateCounts()));
      }
      connection.rollback(savepoint);
      s.setFetchSize(30);
      long sum = 0;
      try (var rows = s.executeQuery("select n from pair order by n")) {
        while (rows.next()) sum += rows.getInt(1);
      }
      System.out.println("portions " + sum);
      s.setMaxRows(5);
      try (var rows = s.executeQuery("select n from pair order by n")) {
        int count = 0;
        while (rows.next()) count++;
        System.out.println("at most " + count);
      }
      s.setMaxRows(0);
      s.executeUpdate("insert into products (name, price) values ('returned', 1)", new String[] {"name"});
      try (var rows = s.getGeneratedKeys()) {
        rows.next();
        System.out.println("returned " + rows.getString(1));
      }
    }
    connection.rollback();
  }

  static void largeObject(Connection connection) throws SQLException {
    var manager = connection.unwrap(PGConnection.class).getLargeObjectAPI();
    long oid = manager.createLO(LargeObjectManager.READWRITE);
    try (var object = manager.open(oid, LargeObjectManager.READWRITE)) {
      object.write(new byte[300_000]);
      object.seek(299_999);
      object.write(new byte[] {1, 2, 3});
      object.seek(299_998);
      System.out.println("large " + Arrays.toString(object.read(10)) + " " + object.size64());
    }
    manager.delete(oid);
    connection.commit();
  }

  static void copies(Connection connection) throws Exception {
    var copy = connection.unwrap(PGConnection.class).getCopyAPI();
    try (var s = connection.createStatement()) {
      s.execute("create temp table pair (n int primary key, t text)");
    }
    System.out.println("in " + copy.copyIn("copy pair from stdin", new StringReader("1\tone\n2\ttwo\n")));
    var out = new StringWriter();
    System.out.println("out " + copy.copyOut("copy pair to stdout", out) + " " + out);
    try {
      copy.copyIn("copy pair from stdin", new StringReader("1\tagain\n"));
    } catch (SQLException error) {
      System.out.println("refused " + error.getSQLState() + " " + error.getMessage());
    }
    connection.rollback();
  }

  static void cancelled(Connection connection) throws SQLException {
    try (var s = connection.createStatement()) {
      s.setQueryTimeout(1);
      s.execute("select pg_sleep(60)");
    } catch (SQLException error) {
      System.out.println("cancelled " + error.getSQLState() + " " + error.getMessage());
    }
    connection.rollback();
    System.out.println("valid " + connection.isValid(20));
  }
}
