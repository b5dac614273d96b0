// The smoke program of pgx, by its own interface and pool. It prints one line of JSON for each step, {"step": name, "ok": true} or
// {"step": name, "ok": false, "error": text}; the runner reads them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	bigInteger int64 = 9007199254740993
	amount           = "-123456789012345678901234.0000000001"
	words            = "déjà vu, “quoted”, 数据, 🛰, a\ttab"
	ident            = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	ownWrites        = 20
)

var blob = []byte{0, 1, 127, 128, 254, 255, 0}
var at = time.Date(2026, 11, 30, 23, 59, 59, 123456000, time.UTC)

var schema = []string{
	"CREATE TABLE smoke_author (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE)",
	"CREATE TABLE smoke_book (id serial PRIMARY KEY, author_id int NOT NULL REFERENCES smoke_author (id) ON DELETE CASCADE, title text NOT NULL)",
	"CREATE TABLE smoke_value (id int PRIMARY KEY, nil text, big bigint, amount numeric(40, 10), words text, bytes bytea, at timestamptz, doc jsonb, ident uuid, list int[], names text[])",
}

var ctx = context.Background()
var db *pgxpool.Pool

func equal(what string, actual, expected any) error {
	if !reflect.DeepEqual(actual, expected) {
		return fmt.Errorf("%s: %v instead of %v", what, actual, expected)
	}
	return nil
}

func stateOf(err error) string {
	var told *pgconn.PgError
	if errors.As(err, &told) {
		return told.Code
	}
	return fmt.Sprint(err)
}

func authorsLike(name string, expected int) error {
	var n int
	if err := db.QueryRow(ctx, "SELECT count(*) FROM smoke_author WHERE name LIKE $1", name).Scan(&n); err != nil {
		return err
	}
	return equal("authors like "+name, n, expected)
}

func insertAuthor(name string) error {
	_, err := db.Exec(ctx, "INSERT INTO smoke_author (name) VALUES ($1)", name)
	return err
}

func insert() error {
	doc := map[string]any{"deep": []any{1, nil, words}}
	_, err := db.Exec(ctx, "INSERT INTO smoke_value VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
		1, nil, bigInteger, amount, words, blob, at, doc, ident, []int32{-2147483648, 0, 2147483647}, []string{"a,b", words})
	return err
}

func read() error {
	var (
		nothing           *string
		big               int64
		text, shown, uuid string
		bytes             []byte
		when              time.Time
		doc               map[string]any
		list              []int32
		names             []string
	)
	row := db.QueryRow(ctx, "SELECT nil, big, amount::text, words, bytes, at, doc, ident::text, list, names FROM smoke_value WHERE id = $1", 1)
	if err := row.Scan(&nothing, &big, &shown, &text, &bytes, &when, &doc, &uuid, &list, &names); err != nil {
		return err
	}
	return errors.Join(
		equal("nil", nothing == nil, true), equal("big", big, bigInteger), equal("amount", shown, amount),
		equal("words", text, words), equal("bytes", bytes, blob), equal("at", when.UTC(), at),
		equal("doc", doc, map[string]any{"deep": []any{1.0, nil, words}}), equal("ident", uuid, ident),
		equal("list", list, []int32{-2147483648, 0, 2147483647}), equal("names", names, []string{"a,b", words}))
}

func commit() error {
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		var id int
		if err := tx.QueryRow(ctx, "INSERT INTO smoke_author (name) VALUES ('kept') RETURNING id").Scan(&id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO smoke_book (author_id, title) VALUES ($1, 'kept')", id)
		return err
	})
	return errors.Join(err, authorsLike("kept", 1))
}

func rollback() error {
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, "INSERT INTO smoke_author (name) VALUES ($1)", "gone"); err != nil {
		return err
	}
	inner, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	_, failed := inner.Exec(ctx, "SELECT 1 / 0")
	if err := errors.Join(equal("SQLSTATE", stateOf(failed), "22012"), inner.Rollback(ctx), tx.Rollback(ctx)); err != nil {
		return err
	}
	return authorsLike("gone", 0)
}

func batch() error {
	queued := &pgx.Batch{}
	for n := range 50 {
		queued.Queue("INSERT INTO smoke_author (name) VALUES ($1)", fmt.Sprint("batch ", n))
	}
	if err := db.SendBatch(ctx, queued).Close(); err != nil {
		return err
	}
	failing := &pgx.Batch{}
	failing.Queue("INSERT INTO smoke_author (name) VALUES ($1)", "batch more")
	failing.Queue("INSERT INTO smoke_author (name) VALUES ($1)", "batch 1")
	return errors.Join(equal("SQLSTATE", stateOf(db.SendBatch(ctx, failing).Close()), "23505"), authorsLike("batch %", 50))
}

func unique() error {
	if err := insertAuthor("only one"); err != nil {
		return err
	}
	return equal("SQLSTATE", stateOf(insertAuthor("only one")), "23505")
}

func prepared() error {
	conn, err := db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Conn().Prepare(ctx, "twice", "SELECT $1::int * 2"); err != nil {
		return err
	}
	for n := range 5 {
		var twice int
		if err := conn.QueryRow(ctx, "twice", n).Scan(&twice); err != nil {
			return err
		}
		if err := equal("twice", twice, 2*n); err != nil {
			return err
		}
	}
	return conn.Conn().Deallocate(ctx, "twice")
}

func cursor() error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, "DECLARE many CURSOR FOR SELECT n FROM generate_series(1, 250) AS n"); err != nil {
		return err
	}
	var read []int64
	for {
		tag, err := tx.Exec(ctx, "FETCH 100 FROM many")
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return equal("rows", read, []int64{100, 100, 50})
		}
		read = append(read, tag.RowsAffected())
	}
}

func copyRows() error {
	rows := make([][]any, 500)
	for n := range rows {
		rows[n] = []any{fmt.Sprint("copied ", n)}
	}
	copied, err := db.CopyFrom(ctx, pgx.Identifier{"smoke_author"}, []string{"name"}, pgx.CopyFromRows(rows))
	if err != nil {
		return err
	}
	conn, err := db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var out strings.Builder
	_, err = conn.Conn().PgConn().CopyTo(ctx, &out, "COPY (SELECT name FROM smoke_author WHERE name LIKE 'copied %') TO STDOUT")
	return errors.Join(err, equal("copied", copied, int64(500)), equal("lines", strings.Count(out.String(), "\n"), 500))
}

func ownWritesSeen() error {
	for n := 1; n <= ownWrites; n++ {
		if err := errors.Join(insertAuthor(fmt.Sprint("own ", n)), authorsLike("own %", n)); err != nil {
			return err
		}
	}
	return nil
}

func connect() error {
	var err error
	if db, err = pgxpool.New(ctx, os.Getenv("SMOKE_URL")); err != nil {
		return err
	}
	return db.Ping(ctx)
}

func makeTables() error {
	for _, statement := range schema {
		if _, err := db.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	steps := []struct {
		name string
		run  func() error
	}{
		{"connect", connect}, {"schema", makeTables}, {"insert", insert}, {"read", read}, {"commit", commit},
		{"rollback", rollback}, {"batch", batch}, {"unique", unique}, {"prepared", prepared}, {"cursor", cursor},
		{"copy", copyRows}, {"own-writes", ownWritesSeen},
	}
	failed := false
	for _, step := range steps {
		line := map[string]any{"step": step.name, "ok": true}
		if err := step.run(); err != nil {
			failed = true
			line["ok"], line["error"] = false, err.Error()
		}
		text, _ := json.Marshal(line)
		fmt.Println(string(text))
		if line["ok"] == false && (step.name == "connect" || step.name == "schema") {
			break
		}
	}
	if failed {
		os.Exit(1)
	}
}
