/** A browser as far as the API sees one: cookies, an origin, and headers that a page could not set. */
import { request as plainRequest } from 'node:http'
import { request as secureRequest } from 'node:https'
import type { TestGateway } from './gateway.ts'

export interface WebAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** The body, where it is JSON. */
  readonly json: unknown
}

export interface WebRequest {
  readonly method?: string
  readonly path: string
  readonly body?: unknown
  /** Sent as they are; an empty one is left out. */
  readonly headers?: Readonly<Record<string, string>>
}

export class WebClient {
  readonly #gateway: TestGateway
  readonly #listener: string
  readonly #plain: boolean
  /** As a browser would send it. */
  cookie = ''
  csrf = ''

  constructor(gateway: TestGateway, listener = 'console', plain = listener === 'plain') {
    this.#gateway = gateway
    this.#listener = listener
    this.#plain = plain
  }

  get host(): string {
    return `localhost:${this.#gateway.port(this.#listener)}`
  }

  get origin(): string {
    return `${this.#plain ? 'http' : 'https'}://${this.host}`
  }

  /** With the cookie, and for changes with what our own pages send along. */
  send({ method, path, body, headers = {} }: WebRequest): Promise<WebAnswer> {
    const verb = method ?? (body === undefined ? 'GET' : 'POST')
    const own: Record<string, string> = {
      host: this.host,
      cookie: this.cookie,
      ...(verb === 'GET' ? {} : { origin: this.origin, 'content-type': 'application/json' }),
      ...(verb === 'GET' ? {} : { 'x-csrf-token': this.csrf }),
    }
    const all = Object.entries({ ...own, ...headers }).filter(([, value]) => value !== '')
    return this.#send(
      verb,
      path,
      Object.fromEntries(all),
      body === undefined ? undefined : JSON.stringify(body),
    )
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<WebAnswer> {
    return this.send({ path: `/api/v1${path}`, headers })
  }

  post(path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<WebAnswer> {
    return this.send({ path: `/api/v1${path}`, body, headers })
  }

  async signIn(user: string, password: string, code?: string): Promise<WebAnswer> {
    const answer = await this.post('/sign-in', { user, password, ...(code === undefined ? {} : { code }) })
    if (answer.status === 200) {
      this.cookie = cookieIn(answer)
      this.csrf = (answer.json as { csrf: string }).csrf
    }
    return answer
  }

  #send(method: string, path: string, headers: Record<string, string>, body?: string): Promise<WebAnswer> {
    const secure = !this.#plain
    const options = {
      ...{ method, path, headers, host: '127.0.0.1', port: this.#gateway.port(this.#listener) },
      ...(secure ? { ca: this.#gateway.authority.ca, servername: 'localhost' } : {}),
      agent: false as const,
    }
    return new Promise((resolve, reject) => {
      const sent = (secure ? secureRequest : plainRequest)(options, (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(parts).toString()
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: jsonOf(text),
          })
        })
      })
      sent.on('error', reject)
      sent.end(body)
    })
  }
}

/** Name and value of the cookie that an answer sets. */
export function cookieIn({ headers }: WebAnswer): string {
  const [cookie = ''] = headers['set-cookie'] ?? []
  return cookie.split(';')[0] ?? ''
}

export function codeOf({ json }: WebAnswer): unknown {
  return (json as { error?: { code?: unknown } } | undefined)?.error?.code
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
