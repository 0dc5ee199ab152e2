/** Holes that were found in other servers of SSH, each tried at the door of a whole gateway. */
import { createHash, type KeyObject, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concat } from '../../../protocols/bytes.ts'
import { parseCertificate } from '../../../protocols/ssh/certificates.ts'
import { parsePrivateKey } from '../../../protocols/ssh/host-keys.ts'
import { encodeMessage, type Message, NUMBER } from '../../../protocols/ssh/messages.ts'
import { encodeForm, string, text, uint8, uint32 } from '../../../protocols/ssh/wire.ts'
import { PASSWORD, type TestGateway } from '../../support/gateway.ts'
import { ASK, byPassword, byQuery, Caller } from '../../support/ssh-caller.ts'
import { exec, open as openChannel } from '../../support/ssh-channel-talk.ts'
import { opensshOptions, run } from '../../support/ssh-clients.ts'
import { personKey, sshThrough } from '../../support/ssh-gateway.ts'
import { ed25519Blob, ed25519Key, signEd25519 } from '../../support/ssh-keys.ts'
import { Meddler, type Meddling } from '../../support/ssh-meddler.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'
import { gatewaysOfEachTest } from './each-test.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
  for (const name of ['alice', 'mallory', 'ca']) personKey(sshd, name)
})

afterAll(() => sshd.stop())

const openGateway = gatewaysOfEachTest(() => sshd)

function keyOf(name: string): { readonly key: KeyObject; readonly blob: Uint8Array } {
  const key = parsePrivateKey(readFileSync(join(sshd.folder, name), 'utf8'))
  return { key, blob: ed25519Blob(key) }
}

const offer = (blob: Uint8Array, user = 'alice') => ({ user, algorithm: 'ssh-ed25519', blob })

/** Whom the book says to have been let in, and nobody else. */
async function admitted(gateway: TestGateway): Promise<readonly unknown[]> {
  const { sessions, notes } = await gateway.finish()
  expect(notes.filter(({ kind, out }) => kind === 'login' && out === 'ok')).toHaveLength(
    sessions.filter(({ who }) => who['name'] !== undefined).length,
  )
  return sessions.flatMap(({ who }) => (who['name'] === undefined ? [] : [who['name']]))
}

describe('somebody on the wire (CVE-2023-48795, -46445, -46446)', () => {
  const IGNORE: Message = { type: 'IGNORE', data: Uint8Array.of() }
  const DEBUG: Message = { type: 'DEBUG', alwaysDisplay: false, message: Uint8Array.of(), language: '' }
  const INFO: Message = { type: 'EXT_INFO', extensions: encodeForm({ count: uint32 }, { count: 0 }) }
  const CIPHER = 'chacha20-poly1305@openssh.com'

  const through = (port: number) =>
    run('ssh', [
      '-c',
      CIPHER,
      ...opensshOptions(port, join(sshd.folder, 'alice')),
      'alice@127.0.0.1',
      'echo in',
    ])
  const say = (message: Message, before: number): Pick<Meddling, 'say'> => ({
    say: { payload: encodeMessage(message), before },
  })
  /** How long the gateway's first packet behind NEWKEYS is: length, padding and tag of `CIPHER`. */
  async function firstPacket(gateway: TestGateway): Promise<number> {
    using caller = await Caller.open(gateway.port('ssh'), { cipher: CIPHER })
    const { length } = encodeMessage(await caller.hears('EXT_INFO'))
    return 4 + Math.ceil((1 + length + 4) / 8) * 8 + 16
  }

  test('who does nothing is not noticed', async () => {
    const gateway = await openGateway()
    using meddler = await Meddler.between(gateway.port('ssh'))
    expect(await through(meddler.port)).toMatchObject({ code: 0, err: '' })
    expect(await admitted(gateway)).toEqual(['alice'])
  })

  test.each<[string, Message, number]>([
    ['IGNORE before the first message', IGNORE, NUMBER.KEXINIT],
    ['IGNORE before the client’s key', IGNORE, NUMBER.KEX_ECDH_INIT],
    ['IGNORE before its NEWKEYS', IGNORE, NUMBER.NEWKEYS],
    ['DEBUG before its NEWKEYS', DEBUG, NUMBER.NEWKEYS],
    ['EXT_INFO in clear', INFO, NUMBER.NEWKEYS],
    ['a request for the service in clear', ASK, NUMBER.NEWKEYS],
    ['a login of their own in clear', byPassword('bob', PASSWORD), NUMBER.NEWKEYS],
  ])('who puts in %s ends the connection, and nobody is let in', async (_, message, before) => {
    const gateway = await openGateway()
    using meddler = await Meddler.between(gateway.port('ssh'), {
      towards: 'gateway',
      ...say(message, before),
    })
    expect(await through(meddler.port)).toMatchObject({ code: 255 })
    expect(await admitted(gateway)).toEqual([])
  })

  test.each<[string, Message]>([
    ['EXT_INFO in clear', INFO],
    ['a login of their own in clear', byPassword('bob', PASSWORD)],
  ])('who puts in %s gets nothing from a client without strict key exchange either', async (_, message) => {
    const gateway = await openGateway()
    const meddling: Meddling = { towards: 'gateway', ...say(message, NUMBER.NEWKEYS) }
    using meddler = await Meddler.between(gateway.port('ssh'), meddling)
    using caller = await Caller.open(meddler.port, { strict: false })
    await caller.ends()
    expect(await admitted(gateway)).toEqual([])
  })

  test('who leaves out the client’s first secret packet breaks all others', async () => {
    const gateway = await openGateway()
    // Of the request for the service: length, padding and tag.
    const meddling: Meddling = { towards: 'gateway', drop: 4 + 24 + 16 }
    using meddler = await Meddler.between(gateway.port('ssh'), meddling)
    using caller = await Caller.open(meddler.port, { cipher: CIPHER })
    caller.say(ASK, ASK, byPassword('alice', PASSWORD))
    await caller.ends()
    expect(await admitted(gateway)).toEqual([])
  })

  test('who puts in one packet and leaves out our EXT_INFO for it is found out by the client', async () => {
    const gateway = await openGateway()
    const drop = await firstPacket(gateway)
    const meddling: Meddling = { towards: 'client', drop, ...say(IGNORE, NUMBER.NEWKEYS) }
    using meddler = await Meddler.between(gateway.port('ssh'), meddling)
    expect(await through(meddler.port)).toMatchObject({ code: 255 })
    // Only because both sides are strict: a client that is not does not notice.
    using caller = await Caller.open(meddler.port, { cipher: CIPHER, strict: false })
    await caller.logIn('alice', PASSWORD)
    expect(caller.count('EXT_INFO')).toBe(0)
    caller[Symbol.dispose]()
    expect(await admitted(gateway)).toEqual(['alice'])
  })
})

describe('proofs that come faster than they are answered', () => {
  test.each<[string, readonly [user: string, password: string][], readonly string[]]>([
    [
      'a right one and then another’s',
      [
        ['alice', PASSWORD],
        ['bob', PASSWORD],
      ],
      ['alice'],
    ],
    [
      'a right one and then a wrong one',
      [
        ['alice', PASSWORD],
        ['alice', 'wrong'],
      ],
      ['alice'],
    ],
    [
      'a wrong one and then another’s right one',
      [
        ['alice', 'wrong'],
        ['bob', PASSWORD],
      ],
      [],
    ],
  ])('%s: each is answered in its turn, for whom it was made', async (_, requests, let_in) => {
    const gateway = await openGateway()
    using caller = await Caller.open(gateway.port('ssh'))
    caller.say(ASK, ...requests.map(([user, password]) => byPassword(user, password)), openChannel(0))
    if (let_in.length === 0) await caller.ends()
    else await caller.hears('USERAUTH_SUCCESS')
    expect(caller.count('USERAUTH_SUCCESS')).toBe(let_in.length)
    caller[Symbol.dispose]()
    expect(await admitted(gateway)).toEqual(let_in)
  })

  test('a wrong one and then a right one are a failure and then a success', async () => {
    const gateway = await openGateway()
    using caller = await Caller.open(gateway.port('ssh'))
    caller.say(ASK, byPassword('alice', 'wrong'), byPassword('alice', PASSWORD))
    await caller.hears('USERAUTH_SUCCESS')
    expect(caller.count('USERAUTH_FAILURE')).toBe(1)
  })

  test('the sixth that is wrong ends the connection', async () => {
    const gateway = await openGateway()
    using caller = await Caller.open(gateway.port('ssh'))
    caller.say(ASK, ...Array.from({ length: 7 }, () => byPassword('alice', 'wrong')))
    await caller.ends()
    expect([caller.count('USERAUTH_FAILURE'), caller.count('USERAUTH_SUCCESS')]).toEqual([5, 0])
  })
})

describe('a key that was only asked about (CVE-2024-45337)', () => {
  test('lets in nobody: who signs with another has proved the other', async () => {
    const gateway = await openGateway()
    const [alice, mallory] = [keyOf('alice'), keyOf('mallory')]
    using caller = await Caller.open(gateway.port('ssh'))
    caller.say(ASK, byQuery(offer(alice.blob)))
    expect(await caller.hears('USERAUTH_PK_OK')).toMatchObject({ algorithm: 'ssh-ed25519' })
    caller.say(caller.signed(offer(mallory.blob), (data) => signEd25519(mallory.key, data)))
    await caller.hears('USERAUTH_FAILURE')
    // Nor by the name of the one and the signature of the other.
    caller.say(caller.signed(offer(alice.blob), (data) => signEd25519(mallory.key, data)))
    await caller.hearsAll('USERAUTH_FAILURE', 2)
    caller[Symbol.dispose]()
    expect(await admitted(gateway)).toEqual([])
  })

  test('nor with another person’s password behind it', async () => {
    const gateway = await openGateway()
    using caller = await Caller.open(gateway.port('ssh'))
    caller.say(ASK, byQuery(offer(keyOf('alice').blob)), byPassword('bob', PASSWORD))
    await caller.ends()
    expect([caller.count('USERAUTH_PK_OK'), caller.count('USERAUTH_SUCCESS')]).toEqual([1, 0])
    expect(await admitted(gateway)).toEqual([])
  })

  test('and the one that signs does', async () => {
    const gateway = await openGateway()
    const { key, blob } = keyOf('alice')
    using caller = await Caller.open(gateway.port('ssh'))
    caller.say(
      ASK,
      byQuery(offer(blob)),
      caller.signed(offer(blob), (data) => signEd25519(key, data)),
    )
    await caller.hears('USERAUTH_SUCCESS')
    caller[Symbol.dispose]()
    expect(await admitted(gateway)).toEqual(['alice'])
  })
})

describe('malformed proofs (CVE-2020-9283, CVE-2020-29652)', () => {
  const short = encodeForm({ type: text, key: string }, { type: 'ssh-ed25519', key: new Uint8Array(31) })
  const request = (method: string, fields: Uint8Array = Uint8Array.of()): Message => ({
    type: 'USERAUTH_REQUEST',
    ...{ user: 'alice', service: 'ssh-connection', method, fields },
  })

  test.each<[string, (caller: Caller) => Message]>([
    ['a key that is too short', () => byQuery(offer(short))],
    [
      'a signature by a key that is too short',
      (caller) => caller.signed(offer(short), () => new Uint8Array(83)),
    ],
    ['an empty key', () => byQuery(offer(Uint8Array.of()))],
    ['no method at all', () => request('')],
    ['a method of another kind', () => request('gssapi-with-mic')],
    ['a method with a property’s name', () => request('__proto__')],
  ])('%s is refused, and the next may be right', async (_, make) => {
    const gateway = await openGateway()
    using caller = await Caller.open(gateway.port('ssh'))
    caller.say(ASK, make(caller))
    await caller.hears('USERAUTH_FAILURE')
    expect(caller.count('USERAUTH_PK_OK')).toBe(0)
    caller.say(byPassword('alice', PASSWORD))
    await caller.hears('USERAUTH_SUCCESS')
  })

  test.each<[string, (caller: Caller) => Message]>([
    ['a request without its fields', () => request('publickey')],
    ['a password without its fields', () => request('password')],
    ['an empty signature', (caller) => caller.signed(offer(keyOf('alice').blob), () => Uint8Array.of())],
  ])('%s ends the connection, and nobody else’s', async (_, make) => {
    const gateway = await openGateway()
    using caller = await Caller.open(gateway.port('ssh'))
    caller.say(ASK, make(caller))
    await caller.ends()
    expect(await sshThrough(sshd, gateway, ['exit 3'], { login: 'alice' })).toMatchObject({ code: 3 })
  })
})

describe('certificates (CVE-2025-49825)', () => {
  const ALGORITHM = 'ssh-ed25519-cert-v01@openssh.com'
  const HOLDER = ed25519Key(9)

  const trusting = () =>
    openGateway({ listener: `user_ca: ["${readFileSync(join(sshd.folder, 'ca.pub'), 'utf8').trim()}"]` })

  /** What an authority says about a holder, for alice and for ever. */
  function certificate(holder: Uint8Array, authority: Uint8Array, key: KeyObject): Uint8Array {
    const raw = (blob: Uint8Array): Uint8Array => blob.subarray(-32)
    const principals = encodeForm({ name: text }, { name: 'alice' })
    const body = encodeForm(
      {
        ...{ name: text, nonce: string, key: string, serial: fixed8, kind: uint32, id: text },
        ...{ principals: string, after: fixed8, before: fixed8 },
        ...{ critical: string, extensions: string, reserved: string, authority: string },
      },
      {
        ...{ name: ALGORITHM, nonce: new Uint8Array(32), key: raw(holder), serial: new Uint8Array(8) },
        ...{ kind: 1, id: 'made by hand', principals, after: new Uint8Array(8) },
        ...{ before: new Uint8Array(8).fill(0xff), critical: Uint8Array.of(), extensions: Uint8Array.of() },
        ...{ reserved: Uint8Array.of(), authority },
      },
    )
    return concat([body, encodeForm({ signature: string }, { signature: signEd25519(key, body) })])
  }
  const fixed8 = {
    read: (): Uint8Array => {
      throw new Error('written only')
    },
    write: (to: { bytes(value: Uint8Array): unknown }, value: Uint8Array) => void to.bytes(value),
  }

  const present = async (gateway: TestGateway, blob: Uint8Array): Promise<Caller> => {
    const caller = await Caller.open(gateway.port('ssh'))
    const key = { user: 'alice', algorithm: ALGORITHM, blob }
    caller.say(
      ASK,
      caller.signed(key, (data) => signEd25519(HOLDER, data)),
    )
    return caller
  }

  test('one that a trusted authority signed lets in', async () => {
    const gateway = await trusting()
    const { key, blob } = keyOf('ca')
    using caller = await present(gateway, certificate(ed25519Blob(HOLDER), blob, key))
    await caller.hears('USERAUTH_SUCCESS')
    caller[Symbol.dispose]()
    expect(await admitted(gateway)).toEqual(['alice'])
  })

  test('one that is signed by a certificate, even a certificate of the authority’s own key, is none', async () => {
    const gateway = await trusting()
    const { key, blob } = keyOf('ca')
    const ofAuthority = certificate(blob, blob, key)
    expect(parseCertificate(ofAuthority).keyId).toBe('made by hand')
    using caller = await present(gateway, certificate(ed25519Blob(HOLDER), ofAuthority, key))
    await caller.hears('USERAUTH_FAILURE')
    caller[Symbol.dispose]()
    expect(await admitted(gateway)).toEqual([])
  })

  test('one that is cut anywhere, or whose name is another’s, is refused like a key that nobody knows', async () => {
    const gateway = await trusting()
    const { key, blob } = keyOf('ca')
    const whole = certificate(ed25519Blob(HOLDER), blob, key)
    // As many as a client may ask about on one connection.
    const cuts = Array.from({ length: 50 }, (_, i) => whole.subarray(0, Math.floor((whole.length * i) / 50)))
    using caller = await Caller.open(gateway.port('ssh'))
    const asked = cuts.map((cut) => byQuery({ user: 'alice', algorithm: ALGORITHM, blob: cut }))
    caller.say(ASK, ...asked, byQuery(offer(whole)))
    await caller.hearsAll('USERAUTH_FAILURE', 51)
    caller.say(byQuery({ user: 'alice', algorithm: ALGORITHM, blob: whole }))
    await caller.hears('USERAUTH_PK_OK')
    expect(caller.count('USERAUTH_SUCCESS')).toBe(0)
  })
})

test('a FIDO key of the configuration lets in whoever touches it, and nobody who does not', async () => {
  const algorithm = 'sk-ssh-ed25519@openssh.com'
  const key = ed25519Key(11)
  const form = { type: text, key: string, application: text }
  const blob = encodeForm(form, {
    ...{ type: algorithm, key: ed25519Blob(key).subarray(-32), application: 'ssh:' },
  })
  const touched = (flags: number) => (data: Uint8Array) => {
    const state = encodeForm({ flags: uint8, counter: uint32 }, { flags, counter: 9 })
    const hash = (value: Uint8Array | string) => createHash('sha256').update(value).digest()
    const raw = sign(null, concat([hash('ssh:'), state, hash(data)]), key)
    return concat([encodeForm({ a: text, s: string }, { a: algorithm, s: raw }), state])
  }
  const gateway = await openGateway({
    changes: [['ssh_keys: ["', `ssh_keys: ["${algorithm} ${Buffer.from(blob).toString('base64')}", "`]],
  })
  using caller = await Caller.open(gateway.port('ssh'))
  caller.say(ASK, caller.signed({ user: 'alice', algorithm, blob }, touched(0)))
  await caller.hears('USERAUTH_FAILURE')
  caller.say(caller.signed({ user: 'alice', algorithm, blob }, touched(1)), openChannel(0), exec(0, 'true'))
  await caller.hears('USERAUTH_SUCCESS')
  await caller.hears('CHANNEL_CLOSE')
  caller[Symbol.dispose]()
  expect(await admitted(gateway)).toEqual(['alice'])
})
