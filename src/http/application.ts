/**
 * Every request, in this order: the name it came under, the rate of its address, where it was made, who makes it, the
 * rate of that person, the secret of their session where something changes; then the route. Whatever fails is told in
 * one form. Routes that show something of the book ask the library, which writes the record before it answers.
 */
import { Readable } from 'node:stream'
import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { deleteCookie, getCookie, setCookie } from 'hono/cookie'
import { z } from 'zod'
import type { Clock } from '../system/clock.ts'
import { ProblemError, problemOf } from './errors.ts'
import { demandOwnOrigin, originOf, SECURITY_HEADERS, type Site, STRICT_TRANSPORT } from './headers.ts'
import { API_BASE, openApi } from './openapi.ts'
import { ADDRESS_RATE, PERSON_RATE, RateLimit } from './rate.ts'
import { isMedia, type Media, type Route } from './route.ts'
import type { Caller, SignIn } from './sign-in.ts'
import type { StaticFiles } from './static.ts'

const BODY_BYTES_MAX = 64 << 10
const REASON_MAX = 500

export interface ApplicationParts {
  readonly site: Site
  /** Of the cookie; loopback listeners beside each other must not share one. */
  readonly cookieName: string
  readonly routes: readonly Route[]
  readonly signIn: SignIn
  readonly files: StaticFiles
  readonly release: string
  readonly clock: Clock
  readonly onFault: (error: unknown) => void
}

type Env = { Bindings: HttpBindings }
type Ctx = Context<Env>

const SIGN_IN_FORM = z.strictObject({
  user: z.string().max(200),
  password: z.string().max(512),
  code: z.string().max(16).optional(),
})

export class Application {
  readonly hono: Hono<Env>
  readonly #parts: ApplicationParts
  readonly #addresses: RateLimit
  readonly #people: RateLimit

  constructor(parts: ApplicationParts) {
    this.#parts = parts
    this.#addresses = new RateLimit(parts.clock, ADDRESS_RATE)
    this.#people = new RateLimit(parts.clock, PERSON_RATE)
    this.hono = this.#build()
  }

  /** For the upgrade to a WebSocket too, which passes no route: a cookie alone would let any page in. */
  async admitUpgrade(headers: UpgradeHeaders, address: string): Promise<Caller> {
    const { site, signIn } = this.#parts
    const own = originOf(headers.host, site)
    this.#addresses.take(address)
    const { authorization } = headers
    if (authorization === undefined)
      demandOwnOrigin({ origin: headers.origin, fetchSite: undefined }, own, true)
    const cookie = cookieOf(headers.cookie, this.#parts.cookieName)
    const caller = await signIn.identify({ cookie, authorization, address, host: new URL(own).hostname })
    if (caller === undefined) throw notSignedIn()
    this.#people.take(caller.identity.user)
    return caller
  }

  #build(): Hono<Env> {
    const { routes, release, onFault } = this.#parts
    const app = new Hono<Env>()
    app.use(async (c, next) => {
      for (const [name, value] of Object.entries(SECURITY_HEADERS)) c.header(name, value)
      if (this.#parts.site.tls) c.header('strict-transport-security', STRICT_TRANSPORT)
      originOf(c.req.header('host'), this.#parts.site)
      this.#addresses.take(addressOf(c))
      await next()
    })
    app.use(`${API_BASE}/*`, async (c, next) => {
      c.header('cache-control', 'no-store')
      this.#demandOrigin(c)
      await next()
    })
    app.use(
      `${API_BASE}/*`,
      bodyLimit({
        maxSize: BODY_BYTES_MAX,
        onError: () => {
          throw new ProblemError('too-large', {
            what: `A request body of more than ${BODY_BYTES_MAX} bytes.`,
          })
        },
      }),
    )
    app.post(`${API_BASE}/sign-in`, (c) => this.#signIn(c))
    app.post(`${API_BASE}/sign-out`, (c) => this.#signOut(c))
    const document = openApi(routes, release)
    app.get(`${API_BASE}/openapi.json`, (c) => c.json(document))
    for (const route of routes) {
      const path = `${API_BASE}${route.path.replaceAll(/\{(\w+)\}/g, ':$1')}`
      app.on(route.method.toUpperCase(), path, (c) => this.#run(c, route))
    }
    app.all('/api/*', () => {
      throw new ProblemError('not-found', { what: 'The API has no such request.' })
    })
    app.get('*', (c) => this.#file(c))
    app.notFound(() => {
      throw new ProblemError('not-found', { what: 'There is nothing here.' })
    })
    app.onError((error, c) => {
      const problem = problemOf(error, onFault)
      const { retryAfterSeconds } = problem.words
      if (retryAfterSeconds !== undefined) c.header('retry-after', String(retryAfterSeconds))
      return c.json(problem.body, problem.status)
    })
    return app
  }

  #demandOrigin(c: Ctx): void {
    // A page elsewhere cannot set this header without our leave, and a token is no cookie that goes along by itself.
    if (c.req.header('authorization') !== undefined) return
    const own = originOf(c.req.header('host'), this.#parts.site)
    const changes = c.req.method !== 'GET' && c.req.method !== 'HEAD'
    demandOwnOrigin(
      { origin: c.req.header('origin'), fetchSite: c.req.header('sec-fetch-site') },
      own,
      changes,
    )
  }

  #hostOf(c: Ctx): string {
    return new URL(originOf(c.req.header('host'), this.#parts.site)).hostname
  }

  async #run(c: Ctx, route: Route): Promise<Response> {
    const { signIn } = this.#parts
    const address = addressOf(c)
    const cookie = getCookie(c, this.#parts.cookieName)
    const found = await signIn.identify({
      ...{ cookie, authorization: c.req.header('authorization') },
      ...{ address, host: this.#hostOf(c) },
    })
    if (found === undefined) throw notSignedIn()
    this.#people.take(found.identity.user)
    if (route.method !== 'get') signIn.demandCsrf(found, c.req.header('x-csrf-token'))
    const reason = reasonOf(c.req.header('x-reason'))
    const caller = reason === undefined ? found : { ...found, reason }
    const given = {
      params: c.req.param() as Record<string, string>,
      query: c.req.query(),
      body: route.body === undefined ? undefined : await jsonOf(c),
    }
    const answer = await route.run(caller, given)
    if (!isMedia(route.answer)) return c.json(answer)
    return this.#media(c, route, route.answer, answer)
  }

  #media(c: Ctx, { fileName }: Route, { media }: Media, answer: unknown): Response {
    c.header('content-type', media)
    if (fileName !== undefined) {
      c.header('content-disposition', `attachment; filename="${fileName(c.req.param())}"`)
    }
    if (typeof answer === 'string' || answer instanceof Uint8Array) {
      return c.body(answer as string | Uint8Array<ArrayBuffer>)
    }
    // The stream of Node and that of Hono's types are one thing under two names.
    return c.body(Readable.toWeb(Readable.from(answer as AsyncIterable<Uint8Array>)) as ReadableStream)
  }

  async #signIn(c: Ctx): Promise<Response> {
    const form = SIGN_IN_FORM.safeParse(await jsonOf(c))
    if (!form.success) throw new ProblemError('bad-request', { what: 'Expected a user and a password.' })
    const agent = c.req.header('user-agent')
    const { token, caller } = await this.#parts.signIn.signIn({
      ...{ user: form.data.user, password: form.data.password, code: form.data.code },
      ...{ address: addressOf(c), host: this.#hostOf(c), agent },
    })
    const before = getCookie(c, this.#parts.cookieName)
    if (before !== undefined) this.#parts.signIn.signOut(before)
    setCookie(c, this.#parts.cookieName, token, this.#cookie())
    return c.json({ user: caller.identity.user, csrf: caller.session?.csrf })
  }

  /** A page elsewhere cannot end a session: the origin was checked. */
  #signOut(c: Ctx): Response {
    const token = getCookie(c, this.#parts.cookieName)
    if (token !== undefined) this.#parts.signIn.signOut(token)
    deleteCookie(c, this.#parts.cookieName, this.#cookie())
    return c.json({})
  }

  #cookie() {
    return { path: '/', httpOnly: true, secure: this.#parts.site.tls, sameSite: 'Strict' } as const
  }

  /** The console's files; every other path is one of its pages, which the script tells apart. */
  #file(c: Ctx): Response {
    const { files } = this.#parts
    const name = c.req.path.slice(1)
    const file = files.get(name) ?? (name.startsWith('assets/') ? undefined : files.get('index.html'))
    if (file === undefined) {
      throw new ProblemError(
        'not-found',
        files.size === 0
          ? { what: 'The console has not been built.', next: 'Run: npm run build' }
          : { what: 'There is no such file.' },
      )
    }
    c.header('cache-control', file.cacheControl)
    c.header('etag', file.etag)
    c.header('vary', 'accept-encoding')
    if (c.req.header('if-none-match') === file.etag) return c.body(null, 304)
    c.header('content-type', file.type)
    const zipped = /\bgzip\b/.test(c.req.header('accept-encoding') ?? '')
    if (zipped) c.header('content-encoding', 'gzip')
    return c.body(new Uint8Array(zipped ? file.gzip : file.body))
  }
}

export interface UpgradeHeaders {
  readonly host?: string | undefined
  readonly origin?: string | undefined
  readonly cookie?: string | undefined
  readonly authorization?: string | undefined
}

function notSignedIn(): ProblemError {
  return new ProblemError('not-signed-in', {
    what: 'Nobody is signed in here.',
    next: 'Sign in, or send a personal token as Bearer.',
  })
}

function addressOf(c: Ctx): string {
  return plainAddress(c.env.incoming.socket.remoteAddress ?? '')
}

/** An IPv4 client of an IPv6 socket is known by its IPv4 address. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address
}

async function jsonOf(c: Ctx): Promise<unknown> {
  if (!/^application\/json\b/.test(c.req.header('content-type') ?? '')) {
    throw new ProblemError('bad-request', { what: 'Expected a body of application/json.' })
  }
  try {
    return await c.req.json()
  } catch (error) {
    if (error instanceof ProblemError) throw error
    throw new ProblemError('bad-request', { what: 'The body is not JSON.' })
  }
}

/** In percent-encoding, for a header carries no other letters than those of ASCII. */
function reasonOf(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  try {
    return decodeURIComponent(header).trim().slice(0, REASON_MAX) || undefined
  } catch {
    throw new ProblemError('bad-request', { what: 'The reason in x-reason is not percent-encoded.' })
  }
}

function cookieOf(header: string | undefined, name: string): string | undefined {
  const found = (header ?? '').split(/; */).find((pair) => pair.startsWith(`${name}=`))
  return found === undefined ? undefined : decodeURIComponent(found.slice(name.length + 1))
}
