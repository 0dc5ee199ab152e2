/**
 * What is kept of a secret so that each protocol can check it, and never the secret. The SCRAM verifier is
 * RFC 5802's; the two unsalted hashes are what MySQL's challenges need, and are sound only for secrets that are
 * random: they are made for tokens and never for a chosen password.
 */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import { OperatorError } from '../system/operator-error.ts'

/**
 * PostgreSQL's own default, the same for everybody: a count or a salt of another length would tell who exists.
 * Tokens are random, so that more rounds would buy nothing; a chosen password is better kept as argon2id.
 */
export const SCRAM_ITERATIONS = 4096
export const SCRAM_SALT_BYTES = 16

export interface ScramVerifier {
  readonly storedKey: Uint8Array
  readonly serverKey: Uint8Array
}

/** What a challenge of any protocol is checked against. */
export interface Verifier extends ScramVerifier {
  /** SHA256(SHA256(secret)), for caching_sha2_password. */
  readonly sha256Twice: Uint8Array
  /** SHA1(SHA1(secret)), for mysql_native_password. */
  readonly sha1Twice: Uint8Array
}

/** Of RFC 4013 only the normal form is applied: clients differ in the rest, and what they do to ASCII is nothing. */
export function scramVerifier(secret: string, salt: Uint8Array): ScramVerifier {
  const salted = pbkdf2Sync(secret.normalize('NFKC'), salt, SCRAM_ITERATIONS, 32, 'sha256')
  const clientKey = createHmac('sha256', salted).update('Client Key').digest()
  return {
    storedKey: createHash('sha256').update(clientKey).digest(),
    serverKey: createHmac('sha256', salted).update('Server Key').digest(),
  }
}

export function verifierOf(secret: string, salt: Uint8Array): Verifier {
  const twice = (algorithm: string) =>
    createHash(algorithm).update(createHash(algorithm).update(secret).digest()).digest()
  return { ...scramVerifier(secret, salt), sha256Twice: twice('sha256'), sha1Twice: twice('sha1') }
}

/** A password as the configuration keeps it. */
export type StoredPassword =
  | {
      readonly type: 'argon2id'
      readonly text: string
      readonly cost: Argon2Cost
      readonly hash: Uint8Array
      readonly salt: Uint8Array
    }
  | ({ readonly type: 'scram'; readonly salt: Uint8Array } & ScramVerifier)

export interface Argon2Cost {
  /** KiB, as the text says it. */
  readonly memory: number
  readonly passes: number
  readonly parallelism: number
}

/** OWASP's first choice; what a user who does not exist costs. */
export const ARGON2_USUAL: Argon2Cost = { memory: 19_456, passes: 2, parallelism: 1 }
const ARGON2_MEMORY_MAX = 262_144
const ARGON2_PASSES_MAX = 16
const ARGON2_LANES_MAX = 16

const ARGON2 =
  /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/
const SCRAM = /^SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$/

/** `what` names the secret in the error, which never repeats it. */
export function parsePassword(text: string, what: string): StoredPassword {
  const refuse = (seen: string): never => {
    throw new OperatorError('secret', `${what}: ${seen}`)
  }
  const argon2 = ARGON2.exec(text)
  if (argon2 !== null) {
    const [, m, t, p, salt = '', hash = ''] = argon2
    const cost = { memory: Number(m), passes: Number(t), parallelism: Number(p) }
    if (
      cost.memory > ARGON2_MEMORY_MAX ||
      cost.passes > ARGON2_PASSES_MAX ||
      cost.parallelism > ARGON2_LANES_MAX
    ) {
      refuse(
        `argon2id beyond m=${ARGON2_MEMORY_MAX},t=${ARGON2_PASSES_MAX},p=${ARGON2_LANES_MAX} would stop the gateway`,
      )
    }
    // Below, argon2 itself refuses to work, and every login of this user would be a fault of ours.
    if (cost.passes < 1 || cost.parallelism < 1 || cost.memory < 8 * cost.parallelism)
      refuse('argon2id with impossible costs')
    return {
      type: 'argon2id',
      text,
      cost,
      salt: Buffer.from(salt, 'base64'),
      hash: Buffer.from(hash, 'base64'),
    }
  }
  const scram = SCRAM.exec(text)
  if (scram === null)
    return refuse('expected $argon2id$v=19$… or SCRAM-SHA-256$4096:…, never the password itself')
  const [salt, storedKey, serverKey] = scram.slice(2).map((part) => Buffer.from(part, 'base64'))
  if (Number(scram[1]) !== SCRAM_ITERATIONS || salt?.length !== SCRAM_SALT_BYTES) {
    refuse(
      `a SCRAM verifier needs ${SCRAM_ITERATIONS} iterations and a salt of ${SCRAM_SALT_BYTES} bytes, as everybody has`,
    )
  }
  if (salt === undefined || storedKey?.length !== 32 || serverKey?.length !== 32) {
    return refuse('a SCRAM verifier with keys that are not 32 bytes')
  }
  return { type: 'scram', salt, storedKey, serverKey }
}
