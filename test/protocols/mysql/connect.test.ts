import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type AcceptOptions, accept, type Login } from '../../../protocols/mysql/accept.ts'
import { answerNative, answerSha2, encryptPassword, makeVerifier } from '../../../protocols/mysql/auth.ts'
import { cancel } from '../../../protocols/mysql/cancel.ts'
import { FLAG } from '../../../protocols/mysql/capabilities.ts'
import {
  type ConnectFailure,
  type ConnectOptions,
  connect,
  type Ready,
} from '../../../protocols/mysql/connect.ts'
import { signEd25519 } from '../../../protocols/mysql/ed25519.ts'
import { encodeGreeting, type Greeting } from '../../../protocols/mysql/handshake.ts'
import { hex, join, packet, playConversation, playTogether, text } from '../../support/mysql-play.ts'

const SCRAMBLE = new Uint8Array(20).fill(7)
const OTHER = new Uint8Array(20).fill(9)
const GREETING: Greeting = {
  version: '8.4.3',
  charset: 255,
  status: 2,
  capabilities: { flags: 0xdfffffff, extended: 0 },
  plugin: 'caching_sha2_password',
}
const OPTIONS: ConnectOptions = {
  tls: 'off',
  credential: { user: 'app', password: 'secret' },
  login: undefined,
  database: 'shop',
  attributes: [['program_name', 'gatebook']],
  random: (length) => new Uint8Array(length).fill(5),
}
const OK = [0, 0, 0, 2, 0, 0, 0] as const

function greeting(changes: Partial<Greeting> = {}): Uint8Array {
  return packet(
    0,
    encodeGreeting({ greeting: { ...GREETING, ...changes }, threadId: 4711, scramble: SCRAMBLE }),
  )
}

interface Played {
  readonly result: Ready | ConnectFailure
  readonly sent: Uint8Array
}

function play(options: Partial<ConnectOptions>, clear: Uint8Array, secured?: Uint8Array): Played {
  return playConversation(
    connect({ ...OPTIONS, ...options }),
    secured === undefined ? { clear } : { clear, secured },
  )
}

/** The payloads that the gateway sent, in hex. */
function payloads(sent: Uint8Array): string[] {
  const found: string[] = []
  for (let at = 0; at < sent.length; ) {
    const length = (sent[at] ?? 0) | ((sent[at + 1] ?? 0) << 8)
    found.push(hex(sent.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
  return found
}

const SECRET = text('secret')
const NUL_ENDED = hex(text('secret\0'))
const fast = packet(2, 1, 3)

describe('logging in', () => {
  test('by caching_sha2_password, the short way, gives what is kept and what is needed', () => {
    const { result, sent } = play({}, join(greeting(), fast, packet(3, ...OK)))
    expect(result).toMatchObject({ type: 'ready', threadId: 4711, status: 2, secure: false })
    expect(result).toMatchObject({ greeting: GREETING, welcome: new Uint8Array(0) })
    const [response = ''] = payloads(sent)
    expect(response).toContain(
      hex(join(text('app\0'), Uint8Array.of(32), answerSha2(SECRET, SCRAMBLE), text('shop\0'))),
    )
    expect(response).toContain(hex(text('program_name')))
  })

  test('the long way sends the password inside TLS', () => {
    const inside = join(packet(3, 1, 4), packet(5, ...OK))
    const { result, sent } = play({ tls: 'require' }, greeting(), inside)
    expect(result).toMatchObject({ type: 'ready', secure: true })
    const [request = '', , password] = payloads(sent)
    expect([request.length / 2, password]).toEqual([32, NUL_ENDED])
  })

  test('the long way outside TLS needs a pinned key', () => {
    const clear = join(greeting(), packet(2, 1, 4), packet(4, ...OK))
    const refused = play({}, clear)
    expect(refused.result).toMatchObject({ type: 'failure', why: 'insecure' })
    expect(hex(refused.sent)).not.toContain(hex(SECRET))
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const rsaKey = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const { result, sent } = play({ credential: { ...OPTIONS.credential, rsaKey } }, clear)
    expect(result.type).toBe('ready')
    expect(payloads(sent)[1]).toBe(hex(encryptPassword(SECRET, SCRAMBLE, rsaKey, OPTIONS.random)))
  })

  test.each([
    ['mysql_native_password', OTHER, hex(answerNative(SECRET, OTHER))],
    ['caching_sha2_password', OTHER, hex(answerSha2(SECRET, OTHER))],
    ['client_ed25519', new Uint8Array(32).fill(3), hex(signEd25519(SECRET, new Uint8Array(32).fill(3)))],
  ])('switches to %s and its scramble midway', (plugin, scramble, expected) => {
    const nul = plugin === 'client_ed25519' ? [] : [0]
    const { result, sent } = play(
      {},
      join(greeting(), packet(2, 0xfe, plugin, 0, scramble, ...nul), packet(4, ...OK)),
    )
    expect(result).toMatchObject({ type: 'ready', challenge: { plugin, scramble } })
    expect(payloads(sent)[1]).toBe(expected)
  })

  test('sha256_password and mysql_clear_password get the password inside TLS alone, the latter where allowed', () => {
    const ask = (plugin: string, sequence: number) => packet(sequence, 0xfe, plugin, 0, OTHER, 0)
    const inside = (plugin: string) => join(ask(plugin, 3), packet(5, ...OK))
    const clear = { ...OPTIONS.credential, clear: true }
    expect(payloads(play({ tls: 'require' }, greeting(), inside('sha256_password')).sent)[2]).toBe(NUL_ENDED)
    expect(
      payloads(
        play({ tls: 'require', credential: clear }, greeting(), inside('mysql_clear_password')).sent,
      )[2],
    ).toBe(NUL_ENDED)
    const refused = [
      play({}, join(greeting(), ask('sha256_password', 2))),
      play({ credential: clear }, join(greeting(), ask('mysql_clear_password', 2))),
      play({ tls: 'require' }, greeting(), inside('mysql_clear_password')),
    ]
    for (const { result, sent } of refused) {
      expect(result).toMatchObject({ type: 'failure', why: 'insecure' })
      expect(hex(sent)).not.toContain(hex(SECRET))
    }
  })

  test.each(['__proto__', 'constructor', 'toString', 'mysql_old_password', 'dialog', ''])(
    'a plugin called %j gets nothing (T-MY-02)',
    (plugin) => {
      const { result, sent } = play({}, join(greeting(), packet(2, 0xfe, plugin, 0, OTHER, 0)))
      expect(result).toMatchObject({ type: 'failure', why: 'unsupported' })
      expect(payloads(sent)).toHaveLength(1)
    },
  )

  test('no password is answered with nothing', () => {
    const native = { plugin: 'mysql_native_password' }
    const { sent } = play(
      { credential: { user: 'app', password: '' } },
      join(greeting(native), packet(2, ...OK)),
    )
    expect(payloads(sent)[0]).toContain(hex(text('app\0\0shop\0')))
  })

  test("the target's refusal comes with its number, before and behind the greeting", () => {
    const full = packet(0, 0xff, 0x10, 0x04, 'Too many connections')
    expect(play({}, full).result).toEqual({
      type: 'failure',
      why: 'refused',
      message: 'Too many connections',
      code: 1040,
    })
    const denied = join(greeting(), packet(2, 0xff, 0x15, 0x04, '#28000Access denied'))
    expect(play({}, denied).result).toEqual({
      type: 'failure',
      why: 'refused',
      message: 'Access denied',
      code: 1045,
    })
  })

  test('TLS that the target does not offer ends it before anything is sent', () => {
    const flags = GREETING.capabilities.flags & ~FLAG.SSL
    const { result, sent } = play({ tls: 'require' }, greeting({ capabilities: { flags, extended: 0 } }))
    expect(result).toMatchObject({ type: 'failure', why: 'no-tls' })
    expect(sent).toHaveLength(0)
  })

  test('bytes behind the greeting in clear end it before TLS', () => {
    expect(() => play({ tls: 'require' }, join(greeting(), packet(3, ...OK)), new Uint8Array(0))).toThrow(
      'in clear behind',
    )
  })
})

describe('a hostile target', () => {
  test.each([
    [
      'a scramble of its choosing',
      packet(2, 0xfe, 'mysql_native_password', 0, 'abc', 0),
      'a scramble of 3 bytes',
    ],
    ['the hash of 3.23', packet(2, 0xfe), 'MySQL 3.23'],
    ['an RSA key of its own', packet(2, 1, 2), 'goes on with 2'],
    ['more data than is known', packet(2, 1, 'key'), 'for nothing that is known'],
    ['a packet of no kind', packet(2, 7), 'begins with 0x7'],
    ['another sequence', packet(3, ...OK), 'handshake packet 3 where 2 was due'],
    ['an OK that lies', packet(2, 0, 0xff), 'begins with 0xff'],
  ])('that sends %s is a fault', (_, bytes, problem) => {
    expect(() => play({}, join(greeting(), bytes))).toThrow(problem)
  })

  test('that switches without end is left', () => {
    const switches = Array.from({ length: 20 }, (_, i) =>
      packet(2 + 2 * i, 0xfe, 'mysql_native_password', 0, OTHER, 0),
    )
    expect(() => play({}, join(greeting(), ...switches))).toThrow('not decided after 8 packets')
  })

  test('that sends anything at all never gets the password in clear outside TLS', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 4 }), (noise) => {
        const bytes = join(greeting(), ...noise.map((payload, i) => packet(2 + 2 * i, payload)))
        const sent: Uint8Array[] = []
        try {
          playConversation(connect(OPTIONS), { clear: bytes, sent })
        } catch (problem) {
          expect(problem).toBeInstanceOf(Error)
        }
        expect(hex(join(...sent))).not.toContain(hex(SECRET))
      }),
    )
  })
})

describe("the client's flags", () => {
  const login: Login = {
    type: 'login',
    user: 'alice',
    database: undefined,
    capabilities: { flags: FLAG.DEPRECATE_EOF | FLAG.FOUND_ROWS | FLAG.SSL | FLAG.PLUGIN_AUTH, extended: 0 },
    charset: 33,
    attributes: [],
    tls: undefined,
    method: 'caching_sha2_password',
    secret: 'id',
    proven: undefined,
    threadId: 1,
    sequence: 6,
    signature: new Uint8Array(0),
  }

  test('go to the target as they are, but for those of the handshake', () => {
    const tracked = [0, 0, 0, 2, 0x40, 0, 0] as const
    const { result, sent } = play(
      { login, database: undefined },
      join(greeting(), fast, packet(3, ...tracked)),
    )
    if (result.type === 'failure') throw new Error(result.message)
    const kept = FLAG.DEPRECATE_EOF | FLAG.FOUND_ROWS
    const handshake =
      FLAG.MYSQL |
      FLAG.PROTOCOL_41 |
      FLAG.SECURE_CONNECTION |
      FLAG.PLUGIN_AUTH |
      FLAG.PLUGIN_AUTH_LENENC |
      FLAG.CONNECT_ATTRS
    expect(result.capabilities.flags).toBe(kept | handshake)
    expect(sent[4 + 8]).toBe(33)
    // The OK that ends the client's login: its own count, the target's status without what was tracked.
    expect(hex(result.welcome)).toBe(hex(packet(6, 0, 0, 0, 2, 0, 0, 0)))
  })

  test('that the target no longer has end it', () => {
    const flags = GREETING.capabilities.flags & ~FLAG.DEPRECATE_EOF
    const { result, sent } = play({ login }, greeting({ capabilities: { flags, extended: 0 } }))
    expect(result).toMatchObject({
      type: 'failure',
      why: 'lacking',
      message: expect.stringContaining('DEPRECATE_EOF'),
    })
    expect(sent).toHaveLength(0)
  })
})

describe('stopping what runs', () => {
  const login = join(greeting(), fast, packet(3, ...OK))
  const stop = (answer: Uint8Array) => playConversation(cancel(OPTIONS, 4712), { clear: join(login, answer) })

  test('is a KILL QUERY by a connection of its own, without attributes, and a goodbye', () => {
    const { result, sent } = stop(packet(1, 0, 0, 0, 2, 0, 0, 0))
    expect(result).toBeUndefined()
    expect(payloads(sent).slice(-2)).toEqual([`030001${hex(text('KILL QUERY 4712'))}`, '01'])
  })

  test('of a thread that is gone is told with the number of the error', () => {
    expect(stop(packet(1, 0xff, 0x46, 0x04, '#HY000Unknown thread id')).result).toMatchObject({
      why: 'refused',
      code: 1094,
    })
  })

  test('fails where the login does', () => {
    const refused = playConversation(cancel(OPTIONS, 1), { clear: packet(0, 0xff, 0x10, 0x04, 'Too many') })
    expect(refused.result).toMatchObject({ type: 'failure', code: 1040 })
  })
})

test.each([
  ['caching_sha2_password', 'off'],
  ['mysql_native_password', 'off'],
  ['caching_sha2_password', 'require'],
  ['mysql_clear_password', 'require'],
] as const)('our two sides understand each other by %s with TLS %s', (method, tls) => {
  const options: AcceptOptions = {
    greeting: GREETING,
    threadId: 9,
    scramble: SCRAMBLE,
    tlsPolicy: tls === 'require' ? 'require' : 'off',
    methods: [method],
    localFiles: true,
  }
  const credential = { ...OPTIONS.credential, clear: true }
  const server = (function* () {
    const login = yield* accept(options)
    yield { type: 'send' as const, bytes: packet(login.sequence, ...OK) }
    return login
  })()
  const [login, ready] = playTogether(server, connect({ ...OPTIONS, tls, credential }), (question) =>
    question.type === 'verifiers'
      ? [makeVerifier('id', SECRET)]
      : Buffer.from(question.password).toString() === 'secret'
        ? 'id'
        : undefined,
  )
  expect(login).toMatchObject({ secret: 'id', user: 'app', database: 'shop', method })
  expect(login.attributes).toEqual([['program_name', 'gatebook']])
  expect(ready).toMatchObject({ type: 'ready', threadId: 9 })
})
