/** Debian's sshd on a port of the loopback, with keys made for this run, for whoever runs the tests. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { freePort } from './ports.ts'

export interface Sshd {
  readonly port: number
  readonly user: string
  readonly folder: string
  /** The line of the host's public key, to be pinned. */
  readonly hostKey: string
  /** The key that it lets in. */
  readonly privateKey: string
  /** What it has said so far. */
  log(): string
  stop(): void
}

const PROGRAM = '/usr/sbin/sshd'

export async function startSshd(extra: readonly string[] = []): Promise<Sshd> {
  if (!existsSync(PROGRAM)) throw new Error('openssh-server is not installed')
  const folder = mkdtempSync(join(tmpdir(), 'gatebook-sshd-'))
  for (const name of ['host', 'host_rsa', 'user']) {
    const type = name === 'host_rsa' ? ['-t', 'rsa', '-b', '2048'] : ['-t', 'ed25519']
    spawnSync('ssh-keygen', ['-q', ...type, '-N', '', '-f', join(folder, name)])
  }
  writeFileSync(join(folder, 'authorized_keys'), readFileSync(join(folder, 'user.pub')))
  const port = await freePort()
  // Where sshd puts its unprivileged child; the package makes it when the service starts.
  if (userInfo().uid === 0) mkdirSync('/run/sshd', { recursive: true })
  const lines = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(folder, 'host')}`,
    `HostKey ${join(folder, 'host_rsa')}`,
    `AuthorizedKeysFile ${join(folder, 'authorized_keys')}`,
    `PidFile ${join(folder, 'pid')}`,
    'StrictModes no',
    'UsePAM no',
    'PermitRootLogin yes',
    'PrintMotd no',
    'MaxStartups 100',
    // Whoever runs the tests has a home with start-up files of their own, which say things and take time.
    `SetEnv HOME=${folder}`,
    'AcceptEnv LANG LC_*',
    'Subsystem sftp internal-sftp',
    'AllowStreamLocalForwarding yes',
    'StreamLocalBindUnlink yes',
    ...extra,
  ]
  writeFileSync(join(folder, 'config'), `${lines.join('\n')}\n`)
  let log = ''
  const child: ChildProcess = spawn(PROGRAM, ['-D', '-e', '-f', join(folder, 'config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  child.stderr?.on('data', (bytes) => {
    log += bytes
  })
  await reachable(port, () => log)
  return {
    port,
    user: userInfo().username,
    folder,
    hostKey: readFileSync(join(folder, 'host.pub'), 'utf8'),
    privateKey: readFileSync(join(folder, 'user'), 'utf8'),
    log: () => log,
    stop: () => {
      child.kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function reachable(port: number, log: () => string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (open) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`sshd does not listen: ${log()}`)
}
