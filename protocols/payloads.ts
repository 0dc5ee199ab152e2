/** Payloads that are made of what we say ourselves, so that their bytes are nobody's to change. */
import { encodeText } from './bytes.ts'
import type { Payload, PayloadType } from './events.ts'

export function text(type: PayloadType, value: string): Payload {
  return { type, body: encodeText(value), kept: true }
}

export function json(type: PayloadType, value: unknown, repeats = false): Payload {
  return { type, body: encodeText(JSON.stringify(value)), kept: true, ...(repeats ? { repeats } : {}) }
}
