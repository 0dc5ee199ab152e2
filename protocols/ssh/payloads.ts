/** Payloads of SSH's operations: what stands in them, and how facts are written. */
import { decodeLossy } from '../bytes.ts'
import type { Payload } from '../events.ts'
import { json, text } from '../payloads.ts'
import type { Program, Terminal, Variable } from './steps.ts'

export type Json = string | number | boolean | readonly Json[] | { readonly [name: string]: Json }

export function command(program: Program): Payload {
  switch (program.type) {
    case 'exec':
      return { type: 'cmd', body: program.command }
    case 'subsystem':
      return text('cmd', program.name)
    case 'shell':
      return { type: 'cmd', body: new Uint8Array(0) }
  }
}

/** Facts that were asked for: stands at a begin. */
export function args(facts: Json): Payload {
  return json('args', facts)
}

/** Facts that came out: stands at an end, so that no payload type stands in both. */
export function meta(facts: Json): Payload {
  return json('meta', facts)
}

/** What a program was set up with. Names that a client chose are values here, never keys. */
export function surroundings(
  terminal: Terminal | undefined,
  variables: readonly Variable[],
  agent: boolean,
): { readonly [name: string]: Json } {
  const facts: Record<string, Json> = {}
  if (terminal !== undefined) {
    facts['terminal'] = { term: terminal.term, columns: terminal.columns, rows: terminal.rows }
  }
  if (variables.length > 0) {
    facts['env'] = variables.map(({ name, value }) => ({ name, value: decodeLossy(value) }))
  }
  if (agent) facts['agent'] = true
  return facts
}

/** A place that somebody connects to or listens at, whichever message names it. */
export type Place = { readonly path: string } | { readonly host: string; readonly port: number }

export function addressOf(place: Place): string {
  if ('path' in place) return place.path
  return `${place.host.includes(':') ? `[${place.host}]` : place.host}:${place.port}`
}

export function address(place: Place): Payload {
  return text('addr', addressOf(place))
}
