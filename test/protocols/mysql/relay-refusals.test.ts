import { describe, expect, test } from 'vitest'
import { FLAG } from '../../../protocols/mysql/capabilities.ts'
import { hex, join, packet } from '../../support/mysql-play.ts'
import { events, judge, judged, META, refusal, SUBSTITUTE, sent } from './refusal-setting.ts'
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
} from './relay-setting.ts'

describe('a refused statement', () => {
  test('is decided first, replaced by one that the target rejects, and answered in its place', () => {
    const { done } = play(judged, [client(query('delete from t')), target(error(1, 1064, 'near *'))], judge)
    expect(done).toEqual([
      { step: 'judge', text: 'delete from t', database: 'shop', dependable: true },
      { event: 'decision', op: 1, act: 'db.query', rule: 'no', sql: 'delete from t', meta: META },
      {
        event: 'begin',
        op: 2,
        act: 'db.query',
        parent: 1,
        sql: SUBSTITUTE,
        meta: { ...META, gateway: true },
      },
      { to: 'target', hex: hex(query(SUBSTITUTE)) },
      { event: 'end', op: 2, outcome: 'error', code: '1064' },
      { step: 'hold' },
      { to: 'client', hex: hex(refusal(1, 'k3v5.1')) },
    ])
  })

  test('keeps its place in a pipeline, and what is allowed runs under its rule', () => {
    const { done } = play(
      judged,
      [
        client(query('select 1'), query('delete from t'), query('select 2')),
        target(...rows(1, ['1']), error(1, 1064, 'near *'), ...rows(1, ['2'])),
      ],
      judge,
    )
    expect(events(done, 'begin').map(({ sql, rule }) => [sql, rule])).toEqual([
      ['select 1', 'r'],
      [SUBSTITUTE, undefined],
      ['select 2', 'r'],
    ])
    expect(sent(done, 'client')).toBe(hex(join(...rows(1, ['1']), refusal(1, 'k3v5.2'), ...rows(1, ['2']))))
  })

  test('of several statements is refused whole, whatever the first of them does (T-MY-07)', () => {
    const { done } = play(judged, [client(query('select 1; delete from t'))], judge)
    expect(sent(done, 'target')).toBe(hex(query(SUBSTITUTE)))
  })

  test('that is prepared fails as a prepared one does; an execution fails by an unknown number', () => {
    const later = (sql: string) => (events.length > 0 && sql === 'select ?' ? undefined : judge(sql))
    const { done } = play(judged, [client(prepare('delete from t')), target(error(1, 1064, 'near *'))], later)
    expect(sent(done, 'target')).toBe(hex(prepare(SUBSTITUTE)))
    let allowed = 1
    const { machine, ledger } = begin(judged)
    const feed = (from: 'client' | 'target', bytes: Uint8Array) => {
      for (const step of ledger.take(machine.receive(from, bytes))) {
        if (step.type !== 'judge') continue
        ledger.take(machine.verdict(allowed-- > 0 ? { allow: true } : { allow: false, refusal: REFUSAL }))
      }
    }
    feed('client', prepare('select 1'))
    for (const bytes of prepared(5, 0, 1)) feed('target', bytes)
    feed('client', execute(5))
    feed('target', error(1, 1243, 'unknown statement'))
    expect(events(ledger.done, 'decision')).toMatchObject([{ act: 'db.execute', sql: 'select 1' }])
    expect(sent(ledger.done, 'target')).toBe(hex(join(prepare('select 1'), execute(0))))
    expect(ledger.done.at(-1)?.hex).toBe(hex(refusal(1, 'k3v5.2')))
  })

  test('carries no attributes of the person, where the target expects some', () => {
    const options = relayOptions({ judge: true }, { flags: FLAG.QUERY_ATTRIBUTES })
    const { done } = play(options, [client(packet(0, 3, 0, 1, 'delete from t'))], judge)
    expect(sent(done, 'target')).toBe(hex(packet(0, 3, 0, 1, SUBSTITUTE)))
  })

  test('commands without a text are judged as the statement that does the same', () => {
    const { done } = play(judged, [client(packet(0, 6, 'a`delete')), target(error(1, 1064, 'near *'))], judge)
    expect(done[0]).toMatchObject({ step: 'judge', text: 'DROP DATABASE `a``delete`' })
    expect(events(done, 'decision')).toMatchObject([{ act: 'db.other', cmd: 'COM_DROP_DB a`delete' }])
    expect(sent(done, 'client')).toBe(hex(refusal(1, 'k3v5.1')))
  })

  test('a target that takes the substitute is left at once', () => {
    const { done } = play(judged, [client(query('delete from t')), target(ok(1))], judge)
    expect(done.at(-1)).toMatchObject({ step: 'close', why: 'target' })
  })

  test('is judged and forwarded as it was, whatever its owner does with the chunk meanwhile', () => {
    const { machine, ledger } = begin(judged)
    const chunk = query('select 1')
    ledger.take(machine.receive('client', chunk))
    chunk.fill(0xee)
    ledger.take(machine.verdict({ allow: true }))
    expect(sent(ledger.done, 'target')).toBe(hex(query('select 1')))
    expect(events(ledger.done, 'begin')).toMatchObject([{ sql: 'select 1' }])
  })

  test('while a verdict is awaited the client waits, and the target goes on', () => {
    const { machine, ledger } = begin(judged)
    const feed = (bytes: Uint8Array) => ledger.take(machine.receive('client', bytes))
    feed(join(query('select 1'), query('select 2')))
    expect([machine.full, machine.idle]).toEqual([true, false])
    feed(packet(0, 14))
    ledger.take(machine.verdict({ allow: true }))
    expect(machine.full).toBe(true)
    ledger.take(machine.receive('target', join(...rows(1, ['1']))))
    ledger.take(machine.verdict({ allow: true }))
    expect(machine.full).toBe(false)
    expect(events(ledger.done, 'begin').map(({ sql, cmd }) => sql ?? cmd)).toEqual([
      'select 1',
      'select 2',
      'COM_PING',
    ])
  })
})

describe('a text is not dependable', () => {
  const dependable = (before: string, flags = {}) => {
    const { done } = play(relayOptions({ judge: true }, flags), [
      client(query(before)),
      target(ok(1)),
      client(query('select 1')),
    ])
    return done.filter(({ step }) => step === 'judge').map((one) => one['dependable'])
  }

  test.each([
    ['set names gbk', {}, [true, false]],
    ['set character_set_client = @x', {}, [true, false]],
    ["set sql_mode = 'ANSI_QUOTES'", {}, [true, false]],
    ["set sql_mode = concat('a')", {}, [true, false]],
    ['set names utf8mb4', {}, [true, true]],
    ["set sql_mode = 'STRICT_TRANS_TABLES', names latin1", {}, [true, true]],
    ["prepare s from 'set names gbk'", {}, [true, false]],
    ["execute immediate 'set nam\\es gbk'", {}, [true, false]],
    ['set @@session.`character_set_client` = gbk', {}, [true, false]],
    ["set `sql_mode` = 'NO_BACKSLASH_ESCAPES'", {}, [true, false]],
    ['set @old = @@character_set_client, @mode = @@sql_mode', {}, [true, true]],
    ['select 1', { charset: 28 }, [false, false]],
    ['select 1', { status: 0x202 }, [false, true]],
    ['select 1', { status: 0x8002 }, [false, true]],
  ])('by %s %j', (before, flags, expected) => {
    expect(dependable(before, flags)).toEqual(expected)
  })

  test('prepared by the binary protocol', () => {
    const { done } = play(relayOptions({ judge: true }), [
      client(packet(0, 0x16, 'set names gbk')),
      target(packet(1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
      client(query('select 1')),
    ])
    expect(done.filter(({ step }) => step === 'judge').map((one) => one['dependable'])).toEqual([true, false])
  })

  test.each([
    ['utf8mb4', 45, 'select 1', true],
    ['latin1', 8, 'select 1', false],
    ['utf8mb4, then another', 45, 'set names latin1', false],
    ['utf8mb4, then another among others', 45, 'set @a = 1, names latin1', false],
    ['utf8mb4, then perhaps another', 45, 'set names default', false],
    ['latin1, then UTF-8', 8, 'set names utf8mb4 collate utf8mb4_bin', true],
    ['latin1, then UTF-8 and back', 8, 'set names utf8mb4; set names latin1', false],
  ])('beyond ASCII, where its bytes may be white space: %s', (_, charset, before, expected) => {
    const { done } = play(relayOptions({ judge: true }, { charset }), [
      client(query(before)),
      target(ok(1)),
      client(query('select 1 from à')),
    ])
    expect(done.filter(({ step }) => step === 'judge').map((one) => one['dependable'])).toEqual([
      true,
      expected,
    ])
  })

  test('once the target tells of an unsafe character set, until the session begins anew', () => {
    const tracked = packet(1, 0, 0, 0, 2, 0x40, 0, 0, 0, 28, 0, 26, '\x14character_set_client', '\x04gbk\x20')
    const safe = packet(1, 0, 0, 0, 2, 0x40, 0, 0, 0, 27, 0, 25, '\x14character_set_client', '\x03gbk')
    const { done } = play(relayOptions({ judge: true }, { flags: FLAG.SESSION_TRACK }), [
      client(query('call p()')),
      target(safe),
      client(query('select 1')),
      target(ok(1)),
      client(packet(0, 0x1f)),
      target(ok(1)),
      client(query('select 1')),
    ])
    expect(done.filter(({ step }) => step === 'judge').map((one) => one['dependable'])).toEqual([
      true,
      false,
      true,
    ])
    expect(tracked).toHaveLength(41)
  })
})
