/** A whole gateway before Debian's sshd, and what its book says of the way between them. */
import { spawnSync } from 'node:child_process'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fingerprint, publicBlob } from '../../protocols/ssh/index.ts'
import { type GatewayOptions, TestGateway } from './gateway.ts'
import { SshBook } from './ssh-book.ts'
import { type Outcome, opensshOptions, type RunOptions, run } from './ssh-clients.ts'
import type { Sshd } from './ssh-sshd.ts'

export interface SshGatewayOptions extends Pick<GatewayOptions, 'openJournal' | 'journalBytes'> {
  /** Further lines of the target `web`, such as `forward: ["127.0.0.1:*"]`. */
  readonly target?: string
  /** Further targets, as YAML. */
  readonly targets?: string
  /** Whether the listener leads to `web` alone; it does. */
  readonly bound?: false
  /** Further lines of the listener. */
  readonly listener?: string
  readonly files?: Readonly<Record<string, string>>
  readonly changes?: readonly (readonly [from: string, to: string])[]
}

const pem = (key: ReturnType<typeof generateKeyPairSync>['privateKey']): string =>
  key.export({ type: 'pkcs8', format: 'pem' }).toString()

/** Made once: they take their time. */
const HOST_KEYS = {
  'ssh_ed25519.key': pem(generateKeyPairSync('ed25519').privateKey),
  'ssh_ecdsa.key': pem(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey),
  'ssh_rsa.key': pem(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
}

/** alice has the key `alice` in the sshd's folder, and the password that all have. */
export async function startSshGateway(sshd: Sshd, options: SshGatewayOptions = {}): Promise<TestGateway> {
  const key = personKey(sshd, 'alice')
  const [type, base64] = sshd.hostKey.split(' ')
  const web = [
    'web:',
    '  type: ssh',
    `  address: "127.0.0.1:${sshd.port}"`,
    `  host_key: ${type} ${base64}`,
    `  credentials: { user: ${sshd.user}, private_key: "file:web.key" }`,
    ...(options.target ?? '').split('\n').map((line) => (line === '' ? '' : `  ${line}`)),
  ]
  const listener = [
    '  ssh:',
    '    type: ssh',
    '    address: "127.0.0.1:0"',
    ...(options.bound === false ? [] : ['    target: web']),
    '    host_key: ["file:ssh_ed25519.key", "file:ssh_ecdsa.key", "file:ssh_rsa.key"]',
    ...(options.listener ?? '').split('\n').map((line) => (line === '' ? '' : `    ${line}`)),
  ]
  const { openJournal, journalBytes } = options
  return TestGateway.start({
    ...(openJournal === undefined ? {} : { openJournal }),
    ...(journalBytes === undefined ? {} : { journalBytes }),
    targets: [...web, options.targets ?? ''].filter((line) => line !== '').join('\n'),
    files: { ...HOST_KEYS, 'web.key': sshd.privateKey, ...options.files },
    changes: [
      ['listeners:\n', `listeners:\n${listener.filter((line) => line !== '').join('\n')}\n`],
      ['alice: { groups: [engineering],', `alice: { groups: [engineering], ssh_keys: ["${key}"],`],
      ...(options.changes ?? []),
    ],
  })
}

/** The fingerprint of the host key of that type that the gateway shows. */
export function hostKeyPrint(name: keyof typeof HOST_KEYS): string {
  return fingerprint(publicBlob(createPublicKey(HOST_KEYS[name])))
}

/** The public key of a key pair in the sshd's folder, made when it is not there yet. */
export function personKey(sshd: Sshd, name: string): string {
  const file = join(sshd.folder, name)
  spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file], { input: 'n\n' })
  return readFileSync(`${file}.pub`, 'utf8').trim()
}

export function gatewayOptions(sshd: Sshd, gateway: TestGateway, key = 'alice'): readonly string[] {
  return opensshOptions(gateway.port('ssh'), join(sshd.folder, key))
}

/** OpenSSH through the gateway; an empty command is none. */
export function sshThrough(
  sshd: Sshd,
  gateway: TestGateway,
  args: readonly string[],
  options: RunOptions & { readonly login?: string } = {},
): Promise<Outcome> {
  const { login = 'alice~web', ...rest } = options
  return runSsh(gatewayOptions(sshd, gateway), `${login}@127.0.0.1`, args, rest)
}

/** OpenSSH to the host itself. */
export function sshDirectly(sshd: Sshd, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return runSsh(opensshOptions(sshd.port, join(sshd.folder, 'user')), `${sshd.user}@127.0.0.1`, args, options)
}

function runSsh(
  flags: readonly string[],
  destination: string,
  args: readonly string[],
  options: RunOptions,
): Promise<Outcome> {
  // The last argument is the command; an empty one stands for none.
  const command = args.at(-1) ?? ''
  const all = [...args.slice(0, -1), ...flags, destination]
  return run('ssh', command === '' ? all : [...all, command], options)
}

/** Ends the gateway in order, and reads what its book holds then. */
export async function closedBook(gateway: TestGateway): Promise<SshBook> {
  await gateway.stop()
  gateway.verify({ closed: true })
  return SshBook.read(gateway.folder)
}
