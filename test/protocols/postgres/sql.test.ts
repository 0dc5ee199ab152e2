import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  SQL_CACHE_BYTES_MAX,
  SQL_NESTING_MAX,
  SQL_PARSED_MAX,
  SqlReader,
} from '../../../protocols/postgres/sql.ts'
import type { StatementFacts, StatementPart } from '../../../protocols/statement-facts.ts'

let reader: SqlReader
beforeAll(async () => {
  reader = await SqlReader.load()
})

const read = (text: string, dependable = true) => reader.read(new TextEncoder().encode(text), dependable)

/** `DELETE a.b !` is a DELETE of a.b without a WHERE, `UPDATE t ?` an UPDATE with one. */
function told({ parts }: StatementFacts): string {
  const part = ({ verb, tables, where }: StatementPart) => {
    const names = tables
      .map(({ schema, name }) => (schema === undefined ? name : `${schema}.${name}`))
      .join(' ')
    return [verb, names, where === undefined ? '' : where ? '?' : '!'].filter((word) => word !== '').join(' ')
  }
  return parts.map(part).join(' / ')
}

describe('what a text does', () => {
  test.each([
    ['SELECT', 'SELECT'],
    ['SELECT * FROM a, b.c JOIN d ON true', 'SELECT a b.c d'],
    ['TABLE a', 'SELECT a'],
    ['VALUES (1)', 'SELECT'],
    ['SELECT 1; DROP TABLE x', 'SELECT / DROP x'],
    ['SELECT (SELECT max(x) FROM b) FROM a WHERE EXISTS (SELECT FROM c)', 'SELECT b a c'],
    ['SELECT * FROM (SELECT * FROM a UNION SELECT * FROM b) s', 'SELECT a b'],
    ['SELECT * INTO x FROM a', 'SELECT a / CREATE x'],
    ['SELECT 1 INTO x UNION SELECT 2', 'SELECT / CREATE x'],
    ['SELECT * FROM a FOR UPDATE', 'SELECT a / LOCK a'],
    ['SELECT * FROM (SELECT * FROM a FOR SHARE) s', 'SELECT a / LOCK a'],
    ['SELECT * FROM "Weird.Name", "A"."b c"', 'SELECT Weird.Name A.b c'],

    ['INSERT INTO a VALUES (1)', 'INSERT a'],
    ['INSERT INTO a VALUES ((SELECT x FROM b))', 'INSERT a / SELECT b'],
    ['INSERT INTO a SELECT * FROM b', 'INSERT a / SELECT b'],
    ['INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING', 'INSERT a'],
    [
      'INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET y = (SELECT z FROM b)',
      'INSERT a / UPDATE a ? / SELECT b',
    ],
    ['UPDATE s.a SET x = 1', 'UPDATE s.a !'],
    ['UPDATE a SET x = 1 FROM b WHERE a.id = b.id', 'UPDATE a ? / SELECT b'],
    ['UPDATE a SET x = (SELECT 1)', 'UPDATE a ! / SELECT'],
    ['DELETE FROM a', 'DELETE a !'],
    ['DELETE FROM a USING b WHERE true', 'DELETE a ? / SELECT b'],
    ['DELETE FROM a WHERE CURRENT OF c', 'DELETE a ?'],
    [
      'MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1)',
      'MERGE a / DELETE a ? / INSERT a / SELECT b',
    ],
    ['TRUNCATE a, s.b', 'TRUNCATE a s.b'],
    ['LOCK TABLE a', 'LOCK a'],

    ['WITH d AS (DELETE FROM a RETURNING *) SELECT * FROM d, e', 'SELECT e / DELETE a !'],
    ['WITH d AS (UPDATE a SET x = 1) DELETE FROM d', 'DELETE d ! / UPDATE a !'],
    ['WITH a AS (SELECT 1), b AS (DELETE FROM a) SELECT 1', 'SELECT / SELECT / DELETE a !'],
    ['WITH a AS (SELECT * FROM a) SELECT * FROM a', 'SELECT / SELECT a'],
    ['WITH a AS (SELECT 1), b AS (SELECT * FROM a, b) SELECT * FROM a, b, c', 'SELECT c / SELECT / SELECT b'],
    [
      'WITH RECURSIVE a AS (SELECT 1 UNION SELECT * FROM a, b), b AS (SELECT 2) SELECT * FROM b',
      'SELECT / SELECT / SELECT',
    ],
    [
      'WITH a AS (SELECT 1) SELECT * FROM (WITH b AS (SELECT * FROM a) SELECT * FROM b, a) x, b',
      'SELECT b / SELECT / SELECT',
    ],
    ['WITH a AS (SELECT 1) SELECT * FROM public.a', 'SELECT public.a / SELECT'],
    ['WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a', 'INSERT t / SELECT / SELECT'],

    ['EXPLAIN DELETE FROM a USING b', 'EXPLAIN a b'],
    ['EXPLAIN ANALYZE DELETE FROM a', 'EXPLAIN / DELETE a !'],
    ['EXPLAIN (VERBOSE, ANALYZE off, ANALYZE) DELETE FROM a', 'EXPLAIN / DELETE a !'],
    ["EXPLAIN WITH d AS (DELETE FROM a) SELECT nextval('s') FROM d, e FOR UPDATE", 'EXPLAIN e a'],
    ['COPY a TO STDOUT', 'COPY TO a'],
    ['COPY a FROM STDIN', 'COPY FROM a'],
    ['COPY (SELECT * FROM a) TO STDOUT', 'COPY TO / SELECT a'],
    ['COPY (DELETE FROM a RETURNING *) TO STDOUT', 'COPY TO / DELETE a !'],
    ["COPY a TO PROGRAM 'id'", 'COPY TO a / COPY PROGRAM'],
    ["COPY a FROM '/etc/passwd'", 'COPY FROM a / COPY FILE'],
    ['IDENTIFY_SYSTEM', 'REPLICATION'],
    ["\n BASE_BACKUP ( LABEL 'x' )", 'REPLICATION'],
    ['start_replication SLOT "s" LOGICAL 0/0', 'REPLICATION'],
    ['CREATE_REPLICATION_SLOT "s" TEMPORARY PHYSICAL', 'REPLICATION'],
    ['SHOW wal_segment_size', 'SHOW'],
    ['PREPARE x AS DELETE FROM a', 'PREPARE / DELETE a !'],
    ['EXECUTE x', 'EXECUTE'],
    ['DECLARE c CURSOR FOR SELECT * FROM a', 'DECLARE / SELECT a'],
    ['FETCH ALL FROM c', 'FETCH'],

    ['CREATE TABLE a (x int REFERENCES b)', 'CREATE a b'],
    ['CREATE TABLE a AS SELECT * FROM b', 'CREATE a / SELECT b'],
    ['CREATE TABLE a AS EXECUTE x', 'CREATE a / EXECUTE'],
    ['CREATE VIEW a AS SELECT * FROM b', 'CREATE a / SELECT b'],
    ['CREATE SCHEMA s CREATE TABLE a (x int)', 'CREATE / CREATE a'],
    ['CREATE RULE r AS ON INSERT TO a DO ALSO DELETE FROM b', 'CREATE a / DELETE b !'],
    ['CREATE FUNCTION f() RETURNS int BEGIN ATOMIC DELETE FROM a; RETURN 1; END', 'CREATE / DELETE a !'],
    ['CREATE INDEX ON a (x)', 'CREATE a'],
    ['CREATE DATABASE d', 'CREATE'],
    ['CREATE EXTENSION dblink', 'CREATE'],
    ['ALTER TABLE a REPLICA IDENTITY FULL', 'ALTER a / ALTER'],
    ['ALTER TABLE a RENAME TO b', 'ALTER a'],
    ['DROP VIEW s.a, b', 'DROP s.a b'],
    ['DROP FUNCTION f()', 'DROP'],
    ['REFRESH MATERIALIZED VIEW a', 'REFRESH a'],
    ["COMMENT ON TABLE a IS 'x'", 'COMMENT'],
    ['VACUUM a', 'VACUUM a'],
    ['ANALYZE a', 'ANALYZE a'],

    ['GRANT SELECT ON a TO b', 'GRANT a'],
    ['GRANT r TO b', 'GRANT'],
    ['REVOKE SELECT ON a FROM b', 'REVOKE a'],
    ['CREATE USER u', 'CREATE ROLE'],
    ["ALTER USER u PASSWORD 'x'", 'ALTER ROLE'],
    ['ALTER ROLE u RENAME TO v', 'ALTER ROLE'],
    ['ALTER ROLE u SET work_mem = 1', 'ALTER ROLE'],
    ['DROP OWNED BY u', 'DROP'],
    ['ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO u', 'GRANT'],
    ['SET ROLE u', 'SET ROLE'],
    ["SET LOCAL SESSION AUTHORIZATION 'u'", 'SET ROLE'],
    ["SELECT set_config('Role', 'u', true)", 'SELECT / SET ROLE'],

    ['BEGIN', 'BEGIN'],
    ['START TRANSACTION READ ONLY', 'BEGIN'],
    ['COMMIT AND CHAIN', 'COMMIT'],
    ["PREPARE TRANSACTION 'x'", 'COMMIT'],
    ["ROLLBACK PREPARED 'x'", 'ROLLBACK'],
    ['ROLLBACK TO a', 'ROLLBACK'],
    ['SAVEPOINT a', 'SAVEPOINT'],
    ['RELEASE a', 'RELEASE'],
    ['SET search_path = a', 'SET'],
    ['RESET ALL', 'RESET'],
    ['DISCARD ALL', 'DISCARD'],
    ['SHOW ALL', 'SHOW'],
    ['LISTEN a', 'LISTEN'],
    ["NOTIFY a, 'x'", 'NOTIFY'],
    ['DO $$ x $$', 'DO'],
    ['CALL p()', 'CALL'],
    ["ALTER SYSTEM SET work_mem = '1'", 'ALTER SYSTEM'],
    ["LOAD 'x'", 'LOAD'],
    ['CHECKPOINT', 'CHECKPOINT'],
    ["SELECT nextval('s')", 'SELECT / CALL'],
    ["SELECT * FROM pg_catalog.pg_read_file('/etc/passwd')", 'SELECT / CALL'],
    ["SELECT query_to_xml('DELETE FROM a', true, true, '')", 'SELECT / CALL'],
    ['SELECT lower(x), count(*), my_function(x) FROM a', 'SELECT a'],
    ['', ''],
    [' ; -- nothing', ''],
  ])('%s', (text, expected) => {
    const facts = read(text)
    expect([told(facts), facts.disputed]).toEqual([expected, undefined])
  })
})

test('what may take away the guard against writing is told', () => {
  const lifts = [
    'RESET transaction_read_only',
    'SET LOCAL transaction_read_only TO DEFAULT',
    'BEGIN READ WRITE',
    'START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE',
    'SET TRANSACTION READ WRITE',
    'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE',
    'SET default_transaction_read_only = off',
    'SET LOCAL Transaction_Read_Only TO 0',
    "SELECT set_config('default_transaction_read_only', 'off', false)",
    "SELECT set_config('default_transaction_read_only'::text, x, false)",
    "SELECT set_config('default_transaction' || '_read_only', 'off', false)",
    'SELECT 1; SET transaction_read_only = false',
    'not SQL at all',
  ]
  const keeps = [
    'BEGIN',
    'BEGIN READ ONLY',
    'SET TRANSACTION READ ONLY',
    'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY',
    'SET default_transaction_read_only = on',
    'SET default_transaction_read_only TO DEFAULT',
    'RESET ALL',
    'DISCARD ALL',
    'SET work_mem = 1',
    "SELECT set_config('work_mem', '1', false)",
  ]
  expect(lifts.filter((text) => !read(text).liftsReadOnly)).toEqual([])
  expect(keeps.filter((text) => read(text).liftsReadOnly)).toEqual([])
})

describe('a text that cannot be depended on is disputed', () => {
  const UNKNOWN = [{ verb: 'unknown', tables: [] }]

  test.each([
    ['no SQL', 'selec 1', 'PostgreSQL 18 would not accept it: syntax error at or near "selec"', 'selec ?'],
    [
      'an open literal',
      "select 'a",
      'PostgreSQL 18 would not accept it: unterminated quoted string at or near "\'a"',
      'select ?',
    ],
    ['a NUL', 'select 1\0; drop table x', 'it has a NUL inside', 'select ?\0; drop table x'],
    [
      'a long one',
      `select '${'x'.repeat(SQL_PARSED_MAX)}'`,
      `it is longer than ${SQL_PARSED_MAX} characters`,
      'select ?',
    ],
  ])('%s is unknown', (_, text, disputed, masked) => {
    expect(read(text)).toEqual({ parts: UNKNOWN, liftsReadOnly: true, disputed, masked })
  })

  test('bytes that are no UTF-8 are unknown', () => {
    expect(reader.read(Uint8Array.of(0x27, 0x81, 0x5c, 0x27), true)).toEqual({
      parts: UNKNOWN,
      liftsReadOnly: true,
      disputed: 'it is not valid UTF-8',
      masked: '(not valid UTF-8)',
    })
  })

  test('a backslash in a plain literal leaves one reading among several', () => {
    // Under the other setting it reads table a, and the rest is one literal.
    const facts = read("SELECT '\\' ; DROP TABLE x; --' FROM a")
    expect([told(facts), facts.disputed]).toEqual([
      'SELECT / DROP x',
      "a backslash in a plain literal; write it as E'…'",
    ])
    expect(read("SELECT 'a\\b' FROM a")).toEqual({
      parts: [{ verb: 'SELECT', tables: [{ name: 'a' }] }],
      liftsReadOnly: false,
      disputed: "a backslash in a plain literal; write it as E'…'",
      masked: 'SELECT ?…',
    })
  })

  test('so does a session that reads texts in its own way', () => {
    expect(read('SELECT 1', false)).toMatchObject({
      parts: [{ verb: 'SELECT' }],
      disputed: 'this session’s settings change how texts are read',
    })
    expect(read('SELECT 1', true).disputed).toBeUndefined()
  })
})

describe('no text stops the reader', () => {
  const CHAINS: Record<string, (n: number) => string> = {
    sums: (n) => `SELECT ${'1+'.repeat(n / 2 - 2)}1`,
    casts: (n) => `SELECT 1${'::int'.repeat(n / 3 - 2)}`,
    collations: (n) => `SELECT 1${' COLLATE a'.repeat(n / 2 - 2)}`,
    zones: (n) => `SELECT 1${' AT LOCAL'.repeat(n / 2 - 2)}`,
    tests: (n) => `SELECT 1${' ISNULL'.repeat(n - 4)}`,
    unions: (n) => `${'SELECT 1 UNION '.repeat(n / 3 - 2)}SELECT 1`,
    joins: (n) => `SELECT * FROM a${' CROSS JOIN a'.repeat(n / 3 - 3)}`,
    negations: (n) => `SELECT ${'NOT '.repeat(n - 4)}true`,
    'nested sums': (n) => `SELECT ${'(1+'.repeat(n / 16)}1${'+1)'.repeat(n / 16)}${'+1'.repeat(n / 4)}`,
  }

  test.each(Object.entries(CHAINS))('%s as long as they may be are read', (_, chain) => {
    const facts = read(chain(SQL_NESTING_MAX))
    expect(facts.parts[0]?.verb).toBe('SELECT')
    expect(facts.disputed).toBeUndefined()
  })

  test.each(Object.entries(CHAINS))('longer %s are not even tried', (_, chain) => {
    expect(read(chain(SQL_NESTING_MAX * 8)).disputed).toMatch(/nested too deeply|would not accept it/)
    expect(read('SELECT 1').parts).toEqual([{ verb: 'SELECT', tables: [] }])
  })

  test('many tables and many names of a WITH take no more than a moment', () => {
    const begin = performance.now()
    const tables = Array.from({ length: 20_000 }, (_, i) => `t${i}`).join(', ')
    const names = Array.from({ length: 8000 }, (_, i) => `n${i} AS (SELECT 1)`).join(', ')
    expect(read(`SELECT * FROM ${tables}`).parts[0]?.tables).toHaveLength(20_000)
    expect(read(`WITH ${names} SELECT * FROM n7999, x`).parts[0]?.tables).toEqual([{ name: 'x' }])
    expect(performance.now() - begin).toBeLessThan(5000)
  })

  test('whatever is sent, something is said', () => {
    const word = fc.constantFrom(
      'SELECT',
      'DELETE',
      'FROM',
      'a',
      'WHERE',
      'WITH',
      'AS',
      '(',
      ')',
      ',',
      ';',
      "'x'",
      '1',
      '+',
      'UPDATE',
      'SET',
      '=',
      'EXPLAIN',
      'ANALYZE',
      '\\',
      '$$',
      'é',
      '😀',
    )
    fc.assert(
      fc.property(fc.array(word, { maxLength: 25 }), (words) => {
        const facts = read(words.join(' '))
        expect(facts.disputed === undefined || facts.parts.length > 0).toBe(true)
      }),
      { numRuns: 500 },
    )
  })
})

test('what was read is remembered within a bound, the least used forgotten first', async () => {
  const own = await SqlReader.load()
  const bytes = new TextEncoder()
  const text = (i: number) => `SELECT ${i} /* ${'x'.repeat(30_000)} */`
  const first = own.read(bytes.encode(text(0)), true)
  for (let i = 1; i < 400; i++) {
    own.read(bytes.encode(text(i)), true)
    own.read(bytes.encode(text(0)), true)
  }
  expect(own.cachedBytes).toBeLessThanOrEqual(SQL_CACHE_BYTES_MAX)
  expect(own.cachedBytes).toBeGreaterThan(SQL_CACHE_BYTES_MAX / 2)
  expect(own.read(bytes.encode(text(0)), true)).toBe(first)
  const second = own.read(bytes.encode(text(1)), true)
  expect(own.read(bytes.encode(text(1)), true)).toBe(second)
})
