import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readText } from '../../../../protocols/mysql/sql/facts.ts'

const read = (text: string) => readText(new TextEncoder().encode(text))

/** `VERB a b.c` per part, and `!where` where one is missing. */
function parts(text: string): string {
  return read(text)
    .parts.map(({ verb, tables, where }) =>
      [
        verb,
        ...tables.map(({ schema, name }) => (schema === undefined ? name : `${schema}.${name}`)),
        ...(where === false ? ['!where'] : []),
      ].join(' '),
    )
    .join(' + ')
}

describe('what a statement does', () => {
  test.each([
    ['SELECT 1', 'SELECT'],
    ['select * from t', 'SELECT t'],
    ['(SELECT a FROM t1) UNION (SELECT b FROM `my db`.`t``2`)', 'SELECT t1 my db.t`2'],
    ['SELECT * FROM a, b c, d.e AS f LEFT JOIN g ON a.x = g.x, h WHERE i.j = 1', 'SELECT a b d.e g h'],
    ['SELECT * FROM (a, (b JOIN c USING (x))) WHERE 1', 'SELECT a b c'],
    ['SELECT x, (SELECT max(y) FROM u) FROM t WHERE z IN (SELECT z FROM v)', 'SELECT u t v'],
    ['SELECT EXTRACT(YEAR FROM d), TRIM(LEADING "x" FROM s), SUBSTRING(s FROM 2) FROM t', 'SELECT t'],
    ['SELECT * FROM t USE INDEX FOR ORDER BY (i), u FORCE INDEX (a, b), w', 'SELECT t u w'],
    ['SELECT * FROM t FOR SYSTEM_TIME ALL, u', 'SELECT t u'],
    ['SELECT * FROM t minus, secret', 'SELECT t secret'],
    ['SELECT * FROM t returning, secret', 'SELECT t secret'],
    ['SELECT a.from, a.where FROM t a, u ORDER BY a.order, b', 'SELECT t u'],
    ['SELECT * FROM JSON_TABLE(\'[]\', "$[*]" COLUMNS (a INT PATH "$")) j, t', 'SELECT t'],
    ['SELECT * FROM { OJ a LEFT OUTER JOIN b ON 1 }', 'SELECT a b'],
    ['SELECT * FROM oj, LATERAL (SELECT * FROM u) x', 'SELECT oj u'],
    ['TABLE t', 'SELECT t'],
    ['VALUES ROW(1, 2)', 'SELECT'],
    ['SELECT 1 FROM DUAL', 'SELECT'],
    ['SELECT * FROM t FOR UPDATE', 'SELECT t + LOCK t'],
    ['SELECT * FROM t LOCK IN SHARE MODE', 'SELECT t + LOCK t'],
    ['WITH x AS (SELECT * FROM a), y (c) AS (SELECT * FROM x, b) SELECT * FROM y, d', 'SELECT a b d'],
    ['WITH secret AS (SELECT * FROM secret) SELECT * FROM secret', 'SELECT secret'],
    ['WITH RECURSIVE n AS (SELECT 1 UNION SELECT n + 1 FROM n, t) SELECT * FROM n', 'SELECT t'],
    ['SELECT * FROM t WHERE 1 IN (WITH t AS (SELECT 1) SELECT * FROM t)', 'SELECT t t'],
    ['WITH x AS (SELECT 1 FROM a) DELETE FROM t WHERE id IN (SELECT * FROM x)', 'DELETE t + SELECT a'],
    ['INSERT INTO t VALUES (1, (SELECT 2 FROM u))', 'INSERT t + SELECT u'],
    ['insert ignore t (a) select b from u on duplicate key update a = 1', 'INSERT t + SELECT u + UPDATE t'],
    ['SELECT * FROM .t, u JOIN .`v`', 'SELECT t u v'],
    ['DELETE FROM .t', 'DELETE t !where'],
    ['DELETE .t FROM .t WHERE 1', 'DELETE t t'],
    ['WITH t AS (SELECT 1) DELETE FROM t', 'DELETE t !where + SELECT'],
    ['INSERT INTO t TABLE u', 'INSERT t + SELECT u'],
    ['REPLACE DELAYED db.t SET a = 1', 'REPLACE db.t'],
    ['UPDATE t SET a = 1', 'UPDATE t !where'],
    ['UPDATE t SET a = t.where', 'UPDATE t !where'],
    ['UPDATE t SET a = (SELECT 1 FROM u WHERE 1)', 'UPDATE t !where + SELECT u'],
    ['UPDATE t JOIN u ON t.a = u.a SET t.b = 1 WHERE u.c = 2', 'UPDATE t u'],
    ['DELETE FROM t', 'DELETE t !where'],
    ['DELETE QUICK FROM t WHERE a = 1', 'DELETE t'],
    ['DELETE a, b.* FROM t AS a JOIN u AS b WHERE 1', 'DELETE a b t u'],
    ['DELETE FROM a USING t AS a JOIN u AS b USING (x) WHERE 1', 'DELETE t u a u'],
    ['TRUNCATE TABLE t', 'TRUNCATE t'],
    ['LOAD DATA LOCAL INFILE "f" INTO TABLE t', 'LOAD DATA t'],
    ['CREATE TEMPORARY TABLE IF NOT EXISTS t (a INT)', 'CREATE t'],
    ['CREATE TABLE t LIKE u', 'CREATE t + SELECT u'],
    [
      'CREATE OR REPLACE DEFINER = `a`@`%` SQL SECURITY INVOKER VIEW v AS SELECT * FROM t',
      'CREATE v + SELECT t',
    ],
    ['CREATE UNIQUE INDEX i ON t (a)', 'CREATE t'],
    ['CREATE PROCEDURE p() SELECT 1', 'CREATE'],
    ['CREATE USER x IDENTIFIED BY "y"', 'CREATE ROLE'],
    ['ALTER TABLE t ADD COLUMN a INT', 'ALTER t'],
    ['ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u', 'ALTER t + SELECT u'],
    ['ALTER USER x IDENTIFIED BY "y"', 'ALTER ROLE'],
    ['DROP TABLE IF EXISTS a, b.c CASCADE', 'DROP a b.c'],
    ['DROP INDEX i ON t', 'DROP t'],
    ['DROP USER x', 'DROP ROLE'],
    ['RENAME TABLE a TO b, c.d TO e', 'RENAME a b c.d e'],
    ['OPTIMIZE NO_WRITE_TO_BINLOG TABLE a, b', 'OPTIMIZE a b'],
    ['ANALYZE TABLE a', 'ANALYZE a'],
    ['ANALYZE FORMAT=JSON DELETE FROM t', 'DELETE t !where'],
    ['EXPLAIN DELETE FROM t', 'EXPLAIN t'],
    ['EXPLAIN ANALYZE SELECT * FROM t', 'SELECT t'],
    ['EXPLAIN FORMAT = JSON UPDATE t SET a = 1', 'EXPLAIN t'],
    ['EXPLAIN FOR CONNECTION 5', 'EXPLAIN'],
    ['DESC t', 'DESCRIBE t'],
    ['SHOW FULL TABLES FROM x', 'SHOW'],
    ['SHOW TABLES WHERE (SELECT 1 FROM secret)', 'unknown'],
    ['LOCK TABLES a READ, b WRITE', 'LOCK a b'],
    ['CALL p(1)', 'CALL'],
    ['DO (SELECT 1 FROM t)', 'DO + SELECT t'],
    ['SET @a = (SELECT 1 FROM t)', 'SET + SELECT t'],
    ['SET GLOBAL read_only = 0', 'ALTER SYSTEM'],
    ['SET @@global.read_only = 0', 'ALTER SYSTEM'],
    ['SET PASSWORD = "x"', 'SET + ALTER ROLE'],
    ['SET @a = f(1, password), PASSWORD FOR x = "y", ROLE admin', 'SET + ALTER ROLE + SET ROLE'],
    ['SET @a = 1, DEFAULT ROLE admin FOR x', 'SET + SET ROLE'],
    ['SET @password = 1, `role` = 2', 'SET'],
    ['SET STATEMENT max_statement_time = 1 FOR DELETE FROM t', 'DELETE t !where'],
    ['PREPARE s FROM "DROP TABLE t"', 'PREPARE + DROP t'],
    ['PREPARE s FROM @v', 'unknown'],
    ["PREPARE s FROM 'SELECT 1' ' FROM t'", 'unknown'],
    ["EXECUTE IMMEDIATE 'DELETE FROM t'", 'EXECUTE + DELETE t !where'],
    ['EXECUTE IMMEDIATE @v', 'unknown'],
    ['EXECUTE s USING @a', 'EXECUTE'],
    ['BEGIN', 'BEGIN'],
    ['BEGIN NOT ATOMIC DELETE FROM t; END', 'unknown'],
    ['START TRANSACTION READ WRITE', 'BEGIN'],
    ['START SLAVE', 'unknown'],
    ['KILL QUERY 5', 'KILL'],
    ['SELECT * FROM t INTO OUTFILE "/tmp/x"', 'unknown'],
    ['SELECT 1; DROP TABLE x', 'SELECT + DROP x'],
    ['SELECT 1; FROB x', 'unknown'],
    ['INSTALL PLUGIN x SONAME "y"', 'unknown'],
    ['', ''],
    ['-- nothing\n;;', ''],
  ])('%s', (text, expected) => {
    expect(parts(text)).toBe(expected)
  })
})

describe('functions that reach further than the statement around them', () => {
  test.each([
    ["SELECT load_file('/etc/passwd')", 'SELECT + CALL'],
    ["select a from t where b = LOAD_FILE ('x')", 'SELECT t + CALL'],
    ["SELECT `load_file`('x')", 'SELECT + CALL'],
    ['SELECT "load_file"(\'x\')', 'SELECT + CALL'],
    ["SELECT mariadb_schema.load_file('x')", 'SELECT + CALL'],
    ["SELECT /*! load_file */('x')", 'SELECT + CALL'],
    ["SELECT load_/**/file('x')", 'SELECT'],
    ['SELECT nextval(s)', 'SELECT + CALL'],
    ['SELECT setval(s, 100)', 'SELECT + CALL'],
    ['SELECT NEXT VALUE FOR shop.s', 'SELECT + CALL'],
    ['SELECT s.nextval', 'SELECT + CALL'],
    ['SELECT * FROM t WHERE id IN (SELECT next value for s)', 'SELECT t + CALL'],
    ['WITH x AS (SELECT nextval(s)) SELECT * FROM x', 'SELECT + CALL'],
    ["TABLE t UNION SELECT load_file('x')", 'SELECT t + CALL'],
    ["VALUES ROW(load_file('x'))", 'SELECT + CALL'],
    ['INSERT INTO t VALUES (NEXT VALUE FOR s)', 'INSERT t + CALL'],
    ["SET @a = load_file('x')", 'SET + CALL'],
    ["SHOW TABLES WHERE load_file('x') = ''", 'SHOW + CALL'],
    ["HANDLER t READ FIRST WHERE load_file('x') = ''", 'HANDLER t + CALL'],
    ["DO load_file('x')", 'DO + CALL'],
    ['CALL p(nextval(s))', 'CALL'],
    ["PREPARE q FROM 'SELECT nextval(s)'", 'PREPARE + SELECT + CALL'],
    ["EXECUTE IMMEDIATE 'SELECT ?' USING load_file('x')", 'EXECUTE + SELECT + CALL'],
    ['ANALYZE FORMAT=JSON SELECT nextval(s)', 'SELECT + CALL'],
    ["EXPLAIN SELECT load_file('x')", 'EXPLAIN'],
    ["SELECT sys_exec('id'), spider_direct_sql('x', 'y', 'z')", 'SELECT + CALL'],
    ['SELECT group_replication_set_as_primary(@@server_uuid)', 'SELECT + CALL'],
    ["SELECT 'load_file(1)', load_file FROM nextval", 'SELECT nextval'],
    ['SELECT lastval(s), PREVIOUS VALUE FOR s', 'SELECT'],
    ['SELECT next, value FROM t FOR UPDATE', 'SELECT t + LOCK t'],
  ])('%s', (text, expected) => {
    expect(parts(text)).toBe(expected)
  })
})

describe('comments that are code', () => {
  test.each([
    ['/*!50003 DROP TABLE x */', 'DROP x'],
    ['/*! DROP TABLE x */', 'DROP x'],
    ['SELECT /*+ NO_INDEX(t) */ * FROM t', 'SELECT t'],
    ['SELECT /* DROP TABLE x */ 1 # DELETE\n -- TRUNCATE\n', 'SELECT'],
    ['SELECT 1 -- \n; /*!40000 DELETE FROM t */', 'SELECT + DELETE t !where'],
  ])('%s', (text, expected) => {
    expect(parts(text)).toBe(expected)
    expect(read(text).disputed).toBeUndefined()
  })

  test.each([
    'DELETE FROM t /*!99999 WHERE id = 1 */',
    'SELECT 1 /*M! FROM secret */',
    '/*!100100 DROP TABLE x */',
    'SELECT 1 /*!50000 /* */ FROM t */',
    'SELECT 1 /* /* */ FROM t */',
    'SELECT 1 /*! # */\n */',
    '/*!99999 DROP TABLE x */',
    'SELECT 1 */',
    'SELECT 1 /*! FROM t',
    'SELECT "a\\" FROM t -- "',
    "SELECT 'a",
    'SELECT 1 \0; DROP TABLE x',
    'CREATE PROCEDURE p() SELECT 1; DROP TABLE x',
  ])('some servers read another text: %s', (text) => {
    expect(read(text).disputed).toBeTypeOf('string')
  })
})

test.each([
  ['SET SESSION TRANSACTION READ WRITE', ['read-only']],
  ['SET @@session.transaction_read_only = 0', ['read-only']],
  ['set `tx_read_only` = off', ['read-only']],
  ['START TRANSACTION READ WRITE', ['read-only']],
  ['SET NAMES gbk', ['text-reading']],
  ["SET sql_mode = concat('NO_', 'BACKSLASH_ESCAPES')", ['text-reading']],
  ["SELECT /*+ SET_VAR(sql_mode = 'ANSI_QUOTES') */ 1", ['text-reading']],
  ['SET STATEMENT sql_mode = ansi FOR SELECT 1', ['text-reading']],
  ['SET @sql_mode = 1', []],
  ['SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE', []],
])('%s touches %j', (text, touches) => {
  expect(read(text).touches).toEqual(touches)
})

test.each([
  ["SELECT * FROM t WHERE a = 'x' AND b IN (1, 2, 3)", 'SELECT * FROM t WHERE a = ? AND b IN(?, ...)'],
  ["ALTER USER a@'%' IDENTIFIED BY 'secret'", "ALTER USER a @'%' IDENTIFIED BY ?"],
  ["INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')", 'INSERT INTO t VALUES(?, ...), ...'],
  ["SELECT 'unended secret", 'SELECT ?'],
  ['SELECT  "secret" -- secret\n, ?', 'SELECT ?, ...'],
])('%s is shown as %s', (text, masked) => {
  expect(read(text).masked).toBe(masked)
})

test('names keep their letters', () => {
  expect(read('SELECT * FROM `größe`, 表').parts).toEqual([
    { verb: 'SELECT', tables: [{ name: 'größe' }, { name: '表' }] },
  ])
})

test('no text makes it throw or hang, and what it masks holds no literal', () => {
  const word = fc.constantFrom(
    ...[
      'SELECT',
      'FROM',
      't',
      ',',
      '(',
      ')',
      "'",
      '"',
      '`',
      '/*',
      '/*!',
      '*/',
      '--',
      ' ',
      '\n',
      ';',
      '.',
      '\\',
    ],
    ...[
      'WITH',
      'AS',
      'INSERT',
      'INTO',
      'DELETE',
      'WHERE',
      'SET',
      'PREPARE',
      'EXPLAIN',
      '@',
      '1',
      '#',
      '{',
      'OJ',
    ],
  )
  fc.assert(
    fc.property(fc.array(word, { maxLength: 40 }), (words) => {
      const facts = read(`${words.join('')} 'hidden'`)
      expect(facts.parts.filter(({ verb }) => verb === 'unknown').length).toBeLessThanOrEqual(1)
      expect(facts.masked.includes("'hidden'") && facts.disputed === undefined).toBe(false)
    }),
    { numRuns: 2000 },
  )
})

test('a long literal takes linear time', () => {
  const text = `SELECT '${'\\\\'.repeat(500_000)}${"''".repeat(500_000)}'`
  const before = performance.now()
  expect(parts(text)).toBe('SELECT')
  expect(performance.now() - before).toBeLessThan(2000)
})
