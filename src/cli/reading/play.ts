/** `gatebook sessions play` and `tail`: a recording on this terminal, past or as it happens. */
import type { RecordingRow, SessionAnswer } from '../../read/answers.ts'
import { NoAnswer } from '../../read/questions.ts'
import { OperatorError } from '../../system/operator-error.ts'
import type { Io } from '../io.ts'
import { cut, flat, widthOf } from '../table.ts'
import { took } from '../times.ts'
import { type OpenLibrary, type ReadOptions, reading, sleep, untilInterrupted } from './library.ts'
import { clockOf, Player, timeIn } from './player.ts'
import { cellsOf, followLine, statementOf } from './query.ts'

export interface PlaySessionOptions extends ReadOptions {
  readonly session: string
  readonly speed: number
  /** Seconds that a pause lasts at most. */
  readonly idle?: number
  readonly at?: string
  /** Begin at the command with this number. */
  readonly command?: number
  readonly op?: number
}

/** Keys of the player. Nothing that is typed goes anywhere else. */
const KEYS_HELP = 'space pauses, + and - change the speed, > skips 10 s, ] to the next command, q ends'
const SKIP_MICROS = 10e6
const SPEED_MAX = 64
const SPEED_MIN = 1 / 8

export async function playSession(options: PlaySessionOptions, io: Io): Promise<number> {
  return reading(options, io, options.session, async (open) => {
    const found = await open.library.session(open.asker, options.session)
    const recording = chosen(found, options.op)
    if (recording === undefined) return playTimeline(found, options, open, io)
    return playRecording(recording, options, open, io)
  })
}

/** The terminal; else the longest output. */
function chosen({ recordings }: SessionAnswer, op: number | undefined): RecordingRow | undefined {
  const fitting = recordings.filter(
    (one) => (op === undefined || one.op === op) && one.stream !== 'rows' && one.stream !== 'in',
  )
  if (op !== undefined && fitting.length === 0) throw new NoAnswer('none', `operation ${op} has no recording`)
  const terminals = fitting.filter(({ stream }) => stream === 'tty')
  const [longest] = (terminals.length > 0 ? terminals : fitting).sort((a, b) => b.bytes - a.bytes)
  return longest
}

async function playRecording(
  recording: RecordingRow,
  options: PlaySessionOptions,
  { library, asker }: OpenLibrary,
  io: Io,
): Promise<number> {
  const { session } = options
  const { commands } = await library.commands(asker, session, recording.op)
  const starts = commands.map(({ at }) => at)
  const from = await startOf(options, starts)
  tellSize(recording, io)
  const stopped = new AbortController()
  const interrupted = untilInterrupted()
  const isTerminal = widthOf(io) !== undefined
  const player = new Player(
    {
      speed: options.speed,
      // Where nobody watches there is nothing to wait for.
      from: isTerminal ? from : Number.POSITIVE_INFINITY,
      ...(options.idle === undefined ? {} : { idleMax: options.idle * 1e6 }),
    },
    {
      write: (bytes) => void (io.stdout as NodeJS.WritableStream).write(bytes),
      sleep,
      signal: AbortSignal.any([stopped.signal, interrupted]),
    },
  )
  const release = isTerminal ? listen(player, starts, () => stopped.abort()) : () => {}
  if (isTerminal) io.stderr.write(`${KEYS_HELP}\n`)
  try {
    const { op, stream } = recording
    await player.play(
      library.frames(asker, { session, op, stream }, AbortSignal.any([stopped.signal, interrupted])),
    )
  } finally {
    release()
  }
  io.stderr.write(`ended at ${clockOf(player.at)} of ${clockOf(recording.duration)}\n`)
  return 0
}

async function startOf({ at, command }: PlaySessionOptions, starts: readonly number[]): Promise<number> {
  if (at !== undefined) {
    const micros = timeIn(at)
    if (micros === undefined)
      throw new OperatorError('usage', `--at ${at}: expected a time such as 4:31 or 90s`)
    return micros
  }
  if (command === undefined) return 0
  const start = starts[command - 1]
  if (start === undefined) {
    throw new OperatorError(
      'usage',
      `there is no command ${command}: ${starts.length} were derived (gatebook sessions show)`,
    )
  }
  return start
}

function tellSize({ columns, lines }: RecordingRow, io: Io): void {
  const width = widthOf(io)
  if (columns === undefined || width === undefined || width >= columns) return
  io.stderr.write(`recorded on a terminal of ${columns}x${lines}: wider than this one, so lines will break\n`)
}

/** Raw mode, so that keys are heard at once; whoever ends the playing gives the terminal back. */
function listen(player: Player, starts: readonly number[], stop: () => void): () => void {
  const { stdin } = process
  if (!stdin.isTTY) return () => {}
  const onKey = (bytes: Buffer): void => {
    for (const key of bytes.toString('latin1')) {
      if (key === 'q' || key === '\u0003') stop()
      else if (key === ' ') player.paused = !player.paused
      else if (key === '+') player.speed = Math.min(SPEED_MAX, player.speed * 2)
      else if (key === '-') player.speed = Math.max(SPEED_MIN, player.speed / 2)
      else if (key === '>') player.skipTo(player.at + SKIP_MICROS)
      else if (key === ']') player.skipTo(starts.find((at) => at > player.at) ?? player.at)
    }
  }
  stdin.setRawMode(true)
  stdin.resume()
  stdin.on('data', onKey)
  return () => {
    stdin.off('data', onKey)
    stdin.setRawMode(false)
    stdin.pause()
  }
}

/** What a database session did, in the time it took, or at once where nobody watches. */
async function playTimeline(
  { session: { opened } }: SessionAnswer,
  options: PlaySessionOptions,
  { library, asker }: OpenLibrary,
  io: Io,
): Promise<number> {
  const signal = untilInterrupted()
  const from = await startOf(options, [])
  const width = widthOf(io)
  let before = from
  for await (const row of library.wholeTimeline(asker, options.session)) {
    if (signal.aborted) break
    const at = row.ts - opened
    if (at < from) continue
    const pause = Math.min(at - before, (options.idle ?? Number.POSITIVE_INFINITY) * 1e6)
    if (width !== undefined && pause > 0) await waited(pause / 1000 / options.speed, signal)
    before = at
    const [, , , , outcome = '', rows = ''] = cellsOf(row)
    const counted = rows === '' ? '' : `${rows} ${rows === '1' ? 'row' : 'rows'}`
    const time = row.duration === undefined ? '' : took(row.duration)
    const verb = row.verbs?.[0] ?? ''
    const facts = [outcome === 'ok' ? '' : outcome, counted, time, row.record]
      .filter((one) => one !== '')
      .join('  ')
    const line = `+${clockOf(at)}  ${verb.padEnd(8)} ${flat(statementOf(row))}`
    const room = width === undefined ? undefined : Math.max(20, width - facts.length - 2)
    io.stdout.write(`${room === undefined ? line : cut(line, room)}  ${facts}\n`)
  }
  return 0
}

async function waited(ms: number, signal: AbortSignal): Promise<void> {
  const until = performance.now() + ms
  while (performance.now() < until && !signal.aborted) await sleep(Math.min(50, until - performance.now()))
}

export interface TailOptions extends ReadOptions {
  readonly session?: string
}

/** As it happens: a terminal as its user sees it, anything else line by line. */
export async function tailSession(options: TailOptions, io: Io): Promise<number> {
  const { session } = options
  const signal = untilInterrupted()
  return reading(options, io, session ?? '', async (open) => {
    const { library, asker } = open
    const found = session === undefined ? undefined : await library.session(asker, session)
    const terminal = found?.recordings.findLast(({ stream }) => stream === 'tty')
    if (session !== undefined && terminal !== undefined) {
      tellSize(terminal, io)
      const player = new Player(
        { speed: 1, from: Number.POSITIVE_INFINITY },
        { write: (bytes) => void (io.stdout as NodeJS.WritableStream).write(bytes), sleep, signal },
      )
      await player.play(library.frames(asker, { session, op: terminal.op, stream: 'tty' }, signal))
      return 0
    }
    const widths = [19, 12, 14, 44, 8, 7, 9, 16]
    const query = session === undefined ? '' : `session:${session}`
    // Of one session all that was is told first.
    for await (const row of library.follow(asker, query, signal, session === undefined ? undefined : 0)) {
      io.stdout.write(`${followLine(row, widths, io)}\n`)
      if (session !== undefined && row.kind === 'session.close') break
    }
    return 0
  })
}
