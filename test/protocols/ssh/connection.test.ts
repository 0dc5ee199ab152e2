import { describe, expect, test } from 'vitest'
import { concat, encodeText } from '../../../protocols/bytes.ts'
import type { Refusal } from '../../../protocols/relay.ts'
import { hostKey } from '../../../protocols/ssh/host-keys.ts'
import { parsePublicKey, verifySignature } from '../../../protocols/ssh/keys.ts'
import { encodeForm, string, text } from '../../../protocols/ssh/wire.ts'
import {
  close,
  data,
  eof,
  exec,
  exitStatus,
  global,
  open,
  pty,
  request,
  running,
  textOf,
} from '../../support/ssh-channel-talk.ts'
import { ed25519Blob, ed25519Key, HOST_KEY, signEd25519 } from '../../support/ssh-keys.ts'
import { RELAY_OPTIONS, Talk } from '../../support/ssh-talk.ts'

const REFUSAL: Refusal = {
  cause: 'ended',
  what: 'this session was ended by dana',
  why: '',
  next: '',
  record: 'k3v5.9',
}
const CHANNEL = open(0)

describe('before anybody is known', () => {
  // CVE-2025-32433, CVE-2018-10933.
  test.each([
    ['opens a channel', CHANNEL],
    ['runs a program', exec(0, 'id')],
    ['forwards a port', global('tcpip-forward')],
    ['says that it is known', { type: 'USERAUTH_SUCCESS' }],
    ['pings', { type: 'PING', data: encodeText('x') }],
  ] as const)('whoever %s is disconnected', (_, message) => {
    for (const talk of [new Talk().begin(), new Talk().begin().service()]) {
      talk.send(message)
      expect(talk.closed?.why).toBe('client')
      expect(talk.heard().at(-1)).toMatchObject({ type: 'DISCONNECT', reason: 2 })
      expect(talk.steps.map(({ type }) => type)).toEqual(['hold', 'close'])
    }
  })

  test('whoever speaks another protocol is disconnected', () => {
    const talk = new Talk()
    talk.run(talk.connection.start())
    talk.bytes(encodeText('GET / HTTP/1.1\r\n\r\n'))
    expect(talk.closed?.message).toContain('not a client of SSH 2')
  })

  test('nothing is done behind a disconnect', () => {
    const talk = new Talk().begin()
    talk.send(CHANNEL)
    talk.steps = []
    talk.send(CHANNEL)
    talk.run(talk.connection.tick(1))
    talk.run(talk.connection.keepalive())
    talk.run(talk.connection.end('client'))
    expect(talk.steps).toEqual([])
  })
})

describe('a proof', () => {
  test('stops everything behind it until it is answered', () => {
    const talk = new Talk().begin().service()
    talk.paused = true
    talk.password('alice', 'one')
    talk.password('alice', 'two')
    expect(talk.steps.filter(({ type }) => type === 'proof')).toHaveLength(1)
    talk.paused = false
    talk.run(talk.connection.answer({ type: 'reject' }))
    expect(talk.proof).toEqual({ type: 'password', user: 'alice', password: 'two' })
    // A request that was on its way when the one before it succeeded is passed over.
    talk.password('alice', 'three')
    talk.run(talk.connection.accept(RELAY_OPTIONS))
    expect(talk.closed).toBeUndefined()
    expect(talk.heard().at(-1)).toEqual({ type: 'USERAUTH_SUCCESS' })
    talk.send(CHANNEL)
    expect(talk.heard().map(({ type }) => type)).toEqual(['CHANNEL_OPEN_CONFIRMATION'])
  })

  test('that waits does not let bytes pile up', () => {
    const talk = new Talk().begin().service()
    talk.password('alice', 'one')
    for (let i = 0; i < 9 && talk.closed === undefined; i++) talk.bytes(new Uint8Array(32 * 1024))
    expect(talk.closed?.message).toBe('bytes without end behind a proof')
  })

  test('by a key carries through to a session', () => {
    const talk = new Talk().begin().service()
    const key = ed25519Key(4)
    talk.query('alice', 'ssh-ed25519', ed25519Blob(key))
    talk.run(talk.connection.answer({ type: 'known' }))
    talk.signed('alice', 'ssh-ed25519', ed25519Blob(key), (signed) => signEd25519(key, signed))
    expect(talk.proof).toMatchObject({ type: 'key', user: 'alice' })
    talk.run(talk.connection.accept(RELAY_OPTIONS))
    expect(
      talk
        .heard()
        .map(({ type }) => type)
        .slice(-2),
    ).toEqual(['USERAUTH_PK_OK', 'USERAUTH_SUCCESS'])
  })

  test('too many that fail end the connection', () => {
    const talk = new Talk().begin().service()
    for (let i = 0; i < 6; i++) {
      talk.password('alice', 'wrong')
      talk.run(talk.connection.answer({ type: 'reject' }))
    }
    expect(talk.closed?.message).toBe('too many authentication failures')
  })
})

describe('the end of a connection', () => {
  test('by the person ends what is open as aborted', () => {
    const talk = running(new Talk().login())
    talk.send({ type: 'DISCONNECT', reason: 11, description: 'disconnected by user', language: '' })
    expect(talk.records).toMatchObject([{ type: 'end', op: 1, outcome: 'aborted' }])
    expect(talk.closed).toEqual({ why: 'client', message: 'disconnected: disconnected by user' })
  })

  test.each(['client', 'target'] as const)('by a cut of the %s does too', (from) => {
    const talk = running(new Talk().login())
    talk.run(talk.connection.end(from))
    expect(talk.records).toMatchObject([{ type: 'end', op: 1, outcome: 'aborted' }])
    expect(talk.closed?.why).toBe(from)
  })

  test('by an administrator is explained on every program’s standard error', () => {
    const talk = running(new Talk().login())
    talk.send(open(1), pty(1), request(1, 'shell'), open(2))
    talk.run(talk.connection.verdict(2, { allow: true }))
    talk.run(talk.connection.host({ type: 'started', channel: 1 }))
    talk.heard()
    talk.run(talk.connection.stop(REFUSAL))
    const heard = talk.heard()
    const said = (channel: number) =>
      textOf(
        heard.filter((message) => 'recipient' in message && message.recipient === channel),
        'stderr',
      )
    expect(said(0)).toBe('gatebook: this session was ended by dana\n  id  : k3v5.9\n')
    expect(said(1)).toBe('gatebook: this session was ended by dana\r\n  id  : k3v5.9\r\n')
    expect(heard).toContainEqual(exitStatus(0, 77))
    expect(heard.at(-1)).toMatchObject({ type: 'DISCONNECT', reason: 11, description: REFUSAL.what })
    expect(talk.records.filter(({ type }) => type === 'end')).toHaveLength(2)
  })
})

describe('holds', () => {
  test('stand before the first message that tells an outcome, and behind its record', () => {
    const talk = running(new Talk().login())
    const steps = (event: Parameters<typeof talk.connection.host>[0]) =>
      talk.connection.host(event).map(({ type }) => type)
    expect(steps({ type: 'data', channel: 0, stream: 'output', bytes: encodeText('x') })).toEqual([
      'record',
      'send',
    ])
    expect(steps({ type: 'eof', channel: 0 })).toEqual(['send'])
    const ending = { type: 'exit-status', status: 1 } as const
    expect(steps({ type: 'ending', channel: 0, ending })).toEqual(['record', 'hold', 'send'])
    expect(steps({ type: 'closed', channel: 0 })).toEqual(['hold', 'send'])
  })

  test('a begin stands before the host hears of it', () => {
    const talk = new Talk().login()
    talk.send(CHANNEL, exec(0, 'id'))
    expect(talk.connection.verdict(1, { allow: true }).map(({ type }) => type)).toEqual(['record', 'host'])
  })

  test('standard input is recorded before it is passed on', () => {
    const talk = running(new Talk().login())
    talk.send(data(0, 'rm -rf /\n'), eof(0))
    expect(talk.steps.map(({ type }) => type)).toEqual(['record', 'host', 'host'])
  })
})

describe('other host keys', () => {
  const second = hostKey(ed25519Key(7))
  const prove = (...blobs: readonly Uint8Array[]) =>
    global(
      'hostkeys-prove-00@openssh.com',
      concat(blobs.map((blob) => encodeForm({ blob: string }, { blob }))),
    )

  test('are announced to who is known, and prove themselves', () => {
    const talk = new Talk({ hostKeys: [HOST_KEY, second] }).begin().service()
    talk.password('alice', 'x')
    talk.run(talk.connection.accept(RELAY_OPTIONS))
    const announced = talk.heard().at(-1)
    expect(announced).toMatchObject({
      type: 'GLOBAL_REQUEST',
      request: 'hostkeys-00@openssh.com',
      wantReply: false,
    })
    talk.send(prove(second.blob))
    const [proof] = talk.heard()
    if (proof?.type !== 'REQUEST_SUCCESS') throw new Error('not proved')
    const signed = encodeForm(
      { request: text, id: string, blob: string },
      { request: 'hostkeys-prove-00@openssh.com', id: talk.client.sessionId, blob: second.blob },
    )
    const key = parsePublicKey(second.blob)
    expect(verifySignature(key, 'ssh-ed25519', proof.fields.subarray(4), signed)).toBeDefined()
  })

  test('that are not ours are not signed for', () => {
    const talk = new Talk().login()
    talk.send(prove(ed25519Blob(ed25519Key(99))))
    expect(talk.heard()).toEqual([{ type: 'REQUEST_FAILURE' }])
    talk.send(prove(...Array.from({ length: 17 }, () => HOST_KEY.blob)))
    expect(talk.closed?.message).toBe('more than 16 host keys asked for')
  })
})

test('new keys come by the hour, by whoever tells the time', () => {
  const talk = new Talk().login()
  talk.run(talk.connection.tick(1_000))
  talk.run(talk.connection.tick(3_600_999))
  expect(talk.client.exchanges).toBe(1)
  talk.run(talk.connection.tick(3_601_000))
  expect(talk.client.exchanges).toBe(2)
  talk.run(talk.connection.tick(3_602_000))
  expect(talk.client.exchanges).toBe(2)
})

test('a recorded conversation cut at every byte is the same conversation', () => {
  // The client's bytes, as they were when everything came whole; keys and padding are fixed.
  const play = (cut: number | undefined): string => {
    const talk = new Talk().login()
    const bytes = concat(
      [open(5), exec(0, 'cat'), data(0, 'hello'), data(0, ' world'), eof(0), close(0)].map((message) =>
        talk.client.message(message),
      ),
    )
    talk.bytes(bytes.subarray(0, cut ?? bytes.length))
    talk.bytes(bytes.subarray(cut ?? bytes.length))
    for (const { id } of talk.wishes) talk.run(talk.connection.verdict(id, { allow: true }))
    return JSON.stringify([talk.steps, talk.heard()])
  }
  const whole = play(undefined)
  for (let cut = 0; cut < 400; cut++) expect(play(cut), `cut at ${cut}`).toBe(whole)
})
