import type { CheckedLeaf } from './check-book.ts'

/**
 * What test/faults/children/load.ts promised, against what the book holds. `survives` says which promises this crash
 * must keep: the death of a process takes nothing that the kernel has, a power cut only what was durable.
 */
export function brokenPromises(
  lines: readonly string[],
  leaves: readonly CheckedLeaf[],
  survives: 'process' | 'power',
): string[] {
  const begun = new Set<string>()
  const ended = new Set<string>()
  const closed = new Set<string>()
  for (const { kind, sid = '', op, ...leaf } of leaves) {
    const id = `${sid} ${op}`
    if (kind === 'op' || kind === 'op.begin') begun.add(id)
    // `unknown` is what recovery says of an outcome that it did not find.
    if ((kind === 'op' || kind === 'op.end') && leaf['out'] !== 'unknown') ended.add(id)
    if (kind === 'session.close' && leaf['why'] !== 'crash') closed.add(sid)
  }
  const kept = (line: string): boolean => {
    const [what = '', sid = '', op = ''] = line.split(' ')
    const id = `${sid} ${op}`
    switch (what) {
      case 'b':
        return survives === 'power' || begun.has(id)
      case 'e':
        return survives === 'power' || ended.has(id)
      case 'B':
        return begun.has(id)
      case 'E':
      case 'C':
        return begun.has(id) && ended.has(id)
      case 'X':
        return closed.has(sid)
      default:
        return true
    }
  }
  return lines.filter((line) => !kept(line))
}
