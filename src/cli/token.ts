/** `gatebook token`: secrets for people and service accounts, shown once. */
import { join } from 'node:path'
import { Accounts, type TokenInfo } from '../access/accounts.ts'
import { parsePassword } from '../access/verifier.ts'
import type { LoadedConfig } from '../config/load.ts'
import { duration, expiry } from '../config/scalars.ts'
import type { Clock } from '../system/clock.ts'
import { OperatorError, wordsOf } from '../system/operator-error.ts'
import { type Environment, readSecret } from '../system/secret.ts'
import { configOrFail, EXIT, type Io, type OutputFormat, printJson, printTable } from './io.ts'

export interface TokenOptions {
  readonly config: string
  readonly output: OutputFormat
  readonly clock: Clock
}

export interface TokenCreateOptions extends TokenOptions {
  readonly user: string
  readonly label: string
  /** A length of time, a date or a moment, as in the configuration. */
  readonly expires: string
  readonly env: Environment
}

/** The secret alone goes to stdout, so that it can be piped to where it is kept. */
export async function tokenCreate(options: TokenCreateOptions, io: Io): Promise<number> {
  const { config, output, clock, user, label, expires, env } = options
  const loaded = await configOrFail(config)
  if (!loaded.config.users.has(user))
    throw new OperatorError('usage', `no user is called "${user}" in ${config}`)
  const salt = await saltOfPassword(loaded, user, env, io)
  using accounts = openAccounts(loaded, clock)
  const until = expiryOf(expires, clock)
  const { secret, token } = accounts.createToken({ user, label, expires: until, ...(salt && { salt }) })
  if (output === 'json') printJson(io, { ...shown(token), secret })
  else {
    io.stdout.write(`${secret}\n`)
    io.stderr.write(
      `token ${token.id} of ${user}${label === '' ? '' : ` (${label})`}, valid until ${moment(until)}; it is not shown again\n`,
    )
  }
  return EXIT.ok
}

export async function tokenList(options: TokenOptions & { readonly user?: string }, io: Io): Promise<number> {
  using accounts = openAccounts(await configOrFail(options.config), options.clock)
  const tokens = accounts.tokens(options.user)
  const now = options.clock.now()
  if (options.output === 'json')
    printJson(
      io,
      tokens.map((token) => ({ ...shown(token), state: stateOf(token, now) })),
    )
  else {
    const rows = tokens.map((token) => [
      ...[token.id, token.user, stateOf(token, now), moment(token.expires)],
      ...[token.lastUsed === undefined ? 'never' : moment(token.lastUsed), token.label],
    ])
    printTable(io, ['ID', 'USER', 'STATE', 'EXPIRES', 'LAST USED', 'LABEL'], rows)
  }
  return EXIT.ok
}

export async function tokenRevoke(options: TokenOptions & { readonly id: string }, io: Io): Promise<number> {
  using accounts = openAccounts(await configOrFail(options.config), options.clock)
  const token = accounts.revokeToken(options.id)
  if (token === undefined) throw new OperatorError('usage', `no token has the id "${options.id}"`)
  if (options.output === 'json') printJson(io, shown(token))
  else io.stderr.write(`token ${token.id} of ${token.user} is revoked since ${moment(token.revoked ?? 0)}\n`)
  return EXIT.ok
}

/** Where the accounts of a configuration lie. */
export function accountsPath({ config }: LoadedConfig): string {
  return join(config.gateway.data_dir, 'accounts.db')
}

function openAccounts(loaded: LoadedConfig, clock: Clock): Accounts {
  return Accounts.open(accountsPath(loaded), { clock })
}

/** A SCRAM challenge names one salt: where the user has a SCRAM password, tokens must be made under its salt. */
async function saltOfPassword(
  { config }: LoadedConfig,
  user: string,
  env: Environment,
  io: Io,
): Promise<Uint8Array | undefined> {
  const ref = config.users.get(user)?.password
  if (ref === undefined) return undefined
  try {
    const password = parsePassword((await readSecret(ref, env)).text(), `users.${user}.password`)
    return password.type === 'scram' ? password.salt : undefined
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    io.stderr.write(`${wordsOf(error)}; if it is a SCRAM password, this token will not do for SCRAM\n`)
    return undefined
  }
}

function expiryOf(text: string, clock: Clock): number {
  const length = duration.safeParse(text)
  if (length.success) return clock.now() + length.data
  const end = expiry.safeParse(text)
  if (!end.success)
    throw new OperatorError(
      'usage',
      `"${text}": expected a length of time such as 90d, or a date such as 2027-06-30`,
    )
  if (end.data <= clock.now()) throw new OperatorError('usage', `"${text}" is past`)
  return end.data
}

function stateOf({ expires, revoked }: TokenInfo, now: number): string {
  if (revoked !== undefined) return 'revoked'
  return expires <= now ? 'expired' : 'valid'
}

function shown({
  created,
  expires,
  revoked,
  lastUsed,
  ...token
}: TokenInfo): Readonly<Record<string, string>> {
  const times = { created, expires, revoked, lastUsed }
  const told = Object.entries(times).flatMap(([name, ms]) =>
    ms === undefined ? [] : [[name, moment(ms)] as const],
  )
  return { ...token, ...Object.fromEntries(told) }
}

function moment(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z')
}
