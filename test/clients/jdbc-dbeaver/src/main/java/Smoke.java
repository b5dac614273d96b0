import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The smoke program of DBeaver's libSQL driver for JDBC (`POST /` with `{"statements": […]}`, each request by itself). It prints
 * one line of JSON for each step, {"step": name, "ok": true} or {"step": name, "ok": false, "error": text}; the runner reads them.
 */
public final class Smoke {
  private static final long BIG_INTEGER = 9_007_199_254_740_993L;
  private static final double FRACTION = -1234.015625;
  private static final String WORDS = "déjà vu, “quoted”, 数据, 🛰, a\ttab";
  private static final int OWN_WRITES = 20;

  private static final String[] SCHEMA = {
    "CREATE TABLE smoke_author (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE smoke_book (id INTEGER PRIMARY KEY,"
        + " author_id INTEGER NOT NULL REFERENCES smoke_author (id) ON DELETE CASCADE, title TEXT NOT NULL)",
    "CREATE TABLE smoke_value (id INTEGER PRIMARY KEY, nil TEXT, big INTEGER, small INTEGER, fraction REAL,"
        + " words TEXT, bytes BLOB)",
  };

  private interface Step {
    void run() throws Exception;
  }

  private static String url;
  private static Connection db;

  private static void equal(String what, Object actual, Object expected) {
    if (!java.util.Objects.equals(actual, expected))
      throw new AssertionError(what + ": " + actual + " instead of " + expected);
  }

  private static int update(String sql, Object... args) throws SQLException {
    try (PreparedStatement statement = db.prepareStatement(sql)) {
      for (int i = 0; i < args.length; i++) statement.setObject(i + 1, args[i]);
      // The driver has executeUpdate() of its own only with the text.
      return statement.executeUpdate(sql);
    }
  }

  private static ResultSet first(String sql, Object... args) throws SQLException {
    PreparedStatement statement = db.prepareStatement(sql);
    for (int i = 0; i < args.length; i++) statement.setObject(i + 1, args[i]);
    ResultSet rows = statement.executeQuery();
    if (!rows.next()) throw new AssertionError("no row from " + sql);
    return rows;
  }

  private static void counted(String table, String column, String like, long expected) throws SQLException {
    ResultSet row = first("SELECT count(*) FROM " + table + " WHERE " + column + " LIKE ?", like);
    equal("rows of " + table + " like " + like, row.getLong(1), expected);
  }

  private static void failsWith(String part, Step step) throws Exception {
    try {
      step.run();
    } catch (SQLException error) {
      if (!String.valueOf(error.getMessage()).contains(part))
        throw new AssertionError("'" + part + "' is not in '" + error.getMessage() + "'");
      return;
    }
    throw new AssertionError("it succeeded, and had to fail with '" + part + "'");
  }

  private static void connect() throws Exception {
    db = DriverManager.getConnection("jdbc:dbeaver:libsql:" + url);
    equal("SELECT 1", first("SELECT 1").getLong(1), 1L);
  }

  private static void schema() throws Exception {
    try (Statement statement = db.createStatement()) {
      for (String sql : SCHEMA) statement.execute(sql);
    }
    counted("sqlite_schema", "sql", "CREATE TABLE smoke%", SCHEMA.length);
    // What DBeaver itself asks when it shows a table.
    try (ResultSet columns = db.getMetaData().getColumns(null, null, "smoke_book", null)) {
      int found = 0;
      while (columns.next()) found++;
      equal("columns of smoke_book in the metadata", found, 3);
    }
  }

  private static void insert() throws Exception {
    // The driver binds bytes as their Java name, hence the literal.
    String sql = "INSERT INTO smoke_value VALUES (?, ?, ?, ?, ?, ?, x'00017F80FEFF00')";
    equal("rows inserted", update(sql, 1, null, BIG_INTEGER, Long.MIN_VALUE, FRACTION, WORDS), 1);
  }

  private static void read() throws Exception {
    ResultSet row = first("SELECT nil, big, small, fraction, words, hex(bytes), typeof(nil) || typeof(big) || typeof(small)"
        + " || typeof(fraction) || typeof(words) || typeof(bytes) FROM smoke_value WHERE id = ?", 1);
    equal("null", row.getObject(1), null);
    equal("2^53+1", row.getLong(2), BIG_INTEGER);
    equal("smallest integer", row.getLong(3), Long.MIN_VALUE);
    equal("float", row.getDouble(4), FRACTION);
    equal("text", row.getString(5), WORDS);
    equal("blob", row.getString(6), "00017F80FEFF00");
    equal("types", row.getString(7), "nullintegerintegerrealtextblob");
    first("SELECT bytes FROM smoke_value WHERE id = 1");
  }

  private static void lastId() throws Exception {
    // The driver knows no generated keys; RETURNING works.
    long one = first("INSERT INTO smoke_author (name) VALUES (?) RETURNING id", "first").getLong(1);
    long two = first("INSERT INTO smoke_author (name) VALUES (?) RETURNING id", "second").getLong(1);
    equal("second id", two, one + 1);
  }

  private static void changes() throws Exception {
    equal("rows inserted", update("INSERT INTO smoke_value (id) VALUES (10), (11), (12)"), 3);
    equal("rows updated", update("UPDATE smoke_value SET words = 'changed' WHERE id IN (10, 11)"), 2);
    equal("rows deleted", update("DELETE FROM smoke_value WHERE id >= 10"), 3);
  }

  private static void cascade() throws Exception {
    long author = first("INSERT INTO smoke_author (name) VALUES ('with books') RETURNING id").getLong(1);
    update("INSERT INTO smoke_book (author_id, title) VALUES (?, 'cascade'), (?, 'cascade')", author, author);
    update("DELETE FROM smoke_author WHERE id = ?", author);
    counted("smoke_book", "title", "cascade", 0);
    failsWith("FOREIGN KEY constraint failed",
        () -> update("INSERT INTO smoke_book (author_id, title) VALUES (999999, 'orphan')"));
  }

  private static void unique() throws Exception {
    String sql = "INSERT INTO smoke_author (name) VALUES ('only one')";
    update(sql);
    failsWith("UNIQUE constraint failed: smoke_author.name", () -> update(sql));
  }

  private static void infinity() throws Exception {
    equal("the column behind", first("SELECT 9e999, -9e999, 'after'").getString(3), "after");
  }

  private static void ownWrites() throws Exception {
    for (int n = 1; n <= OWN_WRITES; n++) {
      update("INSERT INTO smoke_author (name) VALUES (?)", "own " + n);
      counted("smoke_author", "name", "own %", n);
    }
  }

  private static String quoted(String text) {
    StringBuilder out = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c == '"' || c == '\\') out.append('\\').append(c);
      else if (c < ' ') out.append(String.format("\\u%04x", (int) c));
      else out.append(c);
    }
    return out.append('"').toString();
  }

  private static String explain(Throwable error) {
    StringBuilder text = new StringBuilder();
    for (Throwable at = error; at != null; at = at.getCause()) {
      if (text.length() > 0) text.append(" <- ");
      text.append(at.getClass().getSimpleName()).append(": ").append(at.getMessage());
    }
    return text.toString();
  }

  public static void main(String[] args) {
    url = System.getenv().getOrDefault("SMOKE_URL", "http://127.0.0.1:7011");
    Map<String, Step> steps = new LinkedHashMap<>();
    steps.put("connect", Smoke::connect);
    steps.put("schema", Smoke::schema);
    steps.put("insert", Smoke::insert);
    steps.put("read", Smoke::read);
    steps.put("last-id", Smoke::lastId);
    steps.put("changes", Smoke::changes);
    steps.put("cascade", Smoke::cascade);
    steps.put("unique", Smoke::unique);
    steps.put("infinity", Smoke::infinity);
    steps.put("own-writes", Smoke::ownWrites);
    boolean failed = false;
    for (Map.Entry<String, Step> step : steps.entrySet()) {
      try {
        step.getValue().run();
        System.out.println("{\"step\": " + quoted(step.getKey()) + ", \"ok\": true}");
      } catch (Throwable error) {
        failed = true;
        System.out.println("{\"step\": " + quoted(step.getKey()) + ", \"ok\": false, \"error\": " + quoted(explain(error)) + "}");
        if (step.getKey().equals("connect") || step.getKey().equals("schema")) break;
      }
    }
    // The driver's HTTP client keeps threads of its own.
    System.exit(failed ? 1 : 0);
  }
}
