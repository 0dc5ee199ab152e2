/** Reading the configuration for a command: every fault of it in one error, each with its line and column. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { formatFault } from '../config/faults.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { OperatorError, wordsOf } from '../system/operator-error.ts'

export async function readConfig(path: string): Promise<LoadedConfig> {
  const absolute = resolve(path)
  let text: string
  try {
    text = await readFile(absolute, 'utf8')
  } catch (cause) {
    const next = '`gatebook init` writes a first one; --config names another'
    throw new OperatorError('config', `reading ${path}: ${wordsOf(cause)}; ${next}`, { cause })
  }
  const loaded = loadConfig(text, absolute, path)
  if (loaded.type === 'faults') throw new OperatorError('config', loaded.faults.map(formatFault).join('\n'))
  return loaded
}
