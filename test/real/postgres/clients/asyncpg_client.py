"""asyncpg: its own implementation of the protocol; binary everywhere, Flush, portals, cancelling by timeout."""
import asyncio
import datetime
import decimal
import io
import ipaddress
import uuid

import asyncpg


async def main():
    connection = await asyncpg.connect(server_settings={"application_name": "asyncpg"})
    values = (
        -5, 2**62, 1.5, decimal.Decimal("79228162514264337593543950335.000001"), "naïve 😀", b"\x00\x01\xfe",
        datetime.date(1999, 12, 31), datetime.datetime(2026, 6, 1, 12, 30, 15, 250000, tzinfo=datetime.timezone.utc),
        datetime.timedelta(days=3, seconds=7), uuid.UUID("12345678-1234-5678-1234-567812345678"),
        [1, None, 3], [["a", "b"], ["c", None]], '{"k": [1, 2]}', True, None, ipaddress.ip_address("10.0.0.7"),
        asyncpg.Range(1, 10),
    )
    types = (
        "int4", "int8", "float8", "numeric", "text", "bytea", "date", "timestamptz", "interval", "uuid",
        "int4[]", "text[]", "jsonb", "bool", "varchar", "inet", "int4range",
    )
    casts = ", ".join(f"${i + 1}::{name}" for i, name in enumerate(types))
    print("types", tuple(await connection.fetchrow(f"select {casts}", *values)))
    await connection.execute("create temp table pair (n int primary key, t text)")
    await connection.executemany("insert into pair values ($1, $2)", [(n, f"row {n}") for n in range(100)])
    print("copied", await connection.copy_records_to_table("pair", records=[(n, "c") for n in range(200, 700)]))
    out = io.BytesIO()
    print("out", await connection.copy_from_query("select * from pair where n < $1 order by n", 5, output=out, format="csv"))
    print(out.getvalue())
    statement = await connection.prepare("select t from pair where n = $1")
    print("prepared", [await statement.fetchval(n) for n in range(3)], statement.get_parameters()[0].name)
    async with connection.transaction():
        print("cursor", [row["n"] async for row in connection.cursor("select n from pair order by n", prefetch=7)][-3:])
        cursor = await connection.cursor("select n from pair order by n")
        print("steps", [row["n"] for row in await cursor.fetch(3)], await cursor.forward(10), tuple(await cursor.fetchrow()))
        try:
            async with connection.transaction():
                await connection.execute("insert into pair values (1, 'again')")
        except asyncpg.PostgresError as error:
            print("error", error.sqlstate, error, error.detail)
        print("still", await connection.fetchval("select count(*) from pair"))
    for sql, arguments in (("select 1 / $1::int", (0,)), ("select * frm x", ()), ("select $1::int", ("x",))):
        try:
            await connection.fetch(sql, *arguments)
        except (asyncpg.PostgresError, asyncpg.DataError) as error:
            print("refused", getattr(error, "sqlstate", None), error)
    try:
        await connection.fetchval("select pg_sleep(60)", timeout=0.3)
    except asyncio.TimeoutError:
        print("timed out, and goes on:", await connection.fetchval("select 42"))
    heard = asyncio.get_running_loop().create_future()
    await connection.add_listener("news", lambda _, __, channel, payload: heard.done() or heard.set_result((channel, payload)))
    await connection.execute("notify news, 'hello'")
    print("notified", await asyncio.wait_for(heard, 20))
    await connection.reset()
    await connection.close()


asyncio.run(main())
