/** The file's text -> a configuration, or everything that is wrong with it. Decides nothing about secrets' values. */
import { dirname } from 'node:path'
import { type Document, isScalar, LineCounter, parseDocument, visit, type YAMLParseError } from 'yaml'
import { crossCheck } from './cross-check.ts'
import { type Fault, faultsOf, inOrder } from './faults.ts'
import { Places } from './places.ts'
import { type Config, configSchema } from './schema.ts'

export interface LoadedConfig {
  readonly config: Config
  /** Where each value stands: decisions name the line they rest on. */
  readonly places: Places
}

export type Loaded =
  | ({ readonly type: 'config' } & LoadedConfig)
  | { readonly type: 'faults'; readonly faults: readonly Fault[] }

export const CONFIG_CHARACTERS_MAX = 4 << 20

/** `path` is absolute: relative paths in the file begin at its folder. `shown` is how the file is named in faults. */
export function loadConfig(text: string, path: string, shown = path): Loaded {
  if (text.length > CONFIG_CHARACTERS_MAX)
    return faults([wholeFile(shown, `longer than ${CONFIG_CHARACTERS_MAX} characters`)])
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const places = new Places(shown, document, lines)
  const broken = syntaxFaults(document, text, places)
  if (broken.length > 0) return faults(broken)

  const root: unknown = document.toJS()
  if (root === null || typeof root !== 'object' || Array.isArray(root)) {
    return faults([wholeFile(shown, 'expected a map that begins with "version: 1"')])
  }
  const parsed = configSchema(dirname(path)).safeParse(root)
  if (!parsed.success) return faults(faultsOf(parsed.error.issues, root, places))
  const config: Config = parsed.data
  const found = crossCheck(config, places)
  return found.length > 0 ? faults(found) : { type: 'config', config, places }
}

function faults(found: readonly Fault[]): Loaded {
  return { type: 'faults', faults: inOrder(found) }
}

function wholeFile(file: string, message: string): Fault {
  return { file, line: 1, column: 1, path: '', message }
}

/** The first syntax error alone, for one mistake cascades; but every doubled key, for each is a mistake. */
function syntaxFaults(document: Document.Parsed, text: string, places: Places): Fault[] {
  const fault = (at: number, message: string) => ({ file: places.file, ...places.at(at), path: '', message })
  const problems: readonly YAMLParseError[] = document.errors
  const syntax = problems.find(({ code }) => code !== 'DUPLICATE_KEY')
  if (syntax !== undefined) return [fault(syntax.pos[0], `not valid YAML: ${syntax.message}`)]

  const found = problems.map(({ pos: [start] }) => {
    const [key = ''] = /^[^:\n]{1,60}/.exec(text.slice(start)) ?? []
    return fault(start, `the key ${key.trim()} stands twice in its map`)
  })
  visit(document, {
    Alias: (_, { range }) => {
      found.push(fault(range?.[0] ?? 0, 'aliases are not read here: write the value out'))
    },
    // The one key that the objects of JavaScript, and so the schema, would lose without a word.
    Pair: (_, { key }) => {
      if (isScalar(key) && key.value === '__proto__')
        found.push(fault(key.range?.[0] ?? 0, 'unknown key "__proto__"'))
    },
  })
  return found
}
