/** A book of about 300 records with everything in it that a book can have; it ends with an `op.end`. */
import { formatVkey, type Signer, type Vkey } from '../../src/book/checkpoint.ts'
import { BookBuilder, type Draft, type Sealed, type TestSession } from './book-builder.ts'

export interface SampleBook {
  readonly file: string
  readonly vkey: Vkey
  readonly signers: readonly Signer[]
  readonly size: number
  /** Time of the last record. */
  readonly ts: number
  readonly sessions: ReadonlyMap<string, TestSession>
  /** Heads as they were when the book had that many records. */
  readonly heads: ReadonlyMap<number, Uint8Array>
  /** Indices of the erase records. */
  readonly erasures: readonly number[]
}

export function buildSampleBook(file: string, sessions = 26): SampleBook {
  const book = new BookBuilder(file)
  const heads = new Map<number, Uint8Array>()
  const [key0] = book.signers
  if (key0 === undefined) throw new Error('a book has a key')
  book.commit([{ kind: 'boot', rel: '0.1.0', clean: true }], [], true)
  const gateway = book.openSession('gateway', 'gateway')
  const conf = book.seal(gateway, 'conf', '{"targets":["orders"]}')
  book.commit([{ kind: 'config', sid: gateway.sid, act: 'load', ref: [conf.ref] }], [conf])
  for (let n = 0; n < sessions; n++) {
    const play = [playPostgres, playMysql, playSsh][n % 3] ?? playPostgres
    play(book, n)
    if (n % 4 === 1) book.commit(gatewayRecords(gateway, n), [], true)
    if (n === 7 || n === 15) book.changeKey()
    const head = book.db.prepare('SELECT note FROM head').get() as { note: string }
    heads.set(book.size, Buffer.from(head.note))
  }
  const erasures =
    sessions > 8 ? [erasePayload(book, gateway, 'pg 3'), eraseSession(book, gateway, 'mysql 4')] : []
  const last = book.openSession('last', 'pg', { sub: 'u_9', tgt: 'orders' })
  const sql = book.seal(last, 'sql', 'SELECT now()')
  book.commit([{ kind: 'op.begin', sid: last.sid, op: 1, act: 'db.query', ref: [sql.ref] }], [sql])
  book.commit([{ kind: 'op.end', sid: last.sid, op: 1, out: 'ok', rows: 1, dur: 900 }])
  const { size, ts } = book
  book.db.close()
  return { file, vkey: key0.vkey, signers: book.signers, size, ts, sessions: book.sessions, heads, erasures }
}

function playPostgres(book: BookBuilder, n: number): void {
  const session = book.openSession(`pg ${n}`, 'pg', { sub: `u_${n}`, tgt: 'orders' })
  const { sid } = session
  const sql = book.seal(session, 'sql', `SELECT * FROM orders WHERE id = $1 -- ${n}`)
  const args = book.seal(session, 'args', '[1]')
  const msg = book.seal(session, 'msg', 'relation does not exist')
  book.commit(
    [
      { kind: 'op', sid, op: 1, act: 'db.execute', out: 'ok', rows: 1, dur: 700, ref: [sql.ref, args.ref] },
      { kind: 'op', sid, op: 2, act: 'db.execute', out: 'error', code: '42P01', ref: [sql.ref, msg.ref] },
      { kind: 'decision', sid, op: 3, out: 'denied', act: 'db.query', rule: 'no-delete', sub: `u_${n}` },
    ],
    [sql, args, msg],
  )
  const rows = [book.seal(session, 'out', 'a'.repeat(500)), book.seal(session, 'out', 'b'.repeat(300))]
  const copy: Draft = { kind: 'op', sid, op: 4, act: 'db.copy', out: 'ok', rows: 9, parts: 2 }
  book.commit([copy, ...rows.map((chunk, part) => dataOf(session, 4, part, chunk))], rows)
  book.commit([{ kind: 'op.begin', sid, op: 5, act: 'db.query', rule: 'read', ref: [sql.ref] }])
  book.commit(
    [
      { kind: 'op.end', sid, op: 5, out: 'aborted', dur: 2_000_000 },
      { kind: 'session.close', sid, why: 'client' },
    ],
    [],
    n % 2 === 0,
  )
}

function playMysql(book: BookBuilder, n: number): void {
  const session = book.openSession(`mysql ${n}`, 'mysql', { sub: `u_${n}`, tgt: 'shop' })
  const { sid } = session
  const sql = book.seal(session, 'sql', `CALL report(${n})`)
  book.commit(
    [
      { kind: 'login', sid, act: 'mysql', out: 'ok', sub: `u_${n}` },
      { kind: 'op.begin', sid, op: 1, act: 'db.call', ref: [sql.ref] },
    ],
    [sql],
  )
  book.commit([
    { kind: 'op.result', sid, op: 1, out: 'ok', rows: 3 },
    { kind: 'op.result', sid, op: 1, out: 'ok', rows: 4 },
  ])
  book.commit([
    { kind: 'op.end', sid, op: 1, out: 'ok', dur: 5_000 },
    { kind: 'op', sid, op: 2, act: 'db.query', out: 'ok', ref: [sql.ref] },
    { kind: 'session.close', sid, why: 'idle' },
  ])
}

function playSsh(book: BookBuilder, n: number): void {
  const session = book.openSession(`ssh ${n}`, 'ssh', { sub: `u_${n}`, tgt: 'web' })
  const { sid } = session
  book.commit([{ kind: 'op.begin', sid, op: 1, act: 'ssh.shell' }])
  for (let part = 0; part < 3; part++) {
    const chunk = book.seal(session, 'tty', `$ ls ${part}\r\n`)
    book.commit([dataOf(session, 1, part, chunk)], [chunk])
  }
  const path = book.seal(session, 'path', '/etc/motd')
  book.commit(
    [
      { kind: 'op', sid, op: 2, par: 1, act: 'sftp.open', out: 'ok', bytes: 4_096, ref: [path.ref] },
      { kind: 'op.end', sid, op: 1, out: 'ok', code: '0', parts: 3 },
      { kind: 'session.close', sid, why: 'client' },
    ],
    [path],
  )
}

function dataOf({ sid }: TestSession, op: number, part: number, chunk: Sealed): Draft {
  const bytes = chunk.data.length - 33
  return { kind: 'data', sid, op, part, off: part * 500, bytes, t0: 1_763_600_000_000_000, ref: [chunk.ref] }
}

function gatewayRecords({ sid }: TestSession, n: number): Draft[] {
  return [
    { kind: 'heartbeat' },
    { kind: 'login', sid, act: 'pg', out: 'denied', code: 'password', ops: 3, from: 1_763_600_000_000_000 },
    { kind: 'alert', sid, rule: 'failed-logins', sev: 'warn', op: 1 },
    { kind: 'admin', sid, act: 'grant.add', sub: 'local', out: 'ok', by: ['u_1', 'u_2'] },
    { kind: 'audit.read', sid, act: 'search', sub: 'u_1', rows: n },
    { kind: 'suspend', why: 'disk' },
    { kind: 'resume', why: 'disk' },
    {
      kind: 'gap',
      from: 1_763_600_000_000_000,
      to: 1_763_600_000_100_000,
      why: 'store',
      ops: 4,
      tgt: 'orders',
    },
    { kind: 'anchor', size: 1, via: 'rfc3161', proof: 'AAAA' },
  ]
}

/** The person of one session, by 7.1; then, by 7.2, all of another one. */
export function erasePayload(book: BookBuilder, gateway: TestSession, name: string): number {
  const sid = book.sessions.get(name)?.sid ?? ''
  const seq = book.commit([
    { kind: 'erase', sid: gateway.sid, scope: { refs: [[sid, 0]] }, sub: 'u_1', by: ['u_2'] },
  ])
  book.db.prepare('INSERT INTO erased VALUES (?,0,?)').run(sid, seq)
  book.db.prepare('DELETE FROM payload WHERE sid = ? AND i = 0').run(sid)
  return seq
}

export function eraseSession(book: BookBuilder, gateway: TestSession, name: string): number {
  const sid = book.sessions.get(name)?.sid ?? ''
  const seq = book.commit([{ kind: 'erase', sid: gateway.sid, scope: { sids: [sid] }, sub: 'u_1' }])
  book.db.prepare('INSERT INTO erased VALUES (?,NULL,?)').run(sid, seq)
  book.db.prepare('DELETE FROM payload WHERE sid = ?').run(sid)
  return seq
}

export function vkeyText(book: SampleBook): string {
  return formatVkey(book.vkey)
}
