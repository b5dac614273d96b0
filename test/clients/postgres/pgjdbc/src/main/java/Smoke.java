import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.net.URI;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.postgresql.PGConnection;
import org.postgresql.util.PGobject;

/**
 * The smoke program of pgjdbc. It prints one line of JSON for each step, {"step": name, "ok": true} or
 * {"step": name, "ok": false, "error": text}; the runner reads them.
 */
public final class Smoke {
  private static final long BIG_INTEGER = 9007199254740993L;
  private static final BigDecimal AMOUNT = new BigDecimal("-123456789012345678901234.0000000001");
  private static final String WORDS = "déjà vu, “quoted”, 数据, 🛰, a\ttab";
  private static final byte[] BYTES = {0, 1, 127, (byte) 128, (byte) 254, (byte) 255, 0};
  private static final OffsetDateTime AT = OffsetDateTime.parse("2026-11-30T23:59:59.123456Z");
  private static final UUID IDENT = UUID.fromString("6ba7b810-9dad-41d1-80b4-00c04fd430c8");
  private static final String[] SCHEMA = {
    "CREATE TABLE smoke_author (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE)",
    "CREATE TABLE smoke_book (id serial PRIMARY KEY, author_id int NOT NULL REFERENCES smoke_author (id) ON DELETE CASCADE, title text NOT NULL)",
    "CREATE TABLE smoke_value (id int PRIMARY KEY, nil text, big bigint, amount numeric(40, 10), words text, bytes bytea, "
        + "at timestamptz, doc jsonb, ident uuid, list int[], names text[])",
  };

  private static Connection db;

  private interface Step {
    void run() throws Exception;
  }

  private static void equal(Object actual, Object expected) {
    if (!Objects.equals(actual, expected)) throw new AssertionError(actual + " instead of " + expected);
  }

  private static String stateOf(Step step) throws Exception {
    try {
      step.run();
    } catch (SQLException error) {
      return error.getSQLState();
    }
    throw new AssertionError("it succeeded, and had to fail");
  }

  private static void run(String sql) throws SQLException {
    try (Statement statement = db.createStatement()) {
      statement.execute(sql);
    }
  }

  private static int insertAuthor(String name) throws SQLException {
    String sql = "INSERT INTO smoke_author (name) VALUES (?)";
    try (PreparedStatement insert = db.prepareStatement(sql, Statement.RETURN_GENERATED_KEYS)) {
      insert.setString(1, name);
      equal(insert.executeUpdate(), 1);
      try (ResultSet keys = insert.getGeneratedKeys()) {
        keys.next();
        return keys.getInt("id");
      }
    }
  }

  private static long authorsLike(String name) throws SQLException {
    try (PreparedStatement select = db.prepareStatement("SELECT count(*) FROM smoke_author WHERE name LIKE ?")) {
      select.setString(1, name);
      try (ResultSet rows = select.executeQuery()) {
        rows.next();
        return rows.getLong(1);
      }
    }
  }

  private static void connect() throws Exception {
    URI url = new URI(System.getenv("SMOKE_URL"));
    db = DriverManager.getConnection(
        "jdbc:postgresql://" + url.getHost() + ":" + url.getPort() + url.getPath(), url.getUserInfo(), "");
    equal(db.isValid(10), true);
  }

  private static void schema() throws Exception {
    for (String statement : SCHEMA) run(statement);
    try (ResultSet keys = db.getMetaData().getImportedKeys(null, "public", "smoke_book")) {
      equal(keys.next(), true);
      equal(keys.getString("PKTABLE_NAME"), "smoke_author");
    }
  }

  private static void insert() throws Exception {
    PGobject doc = new PGobject();
    doc.setType("jsonb");
    doc.setValue("{\"deep\": [1, null]}");
    try (PreparedStatement insert = db.prepareStatement("INSERT INTO smoke_value VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")) {
      Object[] values = {
        1, null, BIG_INTEGER, AMOUNT, WORDS, BYTES, AT, doc, IDENT,
        db.createArrayOf("int4", new Integer[] {Integer.MIN_VALUE, 0, Integer.MAX_VALUE}),
        db.createArrayOf("text", new String[] {"a,b", WORDS}),
      };
      for (int at = 0; at < values.length; at++) insert.setObject(at + 1, values[at]);
      equal(insert.executeUpdate(), 1);
    }
  }

  /** Often enough that the driver prepares the statement on the server, and takes binary results. */
  private static void read() throws Exception {
    try (PreparedStatement select = db.prepareStatement("SELECT * FROM smoke_value WHERE id = ?")) {
      for (int n = 0; n < 8; n++) {
        select.setInt(1, 1);
        try (ResultSet row = select.executeQuery()) {
          equal(row.next(), true);
          equal(row.getString("nil"), null);
          equal(row.getLong("big"), BIG_INTEGER);
          equal(row.getBigDecimal("amount"), AMOUNT);
          equal(row.getString("words"), WORDS);
          equal(Arrays.equals(row.getBytes("bytes"), BYTES), true);
          equal(row.getObject("at", OffsetDateTime.class).toInstant(), AT.toInstant());
          equal(row.getString("doc"), "{\"deep\": [1, null]}");
          equal(row.getObject("ident"), IDENT);
          equal(Arrays.asList((Integer[]) row.getArray("list").getArray()).toString(), "[-2147483648, 0, 2147483647]");
          equal(Arrays.asList((String[]) row.getArray("names").getArray()).toString(), "[a,b, " + WORDS + "]");
        }
      }
    }
  }

  private static void transaction(Step step) throws Exception {
    db.setAutoCommit(false);
    try {
      step.run();
    } finally {
      db.setAutoCommit(true);
    }
  }

  private static void commit() throws Exception {
    transaction(() -> {
      int id = insertAuthor("kept");
      run("INSERT INTO smoke_book (author_id, title) VALUES (" + id + ", 'kept')");
      db.commit();
    });
    equal(authorsLike("kept"), 1L);
  }

  private static void rollback() throws Exception {
    transaction(() -> {
      insertAuthor("gone");
      var here = db.setSavepoint("here");
      equal(stateOf(() -> run("SELECT 1 / 0")), "22012");
      db.rollback(here);
      equal(authorsLike("gone"), 1L);
      db.rollback();
    });
    equal(authorsLike("gone"), 0L);
  }

  private static void batch() throws Exception {
    transaction(() -> {
      try (PreparedStatement insert = db.prepareStatement("INSERT INTO smoke_author (name) VALUES (?)")) {
        for (int n = 0; n < 300; n++) {
          insert.setString(1, "batch " + n);
          insert.addBatch();
        }
        equal(insert.executeBatch().length, 300);
      }
      db.commit();
    });
    equal(authorsLike("batch %"), 300L);
  }

  private static void unique() throws Exception {
    insertAuthor("only one");
    equal(stateOf(() -> insertAuthor("only one")), "23505");
  }

  private static void prepared() throws Exception {
    try (PreparedStatement twice = db.prepareStatement("SELECT ? * 2")) {
      for (int n = 0; n < 10; n++) {
        twice.setInt(1, n);
        try (ResultSet row = twice.executeQuery()) {
          row.next();
          equal(row.getInt(1), 2 * n);
        }
      }
    }
  }

  private static void cursor() throws Exception {
    transaction(() -> {
      try (Statement select = db.createStatement()) {
        select.setFetchSize(100);
        int read = 0;
        try (ResultSet rows = select.executeQuery("SELECT n FROM generate_series(1, 250) AS n")) {
          while (rows.next()) equal(rows.getInt(1), ++read);
        }
        equal(read, 250);
      }
    });
  }

  private static void copy() throws Exception {
    var copies = db.unwrap(PGConnection.class).getCopyAPI();
    String lines = IntStream.range(0, 500).mapToObj(n -> "copied " + n + "\n").collect(Collectors.joining());
    equal(copies.copyIn("COPY smoke_author (name) FROM STDIN", new StringReader(lines)), 500L);
    StringWriter out = new StringWriter();
    copies.copyOut("COPY (SELECT name FROM smoke_author WHERE name LIKE 'copied %' ORDER BY id) TO STDOUT", out);
    equal(out.toString(), lines);
  }

  private static void ownWrites() throws Exception {
    for (int n = 1; n <= 20; n++) {
      insertAuthor("own " + n);
      equal(authorsLike("own %"), (long) n);
    }
  }

  private static String quoted(String text) {
    return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n").replace("\t", "\\t") + '"';
  }

  public static void main(String[] args) {
    Map<String, Step> steps = new LinkedHashMap<>();
    steps.put("connect", Smoke::connect);
    steps.put("schema", Smoke::schema);
    steps.put("insert", Smoke::insert);
    steps.put("read", Smoke::read);
    steps.put("commit", Smoke::commit);
    steps.put("rollback", Smoke::rollback);
    steps.put("batch", Smoke::batch);
    steps.put("unique", Smoke::unique);
    steps.put("prepared", Smoke::prepared);
    steps.put("cursor", Smoke::cursor);
    steps.put("copy", Smoke::copy);
    steps.put("own-writes", Smoke::ownWrites);
    boolean failed = false;
    for (var step : steps.entrySet()) {
      String name = quoted(step.getKey());
      try {
        step.getValue().run();
        System.out.println("{\"step\": " + name + ", \"ok\": true}");
      } catch (Exception | AssertionError error) {
        failed = true;
        System.out.println("{\"step\": " + name + ", \"ok\": false, \"error\": " + quoted(error.toString()) + "}");
        if (step.getKey().equals("connect") || step.getKey().equals("schema")) break;
      }
    }
    System.exit(failed ? 1 : 0);
  }
}
