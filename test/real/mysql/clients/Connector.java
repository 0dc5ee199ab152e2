// MariaDB Connector/J: batches, pipelines, server-side statements, streams, errors. Prints all it is told.
import java.io.ByteArrayInputStream;
import java.io.StringReader;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.Arrays;

public class Connector {
  private static String user;
  private static String password;

  public static void main(String[] args) throws Exception {
    String base = "jdbc:mariadb://127.0.0.1:" + args[0] + "/shop";
    user = args[1];
    password = args[2];
    if (args[3].equals("cancel")) {
      cancel(base);
      return;
    }
    for (String how : new String[] {"", "?useServerPrepStmts=true", "?useServerPrepStmts=true&usePipelineAuth=true&cachePrepStmts=true",
        "?rewriteBatchedStatements=true", "?allowMultiQueries=true&useServerPrepStmts=true&useBatchMultiSend=true"}) {
      System.out.println("== " + how);
      try (Connection connection = DriverManager.getConnection(base + how, user, password)) {
        run(connection, how.contains("MultiQueries"));
      }
    }
  }

  private static void run(Connection connection, boolean several) throws Exception {
    System.out.println(connection.getMetaData().getDatabaseProductVersion());
    try (Statement statement = connection.createStatement()) {
      statement.execute("create or replace table java (id int primary key auto_increment, t text, n decimal(20,4),"
          + " d double, b longblob, w datetime(6), f float, y tinyint unsigned, z bigint unsigned) engine=innodb");
      connection.setAutoCommit(false);
      try (PreparedStatement insert = connection.prepareStatement(
          "insert into java (t, n, d, b, w, f, y, z) values (?, ?, ?, ?, ?, ?, ?, ?)", Statement.RETURN_GENERATED_KEYS)) {
        for (int i = 0; i < 20; i++) {
          insert.setString(1, i % 5 == 4 ? null : "naïve “" + i + "” o'b\\x");
          insert.setBigDecimal(2, new java.math.BigDecimal("12345678901.2345").add(new java.math.BigDecimal(i)));
          insert.setDouble(3, i / 3.0);
          insert.setBytes(4, new byte[] {0, (byte) i, -1});
          insert.setTimestamp(5, Timestamp.valueOf("2024-02-29 12:34:56.789012"));
          insert.setFloat(6, i / 7f);
          insert.setInt(7, 200 + i);
          insert.setBigDecimal(8, new java.math.BigDecimal("18446744073709551600"));
          insert.addBatch();
        }
        System.out.println(Arrays.toString(insert.executeBatch()));
        try (ResultSet keys = insert.getGeneratedKeys()) {
          print(keys);
        }
        insert.setString(1, "streamed");
        insert.setCharacterStream(1, new StringReader("streamed"), 8);
        insert.setBinaryStream(4, new ByteArrayInputStream(new byte[100_000]), 100_000);
        System.out.println(insert.executeUpdate());
      }
      connection.commit();
      try (PreparedStatement select = connection.prepareStatement(
          "select id, t, n, d, hex(b), w, f, y, z, null from java where id > ? and id < ? order by id")) {
        select.setFetchSize(3);
        for (int turn = 0; turn < 2; turn++) {
          select.setInt(1, 2);
          select.setLong(2, 15 + turn);
          print(select.executeQuery());
        }
      }
      try (PreparedStatement bad = connection.prepareStatement("insert into java (id, t) values (?, ?)")) {
        for (int id : new int[] {1000, 1, 1001}) {
          bad.setInt(1, id);
          bad.setString(2, "again");
          bad.addBatch();
        }
        tell(() -> bad.executeBatch());
      }
      tell(() -> statement.executeQuery("select * from nowhere"));
      tell(() -> connection.prepareStatement("frob ?").executeQuery());
      connection.rollback();
      for (int i = 0; i < 3; i++) statement.addBatch("update java set d = " + i + " where id = 1");
      statement.addBatch("delete from java where id = 2");
      System.out.println(Arrays.toString(statement.executeBatch()));
      statement.execute("create or replace procedure twice(a int, out b int) begin select a; set b = 2 * a; select b; end");
      try (CallableStatement call = connection.prepareCall("{call twice(?, ?)}")) {
        call.setInt(1, 21);
        call.registerOutParameter(2, java.sql.Types.INTEGER);
        boolean more = call.execute();
        while (more) {
          print(call.getResultSet());
          more = call.getMoreResults();
        }
        System.out.println("out " + call.getInt(2));
      }
      if (several) {
        boolean more = statement.execute("select 1 a; update java set y = 1 where id = 3; select 2 b, 'x' c");
        while (more || statement.getUpdateCount() != -1) {
          if (more) print(statement.getResultSet());
          else System.out.println("updated " + statement.getUpdateCount());
          more = statement.getMoreResults();
        }
      }
      try (ResultSet tables = connection.getMetaData().getColumns("shop", null, "java", "%")) {
        while (tables.next()) System.out.println(tables.getString("COLUMN_NAME") + " " + tables.getString("TYPE_NAME"));
      }
      System.out.println(connection.isValid(5));
      connection.commit();
    }
  }

  private static void cancel(String base) throws Exception {
    try (Connection connection = DriverManager.getConnection(base, user, password);
        Statement statement = connection.createStatement()) {
      new Thread(() -> {
        try {
          System.in.read();
          statement.cancel();
        } catch (Exception problem) {
          System.out.println(problem);
        }
      }).start();
      tell(() -> statement.executeQuery("select count(*) from seq_1_to_1000000000 a where sqrt(seq) < 0"));
      print(statement.executeQuery("select 'still here'"));
    }
  }

  private interface Act {
    Object run() throws SQLException;
  }

  private static void tell(Act act) {
    try {
      act.run();
      System.out.println("no error");
    } catch (SQLException problem) {
      String message = problem.getMessage().replaceAll("\\(conn=\\d+\\) ", "");
      System.out.println(problem.getErrorCode() + " " + problem.getSQLState() + " " + message);
    }
  }

  private static void print(ResultSet rows) throws SQLException {
    ResultSetMetaData meta = rows.getMetaData();
    StringBuilder line = new StringBuilder();
    for (int i = 1; i <= meta.getColumnCount(); i++) {
      line.append(meta.getColumnLabel(i)).append(':').append(meta.getColumnTypeName(i)).append(' ');
    }
    System.out.println(line);
    while (rows.next()) {
      line.setLength(0);
      for (int i = 1; i <= meta.getColumnCount(); i++) line.append(rows.getString(i)).append(" | ");
      System.out.println(line);
    }
    rows.close();
  }
}
