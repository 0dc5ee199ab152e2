/**
 * How MySQL targets greet, kept from the gateway's last login there and over restarts: a MySQL server speaks first,
 * so a client is greeted before its target is dialled, and must be told what the target can do.
 */
import { asFamily, type Greeting } from '../../protocols/mysql/index.ts'
import { readIfThere, writeFileDurably } from '../system/durable.ts'

export class Greetings {
  readonly #path: string
  readonly #known: Map<string, Greeting>

  /** The file is our own; one that cannot be read is made anew at the next login. */
  constructor(path: string) {
    this.#path = path
    this.#known = new Map(parse(readIfThere(path) ?? '[]'))
  }

  get(target: string): Greeting | undefined {
    return this.#known.get(target)
  }

  put(target: string, greeting: Greeting): void {
    if (JSON.stringify(this.#known.get(target)) === JSON.stringify(greeting)) return
    this.#known.set(target, greeting)
    writeFileDurably(this.#path, JSON.stringify([...this.#known]))
  }
}

/**
 * What a listener for several targets greets with: only what all of them can do, as the family that its configuration
 * names, under the version that it names or the first of them has. Undefined while none of them is known.
 */
export function sharedGreeting(
  known: readonly Greeting[],
  { version, family }: { readonly version?: string | undefined; readonly family: 'mysql' | 'mariadb' },
): Greeting | undefined {
  const [first] = known
  if (first === undefined) return undefined
  const capabilities = known.reduce(
    (shared, { capabilities: { flags, extended } }) => ({
      flags: (shared.flags & flags) >>> 0,
      extended: (shared.extended & extended) >>> 0,
    }),
    first.capabilities,
  )
  return { ...first, version: version ?? first.version, capabilities: asFamily(capabilities, family) }
}

function parse(text: string): [string, Greeting][] {
  try {
    return JSON.parse(text) as [string, Greeting][]
  } catch (error) {
    if (error instanceof SyntaxError) return []
    throw error
  }
}
