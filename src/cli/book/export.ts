/** `gatebook book export`: the book as static files, in the layout that other programs for transparency logs read. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { BookSource } from '../../book/source.ts'
import { exportTiles } from '../../book/tiles.ts'
import { OperatorError } from '../../system/operator-error.ts'
import type { Io } from '../io.ts'
import { FilesFolder } from './files-folder.ts'

export interface ExportOptions {
  readonly folder: string
  readonly data?: string
  readonly book?: string
  /** With the ciphertexts; without them an export proves that they were there, and how long they were. */
  readonly payloads: boolean
}

export async function exportBook({ folder, data, book, payloads }: ExportOptions, io: Io): Promise<number> {
  if ((data === undefined) === (book === undefined)) {
    throw new OperatorError('usage', 'name exactly one of --data and --book')
  }
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw new OperatorError('usage', `${folder} is not empty: an export is never mixed with another`)
  }
  using source = BookSource.open(data === undefined ? (book ?? '') : join(data, 'book.db'))
  const { size, first, payloads: written } = exportTiles(source, new FilesFolder(folder), { payloads })
  io.stderr.write(
    `records ${first} to ${size - 1} in ${folder}${payloads ? `, with ${written} payloads` : ''}\n`,
  )
  return 0
}
