/** A book full of what people do, written by the real recorder: for tests of everything that reads. */
import type { Act, Payload, PayloadType } from '../../protocols/events.ts'
import type { RecordedSession } from '../../src/record/session.ts'
import { type LocalRecorder, startLocal } from './recorder.ts'
import { seeded } from './seeded.ts'

const PEOPLE = ['alice', 'bob', 'ci-bot', 'dana@example.com', 'Zoë']
const ADDRESSES = ['10.0.0.7', '10.0.4.9', '192.168.1.20', 'fd00::7']
export const DATABASE_TARGETS = ['orders', 'orders-test', 'shop']
export const SSH_TARGETS = ['web-1', 'web-2']
const STATEMENTS = [
  'SELECT * FROM payments WHERE id = 4711',
  "SELECT * FROM payments WHERE id = 12 AND note = 'card_number'",
  'DELETE FROM payments',
  'DELETE FROM public.payments WHERE id = $1',
  "UPDATE customers SET name = 'Ünal <script>alert(1)</script>' WHERE id = 3",
  'INSERT INTO orders(id, total$) VALUES (1, 2.5)',
  'SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer',
  'BEGIN',
  'this is no sql at all ((',
  "SELECT 'a “quoted” thing', 1 /* traceparent */",
  'CREATE TABLE audit.log (id int)',
  'WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone',
]
const COMMANDS = ['uptime', 'sudo systemctl restart nginx', 'tail -f /var/log/nginx/error.log', 'ls -la /etc']
const PATHS = ['/etc/nginx/nginx.conf', '/srv/payments/card_number.csv', '/tmp/a b.txt']
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

export interface Play {
  readonly book: LocalRecorder
  readonly random: () => number
  readonly sids: string[]
}

/** `sessions` sessions, some of them left open, each of a few operations. */
export function playReading(directory: string, sessions: number, seed: number): Play {
  const book = startLocal(directory)
  const play: Play = { book, random: seeded(seed), sids: [] }
  const gateway = book.open('standard', { act: 'gateway' })
  for (let n = 0; n < sessions; n++) {
    step(play)
    if (chance(play, 0.4)) gatewayActs(play, gateway)
    session(play)
    if (chance(play, 0.5)) book.drain()
  }
  book.drain()
  return play
}

function session(play: Play): void {
  const { book } = play
  const name = pick(play, PEOPLE)
  const isSsh = chance(play, 0.3)
  const act = isSsh ? 'ssh' : pick(play, ['pg', 'mysql'])
  const tgt = pick(play, isSsh ? SSH_TARGETS : DATABASE_TARGETS)
  const who = {
    name,
    address: pick(play, ADDRESSES),
    method: 'token',
    roles: chance(play, 0.5) ? ['reader', 'writer'] : ['reader'],
    claims: { application_name: 'psql\u001b[31m' },
  }
  const opened = book.open('standard', { act, sub: subOf(name), tgt, who: Buffer.from(JSON.stringify(who)) })
  play.sids.push(opened.sid)
  opened.append({ kind: 'login', act, out: 'ok', sub: subOf(name) }, [
    json('who', { name, address: who.address }),
  ])
  const operations = Math.floor(play.random() * 8)
  for (let k = 0; k < operations; k++) {
    step(play)
    if (isSsh) sshOperation(play, opened)
    else databaseOperation(play, opened)
    if (chance(play, 0.2)) book.drain()
  }
  step(play)
  if (chance(play, 0.85)) opened.close(pick(play, ['client', 'idle', 'admin']))
}

function databaseOperation(play: Play, session: RecordedSession): void {
  const sql: Payload = { type: 'sql', body: Buffer.from(pick(play, STATEMENTS)), repeats: chance(play, 0.5) }
  const database = pick(play, ['shop', 'reports'])
  const meta = json('meta', { database, transaction: 'idle', ...(chance(play, 0.2) ? { trace: TRACE } : {}) })
  const op = session.nextOp
  if (chance(play, 0.15)) {
    session.record({ type: 'decision', op, act: 'db.query', rule: 'no-bare-delete', payloads: [sql, meta] })
    return
  }
  const act: Act = pick(play, ['db.query', 'db.execute'])
  const args = chance(play, 0.4) ? [json('args', ['card_number'])] : []
  session.record({ type: 'begin', op, act, rule: 'reader', payloads: [sql, meta, ...args] })
  if (chance(play, 0.2)) {
    session.record({ type: 'data', op, stream: 'in', frame: 'i', bytes: Buffer.from('1\tcopied\n') })
  }
  step(play)
  if (chance(play, 0.3)) play.book.drain()
  if (chance(play, 0.1)) return
  const failed = chance(play, 0.2)
  session.record({
    type: 'end',
    op,
    outcome: failed ? 'error' : 'ok',
    ...(failed ? { code: '42P01', payloads: [{ type: 'msg', body: Buffer.from('no such table') }] } : {}),
    rows: Math.floor(play.random() * 2000),
    bytes: Math.floor(play.random() * 1e6),
  })
}

function sshOperation(play: Play, session: RecordedSession): void {
  const op = session.nextOp
  if (chance(play, 0.3)) {
    const payloads: Payload[] = [{ type: 'path', body: Buffer.from(pick(play, PATHS)) }]
    session.record({ type: 'begin', op, act: 'sftp.open', payloads })
    session.record({
      type: 'end',
      op,
      outcome: 'ok',
      bytes: 400,
      payloads: [json('meta', { written: { bytes: 400, sha256: 'ab'.repeat(32) } })],
    })
    return
  }
  const shell = chance(play, 0.6)
  const command: Payload = { type: 'cmd', body: Buffer.from(shell ? '' : pick(play, COMMANDS)) }
  session.record({ type: 'begin', op, act: shell ? 'ssh.shell' : 'ssh.exec', payloads: [command] })
  const stream = shell ? 'tty' : 'out'
  const data = (frame: 'o' | 'r' | 'm', text: string): void => {
    session.record({ type: 'data', op, stream, frame, bytes: Buffer.from(text) })
  }
  if (shell) data('r', '80x24')
  for (let k = 0; k < 1 + Math.floor(play.random() * 3); k++) {
    const typed = pick(play, COMMANDS)
    data('o', `\u001b]0;pwned\u0007\u001b[31mbob@web:~$\u001b[0m ${typed}\r\n`)
    if (shell) data('m', JSON.stringify({ command: typed, by: 'prompt' }))
    step(play, 2_000_000)
    data('o', pick(play, ['load average: 0.42\r\n', 'card_number,amount\r\n', 'permission denied\r\n']))
  }
  if (chance(play, 0.15)) return
  session.record({ type: 'end', op, outcome: 'ok', code: '0', bytes: 500 })
}

function gatewayActs(play: Play, gateway: RecordedSession): void {
  const name = pick(play, PEOPLE)
  switch (Math.floor(play.random() * 4)) {
    case 0: {
      const op = gateway.takeOp()
      const who = json('who', { name: 'mallory', address: '203.0.113.9' })
      gateway.append({ kind: 'login', act: 'pg', out: 'denied', op, code: 'unknown-user' }, [who])
      return
    }
    case 1: {
      const op = gateway.takeOp()
      const payloads = [
        json('who', { name, address: '10.0.0.7' }),
        json('note', { reason: 'no role', lines: [] }),
      ]
      gateway.append(
        { kind: 'decision', out: 'denied', op, act: 'pg', sub: subOf(name), tgt: 'orders' },
        payloads,
      )
      return
    }
    case 2:
      gateway.append({ kind: 'audit.read', act: 'search', sub: subOf(name), rows: 3 }, [
        json('note', { query: 'table:payments' }),
      ])
      return
    default:
      gateway.append({ kind: 'admin', act: 'token.create', sub: 'local', out: 'ok' }, [
        json('note', { token: 'ci' }),
      ])
  }
}

export function subOf(name: string): string {
  return `u_${Buffer.from(name).toString('hex').slice(0, 12)}`
}

function json(type: PayloadType, value: unknown): Payload {
  return { type, body: Buffer.from(JSON.stringify(value)) }
}

/** Some minutes later, so that a book spans days. */
function step(play: Play, micros = 20 * 60e6): void {
  play.book.clock.now += Math.floor(play.random() * micros)
}

export function pick<T>({ random }: Pick<Play, 'random'>, from: readonly T[]): T {
  const found = from[Math.floor(random() * from.length)]
  if (found === undefined) throw new Error('nothing to pick from')
  return found
}

export function chance({ random }: Pick<Play, 'random'>, share: number): boolean {
  return random() < share
}
