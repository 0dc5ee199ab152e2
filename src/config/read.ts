/** The one place that opens the configuration's file. */
import { promises } from 'node:fs'
import { resolve } from 'node:path'
import { type Loaded, loadConfig } from './load.ts'

/** A file that cannot be read is a fault like any other. `shown` is as the person wrote the path. */
export async function readConfig(shown: string): Promise<Loaded> {
  let text: string
  try {
    text = await promises.readFile(shown, 'utf8')
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    const words = error instanceof Error ? error.message : String(error)
    const message = isMissing ? 'there is no such file' : `cannot be read: ${words}`
    return { type: 'faults', faults: [{ file: shown, line: 1, column: 1, path: '', message }] }
  }
  return loadConfig(text, resolve(shown), shown)
}
