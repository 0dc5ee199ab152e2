/** How names and labels in the file select targets, databases and tables. */
import type { Role, Target } from './schema.ts'

/** Whether `text` fits `pattern`, in which `*` stands for any characters. Takes at most their product in steps. */
export function globMatches(pattern: string, text: string): boolean {
  let p = 0
  let t = 0
  let star = -1
  let resumeAt = 0
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++
      resumeAt = t
    } else if (pattern[p] === text[t]) {
      p++
      t++
    } else if (star !== -1) {
      // The last star takes one more character, and what follows it is tried again.
      p = star + 1
      t = ++resumeAt
    } else return false
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}

/** Whether all of `wanted` stand in `labels` with the same values. */
export function labelsMatch(wanted: Labels, labels: Labels): boolean {
  return Object.entries(wanted).every(
    ([name, value]) => Object.hasOwn(labels, name) && labels[name] === value,
  )
}

type Labels = Readonly<Record<string, string>>

/** Whether the role selects the target: by name or by labels, and never an SSH target for reading only. */
export function reaches(role: Role, name: string, target: Target): boolean {
  if (role.read_only && target.type === 'ssh') return false
  const selector = role.targets
  if (isList(selector)) return selector.some((pattern) => globMatches(pattern, name))
  return labelsMatch(selector, target.labels)
}

/** `Array.isArray` does not narrow a readonly list. */
export function isList(selector: Role['targets']): selector is readonly string[] {
  return Array.isArray(selector)
}
