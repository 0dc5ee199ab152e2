"""libpq through psycopg 3: pipelines, binary parameters, prepared statements, single rows, COPY in blocks."""
import datetime
import decimal
import logging
import uuid

import psycopg

# When an error is noticed, before or at the end of a pipeline, is a matter of time; so is what it says of that.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

with psycopg.connect(application_name="psycopg3", autocommit=True) as connection:
    cursor = connection.cursor(binary=True)
    cursor.execute(
        "select %b::int4, %b::int8, %b::float8, %b::text, %b::numeric, %b::date, %b::uuid, %b::bytea, %b::int4[], %b::text[]",
        (
            7, 2**60, 0.1, "naïve", decimal.Decimal("-0.00012"), datetime.date(2026, 3, 1),
            uuid.UUID(int=5), b"\x00\xff", [1, 2], ["a", None],
        ),
    )
    print("binary", cursor.fetchone())
    cursor = connection.cursor()
    cursor.execute("create temp table pair (n int primary key, t text)")

    with connection.pipeline() as pipeline:
        for n in range(50):
            cursor.execute("insert into pair values (%s, %s)", (n, f"row {n}"))
        pipeline.sync()
        counted = connection.execute("select count(*) from pair")
        print("pipelined", counted.fetchone())

    def fails():
        with connection.transaction():
            with connection.pipeline():
                cursor.execute("insert into pair values (100, 'lost')")
                cursor.execute("select 1 / 0")
                cursor.execute("insert into pair values (101, 'lost too')")

    try:
        fails()
    except psycopg.Error as error:
        print("failed", type(error).__name__, error.sqlstate, error)
    print("nothing of it", connection.execute("select count(*) from pair where n >= 100").fetchone())

    for n in range(8):
        cursor.execute("select t from pair where n = %s", (n,), prepare=True)
    print("prepared", cursor.fetchall(), connection.execute("select count(*) from pg_prepared_statements").fetchone())
    print("streamed", sum(n for n, in cursor.stream("select n from generate_series(1, 1000) n")))
    with cursor.copy("copy pair (n, t) from stdin (format binary)") as copy:
        copy.set_types(["int4", "text"])
        for n in range(1000, 3000):
            copy.write_row((n, "b" * (n % 50)))
    with cursor.copy("copy (select n, t from pair order by n) to stdout") as copy:
        print("copied", sum(len(block) for block in copy))
    try:
        with cursor.copy("copy pair from stdin") as copy:
            copy.write(b"1\tone\n")
            raise KeyError("no more")
    except psycopg.errors.QueryCanceled as error:
        print("broken off", error.sqlstate)
    try:
        cursor.execute("select %s::int", ("x",))
    except psycopg.Error as error:
        print("refused", error.sqlstate, error.diag.message_primary)
    with connection.transaction(), connection.cursor("named") as named:
        named.execute("select n from generate_series(1, 100) n")
        print("named", named.fetchmany(3), named.scroll(50) or named.fetchone())
