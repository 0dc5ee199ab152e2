/**
 * Where a command asks the book: a gateway elsewhere, by its console; the one that runs here; or, where none does, the
 * book itself, held meanwhile so that no gateway starts on it. Gateways record what is asked. Who reads the book alone
 * is no record, and is told so.
 */
import type { Vkey } from '../../book/checkpoint.ts'
import { holdLock } from '../../book/database.ts'
import { bookFiles } from '../../book/files.ts'
import { NoGatewayError } from '../../control/client.ts'
import { Library } from '../../read/library.ts'
import {
  type AnswerTo,
  type Asker,
  NoAnswer,
  type NoAnswerCode,
  type Question,
} from '../../read/questions.ts'
import { labelsOf, localRights, OWN_SESSIONS_ONLY } from '../../read/rights.ts'
import { OperatorError } from '../../system/operator-error.ts'
import { Reading } from '../../wiring/reading.ts'
import { readKekBytes } from '../../wiring/recording.ts'
import { readKey } from '../book/verify.ts'
import { ask, DEFAULT_CONFIG, dataOf, type GatewayOptions } from '../gateway.ts'
import { configOrFail, EXIT, type Io, visible } from '../io.ts'
import { gatewayUrl, RemoteGateway } from '../remote.ts'
import { libraryOver } from './over-http.ts'

export interface ReadOptions extends GatewayOptions {
  readonly reason?: string
}

export interface OpenLibrary extends AsyncDisposable {
  readonly library: Library
  readonly asker: Asker
  /** The first key, where verifying begins, and whether it came with the book instead of from outside. */
  readonly firstKey: (
    given: string | undefined,
  ) => Promise<{ readonly key: Vkey; readonly fromOutside: boolean }>
}

type Reply =
  | { readonly answer: never }
  | { readonly refused: { readonly code: NoAnswerCode; readonly message: string; readonly column?: number } }

const PROGRESS_EVERY = 100_000

export async function openLibrary(options: ReadOptions, io: Io): Promise<OpenLibrary> {
  const url = gatewayUrl(options)
  return url === undefined ? openHere(options, io) : openElsewhere(url, options)
}

async function openElsewhere(url: string, options: ReadOptions): Promise<OpenLibrary> {
  const gateway = await RemoteGateway.open(url, options)
  return {
    library: libraryOver(gateway),
    asker: asToken,
    firstKey: async (given) => {
      if (given !== undefined) return readKey(given, '')
      const { vkey } = (await gateway.get('/book')) as { readonly vkey: string }
      return { ...readKey(vkey, ''), fromOutside: false }
    },
    [Symbol.asyncDispose]: async () => gateway[Symbol.dispose](),
  }
}

/** The gateway knows who asks, and why; what is said of it here does not count. */
const asToken: Asker = { sub: 'local', rights: OWN_SESSIONS_ONLY }

async function openHere(options: ReadOptions, io: Io): Promise<OpenLibrary> {
  const firstKey: OpenLibrary['firstKey'] = async (given) =>
    readKey(given, given === undefined ? await dataOf(options) : '')
  const reason = options.reason === undefined ? {} : { reason: options.reason }
  const remote = async <Q extends Question>(question: Q): Promise<AnswerTo<Q>> => {
    const reply = await ask<Reply>(options, 'read', { question, ...reason })
    if ('refused' in reply) {
      const { code, message, column } = reply.refused
      throw new NoAnswer(code, message, column)
    }
    return reply.answer
  }
  try {
    await remote({ type: 'state' })
    const library = new Library({ ask: (question) => remote(question), sleep })
    return { library, asker: asToken, firstKey, [Symbol.asyncDispose]: async () => {} }
  } catch (error) {
    if (!(error instanceof NoGatewayError)) throw error
  }
  return { ...(await openAlone(options, io)), firstKey }
}

async function openAlone(options: ReadOptions, io: Io): Promise<Omit<OpenLibrary, 'firstKey'>> {
  if (options.config === undefined && options.data !== undefined) {
    throw new OperatorError(
      'usage',
      'no gateway runs there; without one, --config FILE must say where the keys are',
    )
  }
  const loaded = await configOrFail(options.config ?? DEFAULT_CONFIG)
  const { config } = loaded
  const directory = config.gateway.data_dir
  const lock = holdLock(bookFiles(directory).lock)
  try {
    let told = 0
    const reading = Reading.start({
      directory,
      kek: await readKekBytes({ loaded, env: process.env }),
      labels: () => labelsOf(config),
      onFault: (error) => io.stderr.write(`${visible(String(error))}\n`),
      onIndexed: (next) => {
        if (next < told + PROGRESS_EVERY) return
        told = next
        io.stderr.write(`indexed ${next} records\n`)
      },
    })
    io.stderr.write('no gateway runs: the book is read by this command alone, and that is not recorded\n')
    const asker: Asker = {
      sub: 'local',
      rights: localRights(config),
      ...(options.reason === undefined ? {} : { reason: options.reason }),
    }
    const { size } = await reading.library.state(asker)
    await reading.caughtUp(size)
    const close = async (): Promise<void> => {
      await reading.stop()
      lock.close()
    }
    return { library: reading.library, asker, [Symbol.asyncDispose]: close }
  } catch (error) {
    lock.close()
    throw error
  }
}

/** Says why there is no answer, with a mark under the column where the search went wrong; the exit code. */
export function sayNoAnswer(error: NoAnswer, query: string, io: Io): number {
  if (error.code === 'query' && error.column !== undefined) {
    const before = visible(query.slice(0, error.column - 1)).length
    io.stderr.write(`  ${visible(query)}\n  ${' '.repeat(before)}^ ${visible(error.message)}\n`)
  } else for (const line of error.message.split('\n')) io.stderr.write(`${visible(line)}\n`)
  return EXIT_CODES[error.code]
}

const EXIT_CODES: Readonly<Record<NoAnswerCode, number>> = {
  query: EXIT.usage,
  right: EXIT.denied,
  reason: EXIT.denied,
  none: EXIT.error,
  late: EXIT.error,
  evidence: EXIT.broken,
}

/** Runs a command's body on the library; what is refused is said in words. */
export async function reading(
  options: ReadOptions,
  io: Io,
  query: string,
  body: (open: OpenLibrary) => Promise<number>,
): Promise<number> {
  return answered(io, query, async () => {
    await using open = await openLibrary(options, io)
    return await body(open)
  })
}

export async function answered(io: Io, query: string, body: () => Promise<number>): Promise<number> {
  try {
    return await body()
  } catch (error) {
    if (error instanceof NoAnswer) return sayNoAnswer(error, query, io)
    throw error
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Aborted by ^C, and only the first one is caught. */
export function untilInterrupted(): AbortSignal {
  const controller = new AbortController()
  process.once('SIGINT', () => controller.abort())
  return controller.signal
}

export async function collected<T>(from: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of from) all.push(one)
  return all
}
