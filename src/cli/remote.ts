/**
 * A gateway on another machine, as commands reach it: the API of its console, by HTTPS and with a personal token. The
 * token is shown to nobody whose certificate does not hold, and in clear to nobody beyond this machine. What is
 * answered is believed as far as what comes from the control socket: it is the gateway that says it.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http'
import { Agent, request as secureRequest } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { getCACertificates } from 'node:tls'
import { WebSocket } from 'ws'
import { PROBLEM, type ProblemBody } from '../http/api.ts'
import { NoAnswer, type NoAnswerCode } from '../read/questions.ts'
import { OperatorError, wordsOf } from '../system/operator-error.ts'
import { askHidden } from './ask-hidden.ts'
import type { GatewayOptions } from './gateway.ts'

const API_BASE = '/api/v1'
const LOOPBACK_NAMES: readonly string[] = ['localhost', '127.0.0.1', '[::1]']
const TOKEN = /^[!-~]{1,512}$/
const ANSWER_BYTES_MAX = 64 << 20
/** Of one line of an evidence, which holds a record with its payloads. */
const LINE_BYTES_MAX = 256 << 20
const SAID_BYTES_MAX = 64 << 20
/** Nothing is heard for so long: the gateway gives each question up sooner. */
const SILENCE_MS_MAX = 60_000
/** How often a request is made again that came too soon after others, and how long it waits for its turn. */
const TRIES_MAX = 10
const TURN_MS_MAX = 10_000

export interface RemoteOptions extends GatewayOptions {
  readonly reason?: string
}

export type Query = Readonly<Record<string, string | number | undefined>>

interface Parts {
  readonly origin: string
  readonly token: string
  readonly ca: readonly string[] | undefined
  readonly reason: string | undefined
}

/** The console's address that a command was given; undefined where it is to look on this machine. */
export function gatewayUrl({ gateway, data, config }: GatewayOptions): string | undefined {
  const isLocal = data !== undefined || config !== undefined
  if (gateway === undefined) return isLocal ? undefined : process.env['GATEBOOK_URL'] || undefined
  if (!isLocal) return gateway
  throw new OperatorError('usage', '--gateway is another machine: leave out --data and --config')
}

export class RemoteGateway implements Disposable {
  readonly origin: string
  readonly #parts: Parts
  readonly #agent: Agent | PlainAgent

  private constructor(parts: Parts) {
    this.origin = parts.origin
    this.#parts = parts
    const { ca } = parts
    this.#agent = parts.origin.startsWith('https:')
      ? new Agent({ keepAlive: true, ...(ca === undefined ? {} : { ca: [...ca] }) })
      : new PlainAgent({ keepAlive: true })
  }

  /** Resolves when the gateway has accepted the token. */
  static async open(url: string, options: RemoteOptions): Promise<RemoteGateway> {
    const origin = originOf(url)
    const ca = origin.startsWith('https:') ? authorities(options.ca) : undefined
    const token = await tokenOf(options, origin)
    const gateway = new RemoteGateway({ origin, token, ca, reason: options.reason })
    await gateway.get('/me')
    return gateway
  }

  get(path: string, query: Query = {}): Promise<unknown> {
    return this.#json('GET', path, query)
  }

  post(path: string, body: unknown): Promise<unknown> {
    return this.#json('POST', path, {}, JSON.stringify(body))
  }

  /** What is too long for one answer; rejects where it breaks off. */
  async *lines(path: string): AsyncGenerator<string> {
    let parts: Buffer[] = []
    let bytes = 0
    for await (const chunk of this.#body(await this.#answered('GET', path, {}))) {
      let from = 0
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
        yield Buffer.concat([...parts, chunk.subarray(from, end)]).toString('utf8')
        parts = []
        bytes = 0
        from = end + 1
      }
      parts.push(chunk.subarray(from))
      bytes += chunk.length - from
      if (bytes > LINE_BYTES_MAX) throw this.#foreign(`a line of more than ${LINE_BYTES_MAX} bytes`)
    }
  }

  /** What comes by itself. */
  socket(path: string): WebSocket {
    const { ca } = this.#parts
    return new WebSocket(`${this.origin.replace(/^http/, 'ws')}${API_BASE}${path}`, {
      headers: { authorization: `Bearer ${this.#parts.token}` },
      handshakeTimeout: SILENCE_MS_MAX,
      maxPayload: SAID_BYTES_MAX,
      perMessageDeflate: false,
      ...(ca === undefined ? {} : { ca: [...ca] }),
    })
  }

  /** What went wrong between here and there, in words. */
  failure(error: unknown): Error {
    return error instanceof OperatorError || error instanceof NoAnswer
      ? error
      : unreachable(error, this.origin)
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }

  async #json(method: 'GET' | 'POST', path: string, query: Query, body?: string): Promise<unknown> {
    return this.#parsed(await this.#whole(await this.#answered(method, path, query, body)))
  }

  /** An answer that is none of a problem; whatever else comes back is thrown. */
  async #answered(
    method: 'GET' | 'POST',
    path: string,
    query: Query,
    body?: string,
  ): Promise<IncomingMessage> {
    for (let tries = 1; ; tries++) {
      const answer = await this.#send(method, path, query, body)
      if (answer.statusCode === 200) return answer
      const text = await this.#whole(answer)
      const problem = PROBLEM.safeParse(this.#parsed(text))
      if (!problem.success) throw this.#foreign(`status ${answer.statusCode}`)
      const waits = Number(answer.headers['retry-after'] ?? 1) * 1000
      const isTooSoon = problem.data.error.code === 'too-many' && waits <= TURN_MS_MAX
      if (!isTooSoon || tries === TRIES_MAX) throw refusal(problem.data, this.origin)
      await sleep(waits)
    }
  }

  #send(method: 'GET' | 'POST', path: string, query: Query, body?: string): Promise<IncomingMessage> {
    const url = new URL(`${API_BASE}${path}`, this.origin)
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value))
    }
    const { token, reason } = this.#parts
    const headers = {
      authorization: `Bearer ${token}`,
      ...(reason === undefined ? {} : { 'x-reason': encodeURIComponent(reason) }),
      ...(body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
    }
    const request = url.protocol === 'https:' ? secureRequest : plainRequest
    return new Promise((resolve, reject) => {
      const sent = request(url, { method, headers, agent: this.#agent, timeout: SILENCE_MS_MAX }, resolve)
      sent.on('timeout', () => sent.destroy(new Error(`no answer within ${SILENCE_MS_MAX / 1000} s`)))
      sent.on('error', (error) => reject(this.failure(error)))
      sent.end(body)
    })
  }

  async *#body(answer: IncomingMessage): AsyncGenerator<Buffer> {
    try {
      yield* answer as AsyncIterable<Buffer>
    } catch (error) {
      throw this.failure(error)
    }
  }

  async #whole(answer: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = []
    let length = 0
    for await (const chunk of this.#body(answer)) {
      length += chunk.length
      if (length > ANSWER_BYTES_MAX) throw this.#foreign(`more than ${ANSWER_BYTES_MAX} bytes`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks).toString('utf8')
  }

  #parsed(text: string): unknown {
    try {
      return JSON.parse(text)
    } catch {
      throw this.#foreign('something that is no JSON')
    }
  }

  #foreign(seen: string): OperatorError {
    return foreign(this.origin, `it answered with ${seen}`)
  }
}

function foreign(origin: string, why: string): OperatorError {
  const next = 'give the address of a listener of type console'
  return new OperatorError('target', told({ what: `${origin} is not the console of a gateway`, why, next }))
}

/** What was refused, why, what to do next, and the record that tells of it; what there is none of is left out. */
export function told({ what, why, next, record }: Partial<ProblemBody['error']>): string {
  const lines = [['why ', why] as const, ['next', next] as const, ['id  ', record] as const]
  return [
    what,
    ...lines.filter(([, text]) => text !== undefined).map(([name, text]) => `  ${name}: ${text}`),
  ].join('\n')
}

const REFUSALS: Readonly<Partial<Record<ProblemBody['error']['code'], NoAnswerCode>>> = {
  'bad-query': 'query',
  forbidden: 'right',
  'reason-needed': 'reason',
  'not-found': 'none',
  busy: 'late',
  gone: 'evidence',
}

/** Why there is no answer, as the same refusal reads on the control socket. */
export function refusal({ error }: ProblemBody, origin: string): Error {
  if (error.code === 'not-signed-in' || error.code === 'bad-credential') {
    const words = {
      what: `${origin} does not accept this token`,
      why: 'it is wrong, has expired or was revoked, or its owner is gone',
      next: 'gatebook token create NAME, on the gateway, makes another',
    }
    return new NoAnswer('right', told({ ...error, ...words }))
  }
  const code = REFUSALS[error.code]
  if (code === undefined)
    return new OperatorError('target', told({ ...error, what: `${origin}: ${error.what}` }))
  // Of a search the place is shown, which says more than further lines.
  const message = code === 'query' ? error.what : told(error)
  return new NoAnswer(code, message, error.column)
}

function originOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !['https:', 'http:'].includes(parsed.protocol)) {
    throw new OperatorError(
      'usage',
      `${url} is no address of a console: expected https://gw.example.com:8443`,
    )
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new OperatorError(
      'usage',
      'no token in the address, where others see it: use GATEBOOK_TOKEN or --token-file',
    )
  }
  if (parsed.protocol === 'http:' && !LOOPBACK_NAMES.includes(parsed.hostname)) {
    throw new OperatorError('usage', `${parsed.origin} would be sent the token in clear: use https://`)
  }
  return parsed.origin
}

/** Never of the command line, which everybody on this machine can read. */
async function tokenOf({ tokenFile }: RemoteOptions, origin: string): Promise<string> {
  const given =
    tokenFile === undefined
      ? process.env['GATEBOOK_TOKEN'] || undefined
      : readFileSync(tokenFile, 'utf8').trim()
  if (given === undefined && !process.stdin.isTTY) {
    throw new OperatorError(
      'usage',
      told({
        what: `${origin} wants a personal token`,
        next: 'put it into GATEBOOK_TOKEN, or into a file that --token-file names',
      }),
    )
  }
  const token = given ?? (await askHidden(`Personal token for ${origin}: `)).trim()
  if (TOKEN.test(token)) return token
  throw new OperatorError(
    'usage',
    `${tokenFile ?? (given === undefined ? 'that' : 'GATEBOOK_TOKEN')} is no token`,
  )
}

/** Those of the file alone; else the system's and what NODE_EXTRA_CA_CERTS adds. */
function authorities(file: string | undefined): readonly string[] | undefined {
  if (file === undefined) {
    const known = [...getCACertificates('system'), ...getCACertificates('extra')]
    return known.length === 0 ? undefined : known
  }
  const certificates = readFileSync(file, 'utf8').match(
    /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g,
  )
  try {
    return (certificates ?? ['']).map((pem) => String(new X509Certificate(pem)))
  } catch (cause) {
    throw new OperatorError('usage', `${file} holds no certificate in PEM`, { cause })
  }
}

const UNTRUSTED: readonly string[] = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
]

function unreachable(cause: unknown, origin: string): OperatorError {
  const { code = '' } = cause as { code?: string }
  if (code.startsWith('HPE_')) return foreign(origin, `it answered with no HTTP (${wordsOf(cause)})`)
  return new OperatorError('target', told({ what: `no answer from ${origin}`, ...whyAndNext(code, cause) }), {
    cause,
  })
}

function whyAndNext(code: string, cause: unknown): { readonly why: string; readonly next?: string } {
  if (UNTRUSTED.includes(code)) {
    return {
      why: `nobody who is trusted here vouches for its certificate (${code})`,
      next: 'name the certificate of its authority: --ca FILE (gatebook init wrote it as ca.crt)',
    }
  }
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return { why: wordsOf(cause), next: 'use a name that its certificate has' }
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return {
        why: `its certificate is not valid at this time (${code})`,
        next: 'renew gateway.tls there and reload; or set the clock of this machine',
      }
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return { why: 'no host of that name is known here', next: 'check the address' }
    case 'ECONNREFUSED':
      return {
        why: 'nothing listens there',
        next: 'check the port: is the gateway up, and does its configuration have a listener of type console?',
      }
    case 'EPROTO':
    case 'ECONNRESET':
      return {
        why: `it broke the connection off (${wordsOf(cause)})`,
        next: 'check that the port is that of the console, and whether it is https:// or http://',
      }
    default:
      return { why: wordsOf(cause), next: 'check the address and the way there' }
  }
}
