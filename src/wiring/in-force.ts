/** What a configuration puts in force beside itself: secrets that were read, hosts and keys, the certificate. */
import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { readCredentials } from '../access/credentials.ts'
import { readHosts } from '../access/hosts.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { InForce } from '../gate/gate.ts'
import { OperatorError } from '../system/operator-error.ts'
import type { Environment } from '../system/secret.ts'

export async function readInForce({
  loaded,
  env,
}: {
  readonly loaded: LoadedConfig
  readonly env: Environment
}): Promise<InForce> {
  const { tls } = loaded.config.gateway
  const certificate = { cert: await readFile(tls.cert), key: await readFile(tls.key) }
  const shown = { ...certificate, minVersion: 'TLSv1.2' } as const
  const asking =
    tls.client_ca === undefined ? {} : { asking: { ...shown, ca: await readFile(tls.client_ca) } }
  return {
    loaded,
    credentials: await readCredentials(loaded.config, env),
    hosts: await readHosts(loaded.config, env),
    tls: { context: secureContext(loaded, asking.asking ?? shown), ...asking },
    certificate,
  }
}

/** OpenSSL's words for what is wrong with a file do not name it. */
function secureContext({ config, places }: LoadedConfig, options: SecureContextOptions): SecureContext {
  try {
    return createSecureContext(options)
  } catch (cause) {
    const { cert, key, client_ca: ca } = config.gateway.tls
    const files = [cert, key, ...(ca === undefined ? [] : [ca])].join(', ')
    const line = places.lineOf(['gateway', 'tls'])
    const why = cause instanceof Error ? cause.message : String(cause)
    const what = `${line}  no certificate in PEM with its private key: ${files} (${why})`
    throw new OperatorError('config', what, { cause })
  }
}
