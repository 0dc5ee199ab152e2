/** What a person reads on the standard error of their own program beside it (protocols/relay.ts has the parts). */
import { encodeText } from '../bytes.ts'
import type { Refusal } from '../relay.ts'

/** What sysexits.h calls EX_NOPERM. */
export const REFUSED_STATUS = 77

/** Four lines. `record` stands in where the refusal does not name its record itself. */
export function refusalText(refusal: Refusal, record: string, terminal: boolean): Uint8Array {
  const id = refusal.record === '' ? record : refusal.record
  const lines = [`gatebook: ${refusal.what}`]
  if (refusal.why !== '') lines.push(`  why : ${refusal.why}`)
  if (refusal.next !== '') lines.push(`  next: ${refusal.next}`)
  if (id !== '') lines.push(`  id  : ${id}`)
  // Behind a terminal request the client's own terminal is raw, and a bare LF would make stairs.
  const end = terminal ? '\r\n' : '\n'
  return encodeText(lines.map((line) => printable(line) + end).join(''))
}

/** A text of the host's own, for a terminal that is raw. */
export function bannerText(text: string): Uint8Array {
  const lines = text.trimEnd().split(/\r?\n/)
  return encodeText(lines.map((line) => `${printable(line)}\r\n`).join(''))
}

/** Parts of the text may be what somebody else chose: a name, a command. */
function printable(line: string): string {
  return line.replace(/\p{Cc}|\p{Cf}/gu, '\u{fffd}')
}
