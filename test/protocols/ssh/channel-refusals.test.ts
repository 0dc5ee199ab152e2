import { describe, expect, test } from 'vitest'
import type { Message } from '../../../protocols/ssh/messages.ts'
import { close, data, exec, exitStatus, open, pty, request, textOf } from '../../support/ssh-channel-talk.ts'
import { Talk } from '../../support/ssh-talk.ts'
import { names, REFUSAL } from './channel-setting.ts'

describe('a refused program', () => {
  const denied = (...setup: readonly Message[]) => {
    const talk = new Talk().login()
    talk.send(open(0), ...setup)
    talk.run(talk.connection.verdict(1, { allow: false, rule: 'no-shell', refusal: REFUSAL }))
    return talk
  }

  test('is explained on standard error and ends with 77, the record first', () => {
    const talk = denied(exec(0, 'reboot'))
    const heard = talk.heard().slice(1)
    expect(names(heard)).toEqual([
      'CHANNEL_SUCCESS',
      'CHANNEL_EXTENDED_DATA',
      'CHANNEL_EOF',
      'CHANNEL_REQUEST',
      'CHANNEL_CLOSE',
    ])
    expect(heard[3]).toEqual(exitStatus(0, 77))
    expect(textOf(heard, 'stderr')).toBe(
      'gatebook: no access to "web-1" for alice\n' +
        '  why : no role grants target web-1\n' +
        '  next: https://gw.example.com/r/web-1\n' +
        '  id  : k3v5o2n7q4w6x2za.1\n',
    )
    expect(talk.commands).toEqual([])
    expect(talk.records).toMatchObject([{ type: 'decision', op: 1, act: 'ssh.exec', rule: 'no-shell' }])
    const order = talk.steps.map(({ type }) => type)
    expect(order.indexOf('record')).toBeLessThan(order.indexOf('hold'))
  })

  test('has line ends for a raw terminal where there is one', () => {
    expect(textOf(denied(pty(0), request(0, 'shell')).heard(), 'stderr')).toContain('alice\r\n  why')
  })

  test('shows nothing that a terminal would obey', () => {
    const talk = new Talk().login()
    talk.send(open(0), exec(0, 'x'))
    const refusal = { ...REFUSAL, what: 'no \u{1b}]52;c;x\u{7} here\r\n', why: '', next: '' }
    talk.run(talk.connection.verdict(1, { allow: false, refusal }))
    expect(textOf(talk.heard(), 'stderr').split('\n')[0]).toBe(
      'gatebook: no \u{fffd}]52;c;x\u{fffd} here\u{fffd}\u{fffd}',
    )
  })

  test('leaves the connection and its other channels as they are', () => {
    const talk = denied(exec(0, 'x'))
    talk.send(data(0, 'ignored'), close(0), open(1), exec(1, 'id'))
    expect(talk.wishes).toHaveLength(2)
    expect(talk.closed).toBeUndefined()
  })
})
