//! The smoke program of the `libsql` crate as a remote client (Hrana 3 over HTTP: pipelines and cursors). It prints one line of
//! JSON for each step, {"step": name, "ok": true} or {"step": name, "ok": false, "error": text}; the runner reads them.

use libsql::{params, Builder, Connection, TransactionBehavior, Value};
use std::future::Future;
use std::process::exit;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const BIG_INTEGER: i64 = 9_007_199_254_740_993;
const FRACTION: f64 = -1234.015625;
const WORDS: &str = "déjà vu, “quoted”, 数据, 🛰, a\ttab";
const BYTES: [u8; 7] = [0, 1, 127, 128, 254, 255, 0];
const OWN_WRITES: i64 = 20;

const SCHEMA: &str = "
    CREATE TABLE smoke_author (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE smoke_book (
        id INTEGER PRIMARY KEY,
        author_id INTEGER NOT NULL REFERENCES smoke_author (id) ON DELETE CASCADE,
        title TEXT NOT NULL
    );
    CREATE TABLE smoke_value (
        id INTEGER PRIMARY KEY, nil TEXT, big INTEGER, small INTEGER, fraction REAL, words TEXT, bytes BLOB
    );
";

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, actual: T, expected: T) -> Outcome {
    if actual == expected {
        Ok(())
    } else {
        Err(format!("{what}: {actual:?} instead of {expected:?}").into())
    }
}

/// Wants an error that says `part`.
fn fails_with<T>(result: libsql::Result<T>, part: &str) -> Outcome {
    match result {
        Ok(_) => Err(format!("it succeeded, and had to fail with {part:?}").into()),
        Err(error) if error.to_string().contains(part) => Ok(()),
        Err(error) => Err(format!("{part:?} is not in {:?}", error.to_string()).into()),
    }
}

async fn first_row(db: &Connection, sql: &str) -> Result<libsql::Row, Box<dyn std::error::Error>> {
    let mut rows = db.query(sql, ()).await?;
    rows.next().await?.ok_or_else(|| "no row".into())
}

async fn count(db: &Connection, table: &str, column: &str, like: &str) -> Result<i64, Box<dyn std::error::Error>> {
    let row = first_row(db, &format!("SELECT count(*) FROM {table} WHERE {column} LIKE '{like}'")).await?;
    Ok(row.get(0)?)
}

async fn connect(db: &Connection) -> Outcome {
    equal("SELECT 1", first_row(db, "SELECT 1").await?.get::<i64>(0)?, 1)
}

async fn schema(db: &Connection) -> Outcome {
    db.execute_batch(SCHEMA).await?;
    equal("tables", count(db, "sqlite_schema", "sql", "CREATE TABLE smoke%").await?, 3)
}

async fn insert(db: &Connection) -> Outcome {
    let sql = "INSERT INTO smoke_value VALUES (?, ?, ?, ?, ?, ?, ?)";
    let row = params![1, Value::Null, BIG_INTEGER, i64::MIN, FRACTION, WORDS, BYTES.to_vec()];
    equal("rows inserted", db.execute(sql, row).await?, 1)
}

async fn read(db: &Connection) -> Outcome {
    let row = first_row(db, "SELECT * FROM smoke_value WHERE id = 1").await?;
    equal("null", row.get_value(1)?, Value::Null)?;
    equal("2^53+1", row.get_value(2)?, Value::Integer(BIG_INTEGER))?;
    equal("smallest integer", row.get_value(3)?, Value::Integer(i64::MIN))?;
    equal("float", row.get_value(4)?, Value::Real(FRACTION))?;
    equal("text", row.get_value(5)?, Value::Text(WORDS.to_string()))?;
    equal("blob", row.get_value(6)?, Value::Blob(BYTES.to_vec()))
}

async fn last_id(db: &Connection) -> Outcome {
    db.execute("INSERT INTO smoke_author (name) VALUES (?)", ["first"]).await?;
    let first = db.last_insert_rowid();
    db.execute("INSERT INTO smoke_author (name) VALUES (:name)", [(":name", "second")]).await?;
    equal("second id", db.last_insert_rowid(), first + 1)
}

async fn changes(db: &Connection) -> Outcome {
    let inserted = db.execute("INSERT INTO smoke_value (id) VALUES (10), (11), (12)", ()).await?;
    equal("rows inserted", inserted, 3)?;
    let updated = db.execute("UPDATE smoke_value SET words = 'changed' WHERE id IN (10, 11)", ()).await?;
    equal("rows updated", updated, 2)?;
    equal("rows deleted", db.execute("DELETE FROM smoke_value WHERE id >= 10", ()).await?, 3)
}

async fn commit(db: &Connection) -> Outcome {
    let tx = db.transaction().await?;
    tx.execute("INSERT INTO smoke_author (name) VALUES ('committed')", ()).await?;
    let author = tx.last_insert_rowid();
    tx.execute("INSERT INTO smoke_book (author_id, title) VALUES (?, 'kept')", [author]).await?;
    equal("books seen inside", count(&tx, "smoke_book", "title", "kept").await?, 1)?;
    tx.commit().await?;
    equal("authors", count(db, "smoke_author", "name", "committed").await?, 1)?;
    equal("books", count(db, "smoke_book", "title", "kept").await?, 1)
}

async fn rollback(db: &Connection) -> Outcome {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).await?;
    tx.execute("INSERT INTO smoke_author (name) VALUES ('rolled back')", ()).await?;
    tx.rollback().await?;
    equal("authors", count(db, "smoke_author", "name", "rolled back").await?, 0)
}

async fn read_only(db: &Connection) -> Outcome {
    let tx = db.transaction_with_behavior(TransactionBehavior::ReadOnly).await?;
    count(&tx, "smoke_author", "name", "%").await?;
    let written = tx.execute("INSERT INTO smoke_author (name) VALUES ('read only')", ()).await;
    tx.rollback().await?;
    if written.is_ok() {
        return Err("a write in a read-only transaction succeeded".into());
    }
    equal("authors", count(db, "smoke_author", "name", "read only").await?, 0)
}

async fn batch(db: &Connection) -> Outcome {
    db.execute_transactional_batch(
        "INSERT INTO smoke_author (name) VALUES ('batch one'); INSERT INTO smoke_author (name) VALUES ('batch two');",
    )
    .await?;
    equal("authors", count(db, "smoke_author", "name", "batch %").await?, 2)?;
    let failed = db
        .execute_transactional_batch(
            "INSERT INTO smoke_author (name) VALUES ('batch three'); INSERT INTO smoke_author (name) VALUES ('batch one');",
        )
        .await;
    if failed.is_ok() {
        return Err("a batch with a duplicate succeeded".into());
    }
    equal("authors after the failed batch", count(db, "smoke_author", "name", "batch %").await?, 2)
}

async fn cascade(db: &Connection) -> Outcome {
    db.execute("INSERT INTO smoke_author (name) VALUES ('with books')", ()).await?;
    let author = db.last_insert_rowid();
    let sql = "INSERT INTO smoke_book (author_id, title) VALUES (?, 'cascade'), (?, 'cascade')";
    db.execute(sql, [author, author]).await?;
    db.execute("DELETE FROM smoke_author WHERE id = ?", [author]).await?;
    equal("books", count(db, "smoke_book", "title", "cascade").await?, 0)?;
    let orphan = db.execute("INSERT INTO smoke_book (author_id, title) VALUES (999999, 'orphan')", ()).await;
    fails_with(orphan, "FOREIGN KEY constraint failed")
}

async fn unique(db: &Connection) -> Outcome {
    let sql = "INSERT INTO smoke_author (name) VALUES ('only one')";
    db.execute(sql, ()).await?;
    fails_with(db.execute(sql, ()).await, "UNIQUE constraint failed: smoke_author.name")
}

async fn infinity(db: &Connection) -> Outcome {
    let row = first_row(db, "SELECT 9e999, -9e999, 'after'").await?;
    equal("the column behind", row.get::<String>(2)?, "after".to_string())
}

async fn own_writes(db: &Connection) -> Outcome {
    for n in 1..=OWN_WRITES {
        db.execute("INSERT INTO smoke_author (name) VALUES (?)", [format!("own {n}")]).await?;
        equal("authors", count(db, "smoke_author", "name", "own %").await?, n)?;
    }
    Ok(())
}

/// Runs one step and prints its line; answers whether it passed. A step that later ones need ends the program.
async fn report(name: &str, step: impl Future<Output = Outcome>, needed: bool) -> bool {
    let line = match step.await {
        Ok(()) => serde_json::json!({"step": name, "ok": true}),
        Err(error) => serde_json::json!({"step": name, "ok": false, "error": error.to_string()}),
    };
    println!("{line}");
    let passed = line["ok"] == true;
    if needed && !passed {
        exit(1);
    }
    passed
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::var("SMOKE_URL").unwrap_or_else(|_| "http://127.0.0.1:7011".to_string());
    let opened = Builder::new_remote(url, String::new())
        .connector(hyper::client::HttpConnector::new())
        .build()
        .await
        .and_then(|database| database.connect());
    let db = match opened {
        Ok(db) => db,
        Err(error) => {
            eprintln!("{error}");
            exit(1);
        }
    };
    let mut passed = report("connect", connect(&db), true).await;
    passed &= report("schema", schema(&db), true).await;
    passed &= report("insert", insert(&db), false).await;
    passed &= report("read", read(&db), false).await;
    passed &= report("last-id", last_id(&db), false).await;
    passed &= report("changes", changes(&db), false).await;
    passed &= report("commit", commit(&db), false).await;
    passed &= report("rollback", rollback(&db), false).await;
    passed &= report("batch", batch(&db), false).await;
    passed &= report("cascade", cascade(&db), false).await;
    passed &= report("unique", unique(&db), false).await;
    passed &= report("read-only", read_only(&db), false).await;
    passed &= report("infinity", infinity(&db), false).await;
    passed &= report("own-writes", own_writes(&db), false).await;
    exit(if passed { 0 } else { 1 });
}
