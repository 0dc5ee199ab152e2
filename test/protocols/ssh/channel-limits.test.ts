import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeText } from '../../../protocols/bytes.ts'
import type { Message } from '../../../protocols/ssh/messages.ts'
import {
  adjust,
  close,
  data,
  eof,
  exec,
  exitStatus,
  global,
  open,
  request,
  running,
  textOf,
} from '../../support/ssh-channel-talk.ts'
import { Talk } from '../../support/ssh-talk.ts'
import { allow, ENDED, NONE, output, tell } from './channel-setting.ts'

describe('back-pressure', () => {
  test('the host is given credit for what fits, and no more until the person has taken it', () => {
    const talk = new Talk().login()
    talk.send(open(0, 0), exec(0, 'yes'))
    allow(talk)
    tell(talk, { type: 'started', channel: 0 })
    const credits = () => talk.steps.flatMap((step) => (step.type === 'credit' ? [step.bytes] : []))
    expect(credits()).toEqual([512 * 1024])
    for (let i = 0; i < 16; i++) tell(talk, output(new Uint8Array(32 * 1024)))
    expect(credits()).toEqual([512 * 1024])
    talk.send(adjust(0, 100 * 1024))
    expect(credits()).toEqual([512 * 1024])
    talk.send(adjust(0, 412 * 1024))
    expect(credits()).toEqual([512 * 1024, 512 * 1024])
  })

  test('credit stands behind what was sent for it', () => {
    const talk = running(new Talk().login())
    talk.paused = true
    for (let i = 0; i < 16; i++) talk.run(talk.connection.host(output(new Uint8Array(32 * 1024))))
    const last = talk.connection.host(output('x'))
    expect(last.map(({ type }) => type)).toEqual(['record', 'send'])
  })

  test('standard output and error come whole and apart, whatever the person’s window does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 5000 })), { maxLength: 30 }),
        fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 60 }),
        (pieces, grants) => {
          const talk = new Talk().login()
          talk.send(open(0, 1000, 700), exec(0, 'x'))
          allow(talk)
          tell(talk, { type: 'started', channel: 0 })
          const expected = { output: '', stderr: '' }
          const heard: Message[] = []
          const grant = [...grants]
          pieces.forEach(([error, length], i) => {
            const content = String.fromCharCode(97 + (i % 26)).repeat(length)
            const stream = error ? 'stderr' : 'output'
            expected[stream] += content
            tell(talk, { type: 'data', channel: 0, stream, bytes: encodeText(content) })
            const bytes = grant.shift()
            if (bytes !== undefined) talk.send(adjust(0, bytes))
            heard.push(...talk.heard())
          })
          tell(talk, ...ENDED)
          talk.send(adjust(0, 1_000_000))
          heard.push(...talk.heard())
          expect(textOf(heard, 'output')).toBe(expected.output)
          expect(textOf(heard, 'stderr')).toBe(expected.stderr)
          expect(heard.slice(-3)).toEqual([eof(0), exitStatus(0, 0), close(0)])
          for (const message of heard) {
            if (message.type === 'CHANNEL_DATA') expect(message.data.length).toBeLessThanOrEqual(700)
          }
        },
      ),
      { numRuns: 40, seed: 5 },
    )
  })

  test('while keys are exchanged data waits in its channel, and no credit is given', () => {
    const talk = running(new Talk({ rekeyBytes: 1e9 }).login())
    talk.client.automatic = false
    talk.run(talk.connection.tick(0))
    talk.run(talk.connection.tick(3_600_000))
    tell(talk, output('held back'), ...ENDED)
    expect(talk.heard()).toEqual([])
    expect(talk.steps.some(({ type }) => type === 'credit')).toBe(false)
    talk.bytes(talk.client.kexinit())
    talk.bytes(talk.client.kexEcdhInit())
    talk.bytes(talk.client.newkeys())
    expect(talk.heard()).toEqual([data(0, 'held back'), eof(0), exitStatus(0, 0), close(0)])
  })
})

describe('a client that breaks the rules of a channel ends its connection', () => {
  test.each([
    ['a window above 2^32 - 1', [adjust(0, 2 ** 32 - 1)], 'a window above 2^32 - 1'],
    [
      'data that is longer than a packet may be',
      [data(0, new Uint8Array(32 * 1024 + 1))],
      'beyond the window',
    ],
    ['data behind EOF', [eof(0), data(0, 'x')], 'data behind the end of a channel'],
    ['a second EOF', [eof(0), eof(0)], 'a second EOF'],
    ['a message behind CLOSE', [close(0), eof(0)], 'the channel 0, which is not open'],
    ['a channel that is not there', [data(7, 'x')], 'the channel 7, which is not open'],
    [
      'a channel that nobody asked for',
      [{ type: 'CHANNEL_OPEN_FAILURE', recipient: 0, reason: 1, description: '', language: '' }],
      'not asked for',
    ],
    ['a packet size of 0', [open(1, 1, 0)], 'packets of no bytes'],
    [
      'a reply that nobody waits for',
      [{ type: 'CHANNEL_SUCCESS', recipient: 0 }],
      'CHANNEL_SUCCESS from a client',
    ],
    ['an answer to no global request', [{ type: 'REQUEST_FAILURE' }], 'a request that was not made'],
    ['a request that is cut', [request(0, 'exec', Uint8Array.of(0, 0, 0, 9))], 'bytes wanted where'],
    ['a request with bytes behind it', [request(0, 'shell', Uint8Array.of(0))], '1 bytes behind the end'],
  ] as const)('%s', (_, messages, reason) => {
    const talk = running(new Talk().login())
    talk.send(...messages)
    expect(talk.closed?.why).toBe('client')
    expect(talk.closed?.message).toContain(reason)
    expect(talk.heard().at(-1)).toMatchObject({ type: 'DISCONNECT', reason: 2 })
    expect(talk.records.at(-1)).toMatchObject({ type: 'end', outcome: 'aborted' })
  })

  test('a packet size of 2^32 - 1 is no more than ours', () => {
    const talk = new Talk().login()
    talk.send(open(0, 2 ** 32 - 1, 2 ** 32 - 1), exec(0, 'x'))
    allow(talk)
    tell(talk, { type: 'started', channel: 0 }, output(new Uint8Array(100_000)))
    const sizes = talk
      .heard()
      .flatMap((message) => (message.type === 'CHANNEL_DATA' ? [message.data.length] : []))
    expect(sizes).toEqual([32_768, 32_768, 32_768, 1696])
  })

  test('what a client sends beside its standard input takes window and goes nowhere', () => {
    const talk = running(new Talk().login())
    talk.send({ type: 'CHANNEL_EXTENDED_DATA', recipient: 0, code: 1, data: encodeText('x') })
    expect(talk.commands).toEqual([])
    expect(talk.closed).toBeUndefined()
  })
})

describe('keep-alive', () => {
  test('is answered, and ours is counted', () => {
    const talk = new Talk().login()
    talk.run(talk.connection.keepalive())
    talk.run(talk.connection.keepalive())
    expect(talk.heard()).toEqual([global('keepalive@openssh.com'), global('keepalive@openssh.com')])
    expect(talk.connection.unanswered).toBe(2)
    talk.send({ type: 'REQUEST_FAILURE' }, { type: 'REQUEST_SUCCESS', fields: NONE })
    expect(talk.connection.unanswered).toBe(0)
  })

  test('ping is answered with what it brought', () => {
    const talk = new Talk().login()
    talk.send({ type: 'PING', data: encodeText('abc') })
    expect(talk.heard()).toEqual([{ type: 'PONG', data: encodeText('abc') }])
  })
})
