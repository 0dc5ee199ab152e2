/**
 * The single values of the configuration: what a person may write, and what it becomes. Each says in words what
 * it expects; the loader adds where it stands and what was found instead.
 */
import { resolve } from 'node:path'
import { z } from 'zod'

/** A text of one form. `expected` completes the sentence "expected …". */
function written(expected: string, form: RegExp) {
  const error = `expected ${expected}`
  return z.string({ error }).regex(form, { error })
}

/** A refinement after which the value is known to be sound, for what a regular expression cannot say. */
function sound(expected: string, test: (text: string) => boolean) {
  const error = `expected ${expected}`
  return z.string({ error }).refine(test, { error })
}

const MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, y: 365 * 86_400_000 } as const

function milliseconds(text: string): number {
  const [, count = '', unit = ''] = /^(\d+)([a-z]+)$/.exec(text) ?? []
  return Number(count) * (Object.entries(MS).find(([name]) => name === unit)?.[1] ?? Number.NaN)
}

/** A length of time; becomes milliseconds. A year is 365 days. */
export const duration = written(
  'a length of time such as 30s, 15m, 12h, 90d or 5y',
  /^\d{1,6}(ms|s|m|h|d|y)$/,
)
  .transform(milliseconds)
  .refine((ms) => ms > 0, { error: 'expected a length of time above zero' })

/** A number of bytes. */
export const size = written('a size such as 512KiB or 16MiB', /^\d{1,4}(KiB|MiB)$/).transform(
  (text) => Number.parseInt(text, 10) * (text.endsWith('MiB') ? 1 << 20 : 1 << 10),
)

export const LOOPBACK: readonly string[] = ['127.0.0.1', '::1', 'localhost']

export interface Address {
  readonly host: string
  readonly port: number
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/@]+)):(\d{1,5})$/

function parseAddress(text: string): Address {
  const [, six, host, port = ''] = ADDRESS.exec(text) ?? []
  return { host: six ?? host ?? '', port: Number(port) }
}

/** Where to connect to. */
export const address = sound('host:port, an IPv6 address in brackets', (text) => {
  const { port } = parseAddress(text)
  return ADDRESS.test(text) && port >= 1 && port <= 65_535
}).transform(parseAddress)

/** Where to listen; port 0 lets the system choose one. */
export const listenAddress = sound('host:port to listen on, such as 0.0.0.0:5432 or [::]:5432', (text) => {
  return ADDRESS.test(text) && parseAddress(text).port <= 65_535
}).transform(parseAddress)

/** A network from which something is accepted. */
export const network = z.union([z.cidrv4(), z.cidrv6()], {
  error: 'expected a network such as 10.0.0.0/24 or fd00::/8',
})

/** Names stand in records, in file names and behind the `~` of a login, so they are plain. */
export const name = written(
  'a name of at most 63 letters, digits, ".", "_" and "-", beginning with a letter or digit',
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
)

/** As a name, and "@" besides: people often log in with their mail address. No "~", which parts user and target. */
export const userName = written(
  'a user name of at most 63 letters, digits, ".", "_", "-" and "@", beginning with a letter or digit',
  /^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$/,
)

/** A name in which `*` stands for any characters. */
export const glob = written('a name in which * stands for any characters', /^[^\s~]{1,128}$/)

export const line = written('one line of text', /^[^\p{Cc}]{1,500}$/u)

/** Scheme, host and perhaps a port, and nothing behind them. */
export const origin = sound('https://host or https://host:port, without a path', (text) => {
  return /^https?:\/\//.test(text) && URL.canParse(text) && new URL(text).origin === text
})

export const fingerprint = written(
  'the SHA-256 fingerprint of a certificate: 64 hexadecimal digits, ":" between them allowed',
  /^(?:[0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}$/,
).transform((text) => text.replaceAll(':', '').toLowerCase())

export const sshKey = written(
  'an OpenSSH public key: its type, its base64, perhaps a comment',
  /^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( [^\p{Cc}]*)?$/u,
)

/** The key a host must show: whole, or as its type and fingerprint. */
export const hostKey = written(
  'a host key, as "ssh-ed25519 AAAA…" or "ssh-ed25519 SHA256:…"',
  /^(ssh|ecdsa|sk)-[a-z0-9@.-]+ (SHA256:[A-Za-z0-9+/]{43}|[A-Za-z0-9+/]{40,}={0,2})( [^\p{Cc}]*)?$/u,
)

/** Where a port may be forwarded to; either half may be a `*`. Or a socket's path, with * as wildcard. */
export const destination = written(
  'host:port, either of them may be *, or the path of a socket',
  /^((\*|[^\s:]+|\[[0-9a-fA-F:.]+\]):(\*|\d{1,5})|\/[^\s]{1,512})$/,
)

/** An environment variable that may pass, or the beginning of several. */
export const variable = written(
  'the name of a variable, perhaps with * at its end',
  /^[A-Za-z_][A-Za-z0-9_]{0,63}\*?$/,
)

export const timeZone = sound('the name of a time zone such as Europe/Berlin or UTC', (text) => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text })
    return true
  } catch {
    return false
  }
})

/** A time of the day; becomes minutes since midnight. 24:00 is its end. */
export const timeOfDay = written(
  'a time of the day such as "08:00", in quotes',
  /^(([01]\d|2[0-3]):[0-5]\d|24:00)$/,
).transform((text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3)))

const DAYS: readonly string[] = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const DAY = `(${DAYS.join('|')})`

/** A day or a run of days; becomes numbers, 0 for Sunday. A run may pass the week's end. */
export const days = written(
  'a day or a run of days such as sat or mon-fri',
  new RegExp(`^${DAY}(-${DAY})?$`),
).transform((text) => {
  const [from = '', to = from] = text.split('-')
  const first = DAYS.indexOf(from)
  const last = DAYS.indexOf(to)
  return Array.from({ length: ((last - first + 7) % 7) + 1 }, (_, i) => (first + i) % 7)
})

const DATE = /^\d{4}-\d{2}-\d{2}$/
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})$/

/** When something ends; becomes milliseconds since 1970. A date alone means the end of that day, UTC. */
export const expiry = sound('a date such as 2027-06-30 or a moment such as 2027-06-30T18:00:00Z', (text) => {
  if (!DATE.test(text) && !MOMENT.test(text)) return false
  const day = text.slice(0, 10)
  const at = new Date(`${day}T00:00:00Z`)
  // Date.parse takes 2027-02-31 for the third of March.
  return !Number.isNaN(Date.parse(text)) && !Number.isNaN(at.getTime()) && at.toISOString().startsWith(day)
}).transform((text) => Date.parse(text) + (DATE.test(text) ? MS.d : 0))

/** How a secret is named in the file: never the value itself. */
export interface SecretRef {
  readonly source: 'env' | 'file' | 'cmd'
  readonly name: string
}

/** Faults that begin with this sentence never show what was found: it may be the secret. */
export const SECRET_EXPECTED = 'expected env:NAME or file:PATH, never the secret itself'
const COMMAND_EXPECTED = `${SECRET_EXPECTED}; or cmd:PROGRAM`

/** Values that depend on where the file lies: relative paths begin at its folder. */
export function located(folder: string) {
  const path = written('a path', /^[^\p{Cc}]{1,4096}$/u).transform((text) => resolve(folder, text))
  const ref = (error: string, form: RegExp) =>
    z
      .string({ error })
      .regex(form, { error })
      .transform((text): SecretRef => {
        const at = text.indexOf(':')
        const rest = text.slice(at + 1)
        if (text.startsWith('env:')) return { source: 'env', name: rest }
        if (text.startsWith('cmd:')) return { source: 'cmd', name: rest }
        return { source: 'file', name: resolve(folder, rest) }
      })
  return {
    path,
    secret: ref(SECRET_EXPECTED, /^(env:[A-Za-z_][A-Za-z0-9_]*|file:[^\p{Cc}]+)$/u),
    keySecret: ref(COMMAND_EXPECTED, /^(env:[A-Za-z_][A-Za-z0-9_]*|(file|cmd):[^\p{Cc}]+)$/u),
  }
}

export type Located = ReturnType<typeof located>
