/** Frames of a recording as asciicast v3: what the player in the page plays, and `asciinema play` anywhere. */
import { StringDecoder } from 'node:string_decoder'
import type { Frame } from '../read/answers.ts'
import type { RecordingRow, SessionRow } from './api.ts'

const COLUMNS = 80
const LINES = 24

export interface CastFacts {
  readonly session: Pick<SessionRow, 'session' | 'target'>
  readonly recording: RecordingRow | undefined
}

export function castHeader({ session, recording }: CastFacts): string {
  const { columns: cols = COLUMNS, lines: rows = LINES, from } = recording ?? {}
  return `${JSON.stringify({
    ...{ version: 3, term: { cols, rows } },
    ...(from === undefined ? {} : { timestamp: Math.floor(from / 1_000_000) }),
    title: `${session.session} at ${session.target ?? ''}`,
  })}\n`
}

/** Frames -> events. A character that was cut in two by the wire is put together again. */
export class CastWriter {
  readonly #decoders = { o: new StringDecoder('utf8'), e: new StringDecoder('utf8') }
  #at = 0

  event({ at, kind, data }: Frame): string {
    const bytes = Buffer.from(data, 'base64')
    const text = kind === 'o' || kind === 'e' ? this.#decoders[kind].write(bytes) : bytes.toString('utf8')
    if (text === '' || kind === 'i') return ''
    const seconds = Math.max(0, at - this.#at) / 1_000_000
    this.#at = Math.max(this.#at, at)
    return `${JSON.stringify([Number(seconds.toFixed(6)), kind === 'e' ? 'o' : kind, text])}\n`
  }
}

export async function* castLines(frames: AsyncIterable<Frame>, facts: CastFacts): AsyncGenerator<Uint8Array> {
  const writer = new CastWriter()
  yield Buffer.from(castHeader(facts))
  for await (const frame of frames) {
    const line = writer.event(frame)
    if (line !== '') yield Buffer.from(line)
  }
}
