import { find } from './bytes.ts'

const TRACEPARENT = /traceparent='([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})'/
const SLASH = 0x2f

/** The trace that a statement belongs to, from a comment in sqlcommenter's form. A claim of the client's. */
export function traceOf(text: Uint8Array): string | undefined {
  if (!text.includes(SLASH)) return undefined
  return find(text, TRACEPARENT)?.[1]
}
