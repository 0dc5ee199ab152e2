/** One thing that `gatebook doctor` found out. */
export interface Finding {
  readonly good: boolean
  readonly text: string
}

const SHOWN_MAX = 5

export function namedSome(names: readonly string[]): string {
  const more = names.length > SHOWN_MAX ? ` and ${names.length - SHOWN_MAX} more` : ''
  return `${names.slice(0, SHOWN_MAX).join(', ')}${more}`
}
