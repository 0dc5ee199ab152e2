/** `gatebook sessions`: what is open now, what was, what happened in one, and ending it. */
import type { SessionRow } from '../../read/answers.ts'
import { PAGE_ROWS_MAX } from '../../read/answers.ts'
import { type Io, printTable } from '../io.ts'
import { flat, jsonLine, writeTable } from '../table.ts'
import { ago, stamp, took } from '../times.ts'
import { answered, collected, type ReadOptions, reading } from './library.ts'
import { type EndOptions, endSession, openSessions } from './live.ts'
import { clockOf } from './player.ts'
import { cellsOf, ROW_COLUMNS } from './query.ts'

export interface SessionsOptions extends ReadOptions {
  readonly output: 'table' | 'json'
  /** Past ones too: those in which something fits this search. */
  readonly query?: string
  readonly limit: number
}

export async function listSessions(options: SessionsOptions, io: Io, now = Date.now()): Promise<number> {
  if (options.query !== undefined) return listPast({ ...options, query: options.query }, io)
  return answered(io, '', async () => {
    const rows = await openSessions(options)
    if (options.output === 'json') {
      for (const row of rows) io.stdout.write(`${jsonLine(row)}\n`)
      return 0
    }
    const head = ['SINCE (UTC)', 'WHO', 'TARGET', 'ROLES', 'FROM', 'LAST TRAFFIC', 'SESSION']
    const shown = rows.map(({ since, user, target, roles, address, lastTraffic, session }) => [
      ...[stamp(since), user, target, roles.join(','), address, `${ago(now - lastTraffic)} ago`, session],
    ])
    printTable(io, head, shown)
    return 0
  })
}

async function listPast(options: SessionsOptions & { readonly query: string }, io: Io): Promise<number> {
  const { query, limit, output } = options
  return reading(options, io, query, async ({ library, asker }) => {
    const found: SessionRow[] = []
    let cursor: number | undefined
    do {
      const page = await library.sessions(asker, {
        query,
        limit: Math.min(limit - found.length, PAGE_ROWS_MAX),
        ...(cursor === undefined ? {} : { cursor }),
      })
      found.push(...page.sessions)
      cursor = page.next
    } while (cursor !== undefined && found.length < limit)
    if (output === 'json') for (const row of found) io.stdout.write(`${jsonLine(row)}\n`)
    else writeTable(io, SESSION_COLUMNS, found.map(sessionCells))
    io.stderr.write(
      `${found.length} ${found.length === 1 ? 'session' : 'sessions'}${cursor === undefined ? '' : ', and there are more (--limit)'}\n`,
    )
    return 0
  })
}

const SESSION_COLUMNS = [
  { head: 'START (UTC)' },
  { head: 'WHO' },
  { head: 'TARGET' },
  { head: 'LENGTH', right: true },
  { head: 'WHAT', elastic: true },
  { head: 'ENDED' },
  { head: 'SESSION' },
] as const

function sessionCells(row: SessionRow): string[] {
  const { opened, closed, actor = '', target = '', session, why = '' } = row
  const length = closed === undefined ? '' : took(closed - opened)
  return [
    stamp(opened / 1000),
    actor,
    target,
    length,
    what(row),
    closed === undefined ? 'open' : why,
    session,
  ]
}

function what({ operations, errors, denied, terminal }: SessionRow): string {
  const counted = [`${operations} ${operations === 1 ? 'operation' : 'operations'}`]
  if (errors > 0) counted.push(`${errors} failed`)
  if (denied > 0) counted.push(`${denied} refused`)
  if (terminal) counted.push('terminal')
  return counted.join(', ')
}

export interface ShowOptions extends ReadOptions {
  readonly session: string
  readonly output: 'table' | 'json'
}

/** Who, from where, what came of it; then each operation, command and file. */
export async function showSession(options: ShowOptions, io: Io): Promise<number> {
  const { session: sid, output } = options
  return reading(options, io, sid, async ({ library, asker }) => {
    const { session, who, recordings, withheld } = await library.session(asker, sid)
    const rows = await collected(library.wholeTimeline(asker, sid))
    if (output === 'json') {
      io.stdout.write(`${jsonLine({ session, who, withheld, recordings })}\n`)
      for (const row of rows) io.stdout.write(`${jsonLine(row)}\n`)
      return 0
    }
    const line = (name: string, value: string): void =>
      void io.stdout.write(`${name.padEnd(10)}${flat(value)}\n`)
    const {
      actor = '',
      target = '',
      address = '',
      roles = [],
      client = '',
      opened,
      closed,
      why = '',
    } = session
    line('who', `${actor} from ${address === '' ? 'an address that was erased' : address}`)
    line(
      'target',
      `${target} (${session.protocol ?? ''})${roles.length > 0 ? ` as ${roles.join(', ')}` : ''}`,
    )
    if (client !== '') line('client', `${client} (as it says)`)
    line(
      'time',
      `${stamp(opened / 1000)} to ${closed === undefined ? 'now' : `${stamp(closed / 1000)}, ended by ${why}`}`,
    )
    line('what', what(session))
    for (const { op, act, stream, duration, bytes } of recordings) {
      line('recording', `${op}  ${act} ${stream}  ${clockOf(duration)}  ${bytes} bytes`)
    }
    const { commands } = await library.commands(asker, sid)
    for (const [k, { at, text, status }] of commands.entries()) {
      line(
        k === 0 ? 'commands' : '',
        `${k + 1}  ${clockOf(at)}  ${text}${status === undefined ? '' : `  exit ${status}`}`,
      )
    }
    const { files } = await library.files(asker, sid)
    for (const [k, { act, path = '', bytes, direction, sha256 }] of files.entries()) {
      const moved = bytes === undefined ? '' : `  ${direction ?? ''} ${bytes} bytes`
      line(
        k === 0 ? 'files' : '',
        `${act}  ${path}${moved}${sha256 === undefined ? '' : `  sha256 ${sha256}`}`,
      )
    }
    io.stdout.write('\n')
    writeTable(io, ROW_COLUMNS, rows.map(cellsOf))
    return 0
  })
}

export async function killSession(options: EndOptions, io: Io): Promise<number> {
  return answered(io, '', async () => {
    const { user, target } = await endSession(options)
    io.stderr.write(`ended ${options.session}: ${flat(user)} on ${target}\n`)
    return 0
  })
}
