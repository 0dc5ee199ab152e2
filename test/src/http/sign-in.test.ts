import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { codeAt, parseCodeSecret } from '../../../src/access/second-factor.ts'
import { SIGN_IN_RATE } from '../../../src/http/rate.ts'
import { WEB_SESSIONS_OF_ONE_MAX } from '../../../src/http/web-sessions.ts'
import { PASSWORD, TestGateway } from '../../support/gateway.ts'
import { codeOf, cookieIn, WebClient } from '../../support/web-client.ts'

const SECRET = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'

let gateway: TestGateway
let client: WebClient

beforeAll(async () => {
  gateway = await TestGateway.start({
    targets: '',
    files: { totp: `${SECRET}\n` },
    changes: [
      ['targets:\n', 'targets: {}\n'],
      ['groups:\n', `  tom: { groups: [], password: "file:password", totp: "file:totp" }\ngroups:\n`],
      [
        'auth:\n',
        `  console: { type: console, address: "127.0.0.1:0" }
  plain: { type: console, address: "127.0.0.1:0", require_tls: false }
auth:
`,
      ],
    ],
  })
})
afterAll(() => gateway[Symbol.asyncDispose]())
beforeEach(() => {
  client = new WebClient(gateway)
  // Buckets fill, and locks and counts of failures are over.
  gateway.clock.advance(16 * 60_000)
})

const name = (answer: { json: unknown }) => (answer.json as { user?: string }).user

describe('signing in', () => {
  test('by password: a cookie that no script can read and no other site sends along', async () => {
    const answer = await client.signIn('alice', PASSWORD)
    expect(answer.status).toBe(200)
    expect(answer.headers['set-cookie']).toEqual([
      expect.stringMatching(/^__Host-gatebook=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Strict$/),
    ])
    expect(name(await client.get('/me'))).toBe('alice')
  })

  test('on loopback without TLS the cookie cannot be Secure, and is named for its port alone', async () => {
    const plain = new WebClient(gateway, 'plain')
    const answer = await plain.signIn('alice', PASSWORD)
    expect(answer.headers['set-cookie']).toEqual([
      expect.stringMatching(/^gatebook-\d+=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/),
    ])
    expect(name(await plain.get('/me'))).toBe('alice')
  })

  test('by a personal token, as a password or as Bearer without any session', async () => {
    const { secret } = gateway.createToken('alice')
    expect((await client.signIn('alice', secret)).status).toBe(200)
    expect(name(await client.get('/me'))).toBe('alice')
    const program = new WebClient(gateway)
    const answer = await program.get('/me', { authorization: `Bearer ${secret}` })
    expect([answer.status, name(answer)]).toEqual([200, 'alice'])
    expect(answer.headers['set-cookie']).toBeUndefined()
  })

  test('the login and the refusal are records, with name, address and method sealed in them', async () => {
    await client.signIn('alice', PASSWORD)
    const refused = await client.signIn('alice', 'wrong')
    expect([refused.status, codeOf(refused)]).toEqual([401, 'bad-credential'])
    const isWeb = ({ kind, act }: { kind: string; act: string | undefined }): boolean =>
      kind === 'login' && act === 'web'
    const { notes } = await gateway.readWhen((book) =>
      book.notes.some((note) => isWeb(note) && note.out === 'denied'),
    )
    expect(notes.filter(isWeb)).toContainEqual(
      expect.objectContaining({
        out: 'ok',
        who: expect.objectContaining({ name: 'alice', method: 'password', address: '127.0.0.1' }),
      }),
    )
    expect(notes.filter(isWeb)).toContainEqual(
      expect.objectContaining({
        out: 'denied',
        code: 'bad-credential',
        who: { name: 'alice', address: '127.0.0.1' },
      }),
    )
    // The answer names the record of the refusal.
    const { record } = (refused.json as { error: { record: string } }).error
    expect(record).toMatch(/^[a-z2-7]{16}\.\d+$/)
  })

  test('a name that is nobody, a wrong password and a locked name are refused in the same words', async () => {
    const wrong = await client.signIn('alice', 'wrong')
    const nobody = await client.signIn('mallory', 'wrong')
    for (let i = 0; i < 5; i++) await client.signIn('bob', 'wrong')
    gateway.clock.advance(60_000)
    const locked = await client.signIn('bob', PASSWORD)
    const words = ({ status, json }: typeof wrong) => {
      const { record: _, ...error } = (json as { error: Record<string, unknown> }).error
      return { status, error }
    }
    expect(words(nobody)).toEqual(words(wrong))
    expect(words(locked)).toEqual(words(wrong))
    // A token cannot be guessed, so it still opens.
    expect((await client.signIn('bob', gateway.createToken('bob').secret)).status).toBe(200)
  })

  test('tries are rationed by address', async () => {
    const codes: number[] = []
    for (let i = 0; i < SIGN_IN_RATE.burst + 2; i++)
      codes.push((await client.signIn('carol', 'wrong')).status)
    expect(codes.slice(0, SIGN_IN_RATE.burst)).toEqual(Array(SIGN_IN_RATE.burst).fill(401))
    expect(codes.at(-1)).toBe(429)
    const refused = await client.signIn('carol', PASSWORD)
    expect([refused.status, Number(refused.headers['retry-after'])]).toEqual([429, expect.any(Number)])
  })

  test.each([
    ['no JSON', 'user=alice', 'application/x-www-form-urlencoded'],
    ['not an object', '[]', 'application/json'],
    ['broken', '{', 'application/json'],
    ['a password too long', JSON.stringify({ user: 'alice', password: 'x'.repeat(600) }), 'application/json'],
  ])('%s is no sign-in', async (_, body, type) => {
    const answer = await fetch(`http://127.0.0.1:${gateway.port('plain')}/api/v1/sign-in`, {
      method: 'POST',
      body,
      headers: { 'content-type': type, origin: `http://127.0.0.1:${gateway.port('plain')}` },
    })
    expect(answer.status).toBe(400)
  })
})

describe('a one-time code, of whoever has them', () => {
  const code = (): string => codeAt(parseCodeSecret(SECRET, 'totp'), Math.floor(gateway.clock.now() / 30_000))

  test('is asked for behind a password that is right, and of nobody before', async () => {
    const wrong = await client.signIn('tom', 'wrong')
    expect([wrong.status, codeOf(wrong)]).toEqual([401, 'bad-credential'])
    const asked = await client.signIn('tom', PASSWORD)
    expect([asked.status, codeOf(asked), asked.headers['set-cookie']]).toEqual([
      401,
      'code-needed',
      undefined,
    ])
    expect((await client.get('/me')).status).toBe(401)
    const entered = await client.signIn('tom', PASSWORD, code())
    expect([entered.status, name(await client.get('/me'))]).toEqual([200, 'tom'])
    const { notes } = await gateway.readWhen((book) =>
      book.notes.some(({ out, who }) => out === 'ok' && who?.['name'] === 'tom'),
    )
    expect(notes).toContainEqual(
      expect.objectContaining({
        ...{ kind: 'login', act: 'web', out: 'ok' },
        who: expect.objectContaining({ name: 'tom', method: 'password', code: 'given' }),
      }),
    )
    // Somebody knew the password and had no code: that is told too.
    await gateway.readWhen((book) => book.notes.some((note) => note.code === 'abandoned'))
  })

  test('counts once, and the next sign-in asks again', async () => {
    const used = code()
    expect((await client.signIn('tom', PASSWORD, used)).status).toBe(200)
    const again = new WebClient(gateway)
    expect(codeOf(await again.signIn('tom', PASSWORD, used))).toBe('bad-credential')
    expect(codeOf(await again.signIn('tom', PASSWORD))).toBe('code-needed')
    gateway.clock.advance(31_000)
    expect((await again.signIn('tom', PASSWORD, code())).status).toBe(200)
  })

  test('cannot be guessed: after some failures even the right one is refused', async () => {
    const right = code()
    const other = right === '000000' ? '000001' : '000000'
    for (let i = 0; i < 5; i++)
      expect(codeOf(await client.signIn('tom', PASSWORD, other))).toBe('bad-credential')
    gateway.clock.advance(60_000)
    expect(codeOf(await client.signIn('tom', PASSWORD, code()))).toBe('bad-credential')
  })

  test('is asked for behind a token as well, and not of a program that sends one', async () => {
    const { secret } = gateway.createToken('tom')
    expect(codeOf(await client.signIn('tom', secret))).toBe('code-needed')
    expect((await client.signIn('tom', secret, code())).status).toBe(200)
    const program = await new WebClient(gateway).get('/me', { authorization: `Bearer ${secret}` })
    expect(program.status).toBe(200)
  })

  test('of somebody who has none is not looked at', async () => {
    expect((await client.signIn('alice', PASSWORD, '123456')).status).toBe(200)
  })
})

describe('a session ends', () => {
  test('by signing out: the cookie is worth nothing when it is sent again', async () => {
    await client.signIn('alice', PASSWORD)
    const { cookie } = client
    expect((await client.post('/sign-out', {})).status).toBe(200)
    client.cookie = cookie
    expect(codeOf(await client.get('/me'))).toBe('not-signed-in')
  })

  test('by signing in again: the old cookie goes', async () => {
    await client.signIn('alice', PASSWORD)
    const { cookie } = client
    await client.signIn('alice', PASSWORD)
    expect((await client.get('/me')).status).toBe(200)
    client.cookie = cookie
    expect((await client.get('/me')).status).toBe(401)
  })

  test('when it is idle, and when it is old', async () => {
    await client.signIn('alice', PASSWORD)
    gateway.clock.advance(29 * 60_000)
    expect((await client.get('/me')).status).toBe(200)
    gateway.clock.advance(31 * 60_000)
    expect((await client.get('/me')).status).toBe(401)
    await client.signIn('alice', PASSWORD)
    for (let i = 0; i < 24; i++) {
      gateway.clock.advance(29 * 60_000)
      expect((await client.get('/me')).status).toBe(200)
    }
    gateway.clock.advance(29 * 60_000)
    expect((await client.get('/me')).status, 'after twelve hours, whatever it did').toBe(401)
  })

  test('with the token it was made with, when that expires or is revoked', async () => {
    const expiring = gateway.createToken('alice', 60_000)
    await client.signIn('alice', expiring.secret)
    gateway.clock.advance(61_000)
    expect((await client.get('/me')).status).toBe(401)
    expect((await client.get('/me', { cookie: '', authorization: `Bearer ${expiring.secret}` })).status).toBe(
      401,
    )

    const revoked = gateway.createToken('alice')
    await client.signIn('alice', revoked.secret)
    expect((await client.get('/me')).status).toBe(200)
    gateway.revokeToken(revoked.token.id)
    expect((await client.get('/me')).status).toBe(401)
  })

  test('with its user, when the configuration no longer has one', async () => {
    await client.signIn('dave', PASSWORD)
    expect((await client.get('/me')).status).toBe(200)
    const line = '  dave: { groups: [engineering], password: "file:password" }\n'
    await gateway.reload([[line, '']])
    expect((await client.get('/me')).status).toBe(401)
    await gateway.reload([['groups:\n  engineering', `${line}groups:\n  engineering`]])
  })

  test('when the same person opens too many', async () => {
    await client.signIn('alice', PASSWORD)
    for (let i = 0; i < WEB_SESSIONS_OF_ONE_MAX; i++) {
      gateway.clock.advance(10_000)
      await new WebClient(gateway).signIn('alice', PASSWORD)
    }
    expect((await client.get('/me')).status).toBe(401)
  })
})

describe('what was not given by us', () => {
  test.each([
    ['a made-up cookie', '__Host-gatebook=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'],
    ['an empty one', '__Host-gatebook='],
    ['a cookie of another listener', 'gatebook-0=x'],
  ])('%s is nobody', async (_, cookie) => {
    client.cookie = cookie
    expect(codeOf(await client.get('/me'))).toBe('not-signed-in')
  })

  test('a cookie of one gateway counts on all its listeners, and on no other gateway', async () => {
    const answer = await client.signIn('alice', PASSWORD)
    const plain = new WebClient(gateway, 'plain')
    plain.cookie = cookieIn(answer).replace('__Host-gatebook', 'gatebook-0')
    expect((await plain.get('/me')).status).toBe(200)
  })

  test.each(['Bearer gatebook_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'Bearer x', 'Basic YWxpY2U6eA==', 'Bearer'])(
    'the header "%s" is refused, also beside a good cookie',
    async (authorization) => {
      await client.signIn('alice', PASSWORD)
      expect(codeOf(await client.get('/me', { authorization }))).toBe('bad-credential')
    },
  )
})
