import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { ADDRESS_RATE, BUCKETS_MAX, PERSON_RATE, RateLimit } from '../../../src/http/rate.ts'
import { PASSWORD, TestGateway } from '../../support/gateway.ts'
import { HurriedClock } from '../../support/gateway-clock.ts'
import { freePort } from '../../support/ports.ts'
import { codeOf, WebClient } from '../../support/web-client.ts'

let gateway: TestGateway
let client: WebClient
let plain: WebClient

beforeAll(async () => {
  gateway = await TestGateway.start({
    targets: '',
    changes: [
      ['targets:\n', 'targets: {}\n'],
      [
        'auth:\n',
        `  console: { type: console, address: "127.0.0.1:0" }
  plain: { type: console, address: "127.0.0.1:0", require_tls: false }
  named: { type: console, address: "127.0.0.1:0", public_url: "https://gw.example.com" }
auth:
`,
      ],
    ],
  })
  client = new WebClient(gateway)
  await client.signIn('alice', PASSWORD)
  plain = new WebClient(gateway, 'plain')
  await plain.signIn('alice', PASSWORD)
})
afterAll(() => gateway[Symbol.asyncDispose]())

describe('where a request was made', () => {
  test.each([
    ['another site', { origin: 'https://evil.example' }],
    ['the same host without TLS', { origin: 'http://localhost' }],
    ['another port', { origin: 'https://localhost:1' }],
    ['a page without an origin', { origin: 'null' }],
    ['nowhere', { origin: '' }],
  ])('a change from %s is refused', async (_, headers) => {
    expect(codeOf(await client.post('/sign-out', {}, headers))).toBe('bad-origin')
    expect(codeOf(await client.post('/sign-in', { user: 'alice', password: PASSWORD }, headers))).toBe(
      'bad-origin',
    )
  })

  test.each(['cross-site', 'same-site'])(
    'even looking is refused where the browser says %s',
    async (site) => {
      expect(codeOf(await client.get('/me', { 'sec-fetch-site': site }))).toBe('bad-origin')
    },
  )

  test('a change without the secret of the session, or with another, is refused', async () => {
    const path = '/live/aaaaaaaaaaaaaaaa/end'
    expect(codeOf(await client.post(path, {}, { 'x-csrf-token': '' }))).toBe('bad-csrf')
    expect(codeOf(await client.post(path, {}, { 'x-csrf-token': plain.csrf }))).toBe('bad-csrf')
    expect(codeOf(await client.post(path, {}))).toBe('not-found')
  })

  test('no answer lets another origin read it', async () => {
    const answer = await client.get('/me', { origin: 'https://evil.example', 'sec-fetch-site': '' })
    expect(answer.headers['access-control-allow-origin']).toBeUndefined()
  })
})

describe('the name a request came under', () => {
  test('on loopback without TLS only names of this machine: another leads here through a stranger', async () => {
    for (const host of ['evil.example', 'evil.example:80', '127.0.0.1.evil.example', 'localhost.']) {
      const answer = await plain.get('/me', { host })
      expect([host, answer.status]).toEqual([host, 421])
    }
    expect((await plain.get('/me', { host: `127.0.0.1:${gateway.port('plain')}` })).status).toBe(200)
  })

  test('with public_url that one alone', async () => {
    const named = new WebClient(gateway, 'named')
    expect(codeOf(await named.get('/me'))).toBe('wrong-host')
    expect(codeOf(await named.get('/me', { host: 'gw.example.com' }))).toBe('not-signed-in')
  })
})

describe('every answer', () => {
  test.each(['/api/v1/me', '/api/v1/nothing', '/', '/assets/none.js'])(
    '%s carries the policy',
    async (path) => {
      const { headers } = await client.send({ path })
      const policy = String(headers['content-security-policy'])
      expect(policy).toContain("default-src 'none'")
      expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval'")
      expect(policy).toContain("frame-ancestors 'none'")
      expect(policy).not.toMatch(/unsafe-inline(?!')|script-src[^;]*unsafe-inline|unsafe-eval' |\*/)
      expect(headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
        'strict-transport-security': 'max-age=31536000',
      })
    },
  )

  test('of the API is kept by nobody', async () => {
    expect((await client.get('/me')).headers['cache-control']).toBe('no-store')
  })
})

describe('limits', () => {
  test('a body that is too long is refused before it is read', async () => {
    const answer = await client.post('/sign-in', { user: 'alice', password: 'x'.repeat(70_000) })
    expect(codeOf(answer)).toBe('too-large')
  })

  test.each([
    ['/sessions/../../etc/passwd', 404],
    ['/sessions/AAAAAAAAAAAAAAAA', 400],
    ['/sessions/aaaaaaaaaaaaaaa', 400],
    ['/records/%00', 400],
    ['/book/leaves?from=-1', 400],
    ['/search?q=a&q2=b', 400],
    ['/search?limit=100000', 400],
    ['/nothing', 404],
  ])('%s is answered with %i', async (path, status) => {
    expect((await client.get(path)).status).toBe(status)
  })

  test('a bucket gives its burst, then as it fills, and says for how long to wait', () => {
    const clock = new HurriedClock()
    const limit = new RateLimit(clock, { burst: 3, perSecond: 0.5 })
    for (let i = 0; i < 3; i++) limit.take('a')
    expect(() => limit.take('a')).toThrow(
      expect.objectContaining({ code: 'too-many', words: expect.objectContaining({ retryAfterSeconds: 2 }) }),
    )
    limit.take('b')
    clock.advance(2100)
    limit.take('a')
    expect(() => limit.take('a')).toThrow('Too many requests.')
  })

  test('buckets are forgotten, oldest first, when there are too many', () => {
    const limit = new RateLimit(new HurriedClock(), { burst: 1, perSecond: 0.001 })
    limit.take('first')
    for (let i = 0; i < BUCKETS_MAX; i++) limit.take(`${i}`)
    limit.take('first')
    expect(() => limit.take('first')).toThrow('Too many requests.')
  })

  test('one person is rationed over all their sessions, and somebody else is not', async () => {
    const { secret } = gateway.createToken('carol')
    const batch = () =>
      Promise.all(
        Array.from({ length: 60 }, async () => {
          const { status } = await plain.get('/me', { cookie: '', authorization: `Bearer ${secret}` })
          return status
        }),
      )
    // The bucket fills while it is emptied: how many it takes is the machine's to say.
    const statuses: number[] = []
    while (!statuses.includes(429) && statuses.length < 30 * PERSON_RATE.burst)
      statuses.push(...(await batch()))
    expect(statuses).toContain(429)
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(PERSON_RATE.burst)
    expect((await plain.get('/me')).status).toBe(200)
    expect(ADDRESS_RATE.burst).toBeGreaterThan(PERSON_RATE.burst)
  })

  test('what is no HTTP ends its own connection and nothing else', async () => {
    const socket = connect(gateway.port('plain'), '127.0.0.1')
    socket.end(Buffer.from([0, 1, 2, 255, 10, 10]))
    const answer: Buffer[] = []
    for await (const part of socket) answer.push(part as Buffer)
    expect(Buffer.concat(answer).toString()).toMatch(/^HTTP\/1\.1 400 /)
    expect((await plain.get('/me')).status).toBe(200)
  })
})

describe('the upgrade to a WebSocket', () => {
  const open = (headers: Record<string, string>, path = '/api/v1/live') =>
    new Promise<string>((resolve) => {
      const socket = new WebSocket(`ws://127.0.0.1:${gateway.port('plain')}${path}`, { headers })
      socket.on('open', () => {
        socket.terminate()
        resolve('open')
      })
      socket.on('error', (error) => resolve(error.message))
    })
  const own = () => ({
    cookie: plain.cookie,
    host: `localhost:${gateway.port('plain')}`,
    origin: `http://localhost:${gateway.port('plain')}`,
  })

  test('with cookie and origin it opens', async () => {
    expect(await open(own())).toBe('open')
  })

  test.each([
    ['without a cookie', { cookie: '' }, 401],
    ['with a made-up cookie', { cookie: 'gatebook-0=AAAA' }, 401],
    ['from another site, although the cookie goes along', { origin: 'https://evil.example' }, 403],
    ['from nowhere', { origin: '' }, 403],
    ['under another name', { host: 'evil.example' }, 421],
  ])('%s it is refused', async (_, change, status) => {
    const headers = Object.entries({ ...own(), ...change }).filter(([, value]) => value !== '')
    expect(await open(Object.fromEntries(headers))).toBe(`Unexpected server response: ${status}`)
  })

  test('to nothing there is', async () => {
    expect(await open(own(), '/api/v1/other')).toBe('Unexpected server response: 404')
    expect(await open(own(), '/api/v1/sessions/x/watch/1')).toBe('Unexpected server response: 404')
  })
})

describe('a reload', () => {
  const shown = (listener = 'console') =>
    new Promise<string>((resolve, reject) => {
      const socket = connectTls({
        port: gateway.port(listener),
        host: '127.0.0.1',
        ca: gateway.authority.ca,
        servername: 'localhost',
      })
      socket.once('secureConnect', () => {
        resolve(socket.getPeerCertificate().fingerprint256)
        socket.destroy()
      })
      socket.once('error', reject)
    })

  test('shows a renewed certificate from the next handshake on; who is signed in stays so', async () => {
    const before = await shown()
    const { cert, key } = gateway.authority.issue('localhost')
    writeFileSync(join(gateway.folder, 'tls.crt'), cert)
    writeFileSync(join(gateway.folder, 'tls.key'), key)
    await gateway.reload([])
    expect(await shown()).toBe(new X509Certificate(cert).fingerprint256)
    expect(await shown()).not.toBe(before)
    gateway.clock.advance(10_000)
    expect((await client.get('/me')).status).toBe(200)
  })

  test('that changes a listener’s keys and the certificate at its very address: from then on the new of both', async () => {
    const port = await freePort()
    const fixed = (url: string): string =>
      `  fixed: { type: console, address: "127.0.0.1:${port}", public_url: "${url}" }\n`
    await gateway.reload([['auth:\n', `${fixed('https://old.example.com')}auth:\n`]])
    const answer = (host: string) =>
      new WebClient(gateway, 'fixed').get('/me', { host, cookie: client.cookie })
    expect((await answer('old.example.com')).status).toBe(200)
    expect(codeOf(await answer('new.example.com'))).toBe('wrong-host')

    const { cert, key } = gateway.authority.issue('localhost')
    writeFileSync(join(gateway.folder, 'tls.crt'), cert)
    writeFileSync(join(gateway.folder, 'tls.key'), key)
    // One whose reload fails elsewhere stays as it is, with its certificate.
    const before = await shown('fixed')
    const taken = `  taken: { type: console, address: "127.0.0.1:${gateway.port('encrypted')}" }\n`
    const both: [string, string] = [
      fixed('https://old.example.com'),
      `${fixed('https://new.example.com')}${taken}`,
    ]
    await expect(gateway.reload([both])).rejects.toThrow('another process listens there')
    expect([await shown('fixed'), (await answer('old.example.com')).status]).toEqual([before, 200])

    await gateway.reload([[taken, '']])
    const fingerprint = new X509Certificate(cert).fingerprint256
    // Nobody meets the listener that was there before.
    for (let i = 0; i < 10; i++) {
      expect(await shown('fixed')).toBe(fingerprint)
      expect((await answer('new.example.com')).status).toBe(200)
      expect(codeOf(await answer('old.example.com'))).toBe('wrong-host')
    }
    await gateway.reload([[fixed('https://new.example.com'), '']])
  })

  test('opens and closes listeners', async () => {
    await gateway.reload([
      ['  named: { type: console, address: "127.0.0.1:0", public_url: "https://gw.example.com" }\n', ''],
    ])
    expect(() => gateway.port('named')).toThrow('no listener named')
    expect((await client.get('/me')).status).toBe(200)
  })
})
