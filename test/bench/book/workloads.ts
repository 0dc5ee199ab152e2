/** What callers record: three shapes of traffic, as the relays' events. */
import type { RelayEvent } from '../../../protocols/events.ts'
import type { Mark } from '../../../src/record/group-commit.ts'
import type { RecordedSession } from '../../../src/record/session.ts'

export type WorkloadName = 'prepared' | 'one-off' | 'terminal'

/** Bytes of one event of terminal output. */
export const TERMINAL_BYTES = 16 << 10

/** One session and what it does over and over. */
export interface Caller {
  readonly session: RecordedSession
  /** What is recorded before the request goes to the target. */
  begin(): Mark
  /** What is recorded before the answer goes to the client. */
  end(): Mark
}

export function makeCaller(workload: WorkloadName, session: RecordedSession, seed: number): Caller {
  if (workload === 'terminal') return terminal(session, seed)
  const statement = workload === 'prepared' ? prepared(seed) : oneOff(seed)
  let op = 0
  return {
    session,
    begin: () => session.record(statement(++op)),
    end: () => session.record({ type: 'end', op, outcome: 'ok', rows: 1, bytes: 46 }),
  }
}

type Statement = (op: number) => RelayEvent

/** A statement that was prepared once, with three parameters that are others each time. */
function prepared(seed: number): Statement {
  const sql = text('UPDATE accounts SET balance = balance + $1, touched = $2 WHERE id = $3 RETURNING balance')
  const meta = text('{"db":"orders","pid":4242}')
  return (op) => {
    const args = text(`["${(op * 37) % 5000}","2026-01-17 09:${op % 60}:11","${seed * 100_000 + op}"]`)
    const payloads = [
      { type: 'sql', body: sql, repeats: true, kept: true },
      { type: 'meta', body: meta, repeats: true, kept: true },
      { type: 'args', body: args, kept: true },
    ] as const
    return { type: 'begin', op, act: 'db.execute', payloads }
  }
}

/** A statement of 2 KB that never comes again. */
function oneOff(seed: number): Statement {
  const rows = Array.from({ length: 40 }, (_, k) => {
    const [id, cents, hour] = [(seed * 977 + k * 7919) % 1_000_003, (k * 7907) % 10_007, k % 24]
    return `(${id}, 'order-${id.toString(36)}', ${cents}, '2026-01-17 ${hour}:00')`
  })
  const sql = text(`INSERT INTO lines (id, name, cents, at) VALUES ${rows.join(', ')}`.slice(0, 2048))
  const meta = text('{"db":"orders","pid":4242}')
  return (op) => {
    sql.write(op.toString().padStart(12, '0'), sql.length - 16, 'latin1')
    const payloads = [
      { type: 'sql', body: sql, repeats: true },
      { type: 'meta', body: meta, repeats: true },
    ] as const
    return { type: 'begin', op, act: 'db.query', payloads }
  }
}

/** A terminal that scrolls as fast as it may. */
function terminal(session: RecordedSession, seed: number): Caller {
  const pieces = Array.from({ length: 16 }, (_, k) => screenful(seed * 16 + k))
  let count = 0
  session.record({ type: 'begin', op: 1, act: 'ssh.shell', payloads: [] })
  return {
    session,
    begin: () => 0,
    end: () => {
      const bytes = pieces[count++ % pieces.length] ?? Buffer.alloc(0)
      return session.record({ type: 'data', op: 1, stream: 'tty', frame: 'o', bytes })
    },
  }
}

/** Lines of a log in colour. */
function screenful(seed: number): Buffer {
  const lines: string[] = []
  let state = seed * 2_654_435_761 + 1
  for (let length = 0; length < TERMINAL_BYTES; ) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    const [code, ms, id] = [200 + (state % 5), state % 997, state.toString(16)]
    const line = `\x1b[32m10.0.${state % 256}.${state % 251}\x1b[0m GET /orders/${id} \x1b[1m${code}\x1b[0m ${ms} ms\r\n`
    lines.push(line)
    length += line.length
  }
  return text(lines.join('')).subarray(0, TERMINAL_BYTES)
}

function text(words: string): Buffer {
  return Buffer.from(words, 'latin1')
}
