/**
 * What VS Code Remote does, by its documentation and its log, since VS Code itself is not here: one connection with
 * a dynamic forward and no terminal, a script by standard input of `bash` that puts a server in place, starts it on a
 * free port of the loopback and prints it between markers, and then everything through the forward to that port.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { TestGateway } from '../../support/gateway.ts'
import { freePort } from '../../support/ports.ts'
import { SshBook } from '../../support/ssh-book.ts'
import {
  closedBook,
  gatewayOptions,
  personKey,
  type SshGatewayOptions,
  startSshGateway,
} from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

const MARKER = 'a6f1c0de'
const SOCKS_ANSWER = 12

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
  personKey(sshd, 'alice')
})

afterAll(() => sshd.stop())

let gateway: TestGateway
const running: ChildProcess[] = []

afterEach(async () => {
  for (const child of running.splice(0)) child.kill()
  await gateway[Symbol.asyncDispose]()
  rmSync(join(sshd.folder, 'server'), { recursive: true, force: true })
})

/** The server, which answers each line by itself in capitals, and ends with whoever started it. */
const SERVER = `
import socketserver, sys
class Capitals(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())
kind, place, announce = sys.argv[1:]
if kind == 'port':
    server = socketserver.ThreadingTCPServer(('127.0.0.1', int(place)), Capitals)
    told = server.server_address[1]
else:
    server = socketserver.ThreadingUnixStreamServer(place, Capitals)
    told = place
server.daemon_threads = True
open(announce, 'w').write(str(told))
server.serve_forever()
`

/** What the editor writes to `bash`: it installs, starts in the background, waits, and says where it listens. */
const script = (kind: 'port' | 'socket', place: string) => `
set -e
cd ${sshd.folder}
mkdir -p server
cat > server/main.py <<'END'${SERVER}END
rm -f server/listening
nohup python3 server/main.py ${kind} ${place} server/listening >server/log 2>&1 </dev/null &
echo "${MARKER}: pid==$!=="
for i in $(seq 1 200); do [ -s server/listening ] && break; sleep 0.1; done
echo "${MARKER}: start"
echo "listeningOn==$(cat server/listening)=="
echo "osReleaseId==debian=="
echo "${MARKER}: end"
`

interface Editor {
  readonly child: ChildProcess
  readonly listeningOn: string
  readonly pid: number
  readonly said: () => string
}

/** As `ssh -T -D PORT HOST bash` with the script, which stays open for as long as the window does. */
async function open(flags: readonly string[], text: string): Promise<Editor> {
  const own = ['-o', 'LogLevel=INFO', ...gatewayOptions(sshd, gateway)]
  const child = spawn('ssh', ['-T', ...flags, ...own, 'alice@127.0.0.1', 'bash'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  running.push(child)
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (bytes) => {
      said += bytes
    })
  child.stdin?.on('error', () => undefined)
  child.stdin?.write(text)
  await expect.poll(() => said).toContain(`${MARKER}: end`)
  const listeningOn = /listeningOn==(.+?)==/.exec(said)?.[1] ?? ''
  const pid = Number(/pid==(\d+)==/.exec(said)?.[1])
  return { child, listeningOn, pid, said: () => said }
}

async function close({ child, pid }: Editor): Promise<void> {
  process.kill(pid)
  const closed = new Promise((resolve) => child.once('close', resolve))
  child.stdin?.end()
  child.kill()
  await closed
}

const heard = (socket: Socket): Promise<Buffer> =>
  new Promise((resolve) => {
    const parts: Buffer[] = []
    socket.on('data', (bytes) => parts.push(bytes))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(Buffer.concat(parts)))
  })

/** SOCKS 5 as the editor speaks it, and what comes back behind the twelve bytes by which ssh agrees to everything. */
async function socks(proxy: number, port: number, text: string): Promise<string> {
  const socket = connect(proxy, '127.0.0.1')
  const all = heard(socket)
  let agreed = 0
  socket.on('data', (bytes: Buffer) => {
    if (agreed < SOCKS_ANSWER && agreed + bytes.length >= SOCKS_ANSWER) socket.end(text)
    agreed += bytes.length
  })
  const host = Buffer.from('127.0.0.1')
  socket.write(Buffer.from([5, 1, 0]))
  const where = [Buffer.from([5, 1, 0, 3, host.length]), host, Buffer.from([port >> 8, port & 255])]
  socket.write(Buffer.concat(where))
  return (await all).subarray(SOCKS_ANSWER).toString()
}

const start = async (options: SshGatewayOptions): Promise<void> => {
  gateway = await startSshGateway(sshd, options)
}

describe('an editor that works at the host', () => {
  test('has its server put in place, and reaches it by dynamic forwarding, with several connections at once', async () => {
    const [server, proxy] = [await freePort(), await freePort()]
    await start({ target: `forward: ["127.0.0.1:${server}"]` })
    const editor = await open(['-D', `127.0.0.1:${proxy}`], script('port', String(server)))
    expect(editor.listeningOn).toBe(String(server))
    const lines = Array.from({ length: 5 }, (_, i) => `line ${i} ${'x'.repeat(20_000)}\n`)
    const answers = await Promise.all(lines.map((line) => socks(proxy, server, line)))
    expect(answers).toEqual(lines.map((line) => line.toUpperCase()))
    await close(editor)

    const book = await closedBook(gateway)
    const [program] = book.of('ssh.exec')
    if (program === undefined) throw new Error('the script is not in the book')
    // The commands of `ssh host bash` stand in its input, and there they are read.
    expect(program.texts['cmd']).toBe('bash')
    expect(SshBook.stream(program, 'i').toString()).toBe(script('port', String(server)))
    expect(SshBook.stream(program, 'o').toString()).toContain(`listeningOn==${server}==`)
    const tunnels = book.of('ssh.forward')
    expect(tunnels).toHaveLength(5)
    for (const { texts, meta } of tunnels) {
      expect(texts['addr']).toBe(`127.0.0.1:${server}`)
      expect(meta).toEqual({ sent: 20_008, received: 20_008, content: 'not recorded' })
    }
  })

  test('is refused at every other port, told why, and goes on at the one that it may', async () => {
    const [server, proxy] = [await freePort(), await freePort()]
    await start({
      target: 'forward: ["127.0.0.1:*"]',
      changes: [
        [
          'writer: { targets: ["*"] }',
          `writer: { targets: ["*"], ssh: { forward: ["127.0.0.1:${server}"] } }`,
        ],
      ],
    })
    const editor = await open(['-D', `127.0.0.1:${proxy}`], script('port', String(server)))
    const other = await freePort()
    for (const port of [other, 22, sshd.port]) expect(await socks(proxy, port, 'x\n')).toBe('')
    await expect.poll(editor.said).toContain(`Your role writer allows 127.0.0.1:${server}.`)
    expect(await socks(proxy, server, 'well\n')).toBe('WELL\n')
    await close(editor)
    const { operations } = await closedBook(gateway)
    const tunnels = operations.filter(({ act }) => act === 'ssh.forward')
    expect(tunnels.map(({ out, texts }) => [out, texts['addr']])).toEqual([
      ...[other, 22, sshd.port].map((port) => ['denied', `127.0.0.1:${port}`]),
      ['ok', `127.0.0.1:${server}`],
    ])
  })

  test('reaches a server that listens at a socket, by local forwarding', async () => {
    const [near, far] = [join(sshd.folder, 'near.sock'), join(sshd.folder, 'server.sock')]
    await start({ target: `forward: ["${far}"]` })
    const editor = await open(['-L', `${near}:${far}`], script('socket', far))
    expect(editor.listeningOn).toBe(far)
    const socket = connect(near)
    const answer = heard(socket)
    socket.end('by a socket\n')
    expect((await answer).toString()).toBe('BY A SOCKET\n')
    await close(editor)
  })
})
