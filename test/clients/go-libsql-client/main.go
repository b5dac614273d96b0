// The smoke program of libsql-client-go (database/sql; Hrana 2 over HTTP, or Hrana 1 over WebSocket). It prints one line of
// JSON for each step, {"step": name, "ok": true} or {"step": name, "ok": false, "error": text}; the runner reads them.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"

	_ "github.com/tursodatabase/libsql-client-go/libsql"
)

const (
	bigInteger int64   = 9007199254740993
	fraction   float64 = -1234.015625
	words              = "déjà vu, “quoted”, 数据, 🛰, a\ttab"
	ownWrites          = 20
)

var blob = []byte{0, 1, 127, 128, 254, 255, 0}

var schema = []string{
	"CREATE TABLE smoke_author (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
	"CREATE TABLE smoke_book (id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL REFERENCES smoke_author (id) ON DELETE CASCADE, title TEXT NOT NULL)",
	"CREATE TABLE smoke_value (id INTEGER PRIMARY KEY, nil TEXT, big INTEGER, small INTEGER, fraction REAL, words TEXT, bytes BLOB)",
}

var db *sql.DB

func equal(what string, actual, expected any) error {
	if actual != expected {
		return fmt.Errorf("%s: %v instead of %v", what, actual, expected)
	}
	return nil
}

// first returns the first error there is.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// failsWith wants an error that says `part`.
func failsWith(err error, part string) error {
	if err == nil {
		return fmt.Errorf("it succeeded, and had to fail with %q", part)
	}
	if !strings.Contains(err.Error(), part) {
		return fmt.Errorf("%q is not in %q", part, err.Error())
	}
	return nil
}

func counted(table, column, value string, expected int) error {
	var n int
	query := fmt.Sprintf("SELECT count(*) FROM %s WHERE %s LIKE ?", table, column)
	if err := db.QueryRow(query, value).Scan(&n); err != nil {
		return err
	}
	return equal(fmt.Sprintf("rows of %s like %q", table, value), n, expected)
}

func insertedID(statement string, args ...any) (int64, error) {
	result, err := db.Exec(statement, args...)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

func affected(expected int64, statement string, args ...any) error {
	result, err := db.Exec(statement, args...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	return first(err, equal("rows affected by "+statement, n, expected))
}

func read() error {
	var (
		id, big, small int64
		null           sql.NullString
		number         float64
		text           string
		data           []byte
	)
	row := db.QueryRow("SELECT * FROM smoke_value WHERE id = ?", 1)
	if err := row.Scan(&id, &null, &big, &small, &number, &text, &data); err != nil {
		return err
	}
	var types string
	err := db.QueryRow("SELECT typeof(nil) || typeof(big) || typeof(small) || typeof(fraction) || typeof(words) || typeof(bytes) FROM smoke_value WHERE id = 1").Scan(&types)
	return first(
		err,
		equal("null", null.Valid, false),
		equal("2^53+1", big, bigInteger),
		equal("smallest integer", small, int64(math.MinInt64)),
		equal("float", number, fraction),
		equal("text", text, words),
		equal("blob", bytes.Equal(data, blob), true),
		equal("types", types, "nullintegerintegerrealtextblob"),
	)
}

func lastID() error {
	one, err := insertedID("INSERT INTO smoke_author (name) VALUES (?)", "first")
	if err != nil {
		return err
	}
	two, err := insertedID("INSERT INTO smoke_author (name) VALUES (:name)", sql.Named("name", "second"))
	return first(err, equal("second id", two, one+1))
}

func commit() error {
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	result, err := tx.Exec("INSERT INTO smoke_author (name) VALUES ('committed')")
	if err != nil {
		return err
	}
	id, err := result.LastInsertId()
	if err != nil {
		return err
	}
	if _, err := tx.Exec("INSERT INTO smoke_book (author_id, title) VALUES (?, 'kept')", id); err != nil {
		return err
	}
	return first(tx.Commit(), counted("smoke_author", "name", "committed", 1), counted("smoke_book", "title", "kept", 1))
}

func rollback() error {
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	_, err = tx.Exec("INSERT INTO smoke_author (name) VALUES ('rolled back')")
	return first(err, tx.Rollback(), counted("smoke_author", "name", "rolled back", 0))
}

func cascade() error {
	id, err := insertedID("INSERT INTO smoke_author (name) VALUES ('with books')")
	if err != nil {
		return err
	}
	_, err = db.Exec("INSERT INTO smoke_book (author_id, title) VALUES (?, 'cascade'), (?, 'cascade')", id, id)
	if err = first(err, affected(1, "DELETE FROM smoke_author WHERE id = ?", id)); err != nil {
		return err
	}
	_, orphan := db.Exec("INSERT INTO smoke_book (author_id, title) VALUES (999999, 'orphan')")
	return first(counted("smoke_book", "title", "cascade", 0), failsWith(orphan, "FOREIGN KEY constraint failed"))
}

func unique() error {
	if _, err := db.Exec("INSERT INTO smoke_author (name) VALUES ('only one')"); err != nil {
		return err
	}
	_, err := db.Exec("INSERT INTO smoke_author (name) VALUES ('only one')")
	return failsWith(err, "UNIQUE constraint failed: smoke_author.name")
}

func infinity() error {
	var more, less any
	var after string
	err := db.QueryRow("SELECT 9e999, -9e999, 'after'").Scan(&more, &less, &after)
	return first(err, equal("the column behind", after, "after"))
}

func seesOwnWrites() error {
	for n := 1; n <= ownWrites; n++ {
		if _, err := db.Exec("INSERT INTO smoke_author (name) VALUES (?)", fmt.Sprintf("own %d", n)); err != nil {
			return err
		}
		if err := counted("smoke_author", "name", "own %", n); err != nil {
			return err
		}
	}
	return nil
}

type step struct {
	name string
	run  func() error
}

var steps = []step{
	{"connect", func() error {
		var one int
		return first(db.QueryRow("SELECT 1").Scan(&one), equal("one", one, 1))
	}},
	{"schema", func() error {
		for _, statement := range schema {
			if _, err := db.Exec(statement); err != nil {
				return err
			}
		}
		return counted("sqlite_schema", "sql", "CREATE TABLE smoke%", len(schema))
	}},
	{"insert", func() error {
		return affected(1, "INSERT INTO smoke_value VALUES (?, ?, ?, ?, ?, ?, ?)", 1, nil, bigInteger, int64(math.MinInt64), fraction, words, blob)
	}},
	{"read", read},
	{"last-id", lastID},
	{"changes", func() error {
		return first(
			affected(3, "INSERT INTO smoke_value (id) VALUES (10), (11), (12)"),
			affected(2, "UPDATE smoke_value SET words = 'changed' WHERE id IN (10, 11)"),
			affected(3, "DELETE FROM smoke_value WHERE id >= 10"),
		)
	}},
	{"commit", commit},
	{"rollback", rollback},
	{"batch", func() error {
		// Over HTTP the driver takes several statements in one call and sends them as a batch.
		_, err := db.Exec("INSERT INTO smoke_author (name) VALUES ('batch one'); INSERT INTO smoke_author (name) VALUES ('batch two');")
		return first(err, counted("smoke_author", "name", "batch %", 2))
	}},
	{"cascade", cascade},
	{"unique", unique},
	{"infinity", infinity},
	{"own-writes", seesOwnWrites},
}

// guarded turns a panic of the driver into the error of the step.
func guarded(run func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the driver panicked: %v", cause)
		}
	}()
	return run()
}

func main() {
	url := os.Getenv("SMOKE_URL")
	opened, err := sql.Open("libsql", url)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	db = opened
	failed := false
	for _, step := range steps {
		if step.name == "batch" && strings.HasPrefix(url, "ws") {
			continue
		}
		report := map[string]any{"step": step.name, "ok": true}
		err := guarded(step.run)
		if err != nil {
			failed = true
			report["ok"] = false
			report["error"] = err.Error()
		}
		line, _ := json.Marshal(report)
		fmt.Println(string(line))
		if err != nil && (step.name == "connect" || step.name == "schema") {
			break
		}
	}
	if failed {
		os.Exit(1)
	}
}
