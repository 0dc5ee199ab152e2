/**
 * What a terminal showed, as plain text to read, search in and hear: sequences that only move, colour or name things
 * are left out. It is no screen: where a program drew over what was there, both stand in the text.
 */

const SEQUENCES =
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])|[\u0000-\u0007\u000e-\u001a\u001c-\u001f]/g

export const TRANSCRIPT_CHARACTERS_MAX = 2_000_000

export interface CastEvent {
  /** Seconds since the beginning. */
  readonly at: number
  readonly kind: string
  readonly text: string
}

/** The events of an asciicast v3; a line that is none is left out. */
export function castEvents(cast: string): readonly CastEvent[] {
  let at = 0
  return cast.split('\n').flatMap((line) => {
    if (!line.startsWith('[')) return []
    const [interval, kind, text] = JSON.parse(line) as [number, string, string]
    at += interval
    return [{ at, kind, text }]
  })
}

export function transcriptOf(events: readonly CastEvent[]): string {
  const output = events.filter(({ kind }) => kind === 'o').map(({ text }) => text)
  const plain = output.join('').slice(0, TRANSCRIPT_CHARACTERS_MAX).replaceAll(SEQUENCES, '')
  return plain.split('\n').map(settled).join('\n')
}

/** One line after its carriage returns and backspaces: what stands there in the end. */
function settled(line: string): string {
  const cells: string[] = []
  let column = 0
  for (const character of line.replace(/\r$/, '')) {
    if (character === '\r') column = 0
    else if (character === '\b') column = Math.max(0, column - 1)
    else cells[column++] = character
  }
  return Array.from(cells, (cell) => cell ?? ' ')
    .join('')
    .trimEnd()
}
