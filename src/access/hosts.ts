/**
 * The keys of SSH, read once at a load: what this gateway shows to people, whose certificates it believes, which
 * keys hosts must show to it, and what it shows to them. Whatever cannot be used is found here, not at a login.
 */
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import {
  fingerprint,
  type Hop,
  type HostCredential,
  type HostKey,
  type HostPin,
  hostKey,
  parseHostPin,
  parseKeyLine,
  parseKnownHosts,
  parsePrivateKey,
  publicBlob,
} from '../../protocols/ssh/index.ts'
import type { Config, Listener, SshTarget } from '../config/schema.ts'
import { isMissing, OperatorError, wordsOf } from '../system/operator-error.ts'
import { type Environment, readSecret } from '../system/secret.ts'

const READY_MS_MAX = 30_000
const KEEPALIVE_MS = 30_000

/** What one SSH listener shows and believes. */
export interface SshDoor {
  readonly hostKeys: readonly HostKey[]
  /** Public keys, as blobs, whose user certificates log people in. */
  readonly authorities: readonly Uint8Array[]
}

/** How one host is known, and as whom the gateway comes to it. */
export interface SshHost {
  readonly user: string
  readonly credential: HostCredential
  readonly pins: readonly HostPin[]
}

export interface Hosts {
  readonly doors: ReadonlyMap<string, SshDoor>
  readonly targets: ReadonlyMap<string, SshHost>
}

type SshListener = Extract<Listener, { type: 'ssh' }>

/** Fails with every key that cannot be used, not with the first. */
export async function readHosts(config: Config, env: Environment): Promise<Hosts> {
  const doors = new Map<string, SshDoor>()
  const targets = new Map<string, SshHost>()
  const faults: string[] = []
  const trying = async (place: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      faults.push(`${place}: ${wordsOf(error)}`)
    }
  }
  for (const [name, listener] of config.listeners) {
    if (listener.type !== 'ssh') continue
    await trying(`listeners.${name}`, async () => void doors.set(name, await readDoor(listener, env)))
  }
  for (const [name, target] of config.targets) {
    if (target.type !== 'ssh') continue
    await trying(`targets.${name}`, async () => void targets.set(name, await readHost(target, env)))
  }
  if (faults.length > 0) throw new OperatorError('secret', faults.join('\n'))
  return { doors, targets }
}

async function readDoor(listener: SshListener, env: Environment): Promise<SshDoor> {
  const secrets = await Promise.all(listener.host_key.map((ref) => readSecret(ref, env)))
  const hostKeys = secrets.map((secret) => hostKey(parsePrivateKey(secret.text())))
  return { hostKeys, authorities: listener.user_ca.map((line) => parseKeyLine(line).blob) }
}

async function readHost(target: SshTarget, env: Environment): Promise<SshHost> {
  const { user } = target.credentials
  return { user, credential: await readCredential(target, env), pins: await readPins(target) }
}

async function readCredential({ credentials }: SshTarget, env: Environment): Promise<HostCredential> {
  const { private_key: key, password, agent } = credentials
  if (key !== undefined) {
    const privateKey = `${(await readSecret(key, env)).text()}\n`
    // Read here too, so that a key that is none is found before anybody needs it.
    parsePrivateKey(privateKey)
    return { type: 'key', privateKey }
  }
  if (password !== undefined) return { type: 'password', password: (await readSecret(password, env)).text() }
  return { type: 'agent', socket: agent ?? '' }
}

/** A file of known hosts that is not there yet holds no key: the host is refused until its key is pinned. */
async function readPins({
  host_key: pinned,
  known_hosts: file,
  address,
}: SshTarget): Promise<readonly HostPin[]> {
  if (pinned !== undefined) return [parseHostPin(pinned)]
  if (file === undefined) return []
  try {
    return parseKnownHosts(await readFile(file, 'utf8'), address.host, address.port)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** The hosts to pass on the way to a target, in order, itself the last. */
export function hopsTo(name: string, { targets }: Config, hosts: Hosts): readonly Hop[] {
  const hops: Hop[] = []
  // The configuration is refused when they form a circle.
  for (let at: string | undefined = name; at !== undefined; ) {
    const target = targets.get(at)
    const known = hosts.targets.get(at)
    if (target?.type !== 'ssh' || known === undefined) return []
    const options = { ...known, readyTimeoutMs: READY_MS_MAX, keepaliveMs: KEEPALIVE_MS }
    hops.unshift({ address: target.address, options })
    at = target.jump
  }
  return hops
}

/** A host key for a new listener. */
export interface NewHostKey {
  /** PKCS#8 in PEM. */
  readonly pem: string
  /** As it stands in a known_hosts file, behind the host's name. */
  readonly line: string
  readonly fingerprint: string
}

export function newHostKey(): NewHostKey {
  const { privateKey } = generateKeyPairSync('ed25519')
  const blob = publicBlob(createPublicKey(privateKey))
  return {
    pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    line: `ssh-ed25519 ${Buffer.from(blob).toString('base64')}`,
    fingerprint: fingerprint(blob),
  }
}
