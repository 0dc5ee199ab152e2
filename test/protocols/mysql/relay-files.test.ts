import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { hex, join, packet, text } from '../../support/mysql-play.ts'
import { events, sent } from './refusal-setting.ts'
import { client, ok, play, query, relayOptions, rows, target } from './relay-setting.ts'

describe('LOAD DATA LOCAL', () => {
  const LOAD = "load data local infile 'a.csv' into table t"
  const asked = packet(1, 0xfb, 'a.csv')
  const options = relayOptions({ localFiles: true })

  test('passes the file that the statement names, counted and hashed', () => {
    const { done } = play(options, [
      client(query(LOAD)),
      target(asked),
      client(packet(2, '1,2\n'), packet(3, '3,4\n'), packet(4)),
      target(ok(5, 2)),
      client(query('select 1')),
      target(...rows(1, ['1'])),
    ])
    const sha256 = createHash('sha256').update('1,2\n3,4\n').digest('hex')
    expect(done).toMatchObject([
      { event: 'begin', sql: LOAD },
      { to: 'target' },
      { to: 'client', hex: hex(asked) },
      { to: 'target', hex: hex(join(packet(2, '1,2\n'), packet(3, '3,4\n'), packet(4))) },
      { event: 'end', outcome: 'ok', rows: 2, meta: { file: { name: 'a.csv', bytes: 8, sha256 } } },
      { step: 'hold' },
      { to: 'client', hex: hex(ok(5, 2)) },
      ...Array(6).fill({}),
    ])
  })

  test('is refused where files are not allowed, and a target that asks all the same is left', () => {
    const { done } = play(relayOptions(), [client(query(LOAD)), target(packet(1, 0xfb, 'a.csv'))])
    expect(events(done, 'decision')).toMatchObject([{ act: 'db.query', sql: LOAD }])
    expect(sent(done, 'target')).not.toContain(hex(text('infile')))
    expect(done.at(-1)).toMatchObject({ step: 'close', why: 'target' })
    expect(sent(done, 'client')).not.toContain(hex(text('a.csv')))
  })

  test('records the file whole, where that is wanted', () => {
    const { done } = play(relayOptions({ localFiles: true, copyBodies: true }), [
      client(query(LOAD)),
      target(asked),
      client(packet(2, 'abc'), packet(3)),
      target(ok(4)),
    ])
    expect(events(done, 'data')).toEqual([
      { event: 'data', op: 1, stream: 'in', frame: 'i', bytes: hex(text('abc')) },
    ])
  })

  test.each([
    ['SELECT 1', 'a.csv'],
    [LOAD, '/etc/passwd'],
    ["load data infile 'a.csv' into table t", 'a.csv'],
    ["select 'load data local infile', 'a.csv'", 'a.csv'],
  ])(
    'a target that answers %s by asking for %s is left, and the client is not asked (T-MY-04)',
    (sql, name) => {
      const { done } = play(relayOptions({ localFiles: true }), [
        client(query(sql)),
        target(packet(1, 0xfb, name)),
      ])
      expect(done.at(-1)).toMatchObject({
        step: 'close',
        why: 'target',
        message: expect.stringContaining(name),
      })
      expect(sent(done, 'client')).not.toContain(hex(packet(1, 0xfb, name)))
      expect(events(done, 'end')).toMatchObject([{ outcome: 'aborted' }])
    },
  )

  test('with commands sent ahead of the file is left', () => {
    const { done } = play(options, [client(query(LOAD), query('select 1')), target(asked)])
    expect(done.at(-1)).toMatchObject({ step: 'close', message: 'commands were sent ahead of a file' })
  })

  test('with half a command sent ahead of the file is left', () => {
    const { done } = play(options, [
      client(query(LOAD), query('select 1').subarray(0, 3)),
      target(asked),
      client(packet(2)),
    ])
    expect(done.at(-1)).toMatchObject({
      step: 'close',
      why: 'client',
      message: expect.stringContaining('half a command'),
    })
  })

  test('a file of another count of packets is left', () => {
    const { done } = play(options, [client(query(LOAD)), target(asked), client(packet(0, '1,2\n'))])
    expect(done.at(-1)).toMatchObject({ step: 'close', why: 'client' })
  })
})
