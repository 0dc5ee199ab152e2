/** What is asked of the book: each of these is a question of the library's, which records it. */
import { z } from 'zod'
import { HISTOGRAM_BARS_MAX, PAGE_ROWS_MAX } from '../read/answers.ts'
import { QUERY_CHARACTERS_MAX } from '../read/questions.ts'
import * as api from './api.ts'
import type { Calling } from './calling.ts'
import { ProblemError } from './errors.ts'
import { castLines } from './recordings.ts'
import { type Route, route } from './route.ts'
import type { Caller } from './sign-in.ts'

const text = z.string().max(QUERY_CHARACTERS_MAX).default('')
const whole = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number)
/** Cursors may order rows within a record, so that they are no whole numbers of records. */
const cursor = z
  .string()
  .regex(/^\d{1,16}$/)
  .transform(Number)
  .optional()
const limit = whole.pipe(z.int().min(1).max(PAGE_ROWS_MAX)).optional()
const sid = z.string().regex(/^[a-z2-7]{16}$/)
const record = z.string().regex(/^[a-z0-9.-]{1,40}$/)
const stream = z.enum(['tty', 'out', 'in', 'rows'])
const facets = z
  .string()
  .max(200)
  .transform((given) => given.split(','))
  .pipe(z.array(z.enum(api.FACET_KEYS)))
  .optional()

const DAY_MICROS = 86_400_000_000

export function readingRoutes(calling: Calling): readonly Route[] {
  return [
    ...searchRoutes(calling),
    ...sessionRoutes(calling),
    ...recordingRoutes(calling),
    ...recordRoutes(calling),
  ]
}

function searchRoutes(calling: Calling): readonly Route[] {
  return [
    route({
      method: 'get',
      path: '/search',
      summary: 'What a search finds, newest first, in pages',
      query: { q: text, cursor, limit },
      answer: api.SEARCH,
      handle: ({ caller, query: { q, ...page } }) =>
        calling.ask(caller, { type: 'search', query: q, ...given(page) }),
    }),
    route({
      method: 'get',
      path: '/summary',
      summary: 'How much a search finds: count, facets, histogram',
      query: { q: text, facets, bars: whole.pipe(z.int().min(1).max(HISTOGRAM_BARS_MAX)).optional() },
      answer: api.SUMMARY,
      handle: ({ caller, query: { q, ...rest } }) =>
        calling.ask(caller, { type: 'summary', query: q, ...given(rest) }),
    }),
    route({
      method: 'get',
      path: '/complete',
      summary: 'What may be typed next in a search',
      query: { q: text, at: whole },
      answer: api.COMPLETE,
      handle: ({ caller, query: { q, at } }) => calling.ask(caller, { type: 'complete', query: q, at }),
    }),
    route({
      method: 'get',
      path: '/overview',
      summary: 'What happened lately, and what needs attention',
      query: {
        hours: whole
          .pipe(
            z
              .int()
              .min(1)
              .max(24 * 366),
          )
          .optional(),
        micros: whole.pipe(z.int().min(1)).optional(),
      },
      answer: api.OVERVIEW,
      handle: ({ caller, query: { hours = 24, micros = (hours * DAY_MICROS) / 24 } }) =>
        calling.ask(caller, { type: 'overview', micros }),
    }),
  ]
}

function sessionRoutes(calling: Calling): readonly Route[] {
  return [
    route({
      method: 'get',
      path: '/sessions',
      summary: 'Sessions, open and past, newest first, in pages',
      query: { q: text, cursor, limit },
      answer: api.SESSIONS,
      handle: ({ caller, query: { q, ...page } }) =>
        calling.ask(caller, { type: 'sessions', query: q, ...given(page) }),
    }),
    route({
      method: 'get',
      path: '/sessions/{sid}',
      summary: 'One session: who, from where, and what of it can be played',
      params: { sid },
      answer: api.SESSION,
      handle: ({ caller, params }) => calling.ask(caller, { type: 'session', session: params.sid }),
    }),
    route({
      method: 'get',
      path: '/sessions/{sid}/timeline',
      summary: 'What happened in a session, in its order, in pages',
      params: { sid },
      query: { cursor, limit },
      answer: api.TIMELINE,
      handle: ({ caller, params, query }) =>
        calling.ask(caller, { type: 'timeline', session: params.sid, ...given(query) }),
    }),
    route({
      method: 'get',
      path: '/sessions/{sid}/commands',
      summary: 'Commands derived from what its terminals showed',
      params: { sid },
      query: { op: whole.optional() },
      answer: api.COMMANDS,
      handle: ({ caller, params, query }) =>
        calling.ask(caller, { type: 'commands', session: params.sid, ...given(query) }),
    }),
    route({
      method: 'get',
      path: '/sessions/{sid}/files',
      summary: 'Files that were carried in it',
      params: { sid },
      answer: api.FILES,
      handle: ({ caller, params }) => calling.ask(caller, { type: 'files', session: params.sid }),
    }),
  ]
}

function recordingRoutes(calling: Calling): readonly Route[] {
  return [
    route({
      method: 'get',
      path: '/sessions/{sid}/recordings/{op}/{stream}',
      summary: 'A recording as it is up to now, in asciicast v3',
      params: { sid, op: whole, stream },
      answer: { media: 'application/x-asciicast' },
      fileName: ({ sid: session, op }) => `${session}.${op}.cast`,
      handle: async ({ caller, params }) => {
        const { session, recordings } = await calling.ask(caller, { type: 'session', session: params.sid })
        const recording = recordings.find(
          ({ op, stream: name }) => op === params.op && name === params.stream,
        )
        if (recording === undefined)
          throw new ProblemError('not-found', { what: 'There is no such recording.' })
        return begun(castLines(await begun(frames(calling, caller, params)), { session, recording }))
      },
    }),
    route({
      method: 'get',
      path: '/sessions/{sid}/recordings/{op}/{stream}/frames',
      summary: 'A recording as it was recorded, in pages; an empty page with a next one: it goes on',
      params: { sid, op: whole, stream },
      query: { cursor, purpose: z.literal('export').optional() },
      answer: api.FRAMES,
      handle: ({ caller, params: { sid: session, ...which }, query }) =>
        calling.ask(caller, { type: 'frames', session, ...which, ...given(query) }),
    }),
    route({
      method: 'get',
      path: '/sessions/{sid}/evidence',
      summary: 'Its records with their proofs, one JSON object a line',
      params: { sid },
      answer: { media: 'application/x-ndjson' },
      fileName: ({ sid: session }) => `${session}.evidence.jsonl`,
      handle: ({ caller, params }) => begun(evidence(calling, caller, params.sid)),
    }),
  ]
}

function recordRoutes(calling: Calling): readonly Route[] {
  return [
    route({
      method: 'get',
      path: '/records/{record}',
      summary: 'One record: by its link 184302-9f2c1b77, its index, or the id shown to who was refused',
      params: { record },
      answer: api.RECORD,
      handle: ({ caller, params }) => calling.ask(caller, { type: 'record', record: params.record }),
    }),
    route({
      method: 'get',
      path: '/records/{record}/proof',
      summary: 'The evidence that a record is in the book, to be verified elsewhere',
      params: { record },
      query: { payloads: z.enum(['yes', 'no']).default('yes') },
      answer: { media: 'application/json' },
      fileName: ({ record: name }) => `proof-${name}.json`,
      handle: async ({ caller, params, query: { payloads } }) =>
        (await calling.ask(caller, { type: 'proof', record: params.record, payloads: payloads === 'yes' }))
          .proof,
    }),
  ]
}

/** Waits for the first, so that a refusal is told as one, and not in the middle of an answer. */
async function begun<T>(pages: AsyncGenerator<T>): Promise<AsyncGenerator<T>> {
  const first = await pages.next()
  return (async function* () {
    if (first.done === true) return
    yield first.value
    yield* pages
  })()
}

/** The pages of a recording up to where it is now. */
async function* frames(
  calling: Calling,
  caller: Caller,
  { sid: session, op, stream: name }: { sid: string; op: number; stream: z.output<typeof stream> },
) {
  let at: number | undefined
  for (;;) {
    const page = await calling.ask(caller, {
      ...({ type: 'frames', session, op, stream: name } as const),
      ...(at === undefined ? {} : { cursor: at }),
    })
    yield* page.frames
    if (page.next === undefined || page.frames.length === 0) return
    at = page.next
  }
}

async function* evidence(calling: Calling, caller: Caller, session: string): AsyncGenerator<Uint8Array> {
  let at: number | undefined
  let size: number | undefined
  do {
    const page = await calling.ask(caller, {
      ...({ type: 'evidence', session } as const),
      ...(at === undefined ? {} : { cursor: at }),
      ...(size === undefined ? {} : { size }),
    })
    size = page.size
    yield Buffer.from(page.lines.map((line) => `${line}\n`).join(''))
    at = page.next
  } while (at !== undefined)
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

/** What was not given is left out, instead of being given as undefined. */
function given<T extends Readonly<Record<string, unknown>>>(values: T): Given<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Given<T>
}
