import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { concat, ProtocolError } from '../../../protocols/bytes.ts'
import { Authentication, type AuthOptions, type Proof } from '../../../protocols/ssh/auth.ts'
import { hostKey, parsePrivateKey, publicBlob } from '../../../protocols/ssh/host-keys.ts'
import { decodeAs, encodeMessage, type Message, type MessageOf } from '../../../protocols/ssh/messages.ts'
import { boolean, encodeForm, mpint, string, text, uint8, uint32 } from '../../../protocols/ssh/wire.ts'
import { ed25519Blob, ed25519Key, signEd25519 } from '../../support/ssh-keys.ts'
import { readVector, toHex } from '../../support/ssh-vectors.ts'

const SESSION_ID = new Uint8Array(32).fill(5)
const OPTIONS: AuthOptions = { methods: ['publickey', 'password', 'keyboard-interactive'], banner: '' }
const REQUEST = { signed: boolean, algorithm: text, blob: string }

let sent: Message[] = []

function begin(options: Partial<AuthOptions> = {}): Authentication {
  const transport = { send: (message: Message) => void sent.push(message), sessionId: SESSION_ID }
  return new Authentication(transport, { ...OPTIONS, ...options })
}

/** Past the request for the service. */
function ready(options: Partial<AuthOptions> = {}): Authentication {
  const auth = begin(options)
  auth.take(encodeMessage({ type: 'SERVICE_REQUEST', service: 'ssh-userauth' }))
  sent = []
  return auth
}

function request(
  auth: Authentication,
  method: string,
  fields: Uint8Array = new Uint8Array(0),
  over: Partial<MessageOf<'USERAUTH_REQUEST'>> = {},
): Proof | undefined {
  const base = { type: 'USERAUTH_REQUEST', user: 'alice', service: 'ssh-connection', method, fields } as const
  return auth.take(encodeMessage({ ...base, ...over }))
}

function password(auth: Authentication, value: string, user = 'alice'): Proof | undefined {
  const fields = encodeForm({ change: boolean, value: text }, { change: false, value })
  return request(auth, 'password', fields, { user })
}

function query(auth: Authentication, algorithm: string, blob: Uint8Array): Proof | undefined {
  return request(auth, 'publickey', encodeForm(REQUEST, { signed: false, algorithm, blob }))
}

interface Claim {
  readonly sessionId: Uint8Array
  readonly user: string
  readonly service: string
  readonly algorithm: string
}

/** A signed request; `over` changes what is signed and not what is said. */
function prove(
  auth: Authentication,
  algorithm: string,
  blob: Uint8Array,
  signer: (data: Uint8Array) => Uint8Array,
  over: Partial<Claim> = {},
): Proof | undefined {
  const claim = { sessionId: SESSION_ID, user: 'alice', service: 'ssh-connection', algorithm, ...over }
  const data = encodeForm(
    { sessionId: string, number: uint8, user: text, service: text, method: text, ...REQUEST },
    { ...claim, number: 50, method: 'publickey', signed: true, blob },
  )
  const fields = { signed: true, algorithm, blob, signature: signer(data) }
  return request(auth, 'publickey', encodeForm({ ...REQUEST, signature: string }, fields))
}

const alice = ed25519Key(2)
const bob = ed25519Key(3)
const aliceBlob = ed25519Blob(alice)
const FAILURE = { type: 'USERAUTH_FAILURE', methods: OPTIONS.methods, partial: false }

beforeEach(() => {
  sent = []
})

describe('the order of messages', () => {
  test('the service is asked for first, and only this one', () => {
    const auth = begin({ banner: 'Sessions are recorded.\n' })
    expect(() => password(auth, 'x')).toThrow('message 50 before authentication')
    auth.take(encodeMessage({ type: 'SERVICE_REQUEST', service: 'ssh-userauth' }))
    expect(sent).toEqual([
      { type: 'SERVICE_ACCEPT', service: 'ssh-userauth' },
      { type: 'USERAUTH_BANNER', message: 'Sessions are recorded.\n', language: '' },
    ])
    expect(() => begin().take(encodeMessage({ type: 'SERVICE_REQUEST', service: 'ssh-connection' }))).toThrow(
      'the service ssh-connection before authentication',
    )
  })

  // CVE-2025-32433 and CVE-2018-10933: a program run, or success declared, by who is nobody yet.
  test.each([
    {
      type: 'CHANNEL_OPEN',
      channel: 'session',
      sender: 0,
      window: 1,
      packetMax: 1,
      fields: new Uint8Array(0),
    },
    { type: 'CHANNEL_REQUEST', recipient: 0, request: 'exec', wantReply: true, fields: new Uint8Array(0) },
    { type: 'GLOBAL_REQUEST', request: 'tcpip-forward', wantReply: true, fields: new Uint8Array(0) },
    { type: 'USERAUTH_SUCCESS' },
    { type: 'USERAUTH_FAILURE', methods: [], partial: false },
    { type: 'USERAUTH_INFO_RESPONSE', responses: new Uint8Array(4) },
    { type: 'SERVICE_REQUEST', service: 'ssh-userauth' },
  ] as const)('$type before authentication ends the connection', (message) => {
    expect(() => ready().take(encodeMessage(message))).toThrow(/message \d+ before authentication/)
    expect(sent).toEqual([])
  })

  test('another service than the connection is not authenticated for', () => {
    expect(() => request(ready(), 'none', undefined, { service: 'ssh-userauth' })).toThrow(
      'authentication for the service ssh-userauth',
    )
  })

  test('the user does not change', () => {
    const auth = ready()
    query(auth, 'ssh-ed25519', aliceBlob)
    auth.answer({ type: 'known' })
    expect(() => password(auth, 'x', 'root')).toThrow('the user changed')
  })

  test('one proof waits at a time', () => {
    const auth = ready()
    expect(password(auth, 'x')).toMatchObject({ type: 'password' })
    expect(auth.pending).toBe(true)
    expect(() => password(auth, 'y')).toThrow('has not been answered')
    auth.answer({ type: 'reject' })
    expect(auth.pending).toBe(false)
  })
})

describe('what is said before a first factor is the same for everybody', () => {
  test.each(['none', 'hostbased', '', 'gssapi-with-mic', '__proto__', 'x'.repeat(64)])('%j', (method) => {
    expect(request(ready(), method)).toBeUndefined()
    expect(sent).toEqual([FAILURE])
  })

  test('a method that the listener does not have', () => {
    const auth = ready({ methods: ['publickey'] })
    expect(password(auth, 'right')).toBeUndefined()
    expect(sent).toEqual([{ type: 'USERAUTH_FAILURE', methods: ['publickey'], partial: false }])
  })
})

describe('publickey', () => {
  test('a query is answered with the same key, or with failure, and proves nothing', () => {
    const auth = ready()
    expect(query(auth, 'ssh-ed25519', aliceBlob)).toMatchObject({ type: 'key-query', user: 'alice' })
    auth.answer({ type: 'known' })
    expect(auth.done).toBe(false)
    query(auth, 'ssh-ed25519', aliceBlob)
    expect(() => auth.answer({ type: 'accept' })).toThrow('accept is no answer to key-query')
    auth.answer({ type: 'reject' })
    expect(sent).toEqual([{ type: 'USERAUTH_PK_OK', algorithm: 'ssh-ed25519', key: aliceBlob }, FAILURE])
  })

  test('a query for an RSA key is answered by the algorithm it named', () => {
    const { blob } = hostKey(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey)
    for (const algorithm of ['rsa-sha2-512', 'rsa-sha2-256']) {
      const auth = ready()
      query(auth, algorithm, blob)
      auth.answer({ type: 'known' })
      expect(sent).toEqual([{ type: 'USERAUTH_PK_OK', algorithm, key: blob }])
      sent = []
    }
  })

  test('a right signature is a proof of exactly this key', () => {
    const auth = ready()
    const proof = prove(auth, 'ssh-ed25519', aliceBlob, (data) => signEd25519(alice, data))
    expect(proof).toMatchObject({ type: 'key', user: 'alice', touch: undefined })
    if (proof?.type === 'key') expect(toHex(proof.offered.key.blob)).toBe(toHex(aliceBlob))
    auth.answer({ type: 'accept' })
    expect(auth.done).toBe(true)
    expect(sent).toEqual([{ type: 'USERAUTH_SUCCESS' }])
  })

  // CVE-2024-45337: the key that was asked about is not the key that signs.
  test('whoever asks about one key and signs with another has proved the other', () => {
    const auth = ready()
    query(auth, 'ssh-ed25519', aliceBlob)
    auth.answer({ type: 'known' })
    const proof = prove(auth, 'ssh-ed25519', ed25519Blob(bob), (data) => signEd25519(bob, data))
    if (proof?.type !== 'key') throw new Error('no proof')
    expect(toHex(proof.offered.key.blob)).toBe(toHex(ed25519Blob(bob)))
  })

  test.each([
    ['by another key', bob, {}],
    ['for another session', alice, { sessionId: new Uint8Array(32).fill(6) }],
    ['for another user', alice, { user: 'root' }],
    ['for another service', alice, { service: 'ssh-other' }],
    ['for another algorithm', alice, { algorithm: 'ssh-rsa' }],
  ] as const)('a signature %s is none', (_, key, over) => {
    const auth = ready()
    expect(prove(auth, 'ssh-ed25519', aliceBlob, (data) => signEd25519(key, data), over)).toBeUndefined()
    expect(sent).toEqual([FAILURE])
  })

  test('an RSA key signs with SHA-2 only, and as it said', () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const key = hostKey(privateKey)
    for (const algorithm of ['rsa-sha2-256', 'rsa-sha2-512']) {
      const auth = ready()
      expect(prove(auth, algorithm, key.blob, (data) => key.sign(algorithm, data))).toMatchObject({
        type: 'key',
      })
    }
    expect(query(ready(), 'ssh-rsa', key.blob)).toBeUndefined()
    expect(prove(ready(), 'rsa-sha2-512', key.blob, (data) => key.sign('rsa-sha2-256', data))).toBeUndefined()
    const sha1 = (data: Uint8Array) =>
      encodeForm({ a: text, s: string }, { a: 'ssh-rsa', s: sign('sha1', data, privateKey) })
    expect(prove(ready(), 'ssh-rsa', key.blob, sha1)).toBeUndefined()
    expect(sent.every((message) => message.type === 'USERAUTH_FAILURE')).toBe(true)
  })

  // CVE-2020-9283 and its kin: keys that are none must not do more than fail.
  test.each([
    ['ssh-ed25519', encodeForm({ t: text, k: string }, { t: 'ssh-ed25519', k: new Uint8Array(31) })],
    ['ssh-ed25519', new Uint8Array(0)],
    ['ssh-ed25519', publicBlob(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)],
    ['rsa-sha2-512', publicBlob(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)],
    ['rsa-sha2-512', aliceBlob],
    ['ssh-dss', aliceBlob],
    ['', aliceBlob],
    ['__proto__', aliceBlob],
    ['ssh-ed25519-cert-v01@openssh.com', aliceBlob],
    ['-cert-v01@openssh.com', aliceBlob],
    ['ssh-ed25519', readVector('certificates/plain.txt').bytes],
    ['ssh-ed25519-cert-v01@openssh.com', readVector('certificates/plain.txt').bytes.subarray(0, 99)],
  ])('a key that is none of ours is refused without asking anybody (%s)', (algorithm, blob) => {
    expect(query(ready(), algorithm, blob)).toBeUndefined()
    expect(sent).toEqual([FAILURE])
    expect(prove(ready(), algorithm, blob, (data) => signEd25519(alice, data))).toBeUndefined()
    expect(sent).toEqual([FAILURE])
  })

  test('a certificate is handed on whole, and signed by the key in it', () => {
    const key = parsePrivateKey(new TextDecoder().decode(readVector('keys/ed25519.txt').bytes))
    const { bytes } = readVector('certificates/plain.txt')
    const algorithm = 'ssh-ed25519-cert-v01@openssh.com'
    const auth = ready()
    query(auth, algorithm, bytes)
    auth.answer({ type: 'known' })
    expect(sent).toEqual([{ type: 'USERAUTH_PK_OK', algorithm, key: bytes }])
    const proof = prove(auth, algorithm, bytes, (data) => signEd25519(key, data))
    if (proof?.type !== 'key') throw new Error('no proof')
    expect(proof.offered.certificate?.keyId).toBe('alice@example.com')
    expect(toHex(proof.offered.key.blob)).toBe(toHex(ed25519Blob(key)))
    expect(prove(ready(), algorithm, bytes, (data) => signEd25519(alice, data))).toBeUndefined()
  })

  describe('FIDO keys', () => {
    const algorithm = 'sk-ssh-ed25519@openssh.com'
    const blob = encodeForm(
      { type: text, key: string, application: text },
      { type: algorithm, key: aliceBlob.subarray(-32), application: 'ssh:' },
    )
    const touched = (key: KeyObject, flags: number) => (data: Uint8Array) => {
      const state = encodeForm({ flags: uint8, counter: uint32 }, { flags, counter: 9 })
      const hash = (value: Uint8Array | string) => createHash('sha256').update(value).digest()
      const raw = sign(null, concat([hash('ssh:'), state, hash(data)]), key)
      return concat([encodeForm({ a: text, s: string }, { a: algorithm, s: raw }), state])
    }

    test('prove that somebody touched them', () => {
      expect(prove(ready(), algorithm, blob, touched(alice, 0x05))).toMatchObject({
        type: 'key',
        touch: { present: true, verified: true, counter: 9 },
      })
    })

    test('prove nothing without a touch', () => {
      expect(prove(ready(), algorithm, blob, touched(alice, 0x04))).toBeUndefined()
      expect(sent).toEqual([FAILURE])
    })
  })

  test('an ECDSA signature is two numbers and nothing behind them', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp521r1' })
    const key = hostKey(privateKey)
    const algorithm = 'ecdsa-sha2-nistp521'
    expect(prove(ready(), algorithm, key.blob, (data) => key.sign(algorithm, data))).toMatchObject({
      type: 'key',
    })
    const zero = encodeForm(
      { a: text, s: string },
      { a: algorithm, s: encodeForm({ r: mpint, s: mpint }, { r: new Uint8Array(0), s: new Uint8Array(0) }) },
    )
    expect(prove(ready(), algorithm, key.blob, () => zero)).toBeUndefined()
  })
})

describe('password', () => {
  test('is handed on as it is, an empty one too', () => {
    expect(password(ready(), 'pässword\0')).toEqual({
      type: 'password',
      user: 'alice',
      password: 'pässword\0',
    })
    expect(password(ready(), '')).toEqual({ type: 'password', user: 'alice', password: '' })
  })

  test('is not changed here', () => {
    const form = { change: boolean, old: text, new: text }
    expect(
      request(ready(), 'password', encodeForm(form, { change: true, old: 'a', new: 'b' })),
    ).toBeUndefined()
    expect(sent).toEqual([FAILURE])
  })

  test('with bytes behind it is none', () => {
    const form = { change: boolean, password: text, more: text }
    const fields = encodeForm(form, { change: false, password: 'a', more: 'b' })
    expect(() => request(ready(), 'password', fields)).toThrow('5 bytes behind')
  })
})

describe('keyboard-interactive', () => {
  const ask = (auth: Authentication) =>
    request(
      auth,
      'keyboard-interactive',
      encodeForm({ language: text, sub: text }, { language: '', sub: '' }),
    )
  const respond = (auth: Authentication, responses: readonly string[], count = responses.length) =>
    auth.take(
      encodeMessage({
        type: 'USERAUTH_INFO_RESPONSE',
        responses: concat([
          encodeForm({ count: uint32 }, { count }),
          ...responses.map((value) => encodeForm({ value: text }, { value })),
        ]),
      }),
    )
  const code = {
    type: 'prompt',
    name: '',
    instruction: 'Second factor',
    prompts: [{ text: 'Code: ', echo: false }],
  } as const

  test('asks, is answered, asks again, and succeeds', () => {
    const auth = ready()
    expect(ask(auth)).toEqual({ type: 'interactive', user: 'alice' })
    auth.answer(code)
    const [asked] = sent
    if (asked === undefined) throw new Error('nothing asked')
    expect(toHex(decodeAs('USERAUTH_INFO_REQUEST', encodeMessage(asked)).prompts)).toBe(
      '0000000100000006436f64653a2000',
    )
    expect(respond(auth, ['123456'])).toEqual({ type: 'responses', user: 'alice', responses: ['123456'] })
    auth.answer({ type: 'prompt', name: '', instruction: 'Approve at https://gw.example.com/x', prompts: [] })
    expect(respond(auth, [])).toEqual({ type: 'responses', user: 'alice', responses: [] })
    auth.answer({ type: 'accept' })
    expect(auth.done).toBe(true)
  })

  test.each([
    ['more responses than prompts', ['1', '2'], 2],
    ['fewer responses than prompts', [], 0],
    ['a count without end', ['1'], 4_294_967_295],
    ['bytes behind the last', ['1', '2'], 1],
  ])('%s end the connection', (_, responses, count) => {
    const auth = ready()
    ask(auth)
    auth.answer(code)
    expect(() => respond(auth, responses, count)).toThrow(ProtocolError)
  })

  test('is given up by asking for another method', () => {
    const auth = ready()
    ask(auth)
    auth.answer(code)
    password(auth, 'x')
    auth.answer({ type: 'reject' })
    expect(() => respond(auth, ['123456'])).toThrow('message 61 before authentication')
  })
})

test('a proof is answered by what can be an answer to it', () => {
  const auth = ready()
  password(auth, 'x')
  expect(() => auth.answer({ type: 'prompt', name: '', instruction: '', prompts: [] })).toThrow(
    'prompt is no answer to password',
  )
  expect(() => auth.answer({ type: 'known' })).toThrow('known is no answer to password')
  auth.answer({ type: 'reject' })
  expect(() => auth.answer({ type: 'reject' })).toThrow('no proof waits')
})

describe('two factors', () => {
  test('behind the first only what can succeed is named', () => {
    const auth = ready()
    prove(auth, 'ssh-ed25519', aliceBlob, (data) => signEd25519(alice, data))
    auth.answer({ type: 'partial', methods: ['keyboard-interactive'] })
    expect(auth.done).toBe(false)
    expect(password(auth, 'x')).toBeUndefined()
    const failure = { type: 'USERAUTH_FAILURE', methods: ['keyboard-interactive'] }
    expect(sent).toEqual([
      { ...failure, partial: true },
      { ...failure, partial: false },
    ])
  })

  test('a refusal can be explained before it is sent', () => {
    const auth = ready()
    password(auth, 'x')
    auth.answer({ type: 'reject', notice: 'Your account ends today.\n' })
    expect(sent).toEqual([
      { type: 'USERAUTH_BANNER', message: 'Your account ends today.\n', language: '' },
      FAILURE,
    ])
  })
})

describe('limits', () => {
  test('the sixth failure ends the connection', () => {
    const auth = ready()
    for (let i = 0; i < 5; i++) {
      password(auth, 'wrong')
      auth.answer({ type: 'reject' })
    }
    password(auth, 'wrong')
    expect(() => auth.answer({ type: 'reject' })).toThrow('too many authentication failures')
  })

  test('a failed signature counts as a failure', () => {
    const auth = ready()
    const wrong = () => prove(auth, 'ssh-ed25519', aliceBlob, (data) => signEd25519(bob, data))
    for (let i = 0; i < 5; i++) wrong()
    expect(wrong).toThrow('too many authentication failures')
  })

  test('queries do not: 64 keys in an agent are fine, and then it is enough', () => {
    const auth = ready()
    for (let i = 0; i < 64; i++) {
      query(auth, 'ssh-ed25519', aliceBlob)
      auth.answer({ type: 'reject' })
    }
    password(auth, 'right')
    auth.answer({ type: 'reject' })
    expect(() => query(auth, 'ssh-ed25519', aliceBlob)).toThrow('too many authentication requests')
  })

  test('nor do requests that nobody answers', () => {
    const auth = ready()
    for (let i = 0; i < 64; i++) request(auth, 'none')
    expect(() => request(auth, 'none')).toThrow('too many authentication requests')
  })
})

test('a request cut anywhere is refused', () => {
  const form = { ...REQUEST, signature: string }
  const signature = signEd25519(alice, SESSION_ID)
  const fields = encodeForm(form, { signed: true, algorithm: 'ssh-ed25519', blob: aliceBlob, signature })
  for (let cut = 0; cut < fields.length; cut++) {
    expect(() => request(ready(), 'publickey', fields.subarray(0, cut)), `cut at ${cut}`).toThrow(
      ProtocolError,
    )
  }
})
