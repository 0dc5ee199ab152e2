"""PyMySQL: texts, cursors that stream, several results, a local file, errors. Prints all it is told."""

import datetime
import decimal
import sys

import pymysql
import pymysql.cursors
from pymysql.constants import CLIENT

port, user, password, path = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]


def connect(**more):
    return pymysql.connect(
        host="127.0.0.1", port=port, user=user, password=password, database="shop", charset="utf8mb4", **more
    )


def tell(act):
    try:
        print("no error", act())
    except pymysql.MySQLError as problem:
        print(type(problem).__name__, problem.args)


connection = connect(local_infile=True, client_flag=CLIENT.MULTI_STATEMENTS)
print(connection.get_server_info())
with connection.cursor() as cursor:
    cursor.execute("create or replace table py (id int primary key auto_increment, t text, n decimal(12,3), w datetime(6), b blob)")
    rows = [("naïve “%d” o'b\\x" % i, decimal.Decimal(i) / 8, datetime.datetime(2024, 2, 29, 1, 2, 3, i), bytes([i, 0, 255])) for i in range(10)]
    print(cursor.executemany("insert into py (t, n, w, b) values (%s, %s, %s, %s)", rows), cursor.lastrowid)
    connection.commit()
    cursor.execute("select * from py where id > %s order by id", (3,))
    print(cursor.description, cursor.fetchall())
    tell(lambda: cursor.execute("select * from nowhere"))
    tell(lambda: cursor.execute("insert into py (id) values (1)"))
    connection.rollback()
    cursor.execute("select 1 a; update py set n = 0 where id = 1; select 'zwei' b")
    while True:
        print(cursor.rowcount, cursor.fetchall())
        if not cursor.nextset():
            break
    cursor.execute("create or replace procedure pyp(a int) begin select a; select a + 1; end")
    cursor.callproc("pyp", (5,))
    while True:
        print(cursor.fetchall())
        if not cursor.nextset():
            break
    print(cursor.execute("load data local infile '%s' into table py (id)" % path))
    tell(lambda: cursor.execute("load data local infile '/does/not/exist' into table py (id)"))
    cursor.execute("select count(*) from py")
    print(cursor.fetchall())
    connection.commit()
with connection.cursor(pymysql.cursors.SSCursor) as stream:
    stream.execute("select seq, repeat('x', 100) from seq_1_to_20000")
    print(sum(len(text) + number for number, text in stream))
connection.ping(reconnect=False)
connection.select_db("mysql")
with connection.cursor() as cursor:
    cursor.execute("select database()")
    print(cursor.fetchall())
    cursor.execute("select repeat('y', 17000000)")
    print([len(row[0]) for row in cursor.fetchall()])
connection.close()
tell(lambda: connect(init_command="frob"))
