/** What is compared: OpenSSH to Debian's sshd, and the same client to the same sshd through a gateway of its own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Accounts } from '../../../src/access/accounts.ts'
import { createBook } from '../../../src/book/create.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { newAuthority } from '../../support/gateway-certificates.ts'
import { freePort } from '../../support/ports.ts'
import { personKey } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

export interface System {
  readonly name: string
  readonly port: number
  readonly user: string
  readonly key: string
  /** The gateway's process; sshd has one for each connection. */
  readonly pid: number | undefined
}

export interface Bench extends AsyncDisposable {
  readonly sshd: Sshd
  readonly systems: readonly System[]
}

const MAIN = new URL('../../../src/main.ts', import.meta.url).pathname
const START_LOOKS_MAX = 400

export async function openBench(folder: string): Promise<Bench> {
  const sshd = await startSshd(['MaxSessions 1000', 'MaxStartups 1000'])
  personKey(sshd, 'alice')
  const direct = {
    name: 'direct',
    port: sshd.port,
    user: sshd.user,
    key: join(sshd.folder, 'user'),
    pid: undefined,
  }
  const { child, system } = await startGateway(folder, sshd)
  return {
    sshd,
    systems: [direct, system],
    async [Symbol.asyncDispose]() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await ended
      sshd.stop()
    },
  }
}

async function startGateway(folder: string, sshd: Sshd): Promise<{ child: ChildProcess; system: System }> {
  const port = await freePort()
  const data = join(folder, 'data')
  createBook({ directory: data, origin: 'bench.example/book', ballastBytes: 0 })
  Accounts.create(join(data, 'accounts.db'), { clock: systemClock })[Symbol.dispose]()
  mkdirSync(join(folder, 'control'), { mode: 0o700 })
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text)
  const { cert, key } = newAuthority('Gatebook benchmark').issue('localhost')
  write('tls.crt', cert)
  write('tls.key', key)
  write('record.kek', `${randomBytes(32).toString('base64')}\n`)
  write('web.key', sshd.privateKey)
  write(
    'ssh.key',
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  )
  const alice = readFileSync(join(sshd.folder, 'alice.pub'), 'utf8').trim()
  const config = join(folder, 'gatebook.yaml')
  writeFileSync(config, configOf({ port, data, folder, sshd, alice }))
  const child = spawn(process.execPath, [MAIN, 'serve', '--config', config], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  await answering(port, child)
  const person = { user: 'alice~web', key: join(sshd.folder, 'alice') }
  return { child, system: { name: 'gateway-standard', port, ...person, pid: child.pid } }
}

interface Parts {
  readonly port: number
  readonly data: string
  readonly folder: string
  readonly sshd: Sshd
  readonly alice: string
}

function configOf({ port, data, folder, sshd, alice }: Parts): string {
  const [type, base64] = sshd.hostKey.split(' ')
  return `version: 1
gateway:
  name: bench.example
  data_dir: ${data}
  tls: { cert: tls.crt, key: tls.key }
  control: { socket: ${folder}/control/socket }
listeners:
  ssh: { type: ssh, address: "127.0.0.1:${port}", host_key: "file:ssh.key" }
users:
  alice: { ssh_keys: ["${alice}"] }
targets:
  web:
    type: ssh
    address: "127.0.0.1:${sshd.port}"
    host_key: ${type} ${base64}
    credentials: { user: ${sshd.user}, private_key: "file:web.key" }
roles:
  all: { targets: ["*"] }
grants:
  - { user: alice, role: all }
recording:
  durability: standard
  encryption: { key: "file:record.kek" }
integrity: { signing_key: ${data}/book.key }
`
}

async function answering(port: number, child: ChildProcess): Promise<void> {
  for (let look = 0; look < START_LOOKS_MAX; look++) {
    if (child.exitCode !== null) break
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (open) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('the gateway of the benchmark does not answer')
}

/** Of OpenSSH's client, to take this system and no other settings. */
export function flagsOf({ port, key }: System): readonly string[] {
  return [
    ...['-F', 'none', '-o', `Port=${port}`, '-i', key, '-o', 'IdentitiesOnly=yes', '-o', 'LogLevel=ERROR'],
    ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'],
    ...['-o', 'KexAlgorithms=curve25519-sha256', '-c', 'aes128-gcm@openssh.com'],
  ]
}

/** All of a process's threads, in microseconds. */
export function cpuMicros(pid: number | undefined): number {
  if (pid === undefined) return Number.NaN
  const [, rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')
  const [user = 0, system = 0] = rest.split(' ').slice(11, 13).map(Number)
  return ((user + system) * 1_000_000) / TICKS_PER_SECOND
}

const TICKS_PER_SECOND = Number(spawnSync('getconf', ['CLK_TCK']).stdout.toString()) || 100
