"""libpq through psycopg2: cursors of the server, COPY, large objects, cancelling, notifications, errors."""
import datetime
import decimal
import io
import os
import select
import threading

import psycopg2
import psycopg2.extras

connection = psycopg2.connect(application_name="psycopg2")
connection.autocommit = False
cursor = connection.cursor()


def show(what, *values):
    print(what, *[repr(value) for value in values])


cursor.execute(
    "select %s::int, %s::text, %s::numeric, %s::timestamptz, %s::bytea, %s::int[], %s::jsonb, %s::bool",
    (
        1, "O'Hara ü 😀 \\ %", decimal.Decimal("12345.678900"),
        datetime.datetime(2026, 2, 28, 23, 59, tzinfo=datetime.timezone.utc),
        psycopg2.Binary(bytes(range(256))), [1, None, 3], psycopg2.extras.Json({"a": [1, None]}), None,
    ),
)
show("types", [value.tobytes() if isinstance(value, memoryview) else value for value in cursor.fetchone()])
show("columns", [(column.name, column.type_code) for column in cursor.description])

named = connection.cursor("portal")
named.itersize = 7
named.execute("select n, repeat('x', n) from generate_series(1, 30) n")
show("named", sum(len(text) for _, text in named), named.rowcount)
named.close()

cursor.execute("create table pair (n int primary key, t text)")
cursor.copy_expert("copy pair from stdin (format csv)", io.StringIO("".join(f"{n},row {n}\n" for n in range(1000))))
show("copied in", cursor.rowcount)
out = io.StringIO()
cursor.copy_expert("copy (select * from pair order by n limit 20) to stdout", out)
show("copied out", out.getvalue())
cursor.executemany("insert into pair values (%s, %s)", [(n, None) for n in range(2000, 2005)])
psycopg2.extras.execute_values(cursor, "insert into pair values %s", [(n, "v") for n in range(3000, 3100)])
cursor.execute("savepoint s")
for statement in ("select * from nowhere", "insert into pair values (1, 'again')"):
    try:
        cursor.execute(statement)
    except psycopg2.Error as error:
        diag = error.diag
        show("error", error.pgcode, diag.message_primary, diag.message_detail, diag.statement_position, diag.constraint_name)
    cursor.execute("rollback to s")
cursor.execute("select count(*), min(n), max(n) from pair")
show("counted", cursor.fetchall())
cursor.execute("do $$ begin raise notice 'a notice'; raise warning 'a warning' using hint = 'take care'; end $$")
show("notices", connection.notices)
connection.rollback()

large = connection.lobject(0, "wb")
oid = large.oid
large.write(os.urandom(0) + bytes(range(256)) * 1024)
large.seek(1000)
large.write(b"changed")
large.close()
again = connection.lobject(oid, "rb")
again.seek(990)
show("large object", again.read(30), again.seek(0, 2))
again.unlink()
connection.commit()

timer = threading.Timer(0.3, connection.cancel)
timer.start()
try:
    cursor.execute("select pg_sleep(60)")
except psycopg2.Error as error:
    show("cancelled", error.pgcode, str(error))
connection.rollback()

connection.autocommit = True
cursor.execute("listen news")
cursor.execute("notify news, 'hello'")
while not connection.notifies:
    select.select([connection], [], [], 20)
    connection.poll()
show("notified", [(note.channel, note.payload) for note in connection.notifies])
show("several", cursor.execute("select 1; select 2 where false; select 3"), cursor.fetchall())
show("status", connection.get_transaction_status(), connection.encoding, connection.get_parameter_status("DateStyle"))
connection.close()
