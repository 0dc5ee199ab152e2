/** `gatebook sessions export`: a recording for other players, a transcript, or the evidence of a whole session. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatVkey } from '../../book/checkpoint.ts'
import type { Frame, RecordingRow } from '../../read/answers.ts'
import { evidencePage } from '../../read/evidence-page.ts'
import { NoAnswer } from '../../read/questions.ts'
import { PlaybackFilter, plainText } from '../../wiring/playback.ts'
import { EVIDENCE_FILE } from '../book/verify.ts'
import type { Io } from '../io.ts'
import { visible } from '../io.ts'
import { took } from '../times.ts'
import { collected, type OpenLibrary, type ReadOptions, reading } from './library.ts'
import { clockOf } from './player.ts'
import { statementOf } from './query.ts'

export interface ExportSessionOptions extends ReadOptions {
  readonly session: string
  readonly format: 'cast' | 'text' | 'evidence'
  /** A file, or for evidence a folder. */
  readonly output: string
  readonly op?: number
  /** As recorded, with everything that acts on a terminal. */
  readonly raw: boolean
  readonly key?: string
}

export async function exportSession(options: ExportSessionOptions, io: Io): Promise<number> {
  return reading(options, io, options.session, async (open) => {
    if (options.format === 'evidence') return exportEvidence(options, open, io)
    const { recordings } = await open.library.session(open.asker, options.session)
    const wanted = recordings.filter(
      ({ op, stream }) =>
        (options.op === undefined || op === options.op) && (stream === 'tty' || stream === 'out'),
    )
    if (options.format === 'cast') {
      const [recording] = wanted
      if (recording === undefined) throw new NoAnswer('none', 'there is no terminal or output to be played')
      if (wanted.length > 1)
        io.stderr.write(`${wanted.length} recordings: this is operation ${recording.op} (--op)\n`)
      return write(options, await castOf(recording, options, open), io)
    }
    return write(options, await textOf(wanted, options, open), io)
  })
}

function write({ output }: ExportSessionOptions, text: string, io: Io): number {
  writeFileSync(output, text, { mode: 0o600, flag: 'wx' })
  io.stderr.write(`written to ${output}\n`)
  return 0
}

/** asciicast v3: relative times, in seconds. */
async function castOf(
  recording: RecordingRow,
  options: ExportSessionOptions,
  open: OpenLibrary,
): Promise<string> {
  const { op, stream, columns = 80, lines = 24, from } = recording
  const head = {
    version: 3,
    term: { cols: columns, rows: lines },
    timestamp: Math.floor(from / 1e6),
    title: `session ${options.session}`,
  }
  const filter = new PlaybackFilter()
  const decoder = new TextDecoder('utf-8')
  const written = [JSON.stringify(head)]
  let before = 0
  const frames = open.library.frames(open.asker, { session: options.session, op, stream, purpose: 'export' })
  for await (const frame of frames) {
    const event = castEvent(frame, options.raw, filter, decoder)
    if (event === undefined) continue
    written.push(JSON.stringify([Number(((frame.at - before) / 1e6).toFixed(6)), ...event]))
    before = frame.at
  }
  return `${written.join('\n')}\n`
}

function castEvent(
  frame: Frame,
  raw: boolean,
  filter: PlaybackFilter,
  decoder: InstanceType<typeof TextDecoder>,
): [string, string] | undefined {
  const bytes = Buffer.from(frame.data, 'base64')
  switch (frame.kind) {
    case 'o':
    case 'e': {
      const text = decoder.decode(raw ? bytes : filter.push(bytes), { stream: true })
      return text === '' ? undefined : ['o', text]
    }
    case 'r':
      return ['r', bytes.toString('latin1')]
    case 'x':
      return ['x', bytes.toString('latin1')]
    case 'm':
      return ['m', labelOf(bytes.toString('utf8'))]
    case 'i':
      return undefined
  }
}

function labelOf(marker: string): string {
  const { command, status } = JSON.parse(marker) as { command?: unknown; status?: unknown }
  return visible(typeof command === 'string' ? command : `exit ${String(status)}`)
}

/** What was shown, without what moved the cursor; of a database session each statement whole. */
async function textOf(
  recordings: readonly RecordingRow[],
  options: ExportSessionOptions,
  open: OpenLibrary,
): Promise<string> {
  const { session } = options
  const written: string[] = []
  for (const { op, act, stream, from, duration } of recordings) {
    written.push(`# ${act} ${op} ${stream}, ${new Date(from / 1000).toISOString()}, ${clockOf(duration)}\n`)
    const bytes: Buffer[] = []
    for await (const { kind, data } of open.library.frames(open.asker, {
      session,
      op,
      stream,
      purpose: 'export',
    })) {
      if (kind === 'o' || kind === 'e') bytes.push(Buffer.from(data, 'base64'))
    }
    const whole = Buffer.concat(bytes)
    written.push(options.raw ? whole.toString('utf8') : plainText(whole), '\n')
  }
  if (recordings.length > 0) return written.join('')
  for await (const row of open.library.wholeTimeline(open.asker, session)) {
    const time = new Date(row.ts / 1000).toISOString()
    const facts = [
      row.outcome ?? '',
      row.rows === undefined ? '' : `${row.rows} rows`,
      row.duration === undefined ? '' : took(row.duration),
    ]
    const whole = row.textCut === true ? await wholeText(row.record, open) : statementOf(row)
    written.push(`${time}  ${row.record}  ${facts.filter((fact) => fact !== '').join('  ')}\n`)
    written.push(
      `${whole
        .split('\n')
        .map((line) => `    ${visible(line)}`)
        .join('\n')}\n`,
    )
  }
  return written.join('')
}

async function wholeText(record: string, { library, asker }: OpenLibrary): Promise<string> {
  const { payloads = [] } = await library.record(asker, record)
  return payloads.find(({ type }) => type === 'sql' || type === 'cmd')?.text ?? ''
}

/** A folder: the evidence line by line, the checkpoint, the key, and a page that checks all of it in a browser. */
async function exportEvidence(options: ExportSessionOptions, open: OpenLibrary, io: Io): Promise<number> {
  const { output, session } = options
  const vkey = formatVkey((await open.firstKey(options.key)).key)
  const lines = await collected(open.library.evidence(open.asker, session))
  const { checkpoint } = JSON.parse(lines[0] ?? '{}') as { checkpoint?: string }
  mkdirSync(output, { mode: 0o700 })
  const put = (name: string, text: string): void =>
    writeFileSync(join(output, name), text, { mode: 0o600, flag: 'wx' })
  put(EVIDENCE_FILE, `${lines.join('\n')}\n`)
  put('checkpoint', checkpoint ?? '')
  put('book.vkey', `${vkey}\n`)
  put('index.html', evidencePage(session, vkey, lines))
  io.stderr.write(
    `${lines.length - 1} records of session ${session} in ${output}; open index.html in a browser\n`,
  )
  io.stderr.write(
    'the key in there proves nothing: whoever checks it takes the one that was kept elsewhere\n',
  )
  return 0
}
