/** The users of a configuration together with their stored passwords, read once at its load. */
import type { Config } from '../config/schema.ts'
import { OperatorError, wordsOf } from '../system/operator-error.ts'
import { type Environment, readSecret } from '../system/secret.ts'
import { parseCodeSecret } from './second-factor.ts'
import { ARGON2_USUAL, type Argon2Cost, parsePassword, type StoredPassword } from './verifier.ts'

export interface Directory {
  readonly config: Config
  readonly passwords: ReadonlyMap<string, StoredPassword>
  /** Secrets for one-time codes, of those who need one. */
  readonly codes: ReadonlyMap<string, Uint8Array>
  /** What a try costs for whoever has no argon2id password, so that nobody stands out by time. */
  readonly usualCost: Argon2Cost
}

/** Fails with every password that cannot be used, not with the first. */
export async function readDirectory(config: Config, env: Environment): Promise<Directory> {
  const passwords = new Map<string, StoredPassword>()
  const codes = new Map<string, Uint8Array>()
  const faults: string[] = []
  for (const [name, { password, totp }] of config.users) {
    try {
      if (password !== undefined) {
        const what = `users.${name}.password`
        passwords.set(name, parsePassword((await readSecret(password, env)).text(), what))
      }
      if (totp !== undefined) {
        codes.set(name, parseCodeSecret((await readSecret(totp, env)).text(), `users.${name}.totp`))
      }
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      faults.push(wordsOf(error))
    }
  }
  if (faults.length > 0) throw new OperatorError('secret', faults.join('\n'))
  return { config, passwords, codes, usualCost: usualCost(passwords.values()) }
}

function usualCost(passwords: Iterable<StoredPassword>): Argon2Cost {
  for (const password of passwords) if (password.type === 'argon2id') return password.cost
  return ARGON2_USUAL
}
