/** A SQLite file with one of everything that is easily lost on the way. */
import { DatabaseSync } from 'node:sqlite';

const schema = `
PRAGMA application_id = 77; PRAGMA user_version = 42;
CREATE TABLE "odd ""name" ("a b" TEXT, "select" INTEGER, any);
CREATE TABLE keyed (id INTEGER PRIMARY KEY, t TEXT UNIQUE, r REAL, b BLOB);
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT);
CREATE TABLE emptied (id INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE typed (i INT, r REAL, t TEXT, b BLOB, a ANY) STRICT;
CREATE TABLE paired (k TEXT, n INTEGER, v, PRIMARY KEY (k, n DESC)) WITHOUT ROWID;
CREATE TABLE made (a INTEGER, twice INTEGER GENERATED ALWAYS AS (a * 2) STORED, thrice AS (a * 3));
CREATE TABLE hidden_rowid (rowid TEXT, v);
CREATE TABLE all_hidden (rowid, _rowid_, oid);
CREATE TABLE backwards (id INTEGER PRIMARY KEY DESC, v);
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent ON DELETE CASCADE);
CREATE TABLE many (a, b);
CREATE INDEX keyed_r ON keyed (r DESC, t COLLATE NOCASE) WHERE r > 0;
CREATE UNIQUE INDEX made_twice ON made (twice);
CREATE INDEX counted_lower ON counted (lower(t));
CREATE VIEW looked AS SELECT id, t FROM keyed WHERE r > 1;
CREATE TABLE log (what TEXT);
CREATE TRIGGER counted_in AFTER INSERT ON counted BEGIN INSERT INTO log VALUES ('in; ' || new.t); END;
CREATE TRIGGER looked_in INSTEAD OF INSERT ON looked BEGIN INSERT INTO keyed (t) VALUES (new.t); END;
CREATE VIRTUAL TABLE words USING fts5(title, body, tokenize = 'porter');
CREATE TABLE page (id INTEGER PRIMARY KEY, title TEXT, body TEXT);
CREATE VIRTUAL TABLE page_words USING fts5(title, body, content='page', content_rowid='id');
CREATE VIRTUAL TABLE bare USING fts5(body, content='');
CREATE VIRTUAL TABLE place USING rtree(id, x0, x1, y0, y1);
CREATE TABLE words_of_mine (t);
`;

/** Fills the database at `path`. */
export function makeAwkwardFile(path: string): void {
  const db = new DatabaseSync(path, { enableForeignKeyConstraints: false });
  db.exec(schema);
  const keyed = db.prepare('INSERT INTO keyed VALUES (?, ?, ?, ?)');
  const reals = [
    0.1,
    -0,
    1e308,
    5e-324,
    123456789.12345679,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ];
  for (const [at, real] of reals.entries())
    keyed.run(at * 1_000 + 7, `text ${at}`, real, new Uint8Array([0, at, 255]));
  keyed.run(9_007_199_254_740_993n, "it's\n\0\u{1F600}", null, new Uint8Array(0));
  keyed.run(-9_223_372_036_854_775_808n, '', 1, null);
  keyed.run(9_223_372_036_854_775_807n, null, 3, null);
  db.exec("INSERT INTO keyed VALUES (1, CAST(x'ff41c3' AS TEXT), 2, x'')");
  db.exec(
    `INSERT INTO "odd ""name" (rowid, "a b", "select", any) VALUES (5, 'x', 1, -0.0), (900, char(65533), 2, 9e999)`,
  );
  const odd = db.prepare('INSERT INTO "odd ""name" (rowid, any) VALUES (?, ?)');
  for (const [at, value] of [-0, 1.0, 1e19, 0.3, 'NaN', 1n].entries()) odd.run(2_000 + at, value);
  db.exec(`INSERT INTO typed VALUES (1, 1, 'a', x'00', 1.5), (-1, 2.5, char(0), zeroblob(9000), NULL);
    INSERT INTO paired VALUES ('b', 1, 1), ('a', 2, CAST(x'80' AS TEXT)), ('a', 9, 9e999);
    INSERT INTO made (a) VALUES (1), (2), (30);
    INSERT INTO hidden_rowid (_rowid_, rowid, v) VALUES (77, 'text', 1);
    INSERT INTO all_hidden VALUES (1, 2, 3);
    INSERT INTO backwards (rowid, id, v) VALUES (55, 1, 'x'), (44, 2, 'y');
    INSERT INTO child VALUES (1, 99);
    INSERT INTO counted (id, t) VALUES (10, 'Ten'), (1000, 'Gone'); DELETE FROM counted WHERE id = 1000;
    INSERT INTO emptied VALUES (500); DELETE FROM emptied;
    INSERT INTO words_of_mine VALUES ('mine');
    INSERT INTO words VALUES ('running', 'the quick brown foxes'), ('second', 'jumped over');
    INSERT INTO page VALUES (3, 'three', 'pages of words'), (8, 'eight', 'more');
    INSERT INTO page_words(page_words) VALUES ('rebuild');
    INSERT INTO bare(rowid, body) VALUES (12, 'without its content');
    INSERT INTO place VALUES (1, 0, 1, 0, 1), (2, 5, 6, 5, 6);
    ANALYZE;`);
  const many = db.prepare('INSERT INTO many VALUES (?, ?)');
  db.exec('BEGIN');
  for (let at = 0; at < 3_000; at += 1) many.run(at, `row ${at}`);
  db.exec('DELETE FROM many WHERE a % 7 = 3; COMMIT');
  db.close();
}
