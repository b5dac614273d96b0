"""SQLAlchemy's ORM over psycopg; tables by its metadata."""

from postgres_steps import ROW
from smoke_steps import OWN_WRITES, URL, equal, error_of, smoke
from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Integer, LargeBinary, Numeric, Text, Uuid
from sqlalchemy import create_engine, func, inspect, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, relationship

engine = create_engine(URL.replace("postgres://", "postgresql+psycopg://"))


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "smoke_author"
    id = mapped_column(Integer, Identity(always=True), primary_key=True)
    name = mapped_column(Text, nullable=False, unique=True)
    books = relationship("Book", cascade="all, delete", passive_deletes=True)


class Book(Base):
    __tablename__ = "smoke_book"
    id = mapped_column(Integer, primary_key=True)
    author_id = mapped_column(ForeignKey("smoke_author.id", ondelete="CASCADE"), nullable=False)
    title = mapped_column(Text, nullable=False)


class Value(Base):
    __tablename__ = "smoke_value"
    id = mapped_column(Integer, primary_key=True)
    nil = mapped_column(Text)
    big = mapped_column(BigInteger)
    amount = mapped_column(Numeric(40, 10))
    words = mapped_column(Text)
    bytes = mapped_column(LargeBinary)
    at = mapped_column(DateTime(timezone=True))
    doc = mapped_column(JSONB)
    ident = mapped_column(Uuid)
    list = mapped_column(ARRAY(Integer))
    names = mapped_column(ARRAY(Text))


def authors_like(name):
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(Author).where(Author.name.like(name)))


def add(*rows):
    with Session(engine) as session, session.begin():
        session.add_all(rows)


def connect():
    with engine.connect() as connection:
        equal(connection.scalar(text("SELECT 1")), 1)


def schema():
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)
    tables = inspect(engine).get_table_names()
    equal([name for name in sorted(tables) if name.startswith("smoke_")], ["smoke_author", "smoke_book", "smoke_value"])
    equal([key["referred_table"] for key in inspect(engine).get_foreign_keys("smoke_book")], ["smoke_author"])


def read():
    with Session(engine) as session:
        found = session.get(Value, 1)
        equal({name: getattr(found, name) for name in ROW}, ROW)


def commit():
    add(Author(name="kept", books=[Book(title="kept"), Book(title="kept too")]))
    with Session(engine) as session:
        equal(len(session.scalars(select(Author).where(Author.name == "kept")).one().books), 2)


def rollback():
    with Session(engine) as session:
        session.add(Author(name="gone"))
        session.flush()
        with session.begin_nested() as inner:
            session.add(Author(name="gone too"))
            session.flush()
            inner.rollback()
        session.rollback()
    equal(authors_like("gone%"), 0)


def batch():
    with Session(engine) as session, session.begin():
        session.execute(Author.__table__.insert(), [{"name": f"batch {n}"} for n in range(2_000)])
    equal(authors_like("batch %"), 2_000)


def unique():
    add(Author(name="only one"))
    error = error_of(lambda: add(Author(name="only one")))
    equal((type(error), error.orig.sqlstate), (IntegrityError, "23505"))


def prepared():
    # psycopg prepares a statement when it is run for the sixth time.
    with engine.connect() as connection:
        for n in range(10):
            equal(connection.scalar(text("SELECT CAST(:n AS int) * 2"), {"n": n}), 2 * n)


def cursor():
    with engine.connect().execution_options(stream_results=True, max_row_buffer=100) as connection:
        equal(sum(1 for _ in connection.execute(text("SELECT n FROM generate_series(1, 250) AS n"))), 250)


def own_writes():
    for n in range(1, OWN_WRITES + 1):
        add(Author(name=f"own {n}"))
        equal(authors_like("own %"), n)


smoke(
    {
        "connect": connect,
        "schema": schema,
        "insert": lambda: add(Value(**ROW)),
        "read": read,
        "commit": commit,
        "rollback": rollback,
        "batch": batch,
        "unique": unique,
        "prepared": prepared,
        "cursor": cursor,
        "own-writes": own_writes,
    }
)
