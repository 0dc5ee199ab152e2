/**
 * Whatever a client or a host says: no throw, no hang, no memory above the limits, nothing to the host from who is
 * nobody. Twenty seconds by default, longer by GATEBOOK_FUZZ_SECONDS; a failure names the seed it came from.
 */
import { expect, test } from 'vitest'
import { concat } from '../../../protocols/bytes.ts'
import type { HostEvent } from '../../../protocols/ssh/index.ts'
import { encodeMessage, type Message } from '../../../protocols/ssh/messages.ts'
import { type Random, random } from '../../support/fuzz.ts'
import {
  adjust,
  close,
  data,
  directTcpip,
  env,
  eof,
  exec,
  global,
  open,
  pty,
  request,
  subsystem,
} from '../../support/ssh-channel-talk.ts'
import { ed25519Blob, ed25519Key } from '../../support/ssh-keys.ts'
import { Talk } from '../../support/ssh-talk.ts'

const BUDGET_MS = Number(process.env['GATEBOOK_FUZZ_SECONDS'] ?? 20) * 1000
const FIRST_SEED = Number(process.env['GATEBOOK_FUZZ_SEED'] ?? 1)

const EDGES = [0, 1, 2, 4, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] as const
const NAMES = [
  '',
  'session',
  'shell',
  '__proto__',
  'constructor',
  'a,b',
  'x\0y',
  'ssh-connection',
  'x'.repeat(300),
] as const

/** A payload that is nearly right: bytes changed, cut, doubled, lengths made lies. */
function mangled(dice: Random, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(payload)
  switch (dice.below(7)) {
    case 0:
      return bytes
    case 1:
      return bytes.subarray(0, dice.below(bytes.length) + 1)
    case 2:
      return concat([bytes, dice.bytes(dice.below(20))])
    case 3:
      if (bytes.length > 4) {
        const view = new DataView(bytes.buffer)
        view.setUint32(dice.below(bytes.length - 3), dice.pick(EDGES))
      }
      return bytes
    case 4:
      return concat([Uint8Array.of(dice.below(256)), bytes.subarray(1)])
    default:
      bytes[dice.below(bytes.length)] = dice.below(256)
      return bytes
  }
}

function anyMessage(dice: Random, channels: number): Message {
  const id = dice.below(channels + 2)
  const key = ed25519Blob(ed25519Key(3))
  return dice.pick<() => Message>([
    () => open(id, dice.pick(EDGES), dice.pick(EDGES)),
    () => open(id),
    () => exec(id, dice.pick(['cat', 'scp -t /tmp', NAMES[3] ?? ''])),
    () => subsystem(id, dice.pick(['sftp', 'netconf', ...NAMES])),
    () => request(id, dice.pick(NAMES), dice.bytes(dice.below(20)), dice.below(2) === 0),
    () => pty(id, dice.pick(EDGES), dice.pick(EDGES)),
    () => env(id, dice.pick(NAMES), 'x'),
    () => data(id, dice.bytes(dice.below(300))),
    () => data(id, Uint8Array.of(0, 0, 0, 5, 1, 0, 0, 0, 3)),
    () => eof(id),
    () => close(id),
    () => adjust(id, dice.pick(EDGES)),
    () => global(dice.pick(['tcpip-forward', 'keepalive@openssh.com', ...NAMES]), dice.bytes(dice.below(12))),
    () => directTcpip(id, dice.pick(NAMES), dice.pick(EDGES)),
    () => ({
      type: 'CHANNEL_OPEN_CONFIRMATION',
      recipient: id,
      sender: 1,
      window: 9,
      packetMax: 9,
      fields: key,
    }),
    () => ({ type: 'CHANNEL_OPEN_FAILURE', recipient: id, reason: 1, description: '', language: '' }),
    () => ({ type: 'REQUEST_SUCCESS', fields: key }),
    () => ({ type: 'IGNORE', data: key }),
    () => ({ type: 'PING', data: key }),
    () => ({ type: 'SERVICE_REQUEST', service: dice.pick(['ssh-userauth', ...NAMES]) }),
    () => ({
      type: 'USERAUTH_REQUEST',
      user: dice.pick(['alice', ...NAMES]),
      service: 'ssh-connection',
      method: dice.pick(['none', 'password', 'publickey', 'keyboard-interactive', ...NAMES]),
      fields: dice.bytes(dice.below(40)),
    }),
    () => ({ type: 'USERAUTH_INFO_RESPONSE', responses: dice.bytes(dice.below(12)) }),
    () => ({ type: 'NEWKEYS' }),
    () => ({ type: 'KEX_ECDH_INIT', clientKey: dice.bytes(32) }),
  ])()
}

function anyHostEvent(dice: Random, channels: number): HostEvent {
  const channel = dice.below(channels + 1)
  const forwarded = {
    type: 'forwarded-streamlocal@openssh.com',
    path: dice.pick(NAMES),
    reserved: '',
  } as const
  return dice.pick<HostEvent>([
    { type: 'started', channel },
    { type: 'refused', channel, reason: dice.pick(EDGES), message: dice.pick(NAMES) },
    { type: 'data', channel, stream: dice.pick(['output', 'stderr']), bytes: dice.bytes(dice.below(400)) },
    { type: 'eof', channel },
    { type: 'ending', channel, ending: { type: 'exit-status', status: dice.pick(EDGES) } },
    { type: 'closed', channel },
    { type: 'taken', channel, bytes: dice.below(2 * 1024 * 1024) },
    { type: 'listening', id: dice.below(3), success: dice.below(2) === 0, port: 1 },
    { type: 'incoming', incoming: dice.below(3), forwarded },
  ])
}

/** A client that has not come to an understanding about keys. */
function beforeKeys(dice: Random): Talk {
  const talk = new Talk()
  talk.paused = true
  talk.run(talk.connection.start())
  const hello = talk.client.hello()
  const bytes = dice.below(3) === 0 ? dice.bytes(dice.below(2000)) : mangled(dice, hello)
  const cut = dice.below(bytes.length + 1)
  talk.bytes(bytes.subarray(0, cut))
  talk.bytes(bytes.subarray(cut))
  return talk
}

/** A client that has, and speaks nonsense behind it, known or not. */
function behindKeys(dice: Random, known: boolean): Talk {
  const talk = known ? new Talk().login() : new Talk().begin()
  const channels = dice.below(4)
  for (let i = 0; i < channels && known; i++) talk.send(open(i), exec(i, 'cat'))
  for (let i = 0; i < 25 && talk.closed === undefined; i++) {
    const roll = dice.below(10)
    if (roll < 6) talk.bytes(talk.client.payload(mangled(dice, encodeMessage(anyMessage(dice, channels)))))
    else if (roll < 8) talk.run(talk.connection.host(anyHostEvent(dice, channels)))
    else if (roll === 8) talk.run(talk.connection.verdict(dice.below(channels + 3), { allow: true }))
    else talk.run(talk.connection.tick(i * 1_000_000))
    if (talk.proof !== undefined && !known) {
      talk.steps = talk.steps.filter(({ type }) => type !== 'proof')
      talk.run(talk.connection.answer({ type: 'reject' }))
    }
  }
  return talk
}

test('nothing anybody says breaks a connection but their own', () => {
  const until = performance.now() + BUDGET_MS
  let rounds = 0
  for (let seed = FIRST_SEED; performance.now() < until; seed++, rounds++) {
    const dice = random(seed)
    const kind = dice.below(3)
    try {
      const talk = kind === 0 ? beforeKeys(dice) : behindKeys(dice, kind === 1)
      if (kind !== 1) expect(talk.commands).toEqual([])
      // Every operation that was begun is ended when the connection is.
      if (talk.closed !== undefined) {
        const begun = talk.records.filter(({ type }) => type === 'begin').map(({ op }) => op)
        const ended = talk.records.filter(({ type }) => type === 'end').map(({ op }) => op)
        expect(ended.toSorted()).toEqual(begun.toSorted())
      }
      expect(talk.steps.length).toBeLessThan(2000)
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause })
    }
  }
  expect(rounds).toBeGreaterThan(50)
})
