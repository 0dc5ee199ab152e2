import { describe, expect, test } from 'vitest'
import { answerNative } from '../../../protocols/mysql/auth.ts'
import { hex, join, packet, text } from '../../support/mysql-play.ts'
import { events, sent } from './refusal-setting.ts'
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
  relayOptions,
  rows,
  SCRAMBLE,
  target,
} from './relay-setting.ts'

describe('COM_CHANGE_USER (T-MY-12)', () => {
  const FRESH = new Uint8Array(20).fill(9)
  const change = (user: string) =>
    packet(0, 0x11, `${user}\0`, 0, 'other\0', 45, 0, 'mysql_native_password\0')
  const asks = packet(1, 0xfe, 'mysql_native_password\0', FRESH, 0)
  const proof = (password: string) => packet(2, answerNative(text(password), FRESH))
  const own = packet(
    0,
    0x11,
    'app\0',
    20,
    answerNative(text('secret'), SCRAMBLE),
    'other\0',
    45,
    0,
    'mysql_native_password\0',
  )

  test('proves the person to us anew, us to the target, and begins the session anew', () => {
    const { done } = play(relayOptions({ readOnly: true }), [
      client(query('select 1')),
      target(ok(1), ...rows(1, ['1'])),
      client(change('alice~shop')),
      client(proof('right')),
      target(packet(1, 0xfe, 'mysql_native_password\0', SCRAMBLE, 0)),
      target(ok(3)),
      client(query('select 2')),
    ])
    expect(done.slice(8)).toMatchObject([
      { to: 'client', hex: expect.stringContaining(hex(asks)) },
      { event: 'begin', op: 3, act: 'db.other', cmd: 'COM_CHANGE_USER alice~shop other' },
      { to: 'target', hex: hex(join(own, packet(2, answerNative(text('secret'), SCRAMBLE)))) },
      { event: 'end', op: 3, outcome: 'ok' },
      { step: 'hold' },
      { to: 'client', hex: hex(ok(3)) },
      { event: 'begin', op: 4, sql: 'SET SESSION TRANSACTION READ ONLY' },
      { to: 'target' },
      { event: 'begin', op: 5, sql: 'select 2', meta: { database: 'other' } },
      { to: 'target' },
    ])
  })

  test.each([
    ['alice~shop', 'wrong'],
    ['bob~shop', 'right'],
  ])('as %s with a secret that is %s ends the connection', (user, password) => {
    const { done } = play(relayOptions(), [client(change(user)), client(proof(password))])
    expect(done.slice(1)).toMatchObject([
      { event: 'decision', op: 1, cmd: `COM_CHANGE_USER ${user} other` },
      { step: 'hold' },
      { to: 'client', hex: expect.stringMatching(/^......03ff1504/) },
      { step: 'close', why: 'client' },
    ])
    expect(sent(done, 'target')).toBe('')
  })

  test('waits for what is under way, and what comes behind it waits too', () => {
    const { machine, ledger } = begin(relayOptions())
    ledger.take(machine.receive('client', join(query('select 1'), change('alice~shop'))))
    expect([machine.full, sent(ledger.done, 'client')]).toEqual([true, ''])
    ledger.take(machine.receive('target', join(...rows(1, ['1']))))
    expect(sent(ledger.done, 'client')).toBe(hex(join(...rows(1, ['1']), asks)))
    ledger.take(machine.receive('client', join(proof('right'), query('select 2'))))
    ledger.take(machine.receive('client', query('select 3')))
    ledger.take(machine.receive('target', packet(1, 0xfe, 'mysql_native_password\0', SCRAMBLE, 0)))
    expect(events(ledger.done, 'begin')).toHaveLength(2)
    ledger.take(machine.receive('target', ok(3)))
    expect(events(ledger.done, 'begin').map(({ sql, cmd }) => sql ?? cmd)).toEqual([
      'select 1',
      'COM_CHANGE_USER alice~shop other',
      'select 2',
      'select 3',
    ])
  })

  test('leaves no prepared statement, and forgets how texts were read', () => {
    const { done } = play(relayOptions({ judge: true }), [
      client(prepare('select 1'), query('set names gbk')),
      target(...prepared(5, 0, 1), ok(1)),
      client(change('alice~shop')),
      client(proof('right')),
      target(ok(1)),
      client(query('select 2'), execute(5)),
    ])
    expect(done.filter(({ step }) => step === 'judge').map((one) => one['dependable'])).toEqual([
      true,
      true,
      true,
      false,
    ])
    expect(events(done, 'begin').at(-1)).toMatchObject({ meta: { unknown: 'statement', name: '5' } })
  })

  test('that the target refuses ends the connection, with its number', () => {
    const { done } = play(relayOptions(), [
      client(change('alice~shop')),
      client(proof('right')),
      target(error(1, 1045, 'Access denied')),
    ])
    expect(done.slice(3)).toMatchObject([
      { event: 'end', outcome: 'error', code: '1045', msg: 'Access denied' },
      { step: 'hold' },
      { to: 'client' },
      { step: 'close', why: 'target' },
    ])
  })
})
