import { describe, expect, test } from 'vitest'
import { replicationOf, startupSettings } from '../../../protocols/postgres/settings.ts'

function settings(parameters: Record<string, string>, readOnly = false) {
  const { passed, stripped, refused } = startupSettings(new Map(Object.entries(parameters)), readOnly)
  return { passed: Object.fromEntries(passed), stripped, refused }
}

describe('of what a client asks for at startup', () => {
  test('harmless settings pass, names folded, who and where not among them', () => {
    expect(
      settings({
        user: 'alice~orders',
        database: 'orders',
        client_encoding: 'UTF8',
        DateStyle: 'ISO',
        'my_app.tenant': '7',
        enable_seqscan: 'off',
        '_pq_.x': '1',
      }),
    ).toEqual({
      passed: { client_encoding: 'UTF8', datestyle: 'ISO', 'my_app.tenant': '7', enable_seqscan: 'off' },
      stripped: [],
      refused: [],
    })
  })

  test('what nobody has thought about is refused by name, wherever it stands', () => {
    expect(
      settings({
        session_preload_libraries: 'x',
        options: '-c local_preload_libraries=y -d 5 --log-statement=none -c role=admin',
        Session_Authorization: 'admin',
      }),
    ).toEqual({
      passed: {},
      stripped: [],
      refused: [
        ...['local_preload_libraries', '-d', '5', 'log_statement', 'role'],
        ...['session_preload_libraries', 'Session_Authorization'],
      ],
    })
  })

  test('`options` is taken apart as the server does it: escapes, both spellings, the plain setting wins', () => {
    expect(
      settings({
        options: '-c search_path=a\\ b\\\\c -cwork_mem=1MB --statement-timeout=5s  -c datestyle=SQL',
        DateStyle: 'ISO',
      }).passed,
    ).toEqual({ search_path: 'a b\\c', work_mem: '1MB', statement_timeout: '5s', datestyle: 'ISO' })
  })

  test('T-PG-19: a read-only session keeps its hands on what makes it read-only, in every spelling', () => {
    const asked = {
      Default_Transaction_Read_Only: 'off',
      options: '-c transaction_read_only=off --default-transaction-read-only=off',
    }
    expect(settings(asked, true)).toEqual({
      passed: {},
      stripped: ['transaction_read_only', 'default_transaction_read_only', 'default_transaction_read_only'],
      refused: [],
    })
    expect(settings(asked, false).passed).toEqual({
      default_transaction_read_only: 'off',
      transaction_read_only: 'off',
    })
  })

  test.each([
    ['true', 'physical'],
    ['on', 'physical'],
    ['1', 'physical'],
    ['database', 'database'],
    ['DATABASE', 'database'],
    ['nonsense', 'physical'],
    ['false', undefined],
    ['off', undefined],
    ['0', undefined],
    [undefined, undefined],
  ])('replication=%s is %s', (asked, meant) => {
    expect(replicationOf(new Map(asked === undefined ? [] : [['replication', asked]]))).toBe(meant)
  })
})
