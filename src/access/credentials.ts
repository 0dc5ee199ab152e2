/** What the gateway itself shows at its targets: read once at a load, and seen by nobody else. */
import { readFile } from 'node:fs/promises'
import type { Config, DatabaseTarget } from '../config/schema.ts'
import { OperatorError, wordsOf } from '../system/operator-error.ts'
import { type Environment, readSecret, type Secret } from '../system/secret.ts'

export interface DatabaseCredential {
  readonly user: string
  readonly password: Secret
}

export interface DatabaseCredentials {
  readonly usual: DatabaseCredential
  readonly readOnly: DatabaseCredential | undefined
  readonly tls: DatabaseTls
}

/** As Node's TLS takes it, but for the secret. */
export interface DatabaseTls {
  /** Certificates in PEM that vouch for the target; without it those of the system. */
  readonly ca?: string
  /** What this gateway shows there. */
  readonly own?: { readonly cert: string; readonly key: Secret }
}

export type Credentials = ReadonlyMap<string, DatabaseCredentials>

/** Fails with every secret that cannot be read, not with the first. */
export async function readCredentials(config: Config, env: Environment): Promise<Credentials> {
  const credentials = new Map<string, DatabaseCredentials>()
  const faults: string[] = []
  for (const [name, target] of config.targets) {
    if (target.type === 'ssh') continue
    try {
      credentials.set(name, await ofDatabase(target, env))
    } catch (error) {
      faults.push(`targets.${name}: ${wordsOf(error)}`)
    }
  }
  if (faults.length > 0) throw new OperatorError('secret', faults.join('\n'))
  return credentials
}

async function ofDatabase(target: DatabaseTarget, env: Environment): Promise<DatabaseCredentials> {
  const { credentials, read_only_credentials: readOnly, tls } = target
  return {
    usual: { user: credentials.user, password: await readSecret(credentials.password, env) },
    readOnly:
      readOnly === undefined
        ? undefined
        : { user: readOnly.user, password: await readSecret(readOnly.password, env) },
    tls: {
      ...(tls.ca === undefined ? {} : { ca: await readFile(tls.ca, 'utf8') }),
      ...(tls.cert === undefined || tls.key === undefined
        ? {}
        : { own: { cert: await readFile(tls.cert, 'utf8'), key: await readSecret(tls.key, env) } }),
    },
  }
}

/** Handed to TLS and to nobody else. */
export function tlsOptions({ ca, own }: DatabaseTls): { ca?: string; cert?: string; key?: string } {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(own === undefined ? {} : { cert: own.cert, key: own.key.text() }),
  }
}
