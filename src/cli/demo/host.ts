/**
 * The demo's SSH host: ssh2's server in this process, on loopback, with a real shell behind it. It takes one key and
 * nothing else. As root everything in it runs as `nobody`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import type { IPty, spawn as SpawnTerminal } from '@lydell/node-pty'
import ssh2, { type Connection, type PseudoTtyInfo, type ServerChannel, type Session } from 'ssh2'
import { type Account, unprivilegedAccount } from './postgres.ts'

export interface DemoHost extends AsyncDisposable {
  readonly port: number
  readonly user: string
  /** `type base64`, as the gateway pins it. */
  readonly hostKey: string
  /** What the host lets in, for the gateway alone. */
  readonly privateKey: string
}

const USER = 'demo'
/** Where distributions put the program that speaks SFTP. */
const SFTP_SERVERS = [
  '/usr/lib/openssh/sftp-server',
  '/usr/libexec/openssh/sftp-server',
  '/usr/lib/ssh/sftp-server',
  '/usr/libexec/sftp-server',
]

export async function startDemoHost(): Promise<DemoHost> {
  // Not in a published package, which has the demo's PostgreSQL no more than this.
  const { spawn: spawnTerminal } = await import('@lydell/node-pty')
  const home = await mkdtemp(join(tmpdir(), 'gatebook-host-'))
  const account = await unprivilegedAccount()
  await furnish(home, account)
  const host = newKeyPair()
  const gateway = newKeyPair()
  const allowed = ssh2.utils.parseKey(gateway.public)
  if (allowed instanceof Error) throw allowed
  const connections = new Set<Connection>()
  const server = new ssh2.Server({ hostKeys: [host.private] }, (connection) => {
    connections.add(connection)
    connection.on('close', () => connections.delete(connection))
    // A peer that goes away is no fault of the demo's.
    connection.on('error', () => {})
    connection.on('authentication', (attempt) => {
      const isGateway = attempt.method === 'publickey' && allowed.getPublicSSH().equals(attempt.key.data)
      const { signature, blob, hashAlgo } = attempt as {
        signature?: Buffer
        blob?: Buffer
        hashAlgo?: string
      }
      const isSigned =
        signature === undefined || (blob !== undefined && allowed.verify(blob, signature, hashAlgo) === true)
      if (isGateway && isSigned) attempt.accept()
      else attempt.reject(['publickey'])
    })
    connection.on('session', (accept) => serveSession(accept(), { home, account, spawnTerminal }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the host of the demo has no port')
  return {
    port: address.port,
    user: USER,
    hostKey: host.public.split(' ').slice(0, 2).join(' '),
    privateKey: gateway.private,
    async [Symbol.asyncDispose]() {
      for (const connection of connections) connection.end()
      await new Promise<void>((resolve) => server.close(() => resolve()))
      await rm(home, { recursive: true, force: true })
    },
  }
}

/** Of some hundred keys that ssh2 makes it writes one so that it cannot read it again. */
export function newKeyPair(): { readonly private: string; readonly public: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519')
    if (!(ssh2.utils.parseKey(pair.private) instanceof Error)) return pair
  }
}

interface Place {
  readonly home: string
  readonly account: Account | undefined
  readonly spawnTerminal: typeof SpawnTerminal
}

async function furnish(home: string, account: Account | undefined): Promise<void> {
  const files = {
    README: 'This is the host of the demo: a shell in a folder of its own.\n',
    'orders.log': Array.from(
      { length: 40 },
      (_, i) => `order ${1000 + i} ${i % 7 === 0 ? 'failed' : 'shipped'}\n`,
    ).join(''),
    '.bashrc': "PS1='demo:\\w$ '\n",
  }
  for (const [name, text] of Object.entries(files)) await writeFile(join(home, name), text)
  if (account === undefined) return
  for (const name of ['', ...Object.keys(files)]) await chown(join(home, name), account.uid, account.gid)
}

/** ssh2's server wants every answer at once. */
function serveSession(session: Session, place: Place): void {
  let terminal: PseudoTtyInfo | undefined
  let running: IPty | undefined
  session.on('pty', (accept, _, info) => {
    terminal = info
    accept?.()
  })
  session.on('window-change', (accept, _, { cols, rows }) => {
    running?.resize(Math.max(1, cols), Math.max(1, rows))
    accept?.()
  })
  session.on('shell', (accept) => {
    running = run(accept(), ['-i'], place, terminal)
  })
  session.on('exec', (accept, _, { command }) => {
    running = run(accept(), ['-c', command], place, terminal)
  })
  session.on('subsystem', (accept, reject, { name }) => {
    const program = SFTP_SERVERS.find((path) => existsSync(path))
    if (name !== 'sftp' || program === undefined) reject()
    else connect(accept(), start(program, [], place))
  })
}

function run(
  channel: ServerChannel,
  args: readonly string[],
  place: Place,
  terminal: PseudoTtyInfo | undefined,
): IPty | undefined {
  if (terminal === undefined) {
    connect(channel, start('bash', args, place))
    return undefined
  }
  const { cols, rows } = terminal
  const { home, account, spawnTerminal } = place
  const shell = spawnTerminal('bash', [...args], {
    name: 'xterm-256color',
    cols: cols || 80,
    rows: rows || 24,
    cwd: home,
    env: environment(home),
    encoding: null,
    ...account,
  })
  shell.onData((bytes) => void channel.write(bytes))
  shell.onExit(({ exitCode }) => {
    channel.exit(exitCode)
    channel.end()
  })
  const decoder = new StringDecoder('utf8')
  channel.on('data', (bytes: Buffer) => shell.write(decoder.write(bytes)))
  channel.on('close', () => shell.kill())
  return shell
}

function start(program: string, args: readonly string[], { home, account }: Place): ChildProcess {
  return spawn(program, args, { cwd: home, env: environment(home), stdio: 'pipe', ...account })
}

function connect(channel: ServerChannel, child: ChildProcess): void {
  if (child.stdin !== null) channel.pipe(child.stdin)
  child.stdout?.pipe(channel, { end: false })
  child.stderr?.pipe(channel.stderr, { end: false })
  // Whoever closes the program's input early is answered by its end.
  child.stdin?.on('error', () => {})
  child.on('error', () => channel.close())
  child.on('close', (code, signal) => {
    if (code === null) channel.exit(signal ?? 'KILL')
    else channel.exit(code)
    channel.end()
  })
  channel.on('close', () => child.kill())
}

function environment(home: string): Record<string, string> {
  return {
    HOME: home,
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    LANG: 'C.UTF-8',
    USER,
    SHELL: '/bin/bash',
  }
}
