import { describe, expect, test } from 'vitest'
import { hex, join, packet } from '../../support/mysql-play.ts'
import { events, judged, sent } from './refusal-setting.ts'
import {
  begin,
  client,
  error,
  execute,
  ok,
  play,
  prepare,
  prepared,
  query,
  REFUSAL,
  relayOptions,
  rows,
  target,
  u32,
} from './relay-setting.ts'

describe('an end in the middle is told in the count of packets that the client awaits', () => {
  const ENDED = { cause: 'ended', what: 'ended', why: '', next: '', record: '' } as const
  const guarded = relayOptions({ readOnly: true })
  const files = relayOptions({ localFiles: true })
  const load = query("load data local infile 'f' into table t")
  const chosen = packet(0, 0x11, 'alice~shop\0', 0, '\0')

  test.each([
    ['before any answer', relayOptions(), [client(query('select 1'))], 1],
    [
      'between two rows',
      relayOptions(),
      [client(query('select 1')), target(...rows(1, ['1', '2']).slice(0, 4))],
      5,
    ],
    [
      'inside a row',
      relayOptions(),
      [client(query('select 1')), target(join(...rows(1, ['1', '2'])).subarray(0, 43))],
      undefined,
    ],
    ['behind our guard', guarded, [client(query('select 1')), target(packet(1).subarray(0, 2))], 1],
    ['at a refusal', judged, [client(query('delete')), target(error(1, 1064, 'x').subarray(0, 9))], 1],
    [
      'behind the limit of rows',
      relayOptions({ rowsMax: 1 }),
      [client(query('s')), target(...rows(1, ['1', '2']).slice(0, 5))],
      5,
    ],
    ['in a file', files, [client(load), target(packet(1, 0xfb, 'f')), client(packet(2, 'half'))], undefined],
    ['in a change of user', relayOptions(), [client(chosen)], 2],
  ] as const)('%s', (_, options, parts, sequence) => {
    const { machine, ledger } = begin(options)
    for (const { from, bytes } of parts) {
      for (const step of ledger.take(machine.receive(from, bytes))) {
        if (step.type === 'judge') ledger.take(machine.verdict({ allow: false, refusal: REFUSAL }))
      }
    }
    const before = ledger.bytes('client').length
    ledger.take(machine.stop(ENDED))
    const told = ledger.bytes('client').subarray(before)
    expect(hex(told)).toBe(
      sequence === undefined ? '' : hex(packet(sequence, 0xff, 0x1d, 0x04, '#08S01ended')),
    )
  })
})

describe('a hostile target', () => {
  test.each([
    ['speaks unasked', [ok(1)], 'unasked'],
    ['counts wrong', [query('select 1'), ok(2)], 'packet 2 where 1 was due'],
    ['sends an empty packet', [query('select 1'), packet(1)], 'an empty packet'],
    ['has no columns', [query('select 1'), packet(1, 0xfc, 0, 0)], 'no columns'],
    ['has columns without end', [query('select 1'), packet(1, 0xfd, 0, 0, 0xff)], '16711680 columns'],
    [
      'ends its definitions with a row',
      [query('s'), packet(1, 1), packet(2, 'def'), packet(3, 1, 'x')],
      'definitions',
    ],
    ['answers a PING with rows', [packet(0, 14), packet(1, 1)], 'without a result'],
    ['answers a PREPARE with rows', [prepare('x'), packet(1, 1)], 'COM_STMT_PREPARE'],
    [
      'sends an ERR of a megabyte',
      [query('s'), packet(1, 0xff, new Uint8Array(1_100_000))],
      'tells an outcome',
    ],
    ['sends an OK that is cut', [query('s'), packet(1, 0, 0)], 'bytes wanted'],
  ])('that %s is left; the process is not', (_, [first = ok(1), ...more], problem) => {
    const asksFirst = first[4] !== 0 || first.length < 6
    const { machine, ledger } = begin(relayOptions())
    if (more.length > 0 && asksFirst) ledger.take(machine.receive('client', first))
    else ledger.take(machine.receive('target', first))
    for (const bytes of more) ledger.take(machine.receive('target', bytes))
    expect(ledger.done.at(-1)).toMatchObject({
      step: 'close',
      why: 'target',
      message: expect.stringContaining(problem),
    })
  })

  test('names of columns and plugins are never keys (T-MY-03)', () => {
    const named = rows(1, ['x'])
    named[1] = packet(2, '\x03def\x09__proto__\x0bconstructor')
    const { done } = play(relayOptions(), [client(query('select 1')), target(...named)])
    expect(events(done, 'end')).toMatchObject([{ outcome: 'ok', rows: 1 }])
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })
})

describe('a hostile client', () => {
  test.each([
    ['counts wrong', packet(1, 14), 'packet 1 where 0 was due'],
    ['sends nothing as a command', packet(0), 'bytes wanted'],
    ['adds to a command', packet(0, 14, 0), 'behind the end'],
    ['binds an unknown type', execute(5, 0, 1, 0xf4, 0, 1), 'type 0xf4'],
    ['binds less than it says', execute(5, 0, 1, 0xfe, 0, 9, 'x'), '9 bytes wanted'],
    ['asks for two iterations', packet(0, 0x17, u32(5), 0, u32(2)), '2 iterations'],
  ])('that %s is left, and nothing of it forwarded', (_, bytes, problem) => {
    const { done } = play(relayOptions(), [
      client(prepare('do ?')),
      target(...prepared(5, 1, 0)),
      client(bytes),
    ])
    expect(done.at(-1)).toMatchObject({
      step: 'close',
      why: 'client',
      message: expect.stringContaining(problem),
    })
    expect(sent(done, 'target')).toBe(hex(prepare('do ?')))
  })

  test('may not have too many commands unanswered: it has to wait', () => {
    const { machine, ledger } = begin(relayOptions())
    const pings = join(...Array.from({ length: 10_000 }, () => packet(0, 14)))
    ledger.take(machine.receive('client', pings))
    expect([machine.full, events(ledger.done, 'begin').length]).toEqual([true, 8192])
    ledger.take(machine.receive('target', join(...Array.from({ length: 8192 }, () => ok(1)))))
    expect([machine.full, events(ledger.done, 'begin').length]).toEqual([false, 10_000])
  })
})
