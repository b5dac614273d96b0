-- What Prisma makes of schema.prisma (`migrate diff`, which needs a downloaded engine); libSQL users apply it themselves.
CREATE TABLE "smoke_author" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "name" TEXT NOT NULL
);
CREATE TABLE "smoke_book" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "author_id" INTEGER NOT NULL,
    "title" TEXT NOT NULL,
    CONSTRAINT "smoke_book_author_id_fkey" FOREIGN KEY ("author_id") REFERENCES "smoke_author" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE "smoke_value" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "nil" TEXT,
    "big" BIGINT,
    "small" BIGINT,
    "fraction" REAL,
    "words" TEXT,
    "bytes" BLOB
);
CREATE UNIQUE INDEX "smoke_author_name_key" ON "smoke_author"("name");
