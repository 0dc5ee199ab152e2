import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { concat, ProtocolError } from '../../../protocols/bytes.ts'
import type { TlsFacts } from '../../../protocols/conversation.ts'
import {
  type AcceptOptions,
  type AcceptQuestion,
  accept,
  type CancelRequest,
  type Login,
} from '../../../protocols/postgres/index.ts'
import { makeVerifier, saltPassword, type Verifiers } from '../../../protocols/postgres/scram.ts'
import { cutAt, inSingleBytes, type Played, playConversation } from '../../support/play.ts'
import { back, bytes, front } from '../../support/postgres-messages.ts'
import { plain } from '../../support/vectors.ts'

// The exchange of RFC 7677: both nonces and the salt are fixed, so every byte of it is known.
const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
const verifiers: Verifiers = {
  salt,
  iterations: 4096,
  verifiers: [makeVerifier('token-7', saltPassword('pencil', salt, 4096))],
}
const NONCE = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
const CLIENT_FIRST = 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO'
const SERVER_FIRST = `r=rOprNGfwEbeRWgbNEkqO${NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`
const CLIENT_FINAL = `c=biws,r=rOprNGfwEbeRWgbNEkqO${NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`
const WRONG_FINAL = CLIENT_FINAL.replace('p=dHzb', 'p=AAAA')
const SERVER_FINAL = 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='

const options: AcceptOptions = {
  tls: undefined,
  tlsPolicy: 'allow',
  method: 'scram',
  nonce: NONCE,
  mock: { secret: new Uint8Array(32), iterations: 4096 },
}
const certificate = readFileSync(new URL('../../vectors/certificates/ecdsa-sha256.der', import.meta.url))
const facts = (protocol?: string): TlsFacts => ({
  protocol,
  ownCertificate: new Uint8Array(certificate),
  peerCertificate: undefined,
})

function answer(question: AcceptQuestion): unknown {
  if (question.type === 'verifiers') return question.user === 'alice~orders' ? verifiers : undefined
  if (question.type === 'certificate') return question.user === 'alice~orders'
  return Buffer.from(question.password).toString() === 'pencil' ? 'token-7' : undefined
}

function play(
  flights: readonly Uint8Array[],
  more: Partial<AcceptOptions> = {},
  tls = facts(),
): Played<Login | CancelRequest> {
  return playConversation(accept({ ...options, ...more }), flights, { answer, tls })
}

function sent({ sent }: Played<unknown>): unknown {
  return plain(sent)
}

function login(played: Played<Login | CancelRequest>): Login {
  if (!('result' in played.end) || played.end.result.type !== 'login')
    throw new Error('no login', { cause: played })
  return played.end.result
}

/** The text of the one FATAL that was sent, and that nothing came after it. */
function fatal({ end, sent }: Played<unknown>): string {
  if (!('thrown' in end) || !(end.thrown instanceof ProtocolError))
    throw new Error('no ProtocolError', { cause: end })
  const errors = sent.filter((part) => part !== '<tls>' && part[0] === 'E'.charCodeAt(0))
  expect(errors).toHaveLength(1)
  expect(errors[0]).toBe(sent.at(-1))
  const text = Buffer.from(errors[0] ?? '').toString('latin1')
  return `${/\0C(\w{5})/.exec(text)?.[1]} ${/\0M([^\0]*)/.exec(text)?.[1]}`
}

const startup = front.startup(0x30000, { user: 'alice~orders', database: 'orders', application_name: 'psql' })
const flights = [startup, front.sasl('SCRAM-SHA-256', CLIENT_FIRST), front.saslResponse(CLIENT_FINAL)]
const offer = back.mechanisms('SCRAM-SHA-256')
const offerPlus = back.mechanisms('SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256')

describe('a login by SCRAM', () => {
  test('ends with who and where, and with success not yet told', () => {
    const played = play(flights)
    expect(sent(played)).toEqual(plain([offer, back.authentication(11, SERVER_FIRST)]))
    expect(login(played)).toEqual({
      type: 'login',
      user: 'alice~orders',
      database: 'orders',
      parameters: new Map([
        ['user', 'alice~orders'],
        ['database', 'orders'],
        ['application_name', 'psql'],
      ]),
      replication: undefined,
      version: 0x30000,
      tls: undefined,
      method: 'scram-sha-256',
      secret: 'token-7',
      success: bytes(back.authentication(12, SERVER_FINAL), back.authentication(0)),
    })
    expect(played.left).toHaveLength(0)
  })

  test('says the same however the network cuts it', () => {
    const expected = play(flights)
    const all = concat(flights)
    for (let at = 1; at < all.length; at++) expect(play(cutAt(at)(all)), `cut at ${at}`).toEqual(expected)
    expect(play(inSingleBytes(all))).toEqual(expected)
  })

  test('with a wrong proof ends the same way, without a secret and without anything to tell', () => {
    const played = play([flights[0] ?? bytes(), flights[1] ?? bytes(), front.saslResponse(WRONG_FINAL)])
    expect(sent(played)).toEqual(plain([offer, back.authentication(11, SERVER_FIRST)]))
    expect(login(played)).toMatchObject({ user: 'alice~orders', secret: undefined, success: bytes() })
  })

  test('T-ALL-03: of somebody unknown takes the same steps, with a salt that lasts', () => {
    const stranger = front.startup(0x30000, { user: 'mallory' })
    const played = play([stranger, ...flights.slice(1, 2), front.saslResponse(WRONG_FINAL)])
    const [first, second] = played.sent
    expect(plain(first)).toEqual(plain(offer))
    expect(Buffer.from(second as Uint8Array).toString('latin1')).toMatch(/s=[A-Za-z0-9+/]{22}==,i=4096$/)
    expect(second).toHaveLength(back.authentication(11, SERVER_FIRST).length)
    expect(login(played)).toMatchObject({ user: 'mallory', secret: undefined, success: bytes() })
    const again = play([stranger, ...flights.slice(1, 2), front.saslResponse(WRONG_FINAL)])
    expect(again.sent).toEqual(played.sent)
  })

  test('names no database where libpq repeats the user', () => {
    const repeated = front.startup(0x30000, { user: 'alice~orders', database: 'alice~orders' })
    expect(login(play([repeated, ...flights.slice(1)])).database).toBeUndefined()
  })

  test('tells that replication is asked for', () => {
    const asked = front.startup(0x30000, { user: 'alice~orders', replication: 'database' })
    expect(login(play([asked, ...flights.slice(1)])).replication).toBe('database')
  })
})

describe('T-PG-09: channel binding', () => {
  const hash = createHash('sha256').update(certificate).digest()
  const withBinding = (header: string, data: Uint8Array) => bytes(header, data)
  const final = (binding: Uint8Array) => CLIENT_FINAL.replace('biws', Buffer.from(binding).toString('base64'))
  const inTls = (first: Uint8Array, last: string) => [
    front.sslRequest,
    startup,
    first,
    front.saslResponse(last),
  ]
  const plus = front.sasl('SCRAM-SHA-256-PLUS', `p=tls-server-end-point,,${CLIENT_FIRST.slice(3)}`)

  test('is offered inside TLS, and taken when it equals header and hash of the certificate', () => {
    const played = play(inTls(plus, final(withBinding('p=tls-server-end-point,,', hash))))
    expect(sent(played)).toEqual(
      plain([bytes('S'), '<tls>', offerPlus, back.authentication(11, SERVER_FIRST)]),
    )
    // The proof is for another binding, so it fits no verifier; the exchange itself is in order.
    expect(login(played)).toMatchObject({ method: 'scram-sha-256-plus', secret: undefined, tls: facts() })
  })

  test.each([
    ['another certificate', plus, final(withBinding('p=tls-server-end-point,,', Buffer.alloc(32)))],
    ['no certificate', plus, final(withBinding('p=tls-server-end-point,,', Buffer.alloc(0)))],
    ['another header', plus, final(withBinding('n,,', hash))],
  ])('fails with %s', (_, first, last) => {
    expect(fatal(play(inTls(first, last)))).toBe('08P01 SCRAM: channel binding check failed')
  })

  test.each([
    [
      'y,, though it was offered',
      front.sasl('SCRAM-SHA-256', `y,,${CLIENT_FIRST.slice(3)}`),
      '08P01 SCRAM: channel binding was offered, the client says it was not',
    ],
    [
      'PLUS without binding',
      front.sasl('SCRAM-SHA-256-PLUS', CLIENT_FIRST),
      '08P01 SCRAM: mechanism and channel binding contradict each other',
    ],
    [
      'binding without PLUS',
      front.sasl('SCRAM-SHA-256', `p=tls-server-end-point,,${CLIENT_FIRST.slice(3)}`),
      '08P01 SCRAM: mechanism and channel binding contradict each other',
    ],
    [
      'another mechanism',
      front.sasl('SCRAM-SHA-1', CLIENT_FIRST),
      '08P01 SASL: a mechanism that was not offered',
    ],
  ])('%s is refused', (_, first, problem) => {
    expect(fatal(play(inTls(first, CLIENT_FINAL)))).toBe(problem)
  })

  test('is not offered outside TLS, and y,, is right there', () => {
    expect(fatal(play([startup, plus]))).toBe('08P01 SASL: a mechanism that was not offered')
    const honest = front.sasl('SCRAM-SHA-256', `y,,${CLIENT_FIRST.slice(3)}`)
    expect(
      login(play([startup, honest, front.saslResponse(CLIENT_FINAL.replace('biws', 'eSws'))])).secret,
    ).toBeUndefined()
  })
})

describe('T-PG-04: SASL messages that lie about their lengths', () => {
  const initial = (length: number) =>
    bytes(
      'p',
      Uint8Array.of(0, 0, 0, 4 + 14 + 4 + 5),
      'SCRAM-SHA-256\0',
      new Uint8Array(new Uint32Array([length]).buffer).reverse(),
      'n,,n=',
    )
  test.each([0, 1, 4, 6, 0x7fffffff, 0xffffffff])('inner length %i', (length) => {
    expect(fatal(play([startup, initial(length)]))).toMatch(/^08P01 SASL: -?\d+ bytes announced, 5 there$/)
  })

  test.each([
    ['longer than any', bytes('p', Uint8Array.of(0x7f, 0xff, 0xff, 0xff))],
    ['shorter than itself', bytes('p', Uint8Array.of(0, 0, 0, 3))],
  ])('outer length %s', (_, message) => {
    expect(fatal(play([startup, message]))).toMatch(
      /^08P01 a message "p" of -?\d+ bytes where 65535 are the most$/,
    )
  })

  test('another message in its place', () => {
    expect(fatal(play([startup, front.query('select 1')]))).toBe(
      '08P01 expected an authentication message, got "Q"',
    )
  })

  test('a nonce that is not the one agreed on', () => {
    const other = front.saslResponse(CLIENT_FINAL.replace('r=rOpr', 'r=xOpr'))
    expect(fatal(play([startup, flights[1] ?? bytes(), other]))).toBe(
      '08P01 SCRAM: another nonce than before',
    )
  })
})

describe('a password in clear', () => {
  const method = { method: 'password' } as const
  test('is taken inside TLS from everybody alike', () => {
    const good = play([front.sslRequest, startup, front.password('pencil')], method)
    expect(sent(good)).toEqual(plain([bytes('S'), '<tls>', back.authentication(3)]))
    expect(login(good)).toMatchObject({
      method: 'password',
      secret: 'token-7',
      success: back.authentication(0),
    })
    const bad = play([front.sslRequest, startup, front.password('nencil')], method)
    expect(bad.sent).toEqual(good.sent)
    expect(login(bad)).toMatchObject({ method: 'password', secret: undefined, success: bytes() })
  })

  test('is not even asked for outside TLS', () => {
    const played = play([startup, front.password('pencil')], method)
    expect(fatal(played)).toBe('28000 this gateway accepts logins inside TLS only')
    expect(played.sent).toHaveLength(1)
  })

  test('with bytes behind its NUL is refused', () => {
    const played = play([front.sslRequest, startup, front.password('pencil\0x')], method)
    expect(fatal(played)).toBe('08P01 2 bytes behind the end of a message')
  })
})

describe('a client certificate', () => {
  const shown = { ...facts(), peerCertificate: new Uint8Array(certificate) }

  test('that is the user’s is proof enough, and nothing more is asked', () => {
    const played = play([front.sslRequest, startup], {}, shown)
    expect(login(played)).toMatchObject({
      method: 'certificate',
      secret: 'certificate',
      success: back.authentication(0),
    })
    expect(sent(played)).toEqual(plain([bytes('S'), '<tls>']))
  })

  test('of anybody else counts for nothing: a password is asked for as from everybody', () => {
    const stranger = front.startup(0x30000, { user: 'bob~orders' })
    const played = play([front.sslRequest, stranger], {}, shown)
    expect(sent(played)).toEqual(sent(play([front.sslRequest, stranger])))
    expect('thrown' in played.end).toBe(true)
  })
})

describe('before the startup packet', () => {
  test('GSSENC is declined, TLS is then begun, and each may be asked for once', () => {
    const played = play([front.gssencRequest, front.sslRequest, ...flights])
    expect(played.sent.slice(0, 4).map(plain)).toEqual(plain([bytes('N'), bytes('S'), '<tls>', offerPlus]))
    expect(fatal(play([front.gssencRequest, front.gssencRequest]))).toBe('08P01 unexpected gssenc request')
    expect(fatal(play([front.sslRequest, front.sslRequest]))).toBe('08P01 unexpected ssl request')
  })

  test('without a certificate TLS is declined, and the login goes on in clear', () => {
    const played = play([front.sslRequest, ...flights], { tlsPolicy: 'off' })
    expect(played.sent.map(plain).slice(0, 2)).toEqual(plain([bytes('N'), offer]))
    expect(login(played).secret).toBe('token-7')
  })

  test.each([
    ['SSLRequest', front.sslRequest, 'allow'],
    ['SSLRequest that is declined', front.sslRequest, 'off'],
    ['GSSENCRequest', front.gssencRequest, 'allow'],
  ] as const)('T-PG-01: plain bytes behind a %s end the connection, unread', (_, request, tlsPolicy) => {
    const played = play([bytes(request, startup)], { tlsPolicy })
    expect(fatal(played)).toMatch(/^08P01 received \d+ bytes too early$/)
    expect(played.sent).toHaveLength(1)
    expect(played.left).toEqual(startup)
  })

  test('a listener that demands TLS lets nobody in without', () => {
    expect(fatal(play(flights, { tlsPolicy: 'require' }))).toBe(
      '28000 this gateway accepts logins inside TLS only',
    )
  })

  test('a CancelRequest may come first, in clear or inside TLS, and ends the conversation without a word', () => {
    const secret = Uint8Array.of(1, 2, 3, 4)
    const request = front.cancelRequest(4711, secret)
    expect(play([request], { tlsPolicy: 'require' })).toMatchObject({
      end: { result: { type: 'cancel', pid: 4711, secret } },
      sent: [],
    })
    expect(play([front.sslRequest, request]).end).toEqual({ result: { type: 'cancel', pid: 4711, secret } })
  })

  test('direct TLS needs its ALPN protocol', () => {
    expect(fatal(play(flights, { tls: facts() }))).toBe(
      '08P01 direct TLS without the ALPN protocol postgresql',
    )
    const played = play(flights, { tls: facts('postgresql') })
    expect(played.sent.map(plain)[0]).toEqual(plain(offerPlus))
    expect(login(played)).toMatchObject({ tls: facts('postgresql'), secret: 'token-7' })
    expect(fatal(play([front.sslRequest], { tls: facts('postgresql') }))).toBe('08P01 unexpected ssl request')
  })

  test('another ALPN protocol than ours is not spoken', () => {
    expect(fatal(play([front.sslRequest, ...flights], {}, facts('h2')))).toBe('08P01 unknown ALPN protocol')
  })

  test('nobody logs in without a name', () => {
    expect(fatal(play([front.startup(0x30000, { database: 'x' })]))).toBe(
      '08P01 no PostgreSQL user name specified in startup packet',
    )
  })
})

describe('T-PG-10: versions', () => {
  const start = (version: number, more: Record<string, string> = {}) =>
    play([front.startup(version, { user: 'alice~orders', ...more }), ...flights.slice(1)])
  const negotiate = (version: number, ...names: string[]) => plain(back.negotiate(version, ...names))

  test.each([
    ['3.0', 0x30000, {}, 0x30000, undefined],
    ['3.1', 0x30001, {}, 0x30000, undefined],
    ['3.2', 0x30002, {}, 0x30002, undefined],
    ['3.3', 0x30003, {}, 0x30002, negotiate(0x30002)],
    [
      '3.9999 with grease',
      0x3270f,
      { '_pq_.test_protocol_negotiation': '' },
      0x30002,
      negotiate(0x30002, '_pq_.test_protocol_negotiation'),
    ],
    [
      '3.0 with two options',
      0x30000,
      { '_pq_.a': '1', '_pq_.b': '2' },
      0x30000,
      negotiate(0x30000, '_pq_.a', '_pq_.b'),
    ],
  ] as const)('%s', (_, asked, more, spoken, told) => {
    const played = start(asked, more)
    const negotiations = played.sent.filter((part) => part !== '<tls>' && part[0] === 'v'.charCodeAt(0))
    expect(negotiations.map(plain)).toEqual(told === undefined ? [] : [told])
    expect(login(played).version).toBe(spoken)
  })

  test('4.0 and 2.0 are not spoken', () => {
    expect(fatal(start(0x40000))).toBe('08P01 unsupported frontend protocol 4.0')
    expect(fatal(start(0x20000))).toBe('08P01 unsupported frontend protocol 2.0')
  })
})
